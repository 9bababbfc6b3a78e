"""The upper level of a joint plan without a centre: participants and operator agree day by day.

At fixed units the typical days are apart: each is a trading day, in which all agree on trades and
boundary power by `pp_p2p.market.agreement` (ATC with the operator, exchange or CF-ADMM between
participants). With N_d days that typical day d stands for, and F(z) what the units cost a year,

    W(z) = F(z) + sum_d N_d w_d(z),     lower_d <= w_d <= upper_d                           (1)

w_d being the day's least social cost and both bounds proven by the scheme. The trades that were
agreed are kept, operation follows once more with these trades (`Upper.with_trades`): that is the
point whose costs are shared, and its cost is no more than the sum of the upper bounds.
"""

from __future__ import annotations

import copy
import dataclasses
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyomo.environ as pyo
import xarray as xr

from planning.alternation import Plan
from planning.built_profiles import profiles_with_plan
from planning.expansion_result import investments
from planning.investment import MONEY_SCALE
from planning.joint_problem import JointProblem, Point, Upper
from pp_p2p.errors import NotConverged
from pp_p2p.market.agreement import Agreed, DistributedClearing
from pp_p2p.market.bargaining import NashBargaining, Operator
from pp_p2p.market.clearing import ClearingData
from pp_p2p.market.distributed import Distributed
from pp_p2p.names import DAY, HOUR, TIME
from pp_p2p.network.branches import Array
from pp_p2p.network.formulation import Formulation
from pp_p2p.solve.report import SolverConfig
from pp_p2p.written_back import write_back

ITERATION: Final = "iteration"


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """What was agreed on at given units.

    `trade` (participant, step), p.u., positive buys; `price` (step,), EUR/MWh; `lower`, `upper`
    bounds of the social cost (1), EUR/a; `proved` whether they met on every day; `primal`, `dual`
    the residuals of each day's iterations.
    """

    trade: Array
    price: Array
    lower: float
    upper: float
    proved: bool
    primal: tuple[Array, ...]
    dual: tuple[Array, ...]


class AgreedUpper(Upper):
    """The upper level whose trades are agreed on without a centre.

    Parameters
    ----------
    net, days
        As of `planning.plan_together`.
    problem : JointProblem
    formulation : Formulation
    solver : SolverConfig
    operator : {"inside", "outside"}
    operator_weight : float
    options : Distributed
    """

    def __init__(
        self,
        net: Any,
        days: xr.Dataset,
        problem: JointProblem,
        formulation: Formulation,
        solver: SolverConfig,
        *,
        operator: Operator,
        operator_weight: float,
        options: Distributed,
    ) -> None:
        super().__init__(problem, solver, trading=True, operator_weight=operator_weight)
        self._net, self._days, self._formulation = net, days, formulation
        self._options, self._config, self._weight = options, solver, operator_weight
        self._mechanism = NashBargaining(
            network_fee_eur_per_mwh=self.data.fee_eur_per_mwh, operator=operator
        )
        self.agreements: dict[Plan, Agreement] = {}
        self.failed = 0

    def _solve(self, plan: Plan) -> Point | None:
        try:
            days = self._days_at(plan)
        except NotConverged:  # e.g. where the network holds under nothing that all could do
            self.failed += 1
            return None
        c, line = self.data.year.candidates, self.data.year.line
        trade = np.concatenate([day.trade for day in days], axis=1)
        price = np.concatenate([day.price for day in days])
        point = dataclasses.replace(self.with_trades(plan, trade), price=price)
        stands = investments(c, np.array(plan))["annuity_eur_per_year"].to_numpy()
        yearly = stands + np.array(plan) * c.fixed_om_eur_per_year
        weight = np.where(np.isin(c.owner, self.data.participants), 1.0, self._weight)
        lost = self.data.year.value_of_lost_load_eur_per_mwh * float(pyo.value(self.model.eens))
        fixed = float(weight @ yearly) + self._weight * lost
        lower = fixed + float(line.weight @ [day.agreed.lower for day in days])
        upper = fixed + float(line.weight @ [day.agreed.upper for day in days])
        self.agreements[plan] = Agreement(
            trade=trade,
            price=price,
            lower=lower,
            upper=upper,
            proved=all(day.agreed.proved for day in days),
            primal=tuple(np.array(day.agreed.history.primal) for day in days),
            dual=tuple(np.array(day.agreed.history.dual) for day in days),
        )
        return point

    def _days_at(self, plan: Plan) -> list[_Day]:
        """Return what is agreed on every typical day with `plan` built."""
        built = copy.deepcopy(self._net)
        units = investments(self.data.year.candidates, np.array(plan))
        units.attrs["problem"] = "plan_together"
        profiles = profiles_with_plan(self._days, units, write_back(built, units))
        return [
            self._day(built, profiles.sel({DAY: day}, drop=True).rename({HOUR: TIME}))
            for day in profiles[DAY].to_numpy()
        ]

    def _day(self, net: Any, profiles: xr.Dataset) -> _Day:
        data = ClearingData.from_net(net, profiles, self._mechanism, self.data.year.tightening)
        clearing = DistributedClearing(data, self._formulation, self._options, self._config)
        agreed = clearing.solve(trading=True, operator_weight=self._weight)
        net_trade = agreed.trades.sum(axis=0) - agreed.trades.sum(axis=1)
        price = np.full(data.line.n_steps, np.nan)
        if agreed.worth is not None:  # who buys sees half the fee more, who sells half less
            worth = agreed.worth / data.step_mwh
            price = 0.5 * (worth.max(axis=0) + worth.min(axis=0))
        base = data.grid.s_base_mva / self.data.year.grid.s_base_mva
        return _Day(trade=net_trade * base, price=price, agreed=agreed)


@dataclass(frozen=True, kw_only=True)
class _Day:
    """A day that was agreed on: trades in the plan's p.u., prices in EUR/MWh."""

    trade: Array
    price: Array
    agreed: Agreed


def label_agreement(agreement: Agreement, days: Array) -> xr.Dataset:
    """Return the residuals by day and iteration, NaN after a day's last."""
    most = max(len(one) for one in agreement.primal)

    def padded(rows: tuple[Array, ...]) -> Array:
        return np.array([np.pad(r, (0, most - len(r)), constant_values=np.nan) for r in rows])

    over = (DAY, ITERATION)
    return xr.Dataset(
        {
            "residual_primal": (over, padded(agreement.primal)),
            "residual_dual": (over, padded(agreement.dual)),
        },
        coords={DAY: days, ITERATION: np.arange(1, most + 1)},
    )


def agreement_attrs(agreement: Agreement, central: Point) -> dict[str, object]:
    """Return the attributes that compare an agreement with the `central` point of its units."""
    scale = max(abs(central.objective), MONEY_SCALE)
    return {
        "distributed_objective_eur_per_year": agreement.upper,
        "distributed_bound_eur_per_year": agreement.lower,
        "distributed_proved": agreement.proved,
        "central_at_units_eur_per_year": central.objective,
        "distributed_gap": (agreement.upper - central.objective) / scale,
    }
