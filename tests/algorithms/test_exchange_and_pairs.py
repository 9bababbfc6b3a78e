"""The reference vector and its laws through the exchange and through pair trades."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pp_p2p.algorithms.consensus import Balancing, Rest, Stop, run
from pp_p2p.algorithms.exchange import balanced, exchange, price
from pp_p2p.algorithms.pairs import (
    Pairs,
    bargained_payments,
    pair_prices,
    pair_trades,
    proposals,
)
from pp_p2p.algorithms.two_block import Answer, Local, Message, Reply, start, stepper
from pp_p2p.errors import InvalidInput

# three microgrids, one period, f_n(e) = a/2 (d-e)^2 + b (d-e) (derived by hand and checked by NLP)
A, B, D = np.array([0.2, 0.4, 0.3]), np.array([1.0, 2.0, 1.5]), np.array([4.0, 6.0, -3.0])
PRICE = 2.0307692
POSITION = np.array([-1.1538462, 5.9230769, -4.7692308])
COST = np.array([7.8100592, 0.1550296, 3.1233728])
GAIN = np.array([-2.2100592, 19.0449704, -6.2733728])
TIGHT = Stop(absolute=1e-9, relative=0.0, max_iterations=20_000)
COUNTED = Stop(absolute=1e-8, relative=0.0, max_iterations=20_000)


def _quadratic(a: Any = A, b: Any = B, d: Any = D) -> Local:
    """Agents with cost ``a/2 (d - e)^2 + b (d - e)`` per step; a, b, d (agent,)."""
    a, b, d = (np.asarray(value)[:, None] for value in (a, b, d))

    def local(targets: Any, penalties: Any, _: Any) -> Reply:
        target, rho = targets[0], penalties[0]
        e = (a * d + b + rho * target) / (a + rho)
        return Reply((e,), (0.5 * a * (d - e) ** 2 + b * (d - e)).sum(axis=1))

    return local


def _pool(local: Local, n: int, rho: float, stop: Stop = TIGHT, **more: Any) -> Rest[Any]:
    relaxation, extra = more.pop("relaxation", 1.6), more.pop("extra", None)
    step = stepper(local, (exchange(extra),), relaxation=relaxation)
    return run(step, start(((n, 1),), rho), stop=stop, **more)


def _pairwise(
    local: Local, pairs: Pairs, rho: float, stop: Stop = TIGHT, part: Any = None, **more: Any
) -> Rest[Any]:
    relaxation, listen = more.pop("relaxation", 1.6), more.pop("listen", None)
    parts = (part or pair_trades(),)
    step = stepper(proposals(local, pairs), parts, relaxation=relaxation, listen=listen)
    return run(step, start(((len(pairs.agents), 2, 1),), rho), stop=stop, **more)


def test_reference_quantities_in_the_exchange() -> None:
    rest = _pool(_quadratic(), 3, 0.3)
    np.testing.assert_allclose(rest.state.z[0][:, 0], POSITION, atol=1e-6)
    np.testing.assert_allclose(price(rest.state), PRICE, atol=1e-6)
    assert rest.state.objective == pytest.approx(COST.sum(), abs=1e-6)


def test_reference_quantities_between_pairs() -> None:
    pairs = Pairs.everyone(3)
    rest = _pairwise(_quadratic(), pairs, 0.3)
    np.testing.assert_allclose(pairs.sums(rest.state.z[0])[:, 0], POSITION, atol=1e-6)
    np.testing.assert_allclose(pair_prices(rest.state), PRICE, atol=1e-6)
    np.testing.assert_array_equal(rest.state.z[0][:, 0], -rest.state.z[0][:, 1])


POWERS = [
    (np.ones(3), [-5.7305720, 15.5244576, -9.7938856]),
    (np.array([0.0974026, 0.5, 0.4025974]), [-3.2387805, 13.7642012, -10.5254207]),
    (np.array([0.2737120, 0.6321206, 1.7182818]), [-3.3116956, 16.5008109, -13.1891153]),
]


@pytest.mark.parametrize(("power", "payment"), POWERS)
def test_reference_payments(power: np.ndarray, payment: list[float]) -> None:
    total = GAIN.sum()
    local = bargained_payments(GAIN / total, power / power.sum())
    pool = _pool(local, 3, 3.0, balancing=Balancing())
    np.testing.assert_allclose(total * pool.state.z[0][:, 0], payment, atol=1e-6)
    pairs = Pairs.everyone(3)
    split = _pairwise(local, pairs, 3.0, balancing=Balancing())
    paid = total * pairs.sums(split.state.z[0])[:, 0]
    np.testing.assert_allclose(paid, payment, atol=1e-6)
    assert abs(paid.sum()) <= 1e-9 * total


def test_reference_payments_in_a_corridor() -> None:
    total, bound = GAIN.sum(), np.array([12.0, 13.0, 9.0])
    local = bargained_payments(GAIN / total, POWERS[1][0], -bound / total, bound / total)
    rest = _pool(local, 3, 3.0, balancing=Balancing())
    paid = total * rest.state.z[0][:, 0]
    np.testing.assert_allclose(paid, [-3.4874904, 12.4874904, -9.0], atol=1e-6)


def test_every_payment_on_the_way_leaves_a_gain() -> None:
    """The logarithm keeps iterates strictly rational: no safeguard is needed."""
    total = GAIN.sum()
    seen: list[np.ndarray] = []
    _pool(
        bargained_payments(GAIN / total, np.ones(3) / 3),
        3,
        0.01,
        watch=lambda _k, state: seen.append(state.x[0][:, 0]),
    )
    assert (GAIN / total - np.array(seen) > 0.0).all()


# formulations: tolerance 1e-8, by start penalty: no relaxation, 1.6, adaptive
@pytest.mark.parametrize(
    ("rho", "plain", "relaxed", "adaptive"),
    [(0.02, 582, 360, 58), (0.3, 46, 25, 37), (5.0, 237, 150, 71)],
)
def test_iterations_are_about_as_known(rho: float, plain: int, relaxed: int, adaptive: int) -> None:
    pairs = Pairs.everyone(3)
    found = [
        _pairwise(_quadratic(), pairs, rho, COUNTED, relaxation=a, balancing=b).iterations
        for a, b in ((1.0, None), (1.6, None), (1.0, Balancing()))
    ]
    np.testing.assert_allclose(found, [plain, relaxed, adaptive], rtol=0.1)


curvature = arrays(float, 4, elements=st.floats(0.1, 3.0))
slope = arrays(float, 4, elements=st.floats(0.0, 5.0))
demand = arrays(float, 4, elements=st.floats(-5.0, 5.0))


@settings(max_examples=30, deadline=None)
@given(a=curvature, b=slope, d=demand)
def test_exchange_and_pairs_agree_with_the_closed_form(
    a: np.ndarray, b: np.ndarray, d: np.ndarray
) -> None:
    clearing = (d + b / a).sum() / (1.0 / a).sum()
    position = d - (clearing - b) / a
    pool = _pool(_quadratic(a, b, d), 4, float(a.mean()), balancing=Balancing())
    np.testing.assert_allclose(pool.state.x[0][:, 0], position, atol=1e-6)
    np.testing.assert_allclose(price(pool.state), clearing, atol=1e-6)
    ring = Pairs(agents=np.array([[0, 1], [1, 2], [2, 3], [3, 0]]), n_agents=4)
    split = _pairwise(_quadratic(a, b, d), ring, float(a.mean()), balancing=Balancing())
    np.testing.assert_allclose(ring.sums(split.state.z[0])[:, 0], position, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(
    v=arrays(float, (5, 2), elements=st.floats(-3.0, 3.0)),
    fee=st.floats(0.01, 2.0),
    limit=st.floats(0.0, 2.0),
)
def test_exchange_with_a_fee_has_one_price(v: np.ndarray, fee: float, limit: float) -> None:
    """First-order conditions: one price mu per step explains everyone's position."""
    rho = 0.7
    z = exchange(fee=fee, limit=limit).second(v, rho, None).z
    np.testing.assert_allclose(z.sum(axis=0), 0.0, atol=1e-12)
    assert (np.abs(z) <= limit + 1e-12).all()
    # v_n - z_n - fee/rho sign(z_n) = mu inside; within fee/rho of mu at 0; beyond it at a limit
    slope = v - z
    least = np.where(z > 1e-9, slope - fee / rho, slope - fee / rho)
    most = np.where(z > 1e-9, slope - fee / rho, slope + fee / rho)
    least = np.where(z < -1e-9, slope + fee / rho, least)
    most = np.where(z < -1e-9, slope + fee / rho, most)
    least = np.where(z >= limit - 1e-9, -np.inf, least)
    most = np.where(z <= -limit + 1e-9, np.inf, most)
    assert (least.max(axis=0) <= most.min(axis=0) + 1e-7).all()


def test_an_extra_agent_gives_what_the_others_take() -> None:
    """It sells at cost c e^2 / 2: the price is its marginal cost."""
    c = 0.5

    def grid(target: Any, rho: float, _: Any) -> Answer:
        e = rho * target / (c + rho)
        return Answer(e, float((0.5 * c * e**2).sum()))

    rest = _pool(_quadratic(), 3, 0.3, extra=grid)
    clearing = (D + B / A).sum() / ((1.0 / A).sum() + 1.0 / c)
    given_ = rest.state.z[0].sum(axis=0)
    np.testing.assert_allclose(price(rest.state), clearing, atol=1e-6)
    np.testing.assert_allclose(given_, clearing / c, atol=1e-5)


def test_a_fee_parts_the_prices_and_stops_circles() -> None:
    pairs, fee = Pairs.everyone(3), 0.2
    rest = _pairwise(_quadratic(), pairs, 0.3, part=pair_trades(fee=fee), balancing=Balancing())
    trade, worth = rest.state.z[0][:, 0, 0], pair_prices(rest.state)[:, :, 0]
    traded = np.abs(trade) > 1e-6
    apart = (worth[:, 0] - worth[:, 1]) * np.sign(trade)
    np.testing.assert_allclose(apart[traded], fee, atol=1e-5)
    assert (np.abs(apart[~traded]) <= fee + 1e-6).all()
    bought = {(int(n), int(m)) for (n, m), e in zip(pairs.agents, trade, strict=True) if e > 1e-6}
    bought |= {(int(m), int(n)) for (n, m), e in zip(pairs.agents, trade, strict=True) if e < -1e-6}
    buyers, sellers = {n for n, _ in bought}, {m for _, m in bought}
    assert not buyers & sellers
    free = _pairwise(_quadratic(), pairs, 0.3)
    assert np.abs(trade).sum() < np.abs(free.state.z[0][:, 0]).sum()


def test_a_limit_holds() -> None:
    pairs = Pairs.everyone(3)
    rest = _pairwise(_quadratic(), pairs, 0.3, part=pair_trades(limit=1.5), balancing=Balancing())
    assert np.abs(rest.state.z[0]).max() <= 1.5
    assert np.abs(rest.state.z[0]).max() == pytest.approx(1.5)


def test_nothing_leaves_an_agent_but_its_proposals() -> None:
    told: list[Message] = []
    pairs = Pairs.everyone(3)
    quiet = _quadratic()
    rest = _pairwise(
        lambda t, p, m: quiet(t, p, m)._replace(cost=None), pairs, 0.3, listen=told.append
    )
    left = [message for message in told if message.sender == "agents"]
    assert {message.quantity for message in left} == {"trade proposal"}
    assert {message.receiver for message in left} == {"partners"}
    assert [message.iteration for message in left] == list(range(1, rest.iterations + 1))
    assert np.isnan(rest.state.objective)
    np.testing.assert_array_equal(left[-1].values, rest.state.x[0])


def test_costs_that_leave_are_in_the_log() -> None:
    told: list[Message] = []
    _pairwise(_quadratic(), Pairs.everyone(3), 0.3, listen=told.append)
    assert {m.quantity for m in told if m.sender == "agents"} == {"trade proposal", "cost"}


@given(
    position=arrays(float, (4, 3), elements=st.floats(-5.0, 5.0)),
    total=st.floats(-3.0, 3.0),
)
def test_repair_clears_to_rounding_within_bounds(position: np.ndarray, total: float) -> None:
    found = balanced(position, -4.0, 2.0, total)
    assert np.abs(found.sum(axis=0) - total).max() <= 1e-12
    assert (found >= -4.0).all()
    assert (found <= 2.0).all()
    inner = (found > -4.0 + 1e-9) & (found < 2.0 - 1e-9)
    for t in range(3):  # the nearest point: one shift for all that are free
        shift = (found - position)[inner[:, t], t]
        assert np.ptp(shift) <= 1e-9 if shift.size else True


def test_repair_says_where_bounds_are_too_narrow() -> None:
    with pytest.raises(InvalidInput, match=r"row 1 .*bounds in these steps"):
        balanced(np.zeros((2, 2)), -1.0, np.array([[1.0, 0.0], [1.0, 0.0]]), [0.0, 0.5])


@pytest.mark.parametrize(
    ("agents", "n", "rule"),
    [
        ([[0, 3]], 2, "does not exist"),
        ([[1, 1], [0, 1]], 2, "with itself"),
        ([[0, 1], [1, 0]], 2, "occurs before"),
        ([[0, 1]], 3, "no partner"),
        (np.zeros((0, 2), dtype=int), 2, "no axes"),
    ],
)
def test_bad_pairs(agents: Any, n: int, rule: str) -> None:
    with pytest.raises(InvalidInput, match=rule):
        Pairs(agents=np.asarray(agents), n_agents=n)


def test_bad_fee_and_power() -> None:
    with pytest.raises(InvalidInput, match="fee"):
        pair_trades(fee=-1.0)
    with pytest.raises(InvalidInput, match="power"):
        bargained_payments(np.ones(2), np.array([1.0, 0.0]))
