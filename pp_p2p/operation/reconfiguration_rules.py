"""What the arguments of `reconfigure` and the network must hold before anything is solved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np

from pp_p2p.errors import Finding
from pp_p2p.network.spanning import GraphFacts, fixed_loop
from pp_p2p.network.switching import SwitchGraph

OBJECTIVES: Final = ("loss", "cost")
FORMULATIONS: Final = ("branch_flow", "lindistflow")
RADIALITY: Final = ("single_commodity", "multi_commodity")
CHANGES: Final = ("step", "day")


def bad_options(options: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield what is wrong with the arguments of `reconfigure`."""
    for name, allowed in (
        ("objective", OBJECTIVES),
        ("formulation", FORMULATIONS),
        ("radiality", RADIALITY),
        ("change_every", CHANGES),
    ):
        if options[name] not in allowed:
            yield Finding(
                table="reconfigure",
                column=name,
                rule=f"is {options[name]!r}",
                mend=f"choose one of {', '.join(repr(a) for a in allowed)}",
            )
    for name, least in (
        ("max_operations", 0),
        ("max_operations_per_switch", 0),
        ("min_dwell_h", 0),
        ("switching_cost_eur", 0),
        ("local_branching", 0),
        ("period_merging", 1),
    ):
        value = options[name]
        if value is not None and not value >= least:
            yield Finding(
                table="reconfigure",
                column=name,
                rule=f"is {value}",
                mend=f"pass at least {least}, or None for no limit",
            )
    if options["switching_cost_eur"] and options["objective"] == "loss":
        yield Finding(
            table="reconfigure",
            column="switching_cost_eur",
            rule="is money, and the objective is energy",
            mend="pass objective='cost' with prices in the profiles",
        )


def no_configuration(graph: SwitchGraph, facts: GraphFacts) -> Iterator[Finding]:
    """Yield why there is nothing to choose from."""
    if facts.n_configurations == 0:
        fixed = np.flatnonzero(~graph.switchable).tolist()
        loop = fixed_loop(graph, fixed)
        yield Finding(
            table="switchable",
            rows=tuple(graph.name(e) for e in loop),
            rule="close a loop or connect two external grids, and none of them may open: there is "
            "no radial configuration",
            mend="make one of them switchable, or open it",
        )
    elif facts.n_configurations == 1:
        yield Finding(
            table="switchable",
            rule="leaves one radial configuration: there is nothing to choose",
            mend="list more lines, switchable={'line': [...]}, or add ties that close a loop",
        )
