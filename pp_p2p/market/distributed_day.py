"""A day that was agreed on without a centre, put together: what each did, in the day's model.

The model of `pp_p2p.market.clearing` is built, not solved: its variables take the values that
participants and operator found, so that a distributed day is read and certified like any other.
"""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import numpy as np
import pyomo.environ as pyo
import xarray as xr

from pp_p2p.market.agent_model import DEVICE_VARIABLES
from pp_p2p.market.agreement import Agreed, DistributedClearing
from pp_p2p.market.clearing import ALONE_WEIGHT, ClearingData, build
from pp_p2p.market.day_result import Day, day_of
from pp_p2p.market.distributed import Distributed
from pp_p2p.network.branches import Array
from pp_p2p.network.formulation import Formulation
from pp_p2p.solve.report import SolverConfig, SolveReport, Status

ITERATION = "iteration"


class DistributedDays:
    """Days of the same participants and network, agreed on without a centre.

    Parameters
    ----------
    data : ClearingData
    formulation : Formulation
    options : Distributed
    config : SolverConfig
    """

    def __init__(
        self,
        data: ClearingData,
        formulation: Formulation,
        options: Distributed,
        config: SolverConfig,
    ) -> None:
        self._data, self._formulation = data, formulation
        self._clearing = DistributedClearing(data, formulation, options, config)
        self._cost_alone: Array | None = None

    def solve(
        self, *, trading: bool, without: int | None = None, operator_weight: float = ALONE_WEIGHT
    ) -> Day:
        """Return the day; the arguments are those of `pp_p2p.market.clearing.build`.

        After a day without trading, one with it ends by what is gained, too.
        """
        started = time.perf_counter()
        agreed = self._clearing.solve(
            trading=trading,
            without=without,
            operator_weight=operator_weight,
            cost_alone=self._cost_alone if trading else None,
        )
        model = build(
            self._data,
            self._formulation,
            trading=trading,
            without=without,
            operator_weight=operator_weight,
        )
        own = agreed.network.load(agreed.hosted)
        _put_participants(model, agreed)
        _put_operator(model, own, self._clearing.network_data.rows, len(self._data.participants))
        report = _report(agreed, model, own, time.perf_counter() - started)
        worth = None if agreed.worth is None else agreed.worth / self._data.step_mwh
        day = day_of(
            self._data,
            model,
            report,
            agreed.trades,
            worth=worth,
            residuals=np.array([agreed.history.primal, agreed.history.dual]),
        )
        if not trading:
            self._cost_alone = day.cost
        return day


def label_residuals(day: Day) -> xr.Dataset:
    """Return the residuals of a distributed run over its iterations."""
    assert day.residuals is not None
    primal, dual = day.residuals
    return xr.Dataset(
        {"residual_primal": (ITERATION, primal), "residual_dual": (ITERATION, dual)},
        coords={ITERATION: np.arange(1, len(primal) + 1)},
    )


def _put_participants(model: Any, agreed: Agreed) -> None:
    for name, (rows, values) in agreed.told.schedule.items():
        block, _, of_device = name.rpartition(".")
        variable = getattr(model.component(block) if block else model, of_device)
        _put(variable, rows, values)


def _put(variable: Any, rows: Array, values: Array) -> None:
    for row, series in zip(rows.tolist(), values.tolist(), strict=True):
        for t, value in enumerate(series):
            variable[row, t].set_value(value, skip_validation=True)


def _put_operator(model: Any, own: Any, rows: dict[str, Array], account: int) -> None:
    """Take over the network, the converters, the operator's devices and free reactive power."""
    for block in ("network", "sop"):
        for variable in own.component(block).component_objects(pyo.Var):
            target = model.component(block).component(variable.local_name)
            for key, member in variable.items():
                target[key].set_value(member.value, skip_validation=True)
    for block, names in {**DEVICE_VARIABLES, "generator": ("p", "q")}.items():
        for name in names:
            target = model.component(block).component(name)
            for (k, t), member in own.component(block).component(name).items():
                target[int(rows[block][k]), t].set_value(member.value, skip_validation=True)
    for name in ("buy", "sell"):
        for t, member in own.component(name).items():
            model.component(name)[account, t].set_value(member.value, skip_validation=True)


def _report(agreed: Agreed, model: Any, own: Any, seconds: float) -> SolveReport:
    """Return what was found, with the operator's duals at the rows of the day's model."""
    duals, found = {}, agreed.network.prices(agreed.hosted)
    for name in ("balance_p", "balance_q"):
        there = model.network.component(name)
        for key, row in own.network.component(name).items():
            if row in found:
                duals[there[key]] = found[row]
    operator = max(model.ACCOUNT)
    for t in model.TIME:  # the operator's own exchange row: these prices count its account
        duals[model.account_balance[operator, t]] = 0.0
    return dataclasses.replace(
        agreed.hosted.report,
        status=Status.OPTIMAL if agreed.proved else Status.FEASIBLE,
        termination=agreed.reason,
        objective=agreed.upper,
        bound=agreed.lower,
        seconds=seconds,
        iterations=len(agreed.history.primal),
        duals=duals,
    )
