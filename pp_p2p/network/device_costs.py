"""What devices cost as they move: one list for every problem.

For each step of length h, with powers in MW:

    storage             wear (charge + discharge)
    flexible load       shift up + theta (up^2 + down^2) / 2 + forgone curtail
                        - price response + price / (2 |eps| d0) response^2
    static generator    c1 p + c2 p^2, where its output may move (``net.poly_cost``)

The third line is the benefit that a load with quadratic utility loses: where the price is p, it
draws d = d0 (1 + eps (p / price - 1)).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from pp_p2p.network.branches import Array
from pp_p2p.network.portfolio import FlexibleLoads, Generators, Portfolio, Storages


class CostTerm(NamedTuple):
    """``linear x + square x^2`` EUR that the owner of a device bears for variable x at a step."""

    owner: int
    step: int
    variable: Any
    linear: float
    square: float = 0.0

    def expression(self) -> Any:
        """Return the term as an expression of Pyomo."""
        x = self.variable
        return self.linear * x + (self.square * x**2 if self.square else 0.0)

    @property
    def value(self) -> float:
        """The term at the variable's value, EUR."""
        x = float(self.variable.value)
        return self.linear * x + self.square * x**2


def device_costs(m: Any, portfolio: Portfolio, hours: Array, s_base_mva: float) -> list[CostTerm]:
    """Return the costs of everything that `add_devices` put into `m`.

    Parameters
    ----------
    m : pyomo model
    portfolio : Portfolio
    hours : (step,)
        Hours that each step counts for: its length, times its weight.
    s_base_mva : float
    """
    return [
        *storage_costs(m.storage, portfolio.storages, hours, s_base_mva),
        *_flexible_costs(m.flexible, portfolio.flexible, hours, s_base_mva),
        *_generator_costs(m.generator, portfolio.generators, hours, s_base_mva),
    ]


def storage_costs(
    block: Any, data: Storages, hours: Array, s_base_mva: float
) -> Iterator[CostTerm]:
    """Yield the wear of storage."""
    for k in block.STORAGE:
        wear = s_base_mva * float(data.degradation_eur_per_mwh[k])
        if wear:
            for t in block.TIME:
                for variable in (block.charge[k, t], block.discharge[k, t]):
                    yield CostTerm(int(data.owner[k]), t, variable, wear * float(hours[t]))


def _flexible_costs(
    block: Any, data: FlexibleLoads, hours: Array, s_base_mva: float
) -> Iterator[CostTerm]:
    for t in block.TIME:
        mwh = s_base_mva * float(hours[t])
        for k in block.FLEXIBLE:
            owner = int(data.owner[k])
            shift = mwh * float(data.cost_eur_per_mwh[k])
            discomfort = 0.5 * mwh * s_base_mva * float(data.discomfort_eur_per_mw2h[k])
            if shift or discomfort:
                yield CostTerm(owner, t, block.up[k, t], shift, discomfort)
            if discomfort:
                yield CostTerm(owner, t, block.down[k, t], 0.0, discomfort)
        for k in block.CURTAILABLE:
            forgone = mwh * float(data.curtail_cost_eur_per_mwh[k])
            yield CostTerm(int(data.owner[k]), t, block.curtail[k, t], forgone)
        for k in block.ELASTIC:
            worth = -mwh * float(data.benefit_eur_per_mwh[t, k])
            falls = 0.5 * mwh * float(data.benefit_slope[t, k])
            yield CostTerm(int(data.owner[k]), t, block.response[k, t], worth, falls)


def _generator_costs(
    block: Any, data: Generators, hours: Array, s_base_mva: float
) -> Iterator[CostTerm]:
    for k in block.GENERATOR:
        one = s_base_mva * float(data.cost_eur_per_mwh[k])
        two = s_base_mva**2 * float(data.cost_eur_per_mw2h[k])
        if one or two:
            for t in block.TIME:
                h = float(hours[t])
                yield CostTerm(int(data.owner[k]), t, block.p[k, t], one * h, two * h)
