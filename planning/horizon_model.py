"""The model of a plan over several stages: a year of operation for each, tied by what is built.

    min  sum_s sum_k p_sk b_sk + sum_s F_s O_s(x_s)                                   (1)
    s.t. x_sk = sum_{s' <= s, alive} b_s'k  <=  max_units_k, and 0 without a site     (2)
         year s: (1)-(6) of `planning.year_model` with x_s installed                  (3)
         sum_k c_sk b_sk <= budget_s,   sum_s sum_k c_sk b_sk <= budget               (4)
         b, x integer (of any size where k is); b_sk = 0 before k is available        (5)

b is what is bought for a stage, x what stands in it, c its price then. A site that costs something
whatever is built there is bought like a unit, once. With perfect
foresight p is the present value of a unit's whole cash flow and F that of 1 EUR in each year of
the stage (`planning.discounting`), so that (1) is the net present cost. The integers alone tie
the stages together: the rest falls apart into the typical days of every stage.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import pyomo.environ as pyo

from planning.costs import capital_recovery_factor
from planning.discounting import PURCHASE_ITEMS, Discounting
from planning.expansion_result import NOTHING
from planning.investment import MONEY_SCALE, declare_linking
from planning.stages import Stage, first_years
from planning.year_model import ExpansionData, add_year
from pp_p2p.network.algebra import linear
from pp_p2p.network.branches import Array
from pp_p2p.network.formulation import Formulation

Replacement = Literal["automatic", "optional"]


@dataclass(frozen=True, kw_only=True)
class HorizonData:
    """Everything the model of a horizon may use.

    A purchase is a unit of a candidate, those first, or one of the sites, which follow them.

    Parameters
    ----------
    stages : tuple of Stage
    years : tuple of ExpansionData
        A year of each stage; what is not available in it has 0 `max_units`.
    nets : tuple of pandapowerNet
        With the demand of each stage.
    discounting : Discounting
    replacement : {"automatic", "optional"}
    life_years : (purchase,) of int
    site_of : (site,) of int
        Candidates whose site is bought apart from its units.
    continuous : (purchase,) of bool
    price_eur : (stage, purchase)
        Of one unit, or a site, bought for a stage.
    alive : (stage, stage, purchase) of bool
        Whether what is bought for the first stage stands in the second.
    cash_eur : (stage, purchase, year, item)
        What one of it costs over the years (`Discounting.purchase`).
    budget_eur : float
        Of all stages together.
    """

    stages: tuple[Stage, ...]
    years: tuple[ExpansionData, ...]
    nets: tuple[Any, ...]
    discounting: Discounting
    replacement: Replacement
    life_years: Array
    site_of: Array
    continuous: Array
    price_eur: Array
    alive: Array
    cash_eur: Array
    budget_eur: float

    @classmethod
    def of(
        cls,
        stages: Sequence[Stage],
        years: Sequence[ExpansionData],
        nets: Sequence[Any],
        *,
        available_from: Array,
        life_years: Array,
        discounting: Discounting,
        replacement: Replacement,
        budget_eur: float,
    ) -> Self:
        """Work out prices, lives and cash flows of all units.

        Parameters
        ----------
        available_from : (candidate,) of int
            Number of the stage, from 0, for which each can be bought first.
        life_years : (candidate,) of int
        """
        c, begins = years[0].candidates, first_years(stages)
        formed = (years[0].islands == "schedule") & c.forming & c.continuous
        needed = c.site_needed(counted=False) | formed
        site_of = np.flatnonzero(needed)
        owner = np.concatenate([np.arange(len(c.index)), site_of])
        life = life_years[owner]
        factors = np.array([stage.capex_factors(c.technology) for stage in stages])
        with_site = c.capex_eur + np.where(needed, 0.0, c.fixed_capex_eur)
        price = factors[:, owner] * np.concatenate([with_site, c.fixed_capex_eur[site_of]])
        of_year = np.repeat(np.arange(len(stages)), [stage.years for stage in stages])
        cash = np.array(
            [
                discounting.purchase(
                    price[of_year, j],
                    life_years=int(years_of_life),
                    year=int(begin),
                    replaced=replacement == "automatic",
                )
                for begin in begins
                for j, years_of_life in enumerate(life)
            ]
        ).reshape(len(stages), len(life), discounting.horizon_years, len(PURCHASE_ITEMS))
        ends = begins + np.array([stage.years for stage in stages])
        number = np.arange(len(stages))
        bought = number[:, None, None] <= number[None, :, None]
        lives = begins[:, None, None] + life >= ends[None, :, None]
        kept = np.full_like(lives, fill_value=True) if replacement == "automatic" else lives
        open_to = number[:, None] >= available_from
        return cls(
            stages=tuple(stages),
            years=tuple(
                _with_units(year, year.candidates.max_units * may)
                for year, may in zip(years, open_to, strict=True)
            ),
            nets=tuple(nets),
            discounting=discounting,
            replacement=replacement,
            life_years=life,
            site_of=site_of,
            continuous=np.concatenate([c.continuous, np.zeros(len(site_of), dtype=bool)]),
            price_eur=price,
            alive=bought & kept,
            cash_eur=cash,
            budget_eur=budget_eur,
        )

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of stages and of purchases."""
        return self.price_eur.shape[0], self.price_eur.shape[1]

    @property
    def n_candidates(self) -> int:
        """Number of candidates: as many purchases are units, the others sites."""
        return self.shape[1] - len(self.site_of)

    @property
    def most(self) -> Array:
        """Most of each purchase that may stand in a stage (stage, purchase)."""
        units = np.array([year.candidates.max_units for year in self.years])
        return np.hstack([units, np.minimum(units[:, self.site_of], 1)])

    def units(self, bought: Array) -> Array:
        """Return the units (stage, candidate) that stand where `bought` (stage, purchase) was."""
        standing: Array = np.einsum("aj,abj->bj", bought, self.alive)[:, : self.n_candidates]
        return standing

    def present_value(self) -> Array:
        """Return what a purchase for a stage costs over the horizon (stage, purchase), EUR."""
        worth = [[self.discounting.present_value(cash) for cash in row] for row in self.cash_eur]
        return np.array(worth).reshape(self.shape)

    def annuity(self) -> Array:
        """Return the annuity of a purchase for a stage (stage, purchase), EUR/a."""
        rate = self.discounting.rate
        recovery = [capital_recovery_factor(rate, float(n)) for n in self.life_years]
        return np.asarray(self.price_eur * np.array(recovery))

    def stage_factors(self) -> Array:
        """Return the present value of 1 EUR in each year of every stage (stage,)."""
        begins = first_years(self.stages)
        pairs = zip(begins.tolist(), self.stages, strict=True)
        return np.array([self.discounting.stage_factor(y, stage.years) for y, stage in pairs])


def build_all(data: HorizonData, formulation: Formulation) -> Any:
    """Return the Pyomo model of all stages at once: perfect foresight."""
    return _build(
        data,
        formulation,
        over=range(data.shape[0]),
        before=np.zeros(data.shape),
        unit_cost=data.present_value(),
        year_cost=data.stage_factors(),
    )


def build_one(data: HorizonData, formulation: Formulation, stage: int, before: Array) -> Any:
    """Return the model of one stage that knows only itself: its annual cost.

    Parameters
    ----------
    stage : int
        Its number, from 0.
    before : (stage, purchase)
        Bought for the stages before it.
    """
    return _build(
        data,
        formulation,
        over=[stage],
        before=before,
        unit_cost=data.annuity(),
        year_cost=np.ones(data.shape[0]),
    )


def read_bought(model: Any, data: HorizonData) -> Array:
    """Return what a solved model buys (stage, purchase), 0 for stages that it has not.

    What is continuous and below `NOTHING` is not built.
    """
    bought = np.zeros(data.shape)
    for (s, j), member in model.built.items():
        sized = member.value if member.value >= NOTHING else 0.0
        bought[s, j] = sized if data.continuous[j] else round(member.value)
    return bought


def _build(
    data: HorizonData,
    formulation: Formulation,
    *,
    over: Sequence[int],
    before: Array,
    unit_cost: Array,
    year_cost: Array,
) -> Any:
    m = pyo.ConcreteModel(name="plan_horizon")
    keys = [(s, j) for s in over for j in range(data.shape[1])]
    most = data.most

    def bounds(_: Any, s: int, j: int) -> tuple[int, int]:
        return 0, int(most[s, j])

    def kind(_: Any, s: int, j: int) -> Any:  # noqa: ARG001
        return pyo.Reals if data.continuous[j] else pyo.Integers

    m.built = pyo.Var(keys, within=kind, bounds=bounds)
    m.installed = pyo.Var(keys, within=kind, bounds=bounds)
    free = [(s, j) for s, j in keys if data.continuous[j]]
    declare_linking(m, [variable[key] for variable in (m.built, m.installed) for key in free])

    def standing(_: Any, s: int, j: int) -> Any:
        new = [m.built[a, j] for a in over if data.alive[a, s, j]]
        left = float(before[:, j] @ data.alive[:, s, j])
        return linear([1.0, *[-1.0] * len(new)], [m.installed[s, j], *new]) == left

    def on_site(_: Any, s: int, i: int) -> Any:
        k = int(data.site_of[i])
        pair = [m.installed[s, k], m.installed[s, data.n_candidates + i]]
        return linear([1.0, -float(most[s, k])], pair) <= 0.0

    def least(_: Any, s: int, i: int) -> Any:
        k = int(data.site_of[i])
        pair = [m.installed[s, data.n_candidates + i], m.installed[s, k]]
        return linear([1.0, -1.0], pair) <= 0.0

    whole = data.years[0].candidates.least_one[data.site_of]
    m.standing = pyo.Constraint(keys, rule=standing)  # (2)
    m.on_site = pyo.Constraint(list(over), range(len(data.site_of)), rule=on_site)  # (2)
    m.least = pyo.Constraint(list(over), np.flatnonzero(whole).tolist(), rule=least)  # (2)
    m.stage = pyo.Block(list(over))
    for s in over:
        units = {k: m.installed[s, k] for k in range(data.n_candidates)}
        apart = enumerate(data.site_of.tolist(), start=data.n_candidates)
        sites = units | {k: m.installed[s, j] for j, k in apart}
        add_year(m.stage[s], data.years[s], formulation, units, sites)  # (3)
    _add_budgets(m, data, list(over), before)  # (4)
    bought = linear([unit_cost[key] / MONEY_SCALE for key in keys], [m.built[key] for key in keys])
    m.added = pyo.Expression(expr=sum(float(year_cost[s]) * m.stage[s].added for s in over))
    operated = sum(float(year_cost[s]) * m.stage[s].yearly_cost for s in over)
    m.cost = pyo.Objective(expr=bought + operated + m.added)  # (1)
    return m


def _add_budgets(m: Any, data: HorizonData, over: list[int], before: Array) -> None:
    def spent(stages: Sequence[int]) -> Any:
        keys = [(s, k) for s in stages for k in range(data.shape[1])]
        prices = [float(data.price_eur[key]) / MONEY_SCALE for key in keys]
        return linear(prices, [m.built[key] for key in keys])

    limited = [s for s in over if np.isfinite(data.stages[s].budget_eur)]
    if not data.shape[1]:
        return
    m.stage_budget = pyo.Constraint(
        limited, rule=lambda _, s: spent([s]) <= data.stages[s].budget_eur / MONEY_SCALE
    )
    if np.isfinite(data.budget_eur):
        left = data.budget_eur - float((before * data.price_eur).sum())
        m.budget = pyo.Constraint(expr=spent(over) <= max(left, 0.0) / MONEY_SCALE)


def _with_units(year: ExpansionData, max_units: Array) -> ExpansionData:
    candidates = dataclasses.replace(year.candidates, max_units=max_units)
    return dataclasses.replace(year, candidates=candidates)
