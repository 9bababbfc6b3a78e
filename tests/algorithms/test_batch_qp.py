"""The batched solver against a solver for one problem at a time, its prices and its refusals."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pp_p2p.algorithms import batch_qp
from pp_p2p.algorithms.batch_data import Boxed, LocalProblems, ShiftData, StorageData
from pp_p2p.algorithms.batch_qp import INFEASIBLE, OPTIMAL, BatchQP
from pp_p2p.errors import InvalidInput

some = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def _reference(matrices: Any, solved: Any, problems: LocalProblems, n: int, added: Any) -> Any:
    """Solve agent n alone with (cost, curvature) added by name."""
    one, steps = matrices(problems, n), problems.shape[1]
    names = list(problems.boxes())
    for name, (cost, curvature) in added.items():
        at = slice(names.index(name) * steps, (names.index(name) + 1) * steps)
        one["c"][at] += cost
        one["q"][at] += curvature
    from scipy.sparse import diags

    status, cost, x, y = solved(diags(one["q"]), one["c"], one["A"], one["b"], one["l"], one["u"])
    return status, cost, x.reshape(len(names), steps), y


@some
@given(
    seed=st.integers(0, 10_000),
    steps=st.sampled_from([1, 2, 5, 24]),
    boundary=st.sampled_from([None, 0.35, 5.0]),
    penalty=st.sampled_from([0.0, 30.0, 3000.0]),
    windows=st.integers(1, 3),
)
def test_every_agent_finds_its_optimum(
    random_agents: Any,
    matrices: Any,
    solved: Any,
    seed: int,
    steps: int,
    boundary: float | None,
    penalty: float,
    windows: int,
) -> None:
    problems = random_agents(6, steps, seed=seed, boundary=boundary, windows=min(windows, steps))
    rng = np.random.default_rng(seed)
    target, price = rng.normal(0.0, 0.1, problems.shape), rng.uniform(50.0, 220.0, steps)
    cost = price - penalty * target
    found = BatchQP(problems).solve(trade_cost=cost, trade_curvature=penalty)
    for n in range(6):
        added = {"trade": (cost[n], penalty)}
        status, least, _, _ = _reference(matrices, solved, problems, n, added)
        if status == "Solved":
            assert found.status[n] == OPTIMAL
            assert found.cost[n] == pytest.approx(least, rel=1e-6, abs=1e-6)
        else:
            assert found.status[n] == INFEASIBLE
    _assert_feasible(problems, found)


def _assert_feasible(problems: LocalProblems, found: Any) -> None:
    fine, q = found.status == OPTIMAL, found.quantities
    inside = sum(v for k, v in q.items() if k.startswith("inside"))
    lacking = found.boundary + inside + q["discharge"] - q["charge"] - q["up"] + q["down"]
    np.testing.assert_allclose(lacking[fine], problems.demand[fine], atol=1e-7)
    for name, box in problems.boxes().items():
        assert (q[name] >= box.lower - 1e-9)[fine].all()
        assert (q[name] <= box.upper + 1e-9)[fine].all()
    s, h = problems.storage, np.broadcast_to(problems.step_h, problems.shape[1:])
    filled = h * s.charge_efficiency[:, None] * q["charge"]
    drained = h / s.discharge_efficiency[:, None] * q["discharge"]
    before = q["energy"] - filled + drained
    np.testing.assert_allclose(before[fine, 1:], q["energy"][fine, :-1], atol=1e-6)
    free = np.isnan(s.start) & np.isnan(s.end) & fine
    np.testing.assert_allclose(before[free, 0], q["energy"][free, -1], atol=1e-6)
    given_start = ~np.isnan(s.start) & fine
    np.testing.assert_allclose(before[given_start, 0], s.start[given_start], atol=1e-6)


def test_unique_schedules_and_prices_agree(random_agents: Any, matrices: Any, solved: Any) -> None:
    problems = random_agents(8, 24, seed=4, boundary=0.4, convex=True)
    terms = {"trade": (120.0, 500.0), "boundary": (3.0, 20.0)}
    found = BatchQP(problems).solve(
        trade_cost=120.0,
        trade_curvature=500.0,
        boundary_cost=3.0,
        boundary_curvature=20.0,
        tolerance=1e-10,
    )
    for n in range(8):
        _, _, x, y = _reference(matrices, solved, problems, n, terms)
        np.testing.assert_allclose(found.trade[n], x[0], atol=1e-5)
        np.testing.assert_allclose(found.boundary[n], x[3], atol=1e-5)
        np.testing.assert_allclose(found.connection_price[n], y[:24], atol=0.05)
        np.testing.assert_allclose(found.price[n], y[24:48], atol=0.05)


@some
@given(seed=st.integers(0, 10_000), share=st.sampled_from([0.0, 0.3, 1.0]))
def test_boundary_power_and_last_levels_may_be_given(
    random_agents: Any, matrices: Any, solved: Any, seed: int, share: float
) -> None:
    """Boxes that are points: given power through the connection, cyclic storage, level fixed."""
    problems = random_agents(4, 12, seed=seed, boundary=1.0)
    through = share * (problems.demand - problems.inside[0].upper)
    energy = problems.storage.energy_max
    least, most = np.zeros((4, 12)), np.broadcast_to(energy, (4, 12)).copy()
    least[:, -1] = most[:, -1] = 0.25 * energy[:, 0]
    storage = replace(problems.storage, energy_min=least, energy_max=most, start=np.nan, end=np.nan)
    shed = Boxed(lower=0.0, upper=1.0, cost=900.0)
    spill = Boxed(lower=-1.0, upper=0.0, cost=-1.0)
    problems = replace(
        problems,
        boundary=Boxed(lower=through, upper=through),
        inside=(*problems.inside, shed, spill),
        storage=storage,
    )
    found = BatchQP(problems).solve(trade_cost=120.0, trade_curvature=300.0)
    for n in range(4):
        added = {"trade": (120.0, 300.0)}
        _, least_cost, _, _ = _reference(matrices, solved, problems, n, added)
        assert found.status[n] == OPTIMAL
        assert found.cost[n] == pytest.approx(least_cost, rel=1e-6, abs=1e-5)


def test_price_is_the_cost_of_one_more_unit(random_agents: Any) -> None:
    problems = random_agents(20, 24, seed=2, convex=True)
    at, dx = (slice(None), 12), 1e-5
    base = BatchQP(problems).solve(trade_cost=110.0, trade_curvature=500.0, tolerance=1e-10)
    more = problems.demand.copy()
    more[at] += dx
    moved = BatchQP(replace(problems, demand=more)).solve(
        trade_cost=110.0, trade_curvature=500.0, tolerance=1e-10
    )
    np.testing.assert_allclose((moved.cost - base.cost) / dx, base.price[at], rtol=2e-3)


def test_agents_do_not_know_each_other(random_agents: Any, monkeypatch: Any) -> None:
    problems = random_agents(30, 24, seed=1)
    whole = BatchQP(problems).solve(trade_cost=120.0, trade_curvature=200.0)
    monkeypatch.setattr(batch_qp, "CHUNK", 7)
    parts = BatchQP(problems).solve(trade_cost=120.0, trade_curvature=200.0)
    np.testing.assert_allclose(whole.cost, parts.cost, rtol=1e-7)
    np.testing.assert_allclose(whole.trade, parts.trade, atol=1e-6)


@some
@given(seed=st.integers(0, 10_000), size=st.sampled_from([1e-3, 0.1, 3.0, 300.0]))
def test_a_warm_start_changes_nothing_but_the_way(
    random_agents: Any, seed: int, size: float
) -> None:
    batch = BatchQP(random_agents(5, 24, seed=seed))
    rng = np.random.default_rng(seed)
    first = batch.solve(trade_cost=120.0, trade_curvature=400.0)
    price = 120.0 + size * rng.normal(size=(5, 24))
    cold = batch.solve(trade_cost=price, trade_curvature=400.0)
    warm = batch.solve(trade_cost=price, trade_curvature=400.0, warm=first)
    again = batch.solve(trade_cost=price, trade_curvature=400.0, warm=first)
    assert (warm.status == OPTIMAL).all()
    np.testing.assert_allclose(warm.cost, cold.cost, rtol=1e-6, atol=1e-5)
    np.testing.assert_array_equal(warm.trade, again.trade)
    if size <= 0.1:
        assert warm.iterations.mean() < 0.7 * cold.iterations.mean()


def test_units_of_power_and_money_do_not_matter(random_agents: Any) -> None:
    mw = random_agents(10, 24, seed=8)
    box = mw.outside[0]
    kw = LocalProblems(
        demand=1e3 * mw.demand,
        trade=Boxed(lower=-1e3, upper=1e3),
        outside=(Boxed(lower=0.0, upper=2e3, cost=box.cost / 1e3),),
        inside=(Boxed(lower=0.0, upper=1e3 * mw.inside[0].upper),),
    )
    same = replace(mw, outside=mw.outside[:1], inside=mw.inside[:1], storage=None, shift=None)
    a = BatchQP(same).solve(trade_cost=120.0, trade_curvature=300.0)
    b = BatchQP(kw).solve(trade_cost=0.12, trade_curvature=300.0 / 1e6)
    np.testing.assert_allclose(b.trade, 1e3 * a.trade, rtol=1e-4, atol=1e-2)
    np.testing.assert_allclose(b.cost, a.cost, rtol=1e-6)


def test_agreed_trades_are_kept(random_agents: Any) -> None:
    problems = random_agents(4, 24, seed=3)
    trade = np.random.default_rng(0).uniform(-0.1, 0.1, problems.shape)
    found = BatchQP(problems).solve(fixed_trade=trade)
    np.testing.assert_allclose(found.trade, trade, atol=1e-15)
    assert (found.status == OPTIMAL).all()


def test_who_cannot_be_served_is_named(random_agents: Any) -> None:
    problems = random_agents(5, 24, seed=6, boundary=5.0)
    upper = np.full(problems.shape, 5.0)
    upper[3, 18] = -5.0
    tight = replace(problems, boundary=Boxed(lower=-5.0, upper=upper))
    found = BatchQP(tight).solve(trade_cost=120.0, trade_curvature=100.0)
    np.testing.assert_array_equal(found.status, [OPTIMAL] * 3 + [INFEASIBLE, OPTIMAL])
    assert int(np.abs(found.price[3]).argmax()) == 18


def test_a_storage_that_cannot_reach_its_end_is_infeasible() -> None:
    problems = LocalProblems(
        demand=np.zeros((2, 3)),
        trade=Boxed(lower=-1.0, upper=1.0),
        storage=StorageData(
            charge_max=0.1, discharge_max=0.1, energy_max=2.0, start=0.0, end=np.array([0.2, 1.0])
        ),
    )
    found = BatchQP(problems).solve(trade_cost=1.0)
    np.testing.assert_array_equal(found.status, [OPTIMAL, INFEASIBLE])
    assert found.cost[0] == pytest.approx(0.2)


def test_by_hand_two_steps() -> None:
    """Charge when cheap: buys (1 + 1) / 0.9^2... of step 0 for one unit in step 1."""
    problems = LocalProblems(
        demand=np.array([[0.0, 1.0]]),
        trade=Boxed(lower=0.0, upper=0.0),
        outside=(Boxed(lower=0.0, upper=5.0, cost=np.array([10.0, 30.0])),),
        storage=StorageData(
            charge_max=5.0,
            discharge_max=5.0,
            energy_max=5.0,
            charge_efficiency=0.9,
            discharge_efficiency=0.9,
            start=0.0,
        ),
    )
    found = BatchQP(problems).solve()
    assert found.cost[0] == pytest.approx(10.0 / 0.81)
    np.testing.assert_allclose(found.quantities["charge"], [[1.0 / 0.81, 0.0]], atol=1e-6)
    np.testing.assert_allclose(found.price[0], [10.0, 10.0 / 0.81], rtol=1e-5)


def test_load_moves_within_its_window_only() -> None:
    problems = LocalProblems(
        demand=np.ones((1, 4)),
        trade=Boxed(lower=0.0, upper=0.0),
        outside=(Boxed(lower=0.0, upper=5.0, cost=np.array([4.0, 3.0, 2.0, 1.0])),),
        shift=ShiftData(up_max=0.5, down_max=0.5, window=np.array([0, 0, 1, 1])),
    )
    found = BatchQP(problems).solve()
    moved = found.quantities["up"] - found.quantities["down"]
    np.testing.assert_allclose(moved, [[-0.5, 0.5, -0.5, 0.5]], atol=1e-6)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"demand": np.array([[1.0, np.nan]])}, "not finite"),
        ({"trade": Boxed(lower=1.0, upper=0.0)}, "above the upper"),
        ({"trade": Boxed(lower=np.zeros(3), upper=1.0)}, "has shape"),
        ({"outside": (Boxed(lower=-np.inf, upper=np.inf),)}, "neither a bound nor curvature"),
        ({"inside": (Boxed(lower=0.0, upper=1.0, curvature=-1.0),)}, "curvature < 0"),
        ({"shift": ShiftData(up_max=1.0, down_max=1.0, window=-1)}, "outside of every window"),
        ({"step_h": 0.0}, "not above 0"),
        (
            {
                "storage": StorageData(
                    charge_max=1.0, discharge_max=1.0, energy_max=1.0, charge_efficiency=1.2
                )
            },
            "not in (0, 1]",
        ),
    ],
)
def test_bad_input(change: dict[str, Any], rule: str) -> None:
    good: dict[str, Any] = {"demand": np.ones((1, 2)), "trade": Boxed(lower=0.0, upper=1.0)}
    with pytest.raises(InvalidInput) as error:
        LocalProblems(**(good | change))
    assert rule in str(error.value)


def test_an_unbounded_trade_needs_curvature() -> None:
    problems = LocalProblems(demand=np.ones((1, 2)), trade=Boxed(lower=-np.inf, upper=np.inf))
    with pytest.raises(InvalidInput, match="neither bounds nor curvature"):
        BatchQP(problems).solve()
    np.testing.assert_allclose(BatchQP(problems).solve(trade_curvature=1.0).trade, 1.0, atol=1e-7)


def test_short_steps_alone_come_to_the_same_schedules(
    random_agents: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left for an agent with which everything else runs in circles."""
    batch = BatchQP(random_agents(40, 24, seed=3))
    terms = {"trade_cost": 120.0, "trade_curvature": 500.0}
    usual = batch.solve(**terms)
    monkeypatch.setattr("pp_p2p.algorithms.batch_qp.LONG", 0)
    found = batch.solve(**terms)
    assert (found.status == OPTIMAL).all()
    assert (found.iterations > usual.iterations).all()
    np.testing.assert_allclose(found.trade, usual.trade, atol=1e-5)
    np.testing.assert_allclose(found.cost, usual.cost, rtol=1e-6, atol=1e-5)


def test_work_grows_linearly(random_agents: Any) -> None:
    """300 and 1200 agents: no more iterations for each, and memory in proportion."""
    found = []
    for n in (300, 1200):
        batch = BatchQP(random_agents(n, 24, seed=0))
        tracemalloc.start()
        solved = batch.solve(trade_cost=120.0, trade_curvature=500.0)
        found.append((solved.iterations, tracemalloc.get_traced_memory()[1]))
        tracemalloc.stop()
    (few, less), (many, more) = found
    assert many.mean() <= 1.1 * few.mean()
    assert np.quantile(many, 0.95) <= np.quantile(few, 0.95) + 2
    assert more <= 4.4 * less
