"""A region's own optimal operation, compiled once and solved for every exchange level.

    C_r(z) = min  cost of supply, devices and exchange with the external grid over the day
             s.t. load flow and limits of the region (a cone programme)
                  p_t + L_t(p_t, q_t) = z_t + up_t - down_t       at its terminal         (1)

    v_r(k, t) = C_r,t(0) - C_r,t(k delta)                                                 (2)

z is what the region takes from the direct-current link (so that z sums to zero over the regions
and the losses L of its converter are its own). ``up`` and ``down`` cost `UNSERVED_EUR_PER_MWH`:
where they are needed the region cannot carry the level (or only at such a marginal cost), and it
is not offered; nor is one whose relaxation is not a load flow. All else of the terminal is the
region's to choose: reactive power, too.

Levels are valued hour by hour: what ties hours together (storage, shifted load) keeps in (2) the
schedule that is best without trading, so that the offers of different hours add up. Once levels
are cleared the whole day is optimised again, everything free; what that saves more is the
region's own.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyomo.environ as pyo
import xarray as xr

from pp_p2p.elements.select_and_merge import select_subnet
from pp_p2p.errors import NoSolution
from pp_p2p.market.regions import Region
from pp_p2p.names import LOAD, SGEN
from pp_p2p.network.algebra import linear
from pp_p2p.network.branches import Array
from pp_p2p.network.formulation import Formulation
from pp_p2p.network.relaxation import loss_price
from pp_p2p.network.soft_open_point import loss_terms
from pp_p2p.network.solution import (
    converter_slack,
    label_devices,
    label_flows,
    read_flows,
    relaxation_gaps,
)
from pp_p2p.network.sop_data import SoftOpenPoints
from pp_p2p.operation.dispatch_data import DispatchData
from pp_p2p.operation.dispatch_model import build
from pp_p2p.operation.dispatch_objective import SCALE
from pp_p2p.operation.powerflow import GAP_TOLERANCE, Certificate, certify, label_proof
from pp_p2p.solve.compiled import compile_model, load_values
from pp_p2p.solve.report import SolverConfig, SolveReport
from pp_p2p.solve.run import CompiledSolver
from pp_p2p.solve.vectors import Positions, Vectors

UNSERVED_EUR_PER_MWH: Final = 1e4
"""Price of missing a level: one whose last MWh costs a region more is not offered."""

MISSED: Final = 1e-6
"""Part of a level (p.u.) from which it counts as missed."""


@dataclass(frozen=True, kw_only=True)
class RegionDay:
    """A solved day of a region.

    Parameters
    ----------
    cost : (step,), EUR
    missed : (step,), MW
        Of the power at the link that was asked for.
    inexact : (step,) of bool
        Whether the slack of a cone is above tolerance.
    report : SolveReport
    """

    cost: Array
    missed: Array
    inexact: Array
    report: SolveReport


class RegionProblem:
    """One region, built and compiled once.

    Parameters
    ----------
    net : pandapowerNet
        The whole net; is not changed.
    profiles : Dataset
        Of the whole net, one day over ``time``.
    region : Region
    physics : Formulation
    config : SolverConfig
    """

    def __init__(
        self,
        net: Any,
        profiles: xr.Dataset,
        region: Region,
        physics: Formulation,
        config: SolverConfig,
    ) -> None:
        self.region, self._physics = region, physics
        self._net = select_subnet(net, region.buses.tolist())
        data = DispatchData.from_net(self._net, _within(profiles, self._net), "cost", 1.0)
        sops = SoftOpenPoints.from_terminals(region.terminals, data.grid)
        portfolio = dataclasses.replace(data.portfolio, sops=sops)
        self.data = dataclasses.replace(data, portfolio=portfolio)
        self._terminal = int(np.flatnonzero(sops.index == region.terminal)[0])
        self.model = build(self.data, physics)
        self._open_link()
        self._problem = compile_model(self.model)
        self._solver = CompiledSolver(self._problem, config)
        at = Positions(self._problem)
        m = self.model
        self._link = at.columns(m.from_link)
        tied = (m.storage.charge, m.storage.discharge, m.flexible.up, m.flexible.down)
        self._tied = np.concatenate([at.columns(variable) for variable in tied])
        self._tied = self._tied[self._tied >= 0]
        self._step = np.array([_step_of(v) for v in self._problem.columns])
        free = ~np.isin(self._step, np.arange(self.data.line.n_steps))  # energy after the last
        self._step[free] = self.data.line.n_steps - 1
        missing = np.concatenate([at.columns(m.link_up), at.columns(m.link_down)])
        self._priced = self._problem.cost.copy()
        self._priced[missing] = 0.0
        self._vectors = Vectors.of(self._problem)

    def _open_link(self) -> None:
        """Replace the balance of the device by (1)."""
        m, data, i = self.model, self.data, self._terminal
        sops, line = data.portfolio.sops, data.line
        device = int(sops.device[i])
        for t in m.TIME:
            del m.sop.sop_balance[device, t]
        most = 2.0 * float(sops.s_max[i]) + float(sops.law.standby[i])
        m.from_link = pyo.Var(m.TIME, bounds=(-most, most))
        m.link_up = pyo.Var(m.TIME, bounds=(0.0, 4.0 * most))
        m.link_down = pyo.Var(m.TIME, bounds=(0.0, 4.0 * most))
        standby = float(sops.law.standby[i])

        def link_balance(m: Any, t: int) -> Any:
            terms = [(1.0, m.sop.p[i, t]), *loss_terms(m.sop, sops, i, t)]
            terms += [(-1.0, m.from_link[t]), (-1.0, m.link_up[t]), (1.0, m.link_down[t])]
            return linear([c for c, _ in terms], [v for _, v in terms]) == -standby

        m.link_balance = pyo.Constraint(m.TIME, rule=link_balance)
        price = UNSERVED_EUR_PER_MWH * line.step_h * data.grid.s_base_mva / SCALE["cost"]
        m.objective.set_value(
            m.objective.expr + sum(price * (m.link_up[t] + m.link_down[t]) for t in m.TIME)
        )

    def solve(self, link_mw: Array) -> RegionDay:
        """Return the best day in which the region takes `link_mw` (step,) from the link.

        The model then holds its values.
        """
        n = self.data.line.n_steps
        z = np.broadcast_to(link_mw, (n,)) / self.data.grid.s_base_mva
        self._vectors.bound(self._link, z, z)
        problem = self._vectors.put_into(self._problem)
        x, report = self._solver.solve(problem)
        load_values(problem, x)
        paid = self._priced * x
        if problem.quadratic is not None:
            paid = paid + 0.5 * x * (problem.quadratic @ x)
        cost = np.bincount(self._step, weights=paid, minlength=n) * SCALE["cost"]
        m = self.model
        missed = np.array([m.link_up[t].value + m.link_down[t].value for t in m.TIME])
        return RegionDay(
            cost=cost + problem.offset * SCALE["cost"] / n,
            missed=np.where(missed > MISSED, missed, 0.0) * self.data.grid.s_base_mva,
            inexact=self._inexact(),
            report=report,
        )

    def alone(self) -> RegionDay:
        """Return the best day without exchange.

        Raises
        ------
        NoSolution
            The region cannot be operated within its limits.
        """
        try:
            day = self.solve(np.zeros(self.data.line.n_steps))
        except NoSolution as error:
            raise NoSolution(f"{self._name()}: {error}", error.report) from error
        if day.missed.any():
            raise NoSolution(f"{self._name()}: its terminal cannot stand idle", day.report)
        return day

    def offers(self, alone: RegionDay, link_mw: Array) -> Array:
        """Return what each power at the link is worth (step, level), EUR; NaN is not offered.

        Parameters
        ----------
        alone : RegionDay
            Of the last solve: its storage and shifted load are kept.
        link_mw : (level,), MW
        """
        kept = np.array([variable.value for variable in self._problem.columns])[self._tied]
        lower, upper = (vector[self._tied] for vector in (self._vectors.lower, self._vectors.upper))
        self._vectors.bound(self._tied, *(kept.clip(lower, upper),) * 2)
        worth = np.zeros((self.data.line.n_steps, len(link_mw)))
        for n, power in enumerate(link_mw.tolist()):
            if power == 0.0:
                continue
            day = self.solve(np.full(len(worth), power))
            offered = (day.missed == 0.0) & ~day.inexact
            worth[:, n] = np.where(offered, alone.cost - day.cost, np.nan)
        self._vectors.bound(self._tied, lower, upper)
        return worth

    def certify(self) -> Certificate:
        """Return how the last day compares with its AC power flow."""
        m, data = self.model, self.data
        flows = read_flows(m.network, m.injection, has_losses=self._physics.has_losses)
        slack = converter_slack(m, data.portfolio) if self._physics.has_losses else 0.0
        own = (data.source_cost[:, 0] / data.grid.s_base_mva).min(initial=0.0)
        return certify(
            self._net,
            data.grid,
            flows,
            has_losses=self._physics.has_losses,
            converter_slack=slack,
            loss_price=own + loss_price(flows, data.price_buy, data.price_sell),
        )

    def label(self, proof: Certificate) -> xr.Dataset:
        """Return the last day by element."""
        m, data = self.model, self.data
        flows = read_flows(m.network, m.injection, has_losses=self._physics.has_losses)
        ds = label_flows(data.grid, flows, data.line)
        ds = ds.merge(label_devices(m, data.portfolio, data.grid, data.line))
        return ds.merge(label_proof(proof, data.grid, data.portfolio, data.line))

    def _inexact(self) -> Array:
        m, data = self.model, self.data
        if not self._physics.has_losses:
            return np.zeros(data.line.n_steps, dtype=bool)
        flows = read_flows(m.network, m.injection, has_losses=True)
        scale = max(1.0, float((flows.p**2 + flows.q**2).max(initial=0.0)))
        gaps = relaxation_gaps(data.grid, flows).max(axis=1, initial=0.0)
        slack = converter_slack(m, data.portfolio).max(axis=1, initial=0.0)
        return np.asarray(np.maximum(gaps, slack) > GAP_TOLERANCE * scale)

    def _name(self) -> str:
        return f"region of participant {self.region.participant}, without exchange"


def _step_of(variable: Any) -> int:
    """Return the step a column belongs to: variables are indexed by it last."""
    index = variable.index()
    return int(index[-1]) if isinstance(index, tuple) else int(index)


def _within(profiles: xr.Dataset, net: Any) -> xr.Dataset:
    """Return `profiles` of the elements of `net`."""
    for dim, table in ((LOAD, net.load), (SGEN, net.sgen)):
        if dim in profiles.dims:
            labels = profiles[dim].to_numpy()
            profiles = profiles.sel({dim: labels[np.isin(labels, table.index)]})
    return profiles
