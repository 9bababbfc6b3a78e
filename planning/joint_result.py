"""Reading a joint plan: money and units by investor, moves, deviations, operation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from planning.alternation import Ending
from planning.expansion_result import investments, year_proof
from planning.joint_data import JointData
from planning.joint_problem import Point, Upper
from pp_p2p.market.trades import split_pool
from pp_p2p.names import BUYER, CANDIDATE, DAY, INVESTOR, PARTICIPANT, SELLER
from pp_p2p.network.branches import Array
from pp_p2p.network.formulation import Formulation
from pp_p2p.network.solution import label_flows
from pp_p2p.operation.powerflow import Certificate, label_proof

MOVE, START = "move", "start"


@dataclass(frozen=True, kw_only=True)
class Deviations:
    """What each investor (account,) would gain by another plan, EUR/a; NaN where it has none.

    `gain`: at most, by a plan that leaves nobody else worse off, or for which it makes up. `own`:
    by its own account, with another plan or schedule, where it does not bear what the network then
    costs more. `tolerance` is what the solver cannot tell of `gain`.
    """

    gain: Array
    own: Array
    tolerance: Array


def read_money(data: JointData, alone: Point, together: Point) -> xr.Dataset:
    """Return costs before payments and traded volume by account."""
    trades = split_pool(together.trade)
    volume = np.abs(trades.sum(axis=0) - trades.sum(axis=1)) @ data.step_mwh
    by_account = {
        "cost_alone_eur_per_year": alone.cost,
        "cost_before_payment_eur_per_year": together.cost,
        "net_volume_mwh_per_year": np.append(volume, 0.0),
        "power_given": np.append(data.power, np.nan),
    }
    return xr.Dataset(
        {name: (INVESTOR, values) for name, values in by_account.items()},
        coords={INVESTOR: data.accounts},
    )


def read_units(data: JointData, plans: dict[str, Array]) -> xr.Dataset:
    """Return units of each plan by candidate, and what those of ``together`` are and cost.

    ``units`` and what goes with them are named as in a result of `planning.plan_network`, so that
    the plan can be built in a net, and shown, in the same way.
    """
    c = data.year.candidates
    ds = investments(c, np.round(plans["together"]).astype(np.int64))
    for name, units in plans.items():
        whole = np.round(units).astype(np.int64)
        capex = investments(c, whole)["capex_eur"].to_numpy()
        spent = [float(capex[c.owner == a].sum()) for a in data.accounts]
        ds[f"units_{name}"] = (CANDIDATE, whole)
        ds[f"investment_{name}_eur"] = (INVESTOR, np.array(spent))
    return ds.assign_coords({INVESTOR: data.accounts})


def read_history(data: JointData, endings: Sequence[Ending]) -> xr.Dataset:
    """Return the record of all moves, and how every start ended."""
    moves = [move for ending in endings for move in ending.moves]
    base = data.year.grid.s_base_mva
    mover = np.zeros((len(moves), len(data.accounts)), dtype=np.int64)
    for k, move in enumerate(moves):
        mover[k] = np.isin(data.accounts, move.movers)
    return xr.Dataset(
        {
            "move_start": (MOVE, np.array([m.start for m in moves], dtype=object).astype(str)),
            "move_round": (MOVE, np.array([m.round for m in moves])),
            "move_radius_mw": (MOVE, np.array([m.radius for m in moves]) * base),
            "move_cost_eur_per_year": (MOVE, _finite([m.cost for m in moves])),
            "move_accepted": (MOVE, np.array([int(m.accepted) for m in moves])),
            "moved": ((MOVE, INVESTOR), mover),
            "start_cost_eur_per_year": (START, _finite([e.moves[0].cost for e in endings])),
            "start_end_cost_eur_per_year": (START, _finite([e.cost for e in endings])),
            "start_cycles": (START, np.array([e.cycles for e in endings])),
            "start_reason": (START, np.array([e.reason for e in endings])),
            "start_units": ((START, CANDIDATE), np.array([e.plan for e in endings])),
        },
        coords={START: [e.start for e in endings], INVESTOR: data.accounts,
                CANDIDATE: data.year.candidates.index},
    )  # fmt: skip


def read_operation(
    net: Any, data: JointData, formulation: Formulation, upper: Upper, point: Point
) -> tuple[xr.Dataset, Certificate]:
    """Return load flow, trades and exchange with the grid of a point, and its certificate."""
    upper.load(point)
    m, line, base = upper.model, data.year.line, data.year.grid.s_base_mva
    grid, flows, proof = year_proof(data.year, formulation, m, net, np.array(point.plan))
    ds = label_flows(grid, flows, line)
    exchange = np.array([[m.buy[a, t].value - m.sell[a, t].value for t in m.TIME]
                         for a in m.ACCOUNT]) * base  # fmt: skip
    trades = split_pool(point.trade)
    n, shape = len(data.participants), line.shape
    net_trade = trades.sum(axis=0) - trades.sum(axis=1)
    ds["trade_mw"] = ((SELLER, BUYER, *line.dims), (trades * base).reshape(n, n, *shape))
    ds["net_trade_mw"] = ((PARTICIPANT, *line.dims), (net_trade * base).reshape(n, *shape))
    ds["trade_price_eur_per_mwh"] = (line.dims, point.price.reshape(shape))
    ds["p_grid_mw"] = ((PARTICIPANT, *line.dims), exchange[:-1].reshape(n, *shape))
    ds["operator_p_grid_mw"] = (line.dims, exchange[-1].reshape(shape))
    labels = dict.fromkeys((PARTICIPANT, SELLER, BUYER), data.participants)
    ds = ds.assign_coords({**labels, **line.coords, "weight": (DAY, line.weight)})
    return ds.merge(label_proof(proof, grid, data.year.portfolio, line)), proof


def _finite(values: list[float]) -> Array:
    """Return values with NaN for a plan that has no operation."""
    array = np.array(values)
    return np.where(np.isfinite(array), array, np.nan)
