"""The report's section on trade: gains, payments, who sold to whom."""

from __future__ import annotations

from typing import Any

import xarray as xr

from flows import report_figures as figures
from flows.key_figures import (
    day_title,
    digits,
    money,
    owner_names,
    span_text,
    trade_per_year,
    traded_mwh,
    whole,
)
from flows.report_market import (
    WORDS,
    day_columns,
    market_details,
    operator_words,
    words_of,
)
from flows.report_page import figure, paragraph, section, table
from flows.study_market import NASH
from pp_p2p.names import DAY, PARTICIPANT


def trade_section(tree: xr.DataTree) -> str:
    """Return gains, payments, trades."""
    trade, span = tree["trade"].to_dataset(), span_text(tree)
    agreed, market = trade["trade_agreed"].to_numpy() > 0, words_of(tree)
    energy = traded_mwh(tree).sum(["seller", "buyer"]).to_numpy()
    rows: list[tuple[str, ...]] = [
        (
            day_title(tree, k),
            ("agreed" if market is WORDS[NASH] else "yes") if agreed[k] else "none",
            _cents(trade["gain_eur"][k]),
            digits(energy[k]),
        )
        for k in range(trade.sizes[DAY])
    ]
    year = trade_per_year(tree)
    gain, mwh = float(year["gain_eur"]), float(year["sold_mwh"].sum())
    rows.append((f"Sum over {span}", "", whole(gain), digits(mwh)))
    if not agreed.any():
        words = market.nothing
    else:
        words = (
            f"Trading by {market.name} {'saves' if gain >= 0 else 'costs'} {money(abs(gain))} in "
            f"{span} and moves {digits(mwh)} MWh between participants; there is trade on "
            f"{int(agreed.sum())} of {len(agreed)} typical days."
        )
    more = day_columns(trade)
    head = ("Typical day", "Trade", "Gain, EUR", "Traded, MWh", *(name for name, _ in more))
    rows = [
        (*row, *(cells[k] if k < len(cells) else "" for _, cells in more))
        for k, row in enumerate(rows)
    ]
    parts = [
        paragraph(words),
        _participants_table(tree, year, f"Participants, sum over {span}, EUR"),
        paragraph(operator_words(tree, year, span)),
        paragraph(
            "A payment is positive where the participant pays, net trade where it buys more from "
            "others than it sells to them. The average price is the payment "
            "per MWh of net trade; it is left out where net "
            f"trade is under half of gross trade. {market.payment}",
            "note",
        ),
        *market_details(tree),
        '<div class="pair"><div>',
        table("Each typical day, per day", head, rows, n_text=2, sums=1),
        "</div><div>",
        figure(
            figures.trade_matrix_figure(tree, span),
            "matrix",
            f"Energy sold by each participant to each other in {span}, MWh.",
            f"Energy traded in {span}, MWh.",
        ),
        "</div></div>",
        "<h3>One day in hours</h3>",
        figure(
            figures.trade_day_figure(tree),
            "trade-day",
            "Exchange with the grid by participant and trades by pair over the hours of a day.",
            "The day with the largest gain first; the menu shows the others.",
        ),
        _days_folded(tree),
    ]
    return section("trade", "Trade and payments", *parts)


def _participants_table(tree: xr.DataTree, money_of: xr.Dataset, caption: str) -> str:
    """Return the money of every participant; sums over days carry prices too."""
    names, with_price = owner_names(tree), "net_mwh" in money_of
    columns = ("cost_alone_eur", "cost_eur", "payment_eur", "saving_eur")
    head = ["Participant", "Cost alone", "Cost after payments", "Payment", "Saving"]
    shown = whole if with_price else _cents
    rows = []
    for who in money_of[PARTICIPANT].to_numpy().tolist():
        one = money_of.sel({PARTICIPANT: who})
        row = [names.get(who, str(who)), *(shown(one[k]) for k in columns)]
        if with_price:
            row += [digits(float(one[k])) for k in ("net_mwh", "average_price_eur_per_mwh")]
        rows.append(row)
    total = ["All participants", *(shown(money_of[k].sum()) for k in columns)]
    rows.append([*total, "", ""] if with_price else total)
    if with_price:
        head += ["Net trade, MWh", "Average price, EUR/MWh"]
    return table(caption, head, rows, sums=1)


def _days_folded(tree: xr.DataTree) -> str:
    trade = tree["trade"].to_dataset()
    tables = [
        _participants_table(tree, trade.isel({DAY: k}), f"{day_title(tree, k)}; EUR per day")
        for k in range(trade.sizes[DAY])
    ]
    title = "<summary>Participants on each typical day</summary>"
    return f"<details>{title}{''.join(tables)}</details>"


def _cents(value: Any) -> str:
    number = float(value)
    return whole(number) if abs(number) >= 1000 else f"{number:.2f}".replace("-0.00", "0.00")
