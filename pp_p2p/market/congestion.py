"""Market capacity: what the operator lets sellers sell where the network is congested.

Trades are cleared without the network, then an AC power flow (`pp_p2p.market.network_state`) shows
what they do to it. In an hour that breaks limits e, with g_es what 1 p.u. more power fed in by
seller s adds to e,

    a sale from s to b (or to the grid, g = 0) loads e where  g_es > 0 and g_es > g_eb        (1)
    sum_s g_es (q_s - cap_s) >= excess_e                                                      (2)

Only sales of (1), signed, are limited: flows that go against the congestion never are. Their sum
q_s is what counts in (2), since it is the seller's feed-in that a limit takes back; its buyers take
from the grid instead. Where no feed-in loads e, but what buyers draw because they trade (storage
that charges), trades with g_es > g_eb are halved, round by round; and where no trade of the hour
does, those of all hours of participants that draw then for the sake of another. The limits are

    pro_rata          cap_s = q_s min_e (1 - excess_e / sum_k g_ek q_k)
    price_priority    max sum_s worth_s cap_s  under (2): what is worth most is kept
    least_violation   max sum_s cap_s          under (2): as little as possible is cut

Then the market is cleared anew. Limits never rise, so that the loop ends; after
`CongestionManagement.max_rounds` rounds all sales of (1) are cut to nothing. Where none is left and
the limit still does not hold, it cannot hold without any sale: that is the end. Liu et al. (2020),
reconstructed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import pyomo.environ as pyo

from pp_p2p.errors import Finding, InvalidInput, NoSolution, raise_if_any
from pp_p2p.market.network_state import Violation
from pp_p2p.names import BUS
from pp_p2p.network.algebra import linear
from pp_p2p.network.branches import Array
from pp_p2p.network.timeline import Timeline
from pp_p2p.solve.report import SolverConfig
from pp_p2p.solve.run import run_solver

Rule = Literal["pro_rata", "price_priority", "least_violation", "watch"]
RULES: Final[tuple[Rule, ...]] = ("pro_rata", "price_priority", "least_violation", "watch")

MARGIN: Final = 1e-3
"""A limit is aimed at by this much less: (1) of `network_state` is linear, the flow is not. In
parts of a loading's value; 1e-5 p.u. of voltages."""

TINY: Final = 1e-12
"""Difference of two sensitivities that is none."""

HALF: Final = 0.5
"""Part that is left of trades that load a limit through what their buyers draw."""

SMALLEST: Final = 1e-9
"""Sales below this (p.u.) are nothing."""

NAMED: Final = 5
"""At most this many broken limits are named."""


@dataclass(frozen=True, kw_only=True)
class CongestionManagement:
    """How the operator limits sales where the network is congested.

    Limits of voltages, lines and transformers count, those of external grids do not.

    Parameters
    ----------
    rule : {"pro_rata", "price_priority", "least_violation", "watch"}
        All sales that load a limit in the same proportion; those first that are worth least; or as
        little energy as possible. ``"watch"`` clears without the network and limits nothing.
    max_rounds : int
        Rounds after which sales that still load a broken limit are cut to nothing.
    """

    rule: Rule = "pro_rata"
    max_rounds: int = 20

    def __post_init__(self) -> None:
        whole = isinstance(self.max_rounds, int | np.integer)
        found = []
        if self.rule not in RULES:
            found.append(("rule", f"is {self.rule!r}", f"choose one of {', '.join(RULES)}"))
        if not whole or isinstance(self.max_rounds, bool) or self.max_rounds < 1:
            found.append(("max_rounds", f"is {self.max_rounds!r}", "use a whole number >= 1"))
        raise_if_any(
            Finding(table="CongestionManagement", column=column, rule=rule, mend=mend)
            for column, rule, mend in found
        )


def require_congestion(given: object) -> CongestionManagement | None:
    """Return how congestion is managed; a name is that rule."""
    if given is None or isinstance(given, CongestionManagement):
        return given
    if isinstance(given, str):
        return CongestionManagement(rule=given)  # type: ignore[arg-type]
    raise InvalidInput(
        Finding(
            table="trade_day",
            column="congestion",
            rule=f"is {given!r}",
            mend="pass None, the name of a rule, or pp_p2p.CongestionManagement(...)",
        )
    )


@dataclass(frozen=True, kw_only=True)
class Sold:
    """What everyone sells in a day, p.u.: `trade` (seller, buyer, hour), `grid` (seller, hour).

    `worth` and `grid_worth` of the same shapes, EUR/MWh, is what a sale gains beside none.
    """

    trade: Array
    grid: Array
    worth: Array
    grid_worth: Array


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """Market capacity: limits of sales, p.u.

    `limit` (seller, hour) holds for the sum of what goes to `limited` (seller, buyer, hour);
    `grid` (seller, hour) for sales to the grid. ``inf`` where there is no limit.
    """

    limit: Array
    limited: Array
    grid: Array

    @classmethod
    def endless(cls, n: int, hours: int) -> Capacity:
        """Return no limit."""
        return cls(
            limit=np.full((n, hours), np.inf),
            limited=np.zeros((n, n, hours), dtype=bool),
            grid=np.full((n, hours), np.inf),
        )

    @property
    def binds(self) -> bool:
        """Whether anything is limited."""
        return bool(np.isfinite(self.limit).any() or np.isfinite(self.grid).any())


def tighten(
    capacity: Capacity,
    sold: Sold,
    violations: list[Violation],
    how: CongestionManagement,
    *,
    line: Timeline,
    solver: SolverConfig,
    forced: bool = False,
) -> Capacity:
    """Return tighter limits of sales, no limit above what it was.

    Parameters
    ----------
    capacity : Capacity
    sold : Sold
    violations : list of Violation
    how : CongestionManagement
    line : Timeline
    solver : SolverConfig
    forced : bool
        Cut what loads a broken limit to nothing.

    Raises
    ------
    NoSolution
        A limit is broken by what is not sold; it is named.
    """
    limit, limited, grid = capacity.limit.copy(), capacity.limited.copy(), capacity.grid.copy()
    traded = sold.trade.sum(axis=2) > SMALLEST
    traders = traded.any(axis=0) | traded.any(axis=1)
    drawers = np.zeros(len(traders), dtype=bool)
    for t in sorted({v.step for v in violations}):
        broken = [v for v in violations if v.step == t]
        pull = np.array([v.pull for v in broken])
        blame = pull[:, :, None] - pull[:, None, :] > TINY
        to_grid = np.asarray((pull > 0).any(axis=0))
        trades = sold.trade[:, :, t] > SMALLEST
        relieved = (blame & trades & (pull > 0)[:, :, None]).any(axis=(1, 2))
        relieved |= ((pull > 0) & (sold.grid[:, t] > SMALLEST)).any(axis=1)
        drawn = blame & ~relieved[:, None, None]  # loaded by what buyers draw alone
        here = relieved | (drawn & trades).any(axis=(1, 2))
        charging = (pull < -TINY) & ~here[:, None] & traders  # (limit, participant)
        _require_trades(broken, here | charging.any(axis=1), line)
        drawers = np.asarray(drawers | charging.any(axis=0))
        loads = (blame & (pull > 0)[:, :, None] & relieved[:, None, None]) | drawn
        to = loads.any(axis=0) | limited[:, :, t]
        trade, own = _kept(how, sold, broken, pull, to, to_grid, t, solver)
        by = drawn.any(axis=(0, 2))
        now = np.where(to, sold.trade[:, :, t], 0.0).sum(axis=1)
        trade = np.where(by, np.minimum(trade, HALF * now), trade)
        if forced:
            trade, own = np.zeros_like(trade), np.zeros_like(own)
        touched = loads.any(axis=(0, 2)) | np.isfinite(limit[:, t])
        limited[:, :, t] = to
        limit[touched, t] = np.minimum(limit[touched, t], trade[touched])
        grid[to_grid, t] = np.minimum(grid[to_grid, t], own[to_grid])
    if drawers.any():
        theirs = drawers[:, None] | drawers[None, :]
        limited |= theirs[:, :, None]
        now = np.where(limited, sold.trade, 0.0).sum(axis=1)
        limit = np.zeros_like(limit) if forced else np.minimum(limit, HALF * now)
    return Capacity(limit=limit, limited=limited, grid=grid)


def _kept(
    how: CongestionManagement,
    sold: Sold,
    broken: list[Violation],
    pull: Array,
    to: Array,
    to_grid: Array,
    t: int,
    solver: SolverConfig,
) -> tuple[Array, Array]:
    """Return what is left of the sales to `to` (seller,) and to the grid (seller,)."""
    trade = np.where(to, sold.trade[:, :, t], 0.0).sum(axis=1)
    own = np.where(to_grid, sold.grid[:, t], 0.0)
    help_ = np.maximum(pull, 0.0)
    wanted = np.array([v.excess + _margin(v) for v in broken])
    possible = help_ @ (trade + own)
    if how.rule == "pro_rata":
        part = np.where(help_ > 0, np.minimum(wanted / np.maximum(possible, 1e-12), 1.0)[:, None],
                        0.0).max(axis=0)  # fmt: skip
        return trade * (1.0 - part), own * (1.0 - part)
    worth = np.ones(len(trade)), np.ones(len(own))
    if how.rule == "price_priority":
        value = np.where(to, sold.trade[:, :, t] * sold.worth[:, :, t], 0.0).sum(axis=1)
        mean = np.divide(value, trade, out=np.zeros_like(value), where=trade > SMALLEST)
        worth = np.maximum(mean, 0.0) + 1e-3, np.maximum(sold.grid_worth[:, t], 0.0) + 1e-3
    return _largest(trade, own, worth, help_, np.minimum(wanted, possible * (1 - 1e-9)), solver)


def _largest(
    trade: Array,
    own: Array,
    worth: tuple[Array, Array],
    help_: Array,
    wanted: Array,
    solver: SolverConfig,
) -> tuple[Array, Array]:
    """Return the sales that are worth most and relieve every limit (2): a linear programme."""
    most, each = np.concatenate([trade, own]), np.concatenate(worth)
    both = np.concatenate([help_, help_], axis=1)
    sells = np.flatnonzero(most > SMALLEST)
    m = pyo.ConcreteModel(name="market_capacity")
    m.SALE = pyo.Set(initialize=sells.tolist())
    m.cut = pyo.Var(m.SALE, bounds=lambda _, k: (0.0, float(most[k])))
    scale = np.maximum(np.abs(both[:, sells]).max(axis=1, initial=0.0), 1e-12)

    def relief(m: Any, e: int) -> Any:
        helps = [k for k in m.SALE if both[e, k] > 0]
        if not helps:
            return pyo.Constraint.Skip
        coefs = [float(both[e, k] / scale[e]) for k in helps]
        return linear(coefs, [m.cut[k] for k in helps]) >= float(wanted[e] / scale[e])

    m.relief = pyo.Constraint(range(len(wanted)), rule=relief)
    m.lost = pyo.Objective(expr=sum(float(each[k]) * m.cut[k] for k in m.SALE))
    left = most.copy()
    if len(sells):
        run_solver(m, solver)
        left[sells] = [max(most[k] - m.cut[k].value, 0.0) for k in sells.tolist()]
    return left[: len(trade)], left[len(trade) :]


def _margin(violation: Violation) -> float:
    return 1e-5 if violation.table == BUS else MARGIN * violation.value


def _require_trades(broken: list[Violation], helped: Array, line: Timeline) -> None:
    """Raise where a limit is broken that no trade and no sale to the grid loads."""
    lost = [v for v, by_some in zip(broken, helped.tolist(), strict=True) if not by_some]
    if not lost:
        return
    named = [
        f"{v.table} {v.row} ({'loading' if v.table != BUS else 'voltage'} {v.value:.4g}, "
        f"{v.excess:.2g} too {'low' if v.table == BUS and v.value < 1 else 'high'}, "
        f"{line.label(v.step)})"
        for v in lost[:NAMED]
    ]
    raise NoSolution(
        f"congestion: {len(lost)} limits are broken that no sale loads: {', '.join(named)}; they "
        "do not hold without any trade either. Widen them, or use NashBargaining without "
        "congestion management, which schedules devices within the network's limits"
    )
