"""What the report says of a mechanism: its words, its columns, its verdicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import xarray as xr

from flows.key_figures import day_title, digits, per_year, span_text, whole
from flows.report_page import paragraph, table, warning
from flows.study_market import COMBINED, NASH, STACKELBERG
from pp_p2p.names import DAY, HOUR, PARTICIPANT

NO_REGRET: Final = 1e-6
"""A regret below this share of the day's turnover (of at least 1 EUR) is that of rounding: 0."""


@dataclass(frozen=True, kw_only=True)
class Words:
    """How the report speaks of a mechanism.

    Parameters
    ----------
    name : str
        Of the mechanism, after "by".
    nothing : str
        Where there is no trade on any day.
    payment : str
        What a payment is, and how it comes about.
    reading : str
        How far payments can be believed.
    """

    name: str
    nothing: str
    payment: str
    reading: str


WORDS: Final = {
    NASH: Words(
        name="Nash bargaining",
        nothing="No trade is agreed on any typical day: cooperating gains nothing worth a payment.",
        payment="On a day that is agreed without traded energy the gain is a joint schedule that "
        "lowers losses, which the operator pays for.",
        reading="Payments split a gain that is computed exactly, but how they split it follows "
        "from the bargaining powers, which are a choice and not a result.",
    ),
    STACKELBERG: Words(
        name="sellers that compete and buyers that choose among them",
        nothing="There is no trade on any typical day: nobody has energy left while another one "
        "misses some at a price between those of the grid.",
        payment="Payments are what sellers ask: each sets its price (or quantity), knowing how the "
        "others set theirs and how buyers choose. The fee comes on top; the operator bears what "
        "losses change.",
        reading="Payments are those of a game between sellers: the regret says how far anyone is "
        "from its best answer, but how buyers choose is a model of theirs.",
    ),
    COMBINED: Words(
        name="combined offers of regions across a soft open point",
        nothing="Nothing crosses the soft open point on any typical day: no balanced combination "
        "of levels gains anything.",
        payment="Each region values every level of exchange by its own optimal operation; the "
        "balanced levels of the highest sum are cleared, and payments share the profit. Losses of "
        "a region and its converter are its own.",
        reading="What crosses the link is the best combination of the offered levels, not of all "
        "powers between them; how the profit is shared is a choice and not a result.",
    ),
}


def words_of(tree: xr.DataTree) -> Words:
    """Return how to speak of a study's market."""
    return WORDS[str(tree["trade"].attrs.get("mechanism", NASH))]


_DAY_COLUMNS: Final[tuple[tuple[str, str, Callable[[xr.DataArray], Any]], ...]] = (
    ("limits_broken_alone", "Limits broken without trade", lambda v: v),
    ("limits_broken", "Limits broken", lambda v: v),
    ("regret_eur", "Regret, EUR", lambda v: v),
    ("operations", "Switching operations", lambda v: v.sum(HOUR)),
    ("joint_gap", "Gap to the joint optimum", lambda v: v),
    ("distributed_gap", "Gap to the central optimum", lambda v: v),
)


def day_columns(trade: xr.Dataset) -> list[tuple[str, list[str]]]:
    """Return head and cells, day by day, of what only this market has."""
    found = trade.assign(regret_eur=_regret(trade)) if "regret_eur" in trade else trade
    return [
        (head, [digits(float(v), 2) for v in read(found[name]).to_numpy()])
        for name, head, read in _DAY_COLUMNS
        if name in found
    ]


def market_findings(tree: xr.DataTree) -> list[str]:
    """Return what a reader must know of the market: broken limits, no equilibrium."""
    trade = tree["trade"].to_dataset()
    if "stage" in trade.dims:
        return []
    found = []
    if "limits_broken" in trade and (broken := int(trade["limits_broken"].sum())):
        alone = int(trade["limits_broken_alone"].sum())
        found.append(
            f"the market breaks {broken} limits of the network, counted by element and hour of the "
            f"typical days ({alone} without trade): nobody manages congestion"
        )
    if "unsafe_operations" in trade and (unsafe := int(trade["unsafe_operations"].sum())):
        found.append(f"{unsafe} switching operations have no order that keeps all limits")
    for day, verdict in enumerate(trade.get("equilibrium", xr.DataArray([])).to_numpy().tolist()):
        if str(verdict).startswith("not an equilibrium"):
            found.append(f"{day_title(tree, day)}: {verdict}")
    return found


def market_details(tree: xr.DataTree) -> list[str]:
    """Return the paragraphs and tables that only this market has, as HTML."""
    trade, parts = tree["trade"].to_dataset(), []
    if found := market_findings(tree):
        parts.append(warning(f"Mind: {'; '.join(found)}."))
    if "equilibrium" in trade:
        parts.append(paragraph(_game(trade)))
    if str(trade.attrs.get("congestion", "none")) != "none" and "sales_lost_by_round_mw" in trade:
        parts.append(paragraph(_management(trade)))
    if "open_elements" in trade:
        if "operations" in trade:
            parts.append(paragraph(_switching(trade, span_text(tree))))
        parts.append(_configurations(tree, trade))
    return parts


def operator_words(tree: xr.DataTree, year: xr.Dataset, span: str) -> str:
    """Return what trade means to the operator of the network, whose `year` is of `span`."""
    if "operator_cost_eur" not in year:
        return "No operator stands apart here: each region bears what its own network loses."
    alone, after, paid = (
        float(year[f"operator_{k}"]) for k in ("cost_alone_eur", "cost_eur", "payment_eur")
    )
    harmless = abs(alone - after) <= 1e-6 * max(abs(alone), 1.0)
    saves = f"it {'saves' if alone > after else 'pays'} {whole(abs(alone - after))} EUR"
    end = "it is held harmless." if harmless else f"{saves}{'.' if alone > after else ' more.'}"
    verb = f"pays {whole(paid)}" if paid >= 0 else f"is paid {whole(-paid)}"
    first = (
        f"The network operator {verb} EUR in {span} for the losses that trading avoids or causes. "
        "Its cost is "
        if str(tree["trade"].attrs.get("mechanism", NASH)) == NASH
        else "The network operator's cost is "
    )
    return (
        f"{first}{whole(alone)} EUR without and {whole(after)} EUR with trade: {end} "
        f"Network fees on trade come to {whole(year['fee_eur'].sum())} EUR."
    )


def _game(trade: xr.Dataset) -> str:
    verdicts = "; ".join(
        f"{n} day{'' if n == 1 else 's'}: {words}"
        for words, n in Counter(trade["equilibrium"].to_numpy().tolist()).items()
    )
    existence = list(dict.fromkeys(trade["existence"].to_numpy().tolist()))
    unique = int((trade["unique"] == "condition holds").sum())
    return (
        f"What the market ends in on the typical days: {verdicts}. Whether an equilibrium exists: "
        f"{'; '.join(map(str, existence))}. That there is no other one is proven for {unique} of "
        f"{trade.sizes[DAY]} days. The regret is what anyone could gain at most by moving alone, "
        f"{digits(float(_regret(trade).max()), 2)} EUR on the worst day."
    )


def _regret(trade: xr.Dataset) -> xr.DataArray:
    """Return the regret of each day, 0 where it is no more than rounding."""
    turnover = trade["payment_eur"].clip(min=0.0).sum(PARTICIPANT)
    regret = trade["regret_eur"]
    return regret.where(regret > NO_REGRET * np.maximum(turnover, 1.0), 0.0)


def _switching(trade: xr.Dataset, span: str) -> str:
    """Return how often the network is switched in `span`, for how much, and where the worth is."""
    cost = ""
    if "switching_cost_eur" in trade:
        eur = float(per_year(trade["switching_cost_eur"], trade["weight"]))
        cost = f" for {whole(eur)} EUR, which are in the operator's cost"
    n = float(per_year(trade["operations"].sum(HOUR), trade["weight"]))
    return (
        f"The operator reconfigures the network by {digits(n)} switching operations in {span}"
        f"{cost}. Without trade means the reconfigured day without trades, too, which is where "
        "bargaining starts: what the operator saves by switching alone is in both costs and not in "
        "the gain of trading. Compare with a case that has no [trade.reconfigure] to see it."
    )


def _management(trade: xr.Dataset) -> str:
    rounds = trade["limits_broken_by_round"].notnull().sum("congestion_round")
    lost = trade["sales_lost_by_round_mw"].max("congestion_round")
    rule = str(trade.attrs["congestion"]).replace("_", " ")
    if rule == "watch":
        return "The market is cleared without the network, and nobody limits it."
    first = f"The market is cleared without the network; the operator limits sales ({rule})"
    if int(rounds.max()) == 1:
        return f"{first} where limits break: on these days none does."
    return (
        f"{first} until the AC power flow keeps all limits: {int(rounds.max())} clearings at most "
        f"on a typical day, and sellers lose {digits(float(lost.sum()))} MW, summed over hours of "
        "the typical days."
    )


def _configurations(tree: xr.DataTree, trade: xr.Dataset) -> str:
    """Return which elements stand open when, each configuration of a day once."""
    rows = []
    for k in range(trade.sizes[DAY]):
        elements = trade["open_elements"].isel({DAY: k}).to_numpy().astype(str).tolist()
        starts = [t for t, now in enumerate(elements) if t == 0 or now != elements[t - 1]]
        hours = trade[HOUR].to_numpy()
        rows += [(day_title(tree, k), f"{hours[t]:g} h", elements[t]) for t in starts]
    cost = float(trade["switching_cost_eur"].sum()) if "switching_cost_eur" in trade else 0.0
    caption = f"Open elements from hour to hour; operations cost {digits(cost)} EUR on these days"
    head = ("Typical day", "From", "Open")
    title = "<summary>Configurations of the network</summary>"
    return f"<details>{title}{table(caption, head, rows, n_text=3)}</details>"
