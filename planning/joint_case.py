"""A joint plan from its parts: where the bargain starts, how it ends, what proves it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr

from planning.alternation import Ending
from planning.disagreement import Disagreement, stand_alone
from planning.joint_agreement import AgreedUpper, agreement_attrs, label_agreement
from planning.joint_checks import (
    COST_TOLERANCE,
    benchmark_attrs,
    central,
    deviations,
    equilibrium,
    gains_without,
)
from planning.joint_data import JointData
from planning.joint_own import Lower
from planning.joint_powers import NO_CLAIM
from planning.joint_problem import JointProblem, Point, Upper
from planning.joint_result import read_history, read_money, read_operation, read_units
from pp_p2p.errors import Finding, InvalidInput, NoSolution
from pp_p2p.market.distributed import Distributed
from pp_p2p.names import CANDIDATE, DAY, INVESTOR
from pp_p2p.network.formulation import Formulation
from pp_p2p.operation.powerflow import Certificate
from pp_p2p.solve.report import SolverConfig, SolveReport


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A joint plan before its gain is shared: dataset, attributes, and what proves them."""

    ds: xr.Dataset
    attrs: dict[str, object]
    report: SolveReport
    proof: Certificate


@dataclass(frozen=True, kw_only=True)
class JointCase:
    """One joint planning problem.

    Parameters
    ----------
    net, days, data, physics, solver
        The problem and how it is solved.
    inside : bool
        Whether the operator bargains.
    model_hash : str
        Of everything that the costs alone depend on.
    agree : Distributed or None
        How the upper level is agreed on without a centre.
    """

    net: Any
    days: xr.Dataset
    data: JointData
    physics: Formulation
    solver: SolverConfig
    inside: bool
    model_hash: str
    agree: Distributed | None

    def disagreement(
        self, problem: JointProblem, lower: Lower, given: xr.Dataset | None
    ) -> Disagreement:
        """Return the disagreement point, or that of an earlier result for the same problem."""
        if given is not None:
            return self._taken(problem, given)
        alone = stand_alone(problem, lower, self.solver)
        if not self.physics.has_losses:
            return alone
        _, proof = self._operation(alone.upper, alone.point)
        if proof.exact:
            return alone
        return stand_alone(problem, lower, self.solver, operator_weight=1.0)

    def upper(self, problem: JointProblem, alone_weight: float) -> Upper:
        """Return the upper level; `alone_weight` is that of an operator outside."""
        weight = 1.0 if self.inside else alone_weight
        if self.agree is None:
            return Upper(problem, self.solver, trading=True, operator_weight=weight)
        return AgreedUpper(
            self.net,
            self.days,
            problem,
            self.physics,
            self.solver,
            operator="inside" if self.inside else "outside",
            operator_weight=weight,
            options=self.agree,
        )

    def noise(self, alone: Disagreement) -> float:
        """Return by how much costs may differ for nothing but tolerances, EUR/a."""
        relative = COST_TOLERANCE
        if self.agree is not None:
            relative = max(relative, self.agree.tolerance)
        return relative * max(float(np.abs(alone.point.cost).sum()), 1.0)

    def outcome(
        self,
        alone: Disagreement,
        upper: Upper,
        lower: Lower,
        endings: Sequence[Ending],
        *,
        benchmark: bool | None,
        marginal: bool,
    ) -> Outcome:
        """Return the best end with all that it is held against.

        Raises
        ------
        NoSolution
            No start has an operation.
        """
        data = self.data
        best = min(endings, key=lambda e: e.cost)
        reached = upper.at(best.plan)
        if reached is None:
            raise NoSolution("plan_together: no start has an operation; raise the limits")
        gain, noise = self._gain(alone.point, reached), self.noise(alone)
        noise = max(noise, alone.noise_eur_per_year)
        agreed = gain > noise
        point, holder = (reached, upper) if agreed else (alone.point, alone.upper)
        ds, proof = self._operation(holder, point)
        ds = ds.merge(read_money(data, alone.point, point)).merge(read_history(data, endings))
        plans = {"alone": alone.point.units, "together": point.units}
        best_of_all = central(upper, self.solver, data, benchmark)
        if best_of_all is not None:
            plans["central"] = best_of_all.units
            ds["cost_central_eur_per_year"] = (INVESTOR, best_of_all.cost)
        ds = ds.merge(read_units(data, plans))
        off = deviations(holder, lower, point, agreed=agreed)
        ds["deviation_gain_eur_per_year"] = (INVESTOR, off.gain)
        ds["own_account_gain_eur_per_year"] = (INVESTOR, off.own)
        ds["deviation_tolerance_eur_per_year"] = (INVESTOR, off.tolerance)
        if marginal:
            without = gains_without(data, upper, alone.point, reached, self._gain)
            ds["gain_without_eur_per_year"] = (INVESTOR, without)
        attrs: dict[str, object] = {
            "operator": "inside" if self.inside else "outside",
            "operator_weight": upper.operator_weight,
            "alone_operator_weight": alone.operator_weight,
            "claim": "the gain is larger than what the solvers can tell" if agreed else NO_CLAIM,
            "gain_eur_per_year": gain,
            "gain_noise_eur_per_year": noise,
            "objective_eur_per_year": float(point.cost.sum()),
            "social_cost_alone_eur_per_year": float(alone.point.cost.sum()),
            "social_cost_eur_per_year": float(point.cost.sum()),
            "stand_alone_found": alone.found,
            "stand_alone_noise_eur_per_year": alone.noise_eur_per_year,
            "model_hash": self.model_hash,
            "best_start": best.start,
            "cycles_detected": sum(e.cycles for e in endings),
            "equilibrium": equilibrium(data, off),
            "traders_without_candidates": [
                k for k in data.participants.tolist() if k not in data.investors
            ],
        }
        attrs |= benchmark_attrs(best_of_all, best)
        # that of the units: the report knows the operation at fixed units alone
        attrs["gap"] = attrs.get("gap_to_central_bound", float("nan"))
        if isinstance(upper, AgreedUpper):
            one = upper.agreements[best.plan]
            ds = ds.merge(label_agreement(one, ds[DAY].to_numpy()))
            attrs |= agreement_attrs(one, upper.centrally(best.plan))
            attrs["plans_without_agreement"] = upper.failed
        return Outcome(ds=ds, attrs=attrs, report=point.report, proof=proof)

    def _gain(self, alone: Point, together: Point) -> float:
        """Return what those who bargain save together, EUR/a."""
        saved = alone.cost - together.cost
        return float(saved.sum() if self.inside else saved[:-1].sum())

    def _operation(self, holder: Upper, point: Point) -> tuple[xr.Dataset, Certificate]:
        return read_operation(self.net, self.data, self.physics, holder, point)

    def _taken(self, problem: JointProblem, given: xr.Dataset) -> Disagreement:
        if given.attrs.get("model_hash") != self.model_hash:
            raise InvalidInput(
                Finding(
                    table="disagreement",
                    rule="was computed with another net, days, network model or option: its costs "
                    "cannot be compared",
                    mend="leave it out, or pass the result of plan_together for the same problem",
                )
            )
        weight = float(given.attrs["alone_operator_weight"])
        upper = Upper(problem, self.solver, trading=False, operator_weight=weight)
        index = self.data.year.candidates.index
        plan = tuple(int(n) for n in given["units_alone"].sel({CANDIDATE: index}))
        point = upper.at(plan)
        if point is None:
            raise NoSolution("plan_together: the disagreement point given has no operation")
        found: Literal["separate", "joint"] = (
            "separate" if given.attrs["stand_alone_found"] == "separate" else "joint"
        )
        return Disagreement(
            upper=upper,
            point=point,
            found=found,
            noise_eur_per_year=float(given.attrs["stand_alone_noise_eur_per_year"]),
            operator_weight=weight,
        )
