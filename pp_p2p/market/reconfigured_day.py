"""A trading day in a network that is reconfigured while its participants trade.

Trading as in `pp_p2p.market.trade_day`, configurations as in `pp_p2p.market.topology_rounds`. The
disagreement point is the day without trades in the network reconfigured for it: what bargaining
shares is the gain of trading, not of switching. Operations are paid by the operator.
"""

from __future__ import annotations

import dataclasses
import time
from typing import Any, Final

import numpy as np
import xarray as xr

from pp_p2p.market.bargaining import NashBargaining
from pp_p2p.market.day_bargain import gain_of, strike
from pp_p2p.market.day_result import (
    Day,
    label_money,
    label_operation,
    label_pairs,
    label_prices,
)
from pp_p2p.market.distributed import Distributed
from pp_p2p.market.joint_trading import JointAnswer
from pp_p2p.market.reconfiguration_options import Reconfiguration
from pp_p2p.market.reconfigured_market import Ended, ReconfiguredMarket
from pp_p2p.market.rounds_result import label_rounds
from pp_p2p.network.branches import Array
from pp_p2p.network.tightening import Tightening, added_value
from pp_p2p.operation.powerflow import label_proof
from pp_p2p.operation.provenance import provenance
from pp_p2p.operation.reconfiguration_result import label_result
from pp_p2p.results import input_hash, label
from pp_p2p.solve.report import SolverConfig, SolveReport, Status, relative_gap

FROM_REPLAY: Final = ("line_loading_percent", "trafo_loading_percent")
"""Variables of a day that are taken from pandapower: edges are no elements of one tree."""


def trade_reconfigured(
    net: Any,
    profiles: xr.Dataset,
    *,
    mechanism: NashBargaining,
    formulation: str,
    scheme: Distributed | None,
    tightening: Tightening,
    solver: SolverConfig,
    seed: int,
    reconfigure: Reconfiguration,
) -> xr.Dataset:
    """Trade a day in a network that is reconfigured; the arguments are those of `trade_day`."""
    started = time.perf_counter()
    market = ReconfiguredMarket(
        net,
        profiles,
        mechanism=mechanism,
        formulation=formulation,
        tightening=tightening,
        config=solver,
        options=reconfigure,
        scheme=scheme,
    )
    data = market.data
    lonely = market.alone()
    alone = market.day(lonely)
    present = np.tile(market.graph.closed, (data.line.n_steps, 1))
    joined = market.ended([present, lonely.point.closed], trading=True, weight=lonely.weight)
    joined = market.bounded(joined)
    together = market.day(joined)
    bargain = strike(
        data,
        alone,
        together,
        lambda: _gains_without(market, joined, lonely, alone),
        refused=alone,
        bounds_apart=scheme is not None,
    )
    day, money = bargain.day, bargain.money
    chosen = joined if bargain.agreed else lonely
    prices = label_prices(together, data)
    joint = market.joint(joined)
    chosen.topology.market.load(chosen.point.x)
    ds = _labelled(market, chosen, day).merge(prices)
    ds = ds.merge(label_money(data, day, alone.cost, money)).merge(label_pairs(data, day, money))
    ds = ds.merge(label_rounds(joined.outcome))
    proof = label_proof(chosen.proof, data.grid, data.portfolio, data.line)
    ds = ds.merge(proof, join="outer")  # lines out of service have a row, but no cone
    options = {
        "mechanism": dataclasses.asdict(mechanism),
        "formulation": formulation,
        "algorithm": "central" if scheme is None else scheme.options(),
        "tightening": dataclasses.asdict(tightening),
        "solver": dataclasses.asdict(solver),
        "reconfigure": reconfigure.options(),
    }
    report = _report(market, joined, together.report, time.perf_counter() - started)
    attrs = provenance(
        "trade_day",
        report,
        chosen.proof,
        formulation=market.physics,
        seed=seed,
        options=options,
        digest=input_hash(net, profiles, options),
    )
    attrs |= {
        "objective_eur": float(day.cost.sum()),
        "bound_eur": joined.outcome.bound - added_value(together.model),
        "objective_added_eur": added_value(together.model),
        "tightening": options["tightening"],
        "status_alone": "optimal" if lonely.outcome.in_time else "feasible",
        "relaxation_alone": "exact" if lonely.proof.exact else "inexact",
        "relaxation_gap_alone": lonely.proof.relaxation_gap,
        "operator_weight": lonely.weight,
        **bargain.attrs(),
    }
    if scheme is not None:
        attrs |= _against_centre(market, joined, together)
    attrs |= _switching(market, chosen, joined, joint)
    return label(ds, attrs, net)


def _labelled(market: ReconfiguredMarket, chosen: Ended, day: Day) -> xr.Dataset:
    """Return operation and configurations of a day."""
    data, replayed = market.data, chosen.point.replay
    assert replayed is not None
    own = label_operation(day.model, data, market.physics)
    switched = label_result(market.graph, data.line, chosen.point.closed, replayed)
    kept = [name for name in switched if name not in own or name in FROM_REPLAY]
    own = own.drop_vars([name for name in (*FROM_REPLAY, "line", "trafo") if name in own.variables])
    ds = own.merge(switched[kept])
    ds["switching_cost_eur"] = market.options.switching_cost_eur * market.operations(chosen.point)
    return ds


def _report(
    market: ReconfiguredMarket, joined: Ended, inner: SolveReport, seconds: float
) -> SolveReport:
    """Return the report of the rounds."""
    outcome = joined.outcome
    bound = outcome.bound
    proven = relative_gap(outcome.point.objective, bound) <= market.config.rel_gap
    return dataclasses.replace(
        inner,
        status=Status.OPTIMAL if proven else Status.FEASIBLE,
        termination=outcome.termination,
        objective=outcome.point.objective,
        bound=bound,
        seconds=seconds,
        iterations=len(outcome.rounds),
    )


def _switching(
    market: ReconfiguredMarket, chosen: Ended, joined: Ended, joint: JointAnswer | None
) -> dict[str, object]:
    """Return the attributes that only a reconfigured day has."""
    replayed = chosen.point.replay
    assert replayed is not None
    found: dict[str, object] = {
        "limits_hold": chosen.point.excess == 0.0,
        "unsafe_operations": chosen.point.unsafe,
        "operations": market.operations(chosen.point),
        "configurations": str(market.facts.n_configurations),
        "outer_rounds": len(joined.outcome.rounds),
        "rounds_objective_eur": joined.outcome.point.objective,
        "switchable_binaries": int(market.graph.switchable.sum()) * market.data.line.n_steps,
    }
    if joint is not None:
        objective = joined.outcome.point.objective
        found |= {
            "joint_objective_eur": joint.objective,
            "joint_bound_eur": joint.bound,
            "joint_gap": (objective - joint.objective) / max(abs(joint.objective), 1e-9),
            "joint_seconds": joint.seconds,
            "joint_nodes": joint.n_nodes,
        }
    return found


def _against_centre(market: ReconfiguredMarket, joined: Ended, together: Day) -> dict[str, object]:
    """Return what the central optimum under the same configurations costs, and the gap to it."""
    if market.scheme is None or not market.scheme.check_central:
        return {}
    centre = joined.topology.least_cost(joined.point.closed)
    gap = (together.report.objective - centre) / max(abs(centre), 1e-9)
    return {"central_objective_eur": centre, "distributed_gap": gap}


def _gains_without(market: ReconfiguredMarket, joined: Ended, lonely: Ended, alone: Day) -> Array:
    """Return the gain of all others where one participant stays out of the trades."""
    starts = [joined.point.closed, lonely.point.closed]
    days = [
        market.day(market.ended(starts, trading=True, weight=lonely.weight, without=k))
        for k in range(len(market.data.participants))
    ]
    return np.array([gain_of(market.data, alone.cost, day.cost) for day in days])
