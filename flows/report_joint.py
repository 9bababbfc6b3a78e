"""The report's section on planning together: who builds what, and who pays whom for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from flows.key_figures import NONE, digits, money, owner_names, whole
from flows.report_page import figure, paragraph, section, table
from pp_p2p.names import CANDIDATE, OPERATOR
from pp_p2p.plotting.style import GREY, INK, owner_colour, plain, styled

START_NAMES = {
    "stand_alone": "stand-alone plans",
    "relaxed": "central problem without integers, rounded",
    "fee_free": "the same without fee",
    "over_sized": "all generation that may be built",
}
_MONEY = (
    ("Cost alone", "cost_alone_eur_per_year"),
    ("Cost before payment", "cost_before_payment_eur_per_year"),
    ("Payment", "payment_eur_per_year"),
    ("Cost together", "cost_eur_per_year"),
    ("Saving", "saving_eur_per_year"),
    ("Invested alone", "investment_alone_eur"),
    ("Invested together", "investment_together_eur"),
)


def joint_section(tree: xr.DataTree) -> str:
    """Return costs, payments and units, alone and together, and what proves them."""
    joint = tree["joint"].to_dataset()
    attrs = tree["joint"].attrs
    names = owner_names(tree)
    gain = float(attrs["gain_eur_per_year"])
    agreed = not str(attrs["claim"]).startswith("none")
    saved = (
        f"Planned together, the year costs {money(float(attrs['social_cost_eur_per_year']))} "
        f"instead of {money(float(attrs['social_cost_alone_eur_per_year']))} where each plans "
        f"alone: {money(gain)} less, shared by {_rule(attrs)} bargaining powers. The trade below "
        "is that of what is built together."
    )
    none = (
        f"Planning together gains {money(gain)}, no more than what the solvers can tell: nothing "
        "is claimed, everyone builds what it would alone."
    )
    investors = joint["investor"].to_numpy().tolist()
    rows = [
        [names.get(who, str(who)), *(whole(joint[k].sel(investor=who)) for _, k in _MONEY)]
        for who in investors
    ]
    rows.append(["All", *(whole(joint[k].sum()) for _, k in _MONEY)])
    head = ("Investor", *(name for name, _ in _MONEY))
    alt = "Annual cost of each investor alone and together; the table below has the numbers."
    return section(
        "joint",
        "Planning together",
        paragraph(saved if agreed else none),
        figure(joint_figure(tree), "joint", alt, "Annual cost, alone and together."),
        table("Money, EUR and EUR/a", head, rows, sums=1),
        paragraph(
            "A payment is positive where the investor pays; payments sum to zero. They make up for "
            "what an investor builds for others.",
            "note",
        ),
        _units_table(joint, names),
        paragraph(_proof(attrs), "note"),
        _starts_table(joint),
    )


def joint_figure(tree: xr.DataTree) -> Any:
    """Draw the annual cost of each investor alone (grey) and together (its colour)."""
    import plotly.graph_objects as go

    joint, names = tree["joint"].to_dataset(), owner_names(tree)
    people = tree["network"]["participant"].to_numpy().tolist()
    investors = joint["investor"].to_numpy().tolist()
    labels = [plain(names.get(who, who)) for who in investors]
    colours = [INK if who == OPERATOR else owner_colour(who, people) for who in investors]
    figure_ = go.Figure()
    for name, key, colour in (
        ("alone", "cost_alone_eur_per_year", [GREY] * len(investors)),
        ("together, after payments", "cost_eur_per_year", colours),
    ):
        figure_.add_bar(
            x=labels,
            y=joint[key].to_numpy() / 1e3,
            name=name,
            marker={"color": colour, "line": {"width": 0}},
            hovertemplate=f"%{{x}}, {name}: %{{y:,.1f}} k EUR/a<extra></extra>",
        )
    styled(figure_, height=320, barmode="group", bargap=0.3)
    figure_.update_yaxes(title_text="1000 EUR a year", zeroline=True, zerolinecolor=INK)
    figure_.update_xaxes(showgrid=False, ticks="")
    return figure_


def _rule(attrs: Any) -> str:
    rules = {
        "equal": "equal",
        "net_volume": "traded volume as",
        "energy_map": "energy given and received as",
        "marginal": "marginal contribution as",
        "given": "given",
    }
    return rules.get(str(attrs.get("powers")), str(attrs.get("powers")))


def _units_table(joint: xr.Dataset, names: dict[int, str]) -> str:
    rows = []
    for k in range(joint.sizes[CANDIDATE]):
        one = joint.isel({CANDIDATE: k})
        alone, together = int(one["units_alone"]), int(one["units_together"])
        if alone == together == 0:
            continue
        change = f"{together - alone:+d}" if together != alone else NONE
        owner = names.get(int(one["candidate_owner"]), NONE)
        most = str(int(one["max_units"]))
        rows.append((one["candidate_name"].item(), owner, str(alone), str(together), change, most))
    head = ("Investment", "Owner", "Alone", "Together", "Change", "At most")
    return table("Units built", head, rows, n_text=2) if rows else ""


def _starts_table(joint: xr.Dataset) -> str:
    least = float(np.nanmin(joint["start_end_cost_eur_per_year"].to_numpy()))
    rows = []
    for start in joint["start"].to_numpy().tolist():
        one = joint.sel(start=start)
        begun, end = (
            float(one[k]) for k in ("start_cost_eur_per_year", "start_end_cost_eur_per_year")
        )
        moves = int(joint["move_accepted"].where(joint["move_start"] == start, 0).sum()) - 1
        rows.append(
            (
                START_NAMES.get(start, start),
                str(one["start_reason"].item()),
                whole(begun),
                whole(end),
                whole(end - least),
                str(max(moves, 0)),
            )
        )
    head = ("Start", "Ended because", "Cost at start", "Cost at end", "Above the best", "Moves")
    return table("Starts of the alternation, cost of all in EUR/a", head, rows, n_text=2)


def _proof(attrs: Any) -> str:
    words = f"Equilibrium {attrs['equilibrium']}."
    if "central_gap" in attrs:
        gap, bound = (
            digits(100 * float(attrs[k]), 2) for k in ("central_gap", "gap_to_central_bound")
        )
        found = (
            f"would cost {gap} % less"
            if float(attrs["central_gap"]) > 0
            else "found no better plan within its gap"
        )
        words += (
            f" All in one problem, solved centrally, {found}; no plan of all costs more than "
            f"{bound} % less."
        )
    else:
        words += (
            " How far it is from the social optimum is not computed: set benchmark = true in "
            "[collaboration]."
        )
    if "distributed_gap" in attrs:
        gap = digits(100 * float(attrs["distributed_gap"]), 2)
        words += f" Agreed on without a centre, at a cost {gap} % above the central one."
    return words
