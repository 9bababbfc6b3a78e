"""A joint plan that is agreed on without a centre, against one problem at the same integers.

Participants and operator of ``examples/ieee33.toml`` agree on trades and boundary power of every
typical day, for each plan that the alternation looks at. At the units where it ends, the least
cost of all as one problem is the peer: `distributed_gap` of the result, which has to be within the
tolerance of the agreement. Seconds are beside those of the same search with a centre.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from registry import Row, in_own_process, table

import clustering
import planning
import pp_p2p as p2p

STUDY = Path(__file__).parents[2] / "examples" / "ieee33.toml"
TOLERANCE = 1e-4
"""Between the bounds of every day, relative to its cost."""


@table(
    "joint_distributed",
    peer="central",
    full={"days": 4, "hours": 24, "starts": ("stand_alone", "relaxed")},
    tiny={"days": 1, "hours": 2, "starts": ("relaxed",)},
)
def joint_distributed(*, days: int, hours: int, starts: tuple[str, ...]) -> list[Row]:
    """Return objective at the same units and seconds, agreed and central."""
    size = {"days": days, "hours": hours, "starts": starts}
    agreed: _Joint = in_own_process(_plan, algorithm="distributed", **size).value
    central: _Joint = in_own_process(_plan, algorithm="central", **size).value
    found = agreed.attrs
    ours, peers = (
        found[f"{name}_eur_per_year"] / 1e3
        for name in ("distributed_objective", "central_at_units")
    )
    bound = found["distributed_bound_eur_per_year"] / 1e3
    proof = "proved" if found["distributed_proved"] else "not proved"
    same = "the units of the search with a centre" if agreed.units == central.units else (
        f"units differ from those of the search with a centre, which cost "
        f"{central.attrs['social_cost_eur_per_year'] / 1e3:.3f}"
    )  # fmt: skip
    note = (
        f"difference {found['distributed_gap']:.1e} (aim {TOLERANCE:.0e}), bound {bound:.3f}, "
        f"{proof}; {same}"
    )
    took = f"{agreed.iterations} iterations of the last plan, {agreed.moves} moves tried"
    return [
        Row("objective, kEUR/a", "central", ours, peers, peers / ours, note),
        Row("seconds", "central", agreed.seconds, central.seconds,
            central.seconds / agreed.seconds, took),
    ]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class _Joint:
    attrs: dict[str, Any]
    units: list[int]
    seconds: float
    iterations: int
    moves: int


def _plan(algorithm: str, days: int, hours: int, starts: tuple[str, ...]) -> Callable[[], _Joint]:
    from flows.chain import read_inputs
    from flows.study import load_study

    study = load_study(STUDY)
    inputs = read_inputs(study)
    chosen = clustering.typical_days(inputs.profiles, n_days=days)
    step_h = 24 // hours
    chosen = chosen.coarsen(hour=step_h).mean().assign_attrs(chosen.attrs | {"step_h": step_h})

    def run() -> _Joint:
        began = time.perf_counter()
        ds = planning.plan_together(
            inputs.net,
            chosen,
            network_fee_eur_per_mwh=study.trade.network_fee_eur_per_mwh,
            interest_rate_percent=study.planning.interest_rate_percent,
            eens_limit_mwh_per_year=study.planning.eens_limit_mwh_per_year,
            value_of_lost_load_eur_per_mwh=study.planning.value_of_lost_load_eur_per_mwh,
            starts=starts,
            trust_region_mw=[],
            benchmark=False,
            algorithm=algorithm,
            distributed=p2p.Distributed(tolerance=TOLERANCE),
            solver=p2p.SolverConfig(rel_gap=5e-4, time_limit_s=60.0),
        )
        steps = ds["residual_primal"].notnull().sum() if "residual_primal" in ds else 0
        return _Joint(
            attrs={k: v for k, v in ds.attrs.items() if isinstance(v, float | str | bool | int)},
            units=ds["units"].to_numpy().tolist(),
            seconds=time.perf_counter() - began,
            iterations=int(np.asarray(steps)),
            moves=ds.sizes["move"],
        )

    return run
