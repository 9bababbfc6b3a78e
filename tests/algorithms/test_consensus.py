"""The loop: known rates, stopping, penalty, and no silent last iterate."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pp_p2p.algorithms.consensus import Balancing, Residuals, Stop, run
from pp_p2p.algorithms.two_block import Answer, Part, Reply, TwoBlockState, start, stepper
from pp_p2p.errors import Diverging, InvalidInput, NotConverged

positive = st.floats(0.1, 10.0)


def _two_quadratics(a: float, p: float, b: float, q: float, relaxation: float = 1.0) -> Any:
    """``a/2 (x - p)^2 + b/2 (z - q)^2`` with x = z."""

    def local(targets: Any, penalties: Any, _: Any) -> Reply:
        (target,), (rho,) = targets, penalties
        x = (a * p + rho * target) / (a + rho)
        return Reply((x,), 0.5 * a * (x - p) ** 2)

    def second(point: Any, rho: float, _: Any) -> Answer:
        z = (b * q + rho * point) / (b + rho)
        return Answer(z, float(0.5 * b * ((z - q) ** 2).sum()))

    part = Part(name="x", counterpart="other", second=second)
    return stepper(local, (part,), relaxation=relaxation)


def _clipping(low: float, high: float) -> Any:
    """First block in [2, 3], second in [low, high]."""

    def local(targets: Any, _penalties: Any, _: Any) -> Reply:
        return Reply((np.clip(targets[0], 2.0, 3.0),))

    def second(point: Any, _rho: float, _: Any) -> Answer:
        return Answer(np.clip(point, low, high))

    return stepper(local, (Part(name="x", counterpart="other", second=second),), relaxation=1.0)


@given(a=positive, b=positive, rho=positive)
def test_rate_of_two_quadratics(a: float, b: float, rho: float) -> None:
    """The error shrinks by (rho^2 + a b) / ((a + rho)(b + rho)) per step (derived by hand)."""
    step, state = _two_quadratics(a, 1.0, b, -2.0), start(((1,),), rho)
    best = (a * 1.0 + b * -2.0) / (a + b)
    state = step(state)
    rate = (rho**2 + a * b) / ((a + rho) * (b + rho))
    for _ in range(4):
        before = abs(state.z[0][0] - best)
        state = step(state)
        assert abs(state.z[0][0] - best) == pytest.approx(rate * before, rel=1e-6, abs=1e-12)


@given(a=positive, b=positive, rho=positive, relaxation=st.floats(0.5, 1.9))
def test_rest_is_the_optimum(a: float, b: float, rho: float, relaxation: float) -> None:
    stop = Stop(absolute=1e-9, relative=0.0, max_iterations=20_000)
    rest = run(_two_quadratics(a, 1.0, b, -2.0, relaxation), start(((1,),), rho), stop=stop)
    best = (a - 2.0 * b) / (a + b)
    np.testing.assert_allclose(rest.state.x[0], best, atol=1e-6)
    np.testing.assert_allclose(rest.state.y[0], a * (best - 1.0), atol=1e-5)
    assert rest.reason == "residuals"
    assert len(rest.history.primal) == rest.iterations


@given(a=positive, b=positive, rho=positive, relaxation=st.floats(0.5, 1.9))
def test_dual_residual_is_the_distance_from_the_gradient(
    a: float, b: float, rho: float, relaxation: float
) -> None:
    step, state = _two_quadratics(a, 1.0, b, -2.0, relaxation), start(((1,),), rho)
    for _ in range(5):
        state = step(state)
        gradient = a * (state.x[0] - 1.0)
        distance = np.abs(state.y[0] - gradient)[0]
        assert state.residuals.dual == pytest.approx(distance, rel=1e-9, abs=1e-12)


def test_a_step_is_a_pure_function() -> None:
    step, state = _two_quadratics(1.0, 1.0, 2.0, -2.0), start(((1,),), 1.0)
    np.testing.assert_array_equal(step(state).z[0], step(state).z[0])
    assert state.iteration == 0
    assert not state.z[0].any()


def test_balancing_finds_a_penalty() -> None:
    stop = Stop(absolute=1e-8, relative=0.0, max_iterations=100_000)
    step = _two_quadratics(1.0, 1.0, 1.0, -2.0)
    held = run(step, start(((1,),), 1e-3), stop=stop)
    moved = run(step, start(((1,),), 1e-3), stop=stop, balancing=Balancing())
    assert moved.iterations < held.iterations / 20
    assert len(set(held.history.penalty)) == 1


def test_balancing_stops_adapting() -> None:
    balancing = Balancing(ratio=10.0, factor=2.0, every=5, until=100)
    assert balancing.penalty(5, 1.0, 11.0, 1.0) == 2.0
    assert balancing.penalty(5, 1.0, 1.0, 11.0) == 0.5
    assert balancing.penalty(5, 1.0, 9.0, 1.0) == 1.0
    assert balancing.penalty(6, 1.0, 99.0, 1.0) == 1.0
    assert balancing.penalty(105, 1.0, 99.0, 1.0) == 1.0


def test_no_rest_is_an_error_with_its_history() -> None:
    stop = Stop(absolute=1e-12, relative=0.0, max_iterations=7)
    with pytest.raises(NotConverged, match="no rest after 7 iterations") as error:
        run(_two_quadratics(1.0, 1.0, 1.0, -2.0), start(((1,),), 0.01), stop=stop)
    assert len(error.value.history) == 7
    assert isinstance(error.value.last, TwoBlockState)
    assert not isinstance(error.value, Diverging)


def test_parts_without_a_common_point_diverge() -> None:
    """[2, 3] and [0, 1]: the residual stays at 1 and the multiplier grows by rho per step."""
    with pytest.raises(Diverging, match="no point in common") as error:
        run(_clipping(0.0, 1.0), start(((1,),), 0.5), stop=Stop(max_iterations=1000))
    assert len(error.value.history) < 100
    assert error.value.last.residuals.primal == pytest.approx(1.0)  # type: ignore[attr-defined]


def test_parts_that_touch_do_not_diverge() -> None:
    rest = run(_clipping(0.0, 2.0), start(((1,),), 0.5), stop=Stop(max_iterations=1000))
    np.testing.assert_allclose(rest.state.x[0], 2.0, atol=1e-5)


def test_numbers_that_are_no_numbers_are_an_error() -> None:
    def local(targets: Any, _penalties: Any, _: Any) -> Reply:
        return Reply((targets[0] * np.nan,))

    part = Part(name="x", counterpart="other", second=lambda point, _r, _m: Answer(point))
    with pytest.raises(Diverging):
        run(stepper(local, (part,)), start(((1,),), 1.0))


def test_an_objective_at_rest_is_enough_when_asked_for() -> None:
    step = _two_quadratics(1.0, 1.0, 1.0, -2.0)
    tight = Stop(absolute=1e-12, relative=0.0)
    loose = Stop(absolute=1e-12, relative=0.0, objective=1e-3, loose=1e10)
    full = run(step, start(((1,),), 5.0), stop=tight)
    early = run(step, start(((1,),), 5.0), stop=loose)
    assert early.reason == "objective"
    assert early.iterations < full.iterations / 2
    assert early.state.objective == pytest.approx(full.state.objective, rel=1e-2)


def test_bounds_that_meet_are_enough() -> None:
    best = 0.5 * 1.5**2 * 2
    step = _two_quadratics(1.0, 1.0, 1.0, -2.0)

    def bounds(state: TwoBlockState) -> tuple[float, float]:
        z = float(state.z[0][0])
        return best, 0.5 * ((z - 1.0) ** 2 + (z + 2.0) ** 2)

    stop = Stop(absolute=1e-12, relative=0.0, loose=1e12, gap=1e-3, check_every=2)
    rest = run(step, start(((1,),), 5.0), stop=stop, bounds=bounds)
    assert rest.reason == "bounds"
    assert rest.bounds is not None
    assert rest.bounds[1] - rest.bounds[0] <= 1e-3 * rest.bounds[1]
    assert rest.iterations % 2 == 0


def test_watch_sees_every_iteration() -> None:
    seen: list[int] = []
    rest = run(
        _two_quadratics(1.0, 1.0, 1.0, -2.0),
        start(((1,),), 1.0),
        watch=lambda k, _state: seen.append(k),
    )
    assert seen == list(range(1, rest.iterations + 1))


def test_scaled_residuals() -> None:
    residuals = Residuals(primal=2.0, dual=3.0, copies=10.0, prices=0.0, size=4)
    assert residuals.scaled(0.5, 0.1) == (1.0, 3.0)
    assert residuals.scaled(0.0, 0.1) == (2.0, np.inf)


@pytest.mark.parametrize(
    "wrong",
    [
        {"absolute": -1.0},
        {"relative": np.nan},
        {"objective": 0.0},
        {"loose": 0.5},
        {"patience": 0},
        {"gap": 0.0},
        {"check_every": 0},
        {"max_iterations": 0},
    ],
)
def test_bad_stop(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match=next(iter(wrong))):
        Stop(**wrong)


@pytest.mark.parametrize("penalty", [0.0, -1.0, np.nan, np.inf])
def test_bad_penalty(penalty: float) -> None:
    with pytest.raises(InvalidInput, match="penalty"):
        start(((1,),), penalty)


def test_bad_relaxation() -> None:
    with pytest.raises(InvalidInput, match="relaxation"):
        _two_quadratics(1.0, 1.0, 1.0, 1.0, relaxation=2.0)
