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
from flows.report_page import figure, paragraph, section, table
from pp_p2p.names import DAY, PARTICIPANT


def trade_section(tree: xr.DataTree) -> str:
    """Return gains, payments, trades."""
    trade, span = tree["trade"].to_dataset(), span_text(tree)
    agreed = trade["trade_agreed"].to_numpy() > 0
    energy = traded_mwh(tree).sum(["seller", "buyer"]).to_numpy()
    rows: list[tuple[str, ...]] = [
        (
            day_title(tree, k),
            "agreed" if agreed[k] else "none",
            _cents(trade["gain_eur"][k]),
            digits(energy[k]),
        )
        for k in range(trade.sizes[DAY])
    ]
    year = trade_per_year(tree)
    gain, mwh = float(year["gain_eur"]), float(year["sold_mwh"].sum())
    rows.append((f"Sum over {span}", "", whole(gain), digits(mwh)))
    if not agreed.any():
        words = "No trade is agreed on any typical day: cooperating gains nothing worth a payment."
    else:
        words = (
            f"Trading saves {money(gain)} in {span} and moves {digits(mwh)} MWh between "
            f"participants; it is agreed on {int(agreed.sum())} of {len(agreed)} typical days."
        )
    head = ("Typical day", "Trade", "Gain, EUR", "Traded, MWh")
    parts = [
        paragraph(words),
        _participants_table(tree, year, f"Participants, sum over {span}, EUR"),
        _operator_line(year, span),
        paragraph(
            "A payment is positive where the participant pays, net trade where it buys more from "
            "others than it sells to them. The average price is the payment "
            "per MWh of net trade; it is left out where net "
            "trade is under half of gross trade. On a day that is agreed without traded energy the "
            "gain is a joint schedule that lowers losses, which the operator pays for.",
            "note",
        ),
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


def _operator_line(year: xr.Dataset, span: str) -> str:
    alone, after, paid = (
        float(year[f"operator_{k}"]) for k in ("cost_alone_eur", "cost_eur", "payment_eur")
    )
    harmless = abs(alone - after) <= 1e-6 * max(abs(alone), 1.0)
    end = "it is held harmless." if harmless else f"it saves {whole(alone - after)} EUR."
    verb = f"pays {whole(paid)}" if paid >= 0 else f"is paid {whole(-paid)}"
    return paragraph(
        f"The network operator {verb} EUR in {span} for the losses that trading avoids or causes. "
        f"Its cost is {whole(alone)} EUR without and {whole(after)} EUR with trade: {end} "
        f"Network fees on trade come to {whole(year['fee_eur'].sum())} EUR."
    )


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
