"""The upper level: rounds of configurations and trades, each no worse than the one before.

With F(u) the least social cost of trading under the configurations u_t, and d the operations,

    min_u  F(u) + c_s sum_t d(u_{t-1}, u_t),   within the limits of operations              (1)

alternates (C. Mu et al., IEEE Trans. Power Systems 40(4), 2025; the two-tier structure is theirs,
the rules below are reconstructed):

inner   u fixed: trading, a convex problem (central, or two-block ADMM), gives F(u), the power p
        and the offers y of the participants (`pp_p2p.market.looped_market`).
outer   the cheapest sequence by the values (1) of `looped_market`, each a cone problem of one hour
        and one configuration in which power moves at the offers y; proven over what is valued
        (`topology_sequence`): all configurations, where they are few, else what branch exchange
        finds to lose least under p, and sweeps of single exchanges around the best sequence.
reduce  a binary that did not change in the last K rounds and is not near an edge that is open is
        fixed (`FreeBinaries`). Where operations are not limited, sweeps begin at the best of what
        loses least, and each counts as a round: branch exchange has been there. Where all
        configurations are looked at, rounds that end with fixed binaries are followed by one with
        all of them free, which gives the bound.
accept  a proposal becomes the incumbent where the inner problem confirms a smaller objective and
        the power flow in pandapower breaks no limit by more, before, between and after operations.
        A change without a safe order of operations at its hour is not proposed again.

The paper's outer step is one mixed-integer cone problem in which p stands still. Where it would
take a sequence, F(u) <= F(u, p) is below the incumbent and so is the estimate: it is proposed here
too, unless `TRIALS` others are tried first; and so is one that pays only if trades change. That
holds among what is valued: all configurations, or less than the paper's step sees. That step as one
more proposal (`pp_p2p.operation.topology_day`) found no other sequence on the 33-bus feeder, in
more time than all rounds took, and is left out.

What holds: the objective never rises; every accepted round lowers it by more than a tolerance and
there are finitely many sequences, so that the rounds end; at the end no sequence that was valued
has an estimate below the incumbent, or none of those tried kept it: a partial optimum, not a
global one. Where all configurations were looked at, the least estimate is a proven bound of (1),
and if nothing ties the hours (no storage, no load that shifts) the incumbent is the optimum. On any
net a convex relaxation bounds (1) from below (`pp_p2p.market.topology_bound`).
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from pp_p2p.algorithms.two_block import Message
from pp_p2p.errors import NoSolution
from pp_p2p.market.fixed_topology import FixedTopology, Point, Round
from pp_p2p.market.hour_values import HourValues
from pp_p2p.market.reconfiguration_options import Reconfiguration, operations
from pp_p2p.market.topology_pool import FreeBinaries, all_trees, distinct, neighbours
from pp_p2p.network.branches import Array
from pp_p2p.network.tree_flow import shape_of
from pp_p2p.operation.branch_exchange import descend, evaluate
from pp_p2p.operation.start_configurations import least_impedance_tree
from pp_p2p.operation.topology_sequence import SwitchingLimits

MOST_VALUES: Final = 2_000
"""Hours that may be valued so that all configurations are looked at in every hour."""

DEPTH: Final = 3
"""Sweeps of exchanges in one outer round, with the offers unchanged."""

TRIALS: Final = 12
"""Proposals of one round that are traded on before it counts as without success."""

PARTS: Final = (1, 4, 8)
"""Numbers of parts of the day for which losses under given power are lowered."""

TOLERATED: Final = 1e-9
"""Broken limits (p.u., summed) below this do not count as more."""

CHEAPEST: Final = 1e-3
"""Price of losses, EUR/MWh, that stands for prices of 0 and below: fewer losses come first."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Where the rounds ended.

    Parameters
    ----------
    point : Point
        Checked.
    bound : float
        Proven bound of (1), EUR; ``-inf`` from rounds that did not look at all configurations.
    rounds : tuple of Round
    inner : tuple of Array
        Residuals (2, iteration) of each distributed inner round.
    termination : str
    in_time : bool
    """

    point: Point
    bound: float
    rounds: tuple[Round, ...]
    inner: tuple[Array, ...]
    termination: str
    in_time: bool


class TopologyRounds:
    """Rounds from given sequences to a partial optimum of (1).

    Parameters
    ----------
    topology : FixedTopology
    limits : SwitchingLimits
        Its cost is that of an operation in the objective.
    options : Reconfiguration
    price : (step,)
        What a p.u. of losses costs in each step, EUR.
    """

    def __init__(
        self,
        topology: FixedTopology,
        limits: SwitchingLimits,
        options: Reconfiguration,
        price: Array,
    ) -> None:
        self._topology, self._graph, self._options = topology, topology.graph, options
        self._limits = limits
        self._price = np.maximum(price, CHEAPEST * topology.data.step_mwh)
        self._n_steps = topology.data.line.n_steps
        self._started = time.perf_counter()
        tree = least_impedance_tree(self._graph)
        most = max(1, MOST_VALUES // self._n_steps)
        self._all = all_trees(self._graph, tree, most)
        self._values = HourValues(topology.hours, self._graph, limits)
        self._binaries = FreeBinaries(
            self._graph, self._n_steps, options.unchanged_rounds, options.neighbourhood
        )
        self._rounds: list[Round] = []
        self._inner: list[Array] = []
        self._anchors: dict[bytes, Array] = {}
        self._bound = -np.inf

    def run(self, starts: list[Array]) -> Outcome:
        """Return the partial optimum that is reached from the best of `starts` (step, edge).

        Raises
        ------
        NoSolution
            No sequence that was looked at can be traded on.
        """
        self._started = time.perf_counter()
        now = self._first(starts)
        free = self._binaries
        everything = np.broadcast_to(self._graph.switchable, now.closed.shape)
        if self._limits.max_operations == 0:  # there is nothing to choose
            return self._ended(now, "as it stands")
        binaries, termination = free.free(now.closed), "rounds"
        for _ in range(self._options.max_rounds):
            before = now
            now = self._round(now, binaries)
            free.after(before.closed, now.closed)
            if self._left() <= 0:
                termination = "time limit"
                break
            if now is not before:
                binaries = free.free(now.closed)
                if self._bound >= now.objective - self._least_gain(now):
                    termination = "proven optimum"
                    break
            elif self._all is None or (binaries == everything).all():
                termination = "partial optimum"
                break
            else:
                binaries = everything.copy()
        if self._bound >= now.objective - self._least_gain(now):
            termination = "proven optimum"
        return self._ended(now, termination)

    def _ended(self, now: Point, termination: str) -> Outcome:
        return Outcome(
            point=now,
            bound=min(self._bound, now.objective),
            rounds=tuple(self._rounds),
            inner=tuple(self._inner),
            termination=termination,
            in_time=termination != "time limit",
        )

    def _round(self, now: Point, free: Array) -> Point:
        """Return the incumbent after one outer round."""
        trials, taken = 0, now
        self._tell("agents", "operator", "offers", now.duals)
        self._tell("agents", "operator", "power", now.load)
        before = self._values.count
        for closed in self._proposals(now, free):
            if trials >= TRIALS or self._left() <= 0:
                break
            self._tell("operator", "agents", "configurations", closed)
            trials += 1
            tried = self._solve(closed)
            if tried is not None and self._better(tried, now):
                tried = self._topology.checked(tried)
                if tried.excess <= now.excess + TOLERATED and tried.unsafe <= now.unsafe:
                    taken = tried
                    break
                if tried.unsafe > now.unsafe:
                    self._values.ban(closed, tried.unsafe_steps)
                    continue
            if tried is not None:
                self._values.also(tried.duals, now.objective)
        self._record(taken, taken is not now, int(free.sum()), trials, before)
        return taken

    def _proposals(self, now: Point, free: Array) -> Iterator[Array]:
        """Yield sequences that may be better than the incumbent, the most hopeful one first."""
        self._values.offer(now.duals)
        if self._all is not None:
            pool = [np.tile(tree, (self._n_steps, 1)) for tree in self._all]
            for same in pool:
                held = ((same == now.closed) | free).all(axis=1)
                self._values.look(same[0], np.flatnonzero(held))
        else:
            self._look_around(now, free)
        known: set[bytes] = {now.closed.tobytes()}
        complete = self._all is not None and bool((free == self._graph.switchable).all())
        while (found := self._values.best()) is not None:
            value, closed = found
            if complete and not self._values.bans and not self._topology.hours.unsure:
                self._bound = max(self._bound, value)
            hopeless = value >= now.objective - self._least_gain(now)
            if hopeless or closed.tobytes() in known:
                return
            known.add(closed.tobytes())
            yield closed

    def _look_around(self, now: Point, free: Array) -> None:
        """Value what loses least under the present power, and what is one exchange away."""
        anchors = [*distinct(now.closed), *self._least_loss(now.load, now.closed, free)]
        self._look_at([*anchors, *self._anchors.values()], now, free)
        if self._limits.limited:  # what loses least may be out of reach
            self._value_exchanges(now.closed, now, free)
        here, last, sweep = now.closed, np.inf, self._binaries.copy()
        for _ in range(DEPTH):
            found = self._values.best()
            if found is None or found[0] >= last - self._least_gain(now) or self._left() <= 0:
                return
            sweep.after(here, found[1])
            last, here = found
            self._anchors |= {row.tobytes(): row for row in distinct(here)}
            self._look_at(distinct(here), now, free)
            reduced = free if self._limits.limited else free & sweep.free(here)
            self._value_exchanges(here, now, reduced)

    def _look_at(self, trees: list[Array], now: Point, free: Array) -> None:
        """Value configurations in every step in which they differ in free binaries only."""
        for closed in trees:
            if self._left() > 0:
                held = ((closed == now.closed) | free).all(axis=1)
                self._values.look(closed, np.flatnonzero(held))

    def _value_exchanges(self, sequence: Array, now: Point, free: Array) -> None:
        """Value exchanges of free binaries from a sequence (step, edge)."""
        for tree in distinct(sequence):
            steps = np.flatnonzero((sequence == tree).all(axis=1))
            load = now.load[:, steps]
            mark = self._values.yardstick(tree, load)
            for near in neighbours(self._graph, tree, np.asarray(free[steps].any(axis=0))):
                held = ((near == tree) | free[steps]).all(axis=1)
                self._values.look_if_hopeful(near, steps[held], load[:, held], mark.at(held))
                if self._left() <= 0:
                    return

    def _least_loss(self, load: Array, incumbent: Array, free: Array) -> list[Array]:
        """Return what branch exchange finds to lose least under given power, limits first.

        For the day, for parts of it and for every step, from the incumbent and, where everything
        is free, from the tree of least impedance.
        """
        found: dict[bytes, Array] = {}
        everything = bool((free == self._graph.switchable).all())
        for n_parts in sorted({min(n, self._n_steps) for n in (*PARTS, self._n_steps)}):
            for steps in np.array_split(np.arange(self._n_steps), n_parts):
                graph = dataclasses.replace(
                    self._graph, switchable=np.asarray(free[steps].any(axis=0))
                )
                starts = [incumbent[steps[0]]]
                if everything:
                    starts.append(least_impedance_tree(self._graph))
                for start in starts:
                    begin = evaluate(graph, start, load[:, steps], self._price[steps])
                    if begin is not None:
                        end = descend(graph, begin, load[:, steps], self._price[steps])
                        found[end.closed.tobytes()] = end.closed
        return list(found.values())

    def _first(self, starts: list[Array]) -> Point:
        """Return the best point of `starts`, or of what else can be traded on."""
        present = np.tile(self._graph.closed, (self._n_steps, 1))
        self._wish(present)
        points = [p for p in map(self._solve, starts) if p is not None]
        if not points:
            points = self._search_start(present)
        points = [self._topology.checked(p) for p in points]
        first = min(points, key=lambda p: (p.excess > TOLERATED, p.objective))
        self._tell("operator", "agents", "configurations", first.closed)
        self._record(first, True, int(self._graph.switchable.sum()) * self._n_steps, len(points), 0)
        return first

    def _wish(self, present: Array) -> None:
        """Keep in mind the configurations that suit trading without limits of the network."""
        if self._all is not None:
            return
        if shape_of(self._graph, self._graph.closed) is None:
            present = np.tile(least_impedance_tree(self._graph), (self._n_steps, 1))
        load = self._topology.wish(present)
        if load is not None:
            free = np.broadcast_to(self._graph.switchable, present.shape)
            for closed in self._least_loss(load, present, free):
                self._anchors[closed.tobytes()] = closed

    def _search_start(self, present: Array) -> list[Point]:
        """Return a point where the starts have none; say why where there is none."""
        self._values.offer(np.zeros(len(self._topology.hours.tying)))
        steps = np.arange(self._n_steps)
        trees = self._all or [*self._anchors.values(), present[0]]
        for tree in trees:
            self._values.look(tree, steps)
        if self._all is None and self._values.best() is None:
            free = self._graph.switchable
            for tree in list(self._anchors.values()):
                for near in neighbours(self._graph, tree, free):
                    self._values.look(near, steps)
        for _ in range(TRIALS):
            found = self._values.best()
            if found is None:
                break
            point = self._solve(found[1])
            if point is not None:
                return [point]
            self._values.forget(found[1])
        raise NoSolution(self._why_none())

    def _why_none(self) -> str:
        line = self._topology.data.line
        empty = self._values.empty_steps()
        of = "of all" if self._all is not None else "that was looked at, of those within reach,"
        if len(empty):
            return (
                f"trade_day: no radial configuration {of} keeps the limits of voltage and current "
                f"in {line.label(int(empty[0]))} (and {len(empty) - 1} more steps), whatever is "
                "traded; widen net.bus.min_vm_pu / max_vm_pu or max_i_ka, let participants shed "
                "load or curtail, or add switches"
            )
        return (
            "trade_day: every step has a radial configuration that keeps the limits of voltage "
            "and current, but no sequence of them keeps the limits of switching "
            f"(max_operations={self._options.max_operations}, max_operations_per_switch="
            f"{self._options.max_operations_per_switch}, min_dwell_h="
            f"{self._options.min_dwell_h:g}); allow more operations"
        )

    def _solve(self, closed: Array) -> Point | None:
        point = self._topology.solve(closed)
        if point is not None and point.residuals is not None:
            self._inner.append(point.residuals)
        return point

    def _better(self, tried: Point, now: Point) -> bool:
        lower = tried.objective < now.objective - self._least_gain(now)
        return lower or (tried.excess < now.excess - TOLERATED)

    def _least_gain(self, now: Point) -> float:
        return self._options.least_gain(now.objective)

    def _left(self) -> float:
        return self._options.time_limit_s - (time.perf_counter() - self._started)

    def _record(self, now: Point, accepted: bool, free: int, trials: int, valued: int) -> None:
        replayed = now.replay
        assert replayed is not None
        vm = self._topology.vm(now)
        self._rounds.append(
            Round(
                objective=now.objective,
                bound=self._values.lowest,
                free=free,
                looked_at=self._values.count - valued,
                trials=trials,
                accepted=accepted,
                operations=int(operations(self._graph.closed, now.closed).sum()),
                seconds=time.perf_counter() - self._started,
                ac_vm_error_pu=replayed.vm_error(vm),
                ac_excess=now.excess,
            )
        )

    def _tell(self, sender: str, receiver: str, what: str, values: Array) -> None:
        if self._options.listen is not None:
            self._options.listen(Message(len(self._rounds) + 1, sender, receiver, what, values))
