"""Participants of one connection, one kind of storage and one shiftable load: solved in a batch.

Their days have the form of `pp_p2p.algorithms.batch_data`, so that hundreds of them are one
interior-point method on arrays. Devices that differ in size alone are one: the sum of their sets of
schedules is a larger set of the same shape, and every schedule of it can be split again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from pp_p2p.algorithms.batch_agents import raise_unsolved
from pp_p2p.algorithms.batch_data import Boxed, LocalProblems, ShiftData, StorageData
from pp_p2p.algorithms.batch_qp import BatchQP, BatchSolution
from pp_p2p.market.agent_answers import Ask, Schedule, Told
from pp_p2p.market.clearing import ClearingData
from pp_p2p.market.ownership_split import Owned, places
from pp_p2p.network.branches import Array
from pp_p2p.network.portfolio import Portfolio

ALIKE: Final = 1e-12
"""Relative difference up to which two devices are of one kind."""

TOLERANCE: Final = 1e-9
"""Of the local solves."""


class _Box(NamedTuple):
    """One quantity behind the connection, all (step,): where it goes, limits, costs.

    `sign` turns generation into the variable of the model.
    """

    name: str
    row: int
    sign: float
    lower: Array
    upper: Array
    cost: Array
    curvature: Array


class _Share(NamedTuple):
    """Part of an agent's `slot` that belongs to row `row` of variable `name`."""

    name: str
    row: int
    agent: int
    slot: str
    sign: float
    lower: Array
    width: Array
    slot_lower: Array
    slot_width: Array


def fits_batch(data: ClearingData, owned: Owned) -> bool:
    """Return whether a participant's day has the form of the batch."""
    p = owned.portfolio
    return (
        data.line.n_days == 1
        and len(places(owned, 0)) == 1
        and len(_kinds_of_storage(p)) <= 1
        and len(_kinds_of_shift(p)) <= 1
        and not _may_fall_below_zero(p)
    )


@dataclass(frozen=True, kw_only=True)
class BatchGroup:
    """Participants whose days are solved together.

    Parameters
    ----------
    agents, ports : (agent,) of int
        Their positions, and those of their ports.
    problems : LocalProblems
    shares : tuple
        How schedules are split among devices.
    """

    agents: Array
    ports: Array
    problems: LocalProblems
    shares: tuple[_Share, ...]

    def opened(self) -> OpenBatch:
        """Return the group set up to be solved."""
        return OpenBatch(self)


class OpenBatch:
    """A batch that answers; answers depend on the question and `memory` alone."""

    def __init__(self, group: BatchGroup) -> None:
        self._group = group
        self._batch = BatchQP(group.problems)

    def answer(self, ask: Ask, memory: Any) -> Told:
        """Return the best schedules under the terms of `ask`."""
        warm = memory if isinstance(memory, BatchSolution) and ask.fixed_trade is None else None
        found = self._batch.solve(
            trade_cost=ask.trade_cost,
            trade_curvature=ask.trade_curvature,
            boundary_cost=ask.boundary_cost,
            boundary_curvature=ask.boundary_curvature,
            fixed_trade=ask.fixed_trade,
            tolerance=TOLERANCE,
            warm=warm,
        )
        raise_unsolved(found, self._group.agents)
        added = sum(
            (x * (linear + 0.5 * curvature * x)).sum(axis=1)
            for x, linear, curvature in (
                (found.trade, ask.trade_cost, ask.trade_curvature),
                (found.boundary, ask.boundary_cost, ask.boundary_curvature),
            )
        )
        return Told(
            trade=found.trade,
            boundary=found.boundary,
            cost=found.cost - added,
            schedule=self._schedule(found) if ask.schedule else {},
            memory=found if ask.fixed_trade is None else memory,
        )

    def _schedule(self, found: BatchSolution) -> Schedule:
        rows: dict[str, list[int]] = {}
        values: dict[str, list[Array]] = {}

        def put(name: str, row: int, value: Array) -> None:
            rows.setdefault(name, []).append(row)
            values.setdefault(name, []).append(value)

        bought = found.quantities["outside[0]"]
        sold = found.quantities["outside[1]"]
        for k, agent in enumerate(self._group.agents.tolist()):
            put("buy", agent, bought[k])
            put("sell", agent, -sold[k])
        for s in self._group.shares:
            whole = found.quantities[s.slot][s.agent]
            if s.slot == "energy":  # the batch tells levels after a step, the model before it
                whole = np.roll(whole, 1)
            part = np.divide(
                whole - s.slot_lower, s.slot_width, out=np.zeros_like(whole), where=s.slot_width > 0
            )
            put(s.name, s.row, s.sign * (s.lower + part * s.width))
        return {name: (np.array(rows[name]), np.array(values[name])) for name in rows}


def batch_group(
    data: ClearingData,
    owned: tuple[Owned, ...],
    agents: Array,
    ports: Array,
    capacity: Array,
    most_trade: Array,
) -> BatchGroup:
    """Return the group of participants `agents`, all of which `fits_batch`.

    Parameters
    ----------
    data : ClearingData
    owned : tuple of Owned
        Of all participants.
    agents, ports : (agent,) of int
    capacity : (port,)
        Of all ports, p.u.
    most_trade : (participant,)
        Of all participants, p.u.
    """
    steps, mwh = data.line.n_steps, data.step_mwh
    members = [owned[a] for a in agents.tolist()]
    inside = [[*_merged(_boxes(data, mine))] for mine in members]
    shares: list[_Share] = []
    slots = []
    for k in range(max(map(len, inside), default=0)):
        packed = [boxes[k] if k < len(boxes) else None for boxes in inside]
        slots.append(_slot(packed, steps))
        for agent, group in enumerate(packed):
            shares += _shares_of(agent, f"inside[{k}]", group or [])
    storage, more = _storage(members, mwh, steps)
    shift, others = _shift(data, members, steps)
    most = capacity[ports][:, None]
    reach = np.maximum(most, most_trade[agents][:, None]) * 2.0
    buy = np.minimum(data.max_import[agents][:, None], reach)
    sell = np.minimum(data.max_export[agents][:, None], reach)
    return BatchGroup(
        agents=agents,
        ports=ports,
        problems=LocalProblems(
            demand=np.stack([_demand(mine.portfolio) for mine in members]),
            trade=Boxed(lower=-most_trade[agents][:, None], upper=most_trade[agents][:, None]),
            outside=(
                Boxed(lower=0.0, upper=buy, cost=data.price_buy * mwh),
                Boxed(lower=-sell, upper=0.0, cost=data.price_sell * mwh),
            ),
            inside=tuple(slots),
            boundary=Boxed(lower=-most, upper=most),
            storage=storage,
            shift=shift,
            step_h=data.line.step_h,
        ),
        shares=(*shares, *more, *others),
    )


def _demand(p: Portfolio) -> Array:
    stiff = ~p.generators.curtailable
    return np.asarray(p.loads.p.sum(axis=1) - p.generators.available[:, stiff].sum(axis=1))


def _boxes(data: ClearingData, owned: Owned) -> Iterator[_Box]:
    """Yield what a participant may generate, or forgo, behind its connection."""
    g, f, base, mwh = (
        owned.portfolio.generators,
        owned.portfolio.flexible,
        data.grid.s_base_mva,
        data.step_mwh,
    )
    one = np.ones(data.line.n_steps)
    for k in np.flatnonzero(g.curtailable).tolist():
        high = g.available[:, k]
        cost, bend = mwh * g.cost_eur_per_mwh[k], 2.0 * mwh * base * g.cost_eur_per_mw2h[k]
        row = int(owned.rows["generator"][k])
        low = np.minimum(g.p_min[k], high)
        yield _Box("generator.p", row, 1.0, low, high, cost * one, bend * one)
    for k in range(len(f.index)):
        row = int(owned.rows["flexible"][k])
        if f.curtailable[k]:
            cost = mwh * f.curtail_cost_eur_per_mwh[k]
            high = f.max_curtail[:, k]
            yield _Box("flexible.curtail", row, 1.0, 0.0 * one, high, cost * one, 0.0 * one)
        if f.elastic[k]:
            level, worth = f.level[:, k], mwh * f.benefit_eur_per_mwh[:, k]
            bend = mwh * f.benefit_slope[:, k]
            yield _Box("flexible.response", row, -1.0, -level, level, worth, bend)


def _merged(boxes: Iterator[_Box]) -> Iterator[list[_Box]]:
    """Yield lists of quantities of equal, linear cost: their sum is one quantity."""
    by_cost: dict[bytes, list[_Box]] = {}
    for box in boxes:
        if box.curvature.any():
            yield [box]
        else:
            by_cost.setdefault(box.cost.tobytes(), []).append(box)
    yield from by_cost.values()


def _slot(packed: list[list[_Box] | None], steps: int) -> Boxed:
    none = np.zeros(steps)

    def rows(part: str, *, summed: bool) -> Array:
        found = [[getattr(box, part) for box in boxes or []] for boxes in packed]
        return np.array([(sum(v) if summed else v[0]) if v else none for v in found])

    return Boxed(
        lower=rows("lower", summed=True),
        upper=rows("upper", summed=True),
        cost=rows("cost", summed=False),
        curvature=rows("curvature", summed=False),
    )


def _shares_of(agent: int, slot: str, boxes: list[_Box]) -> Iterator[_Share]:
    low = np.sum([box.lower for box in boxes], axis=0)
    width = np.sum([box.upper for box in boxes], axis=0) - low
    for b in boxes:
        own = b.upper - b.lower
        yield _Share(b.name, b.row, agent, slot, b.sign, b.lower, own, low, width)


def _kinds_of_storage(p: Portfolio) -> list[Array]:
    """Return positions of storage that differs in size alone, list by list."""
    s = p.storages
    with np.errstate(divide="ignore", invalid="ignore"):
        per_mwh = [v / s.e_max for v in (s.e_min, s.e_start, s.p_charge, s.p_discharge)]
    facts = np.array(
        [*per_mwh, s.charge_efficiency, s.discharge_efficiency, s.degradation_eur_per_mwh]
    )
    return _alike(np.nan_to_num(facts.T, nan=-1.0))


def _kinds_of_shift(p: Portfolio) -> list[Array]:
    """Return positions of loads that shift alike, relative to their size, list by list."""
    f = p.flexible
    moves = np.flatnonzero(f.max_up.any(axis=0) | f.max_down.any(axis=0))
    size = np.maximum(f.max_up, f.max_down)[:, moves].max(axis=0, initial=0.0)
    bend = f.discomfort_eur_per_mw2h[moves] * size
    facts = np.vstack(
        [f.max_up[:, moves] / size, f.max_down[:, moves] / size, f.cost_eur_per_mwh[moves], bend]
    )
    return [moves[kind] for kind in _alike(facts.T)]


def _alike(facts: Array) -> list[Array]:
    left, found = list(range(len(facts))), []
    while left:
        same = np.isclose(facts[left], facts[left[0]], rtol=ALIKE, atol=ALIKE).all(axis=1)
        found.append(np.array(left)[same])
        left = [k for k, alike in zip(left, same, strict=True) if not alike]
    return found


def _may_fall_below_zero(p: Portfolio) -> bool:
    """Return whether a load's changes together could exceed its profile."""
    f = p.flexible
    follows = f.level * f.elastic
    most = f.max_down + f.max_curtail + follows
    return bool((most > f.level * (1.0 + ALIKE) + ALIKE).any())


def _storage(
    members: list[Owned], mwh: float, steps: int
) -> tuple[StorageData | None, list[_Share]]:
    if not any(len(mine.rows["storage"]) for mine in members):
        return None, []
    names = ("p_charge", "p_discharge", "e_min", "e_max", "e_start")
    total = {name: np.zeros(len(members)) for name in names}
    rate = {name: np.ones(len(members)) for name in ("charge", "discharge")}
    wear = np.zeros(len(members))
    shares = []
    for agent, mine in enumerate(members):
        s = mine.portfolio.storages
        if not len(s.index):
            continue
        for name in names:
            total[name][agent] = getattr(s, name).sum()
        rate["charge"][agent] = s.charge_efficiency[0]
        rate["discharge"][agent] = s.discharge_efficiency[0]
        wear[agent] = s.degradation_eur_per_mwh[0] * mwh
        size = s.e_max if s.e_max.any() else np.ones(len(s.index))
        part = size / size.sum()
        shares += [
            _scaled(f"storage.{name}", row, agent, name, part[k], steps)
            for name in ("charge", "discharge", "energy")
            for k, row in enumerate(mine.rows["storage"].tolist())
        ]
    free = np.isnan(total["e_start"])
    start = np.where(free, np.nan, total["e_start"])
    given = StorageData(
        charge_max=total["p_charge"][:, None],
        discharge_max=total["p_discharge"][:, None],
        energy_min=total["e_min"][:, None],
        energy_max=total["e_max"][:, None],
        charge_efficiency=rate["charge"],
        discharge_efficiency=rate["discharge"],
        start=start,
        end=start,
        charge_cost=wear[:, None],
        discharge_cost=wear[:, None],
    )
    return given, shares


def _shift(
    data: ClearingData, members: list[Owned], steps: int
) -> tuple[ShiftData | None, list[_Share]]:
    kinds = [_kinds_of_shift(mine.portfolio) for mine in members]
    if not any(kinds):
        return None, []
    up, down = np.zeros((len(members), steps)), np.zeros((len(members), steps))
    cost, bend = np.zeros((len(members), 1)), np.zeros((len(members), 1))
    mwh, base = data.step_mwh, data.grid.s_base_mva
    shares = []
    for agent, (mine, kind) in enumerate(zip(members, kinds, strict=True)):
        if not kind:
            continue
        f, rows = mine.portfolio.flexible, kind[0]
        size = np.maximum(f.max_up, f.max_down)[:, rows].max(axis=0)
        part = size / size.sum()
        up[agent], down[agent] = f.max_up[:, rows].sum(axis=1), f.max_down[:, rows].sum(axis=1)
        cost[agent] = mwh * f.cost_eur_per_mwh[rows[0]]
        # a x^2 each: the sum x costs least split by 1/a, which is by size among loads alike
        bend[agent] = mwh * base * f.discomfort_eur_per_mw2h[rows[0]] * part[0]
        shares += [
            _scaled(f"flexible.{name}", row, agent, name, part[k], steps)
            for name in ("up", "down")
            for k, row in enumerate(mine.rows["flexible"][rows].tolist())
        ]
    given = ShiftData(
        up_max=up, down_max=down, up_cost=cost, up_curvature=bend, down_curvature=bend
    )
    return given, shares


def _scaled(name: str, row: int, agent: int, slot: str, part: float, steps: int) -> _Share:
    """Return the share `part` of a slot."""
    none, one = np.zeros(steps), np.ones(steps)
    return _Share(name, row, agent, slot, 1.0, none, part * one, none, one)
