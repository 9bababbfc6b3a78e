"""Target cascading: its pitfalls, its equivalence to ADMM, and the operator beside pair trades."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from pp_p2p.algorithms.batch_agents import scheduled
from pp_p2p.algorithms.batch_qp import BatchQP
from pp_p2p.algorithms.consensus import Balancing, Stop, run
from pp_p2p.algorithms.coupling import (
    AtcState,
    Weights,
    atc_start,
    atc_stepper,
    boundary,
)
from pp_p2p.algorithms.exchange import exchange
from pp_p2p.algorithms.pairs import Pairs, pair_trades, proposals
from pp_p2p.algorithms.two_block import Answer, Message, Part, Reply, start, stepper
from pp_p2p.errors import InvalidInput, NotConverged

# (x - 4)^2 / 2 + 5 (x - 1)^2 / 2: optimum at 1.5, cost 3.75
BEST = 3.75


def _first(targets: Any, penalties: Any, _: Any) -> Reply:
    (target,), (rho,) = targets, penalties
    x = (4.0 + rho * target) / (1.0 + rho)
    return Reply((x,), 0.5 * (x - 4.0) ** 2)


def _second(point: Any, rho: float, _: Any) -> Answer:
    z = (5.0 + rho * point) / (5.0 + rho)
    return Answer(z, float((2.5 * (z - 1.0) ** 2).sum()))


def _usual_test(weight: float, weights: Weights) -> tuple[int, float, AtcState]:
    """Iterations, relative cost error in percent and state where gap and cost have come to rest."""
    step, state, before = (
        atc_stepper(_first, _second, weights=weights),
        atc_start((1,), weight),
        np.inf,
    )
    for k in range(1, 200):
        state = step(state)
        change = abs(state.objective - before) / abs(state.objective)
        if state.residuals.primal <= 1e-4 and change <= 1e-4:
            return k, 100.0 * (state.objective / BEST - 1.0), state
        before = state.objective
    raise AssertionError


ALWAYS = {"only_if_slow": False}


@pytest.mark.parametrize(
    ("weight", "growth", "error"),
    [
        (1.0, 1.0, -0.003),
        (1.0, 1.5, 0.53),
        (1.0, 2.0, 2.9),
        (1.0, 3.0, 6.8),
        (3.0, 1.05, 0.32),
        (3.0, 1.5, 60.0),
        (3.0, 3.0, 92.0),
    ],
)
def test_growing_weights_pass_the_usual_test_at_a_wrong_point(
    weight: float, growth: float, error: float
) -> None:
    _, found, state = _usual_test(weight, Weights(growth=growth, **ALWAYS))  # type: ignore[arg-type]
    assert found == pytest.approx(error, rel=0.03, abs=6e-4)
    wrong = abs(error) > 0.1
    assert (state.residuals.dual > 1e-2) == wrong


def test_iterations_of_the_usual_test() -> None:
    assert _usual_test(1.0, Weights(growth=1.0))[0] == 13
    assert _usual_test(1.0, Weights(growth=1.05, **ALWAYS))[0] == 12  # type: ignore[arg-type]


def test_the_dual_residual_flags_uncapped_weights() -> None:
    weights = Weights(growth=3.0, only_if_slow=False)
    stop = Stop(absolute=1e-4, relative=1e-4, max_iterations=100)
    with pytest.raises(NotConverged) as error:
        run(atc_stepper(_first, _second, weights=weights), atc_start((1,), 3.0), stop=stop)
    last = error.value.last
    assert isinstance(last, AtcState)
    assert last.residuals.primal <= 1e-4
    assert last.residuals.dual >= 1.0


@pytest.mark.parametrize("growth", [1.05, 1.5, 3.0])
@pytest.mark.parametrize("only_if_slow", [True, False])
def test_capped_weights_come_to_rest_at_the_optimum(growth: float, only_if_slow: bool) -> None:
    weights = Weights(growth=growth, cap=2.0, only_if_slow=only_if_slow)
    stop = Stop(absolute=1e-4, relative=0.0)
    rest = run(atc_stepper(_first, _second, weights=weights), atc_start((1,), 1.0), stop=stop)
    assert rest.state.objective == pytest.approx(BEST, rel=1e-4)
    assert rest.iterations <= 40


def test_a_cap_below_the_weight_never_lowers_it() -> None:
    assert Weights(growth=2.0, cap=1.0).after(3.0, 1.0, 1.0) == 3.0


@pytest.mark.parametrize("weight", [0.3, 1.0, 3.0])
def test_constant_weights_are_admm_iterate_by_iterate(weight: float) -> None:
    atc = atc_stepper(_first, _second, weights=Weights(growth=1.0))
    part = Part(name="x", counterpart="operator", second=_second)
    admm = stepper(_first, (part,), relaxation=1.0)
    a, b = atc_start((1,), weight), start(((1,),), 2.0 * weight**2)
    for _ in range(30):
        a, b = atc(a), admm(b)
        np.testing.assert_allclose(a.response, b.x[0], rtol=1e-12)
        np.testing.assert_allclose(a.target, b.z[0], rtol=1e-12)
        np.testing.assert_allclose(a.multiplier, b.y[0], rtol=1e-9, atol=1e-12)
        assert a.residuals.dual == pytest.approx(b.residuals.dual, rel=1e-9, abs=1e-12)


LOSS = 15.0
"""The operator's cost ``LOSS / 2 (sum of boundary power)^2`` per step."""


def _operator(point: Any, rho: float, _: Any) -> Answer:
    n, total = len(point), point.sum(axis=0)
    through = rho * total / (rho + n * LOSS)
    return Answer(point + (through - total) / n, float(0.5 * LOSS * (through**2).sum()))


def _central_with_losses(central: Any, problems: Any) -> tuple[float, np.ndarray]:
    n, steps = problems.shape
    names = list(problems.boxes())
    pick = np.zeros((1, len(names)))
    pick[0, names.index("boundary")] = 1.0
    through = sp.kron(np.ones((1, n)), sp.kron(pick, sp.eye(steps)))
    cost, x = central(problems, LOSS * (through.T @ through))
    return cost, x


def test_operator_beside_the_exchange_is_the_central_optimum(
    random_agents: Any, central: Any
) -> None:
    problems = random_agents(6, 24, seed=3, boundary=0.5, convex=True)
    cost, x = _central_with_losses(central, problems)
    step = stepper(
        scheduled(BatchQP(problems), with_boundary=True), (exchange(), boundary(_operator))
    )
    stop = Stop(absolute=1e-6, relative=1e-5)
    rest = run(step, start(((6, 24), (6, 24)), 300.0), stop=stop, balancing=Balancing())
    assert rest.state.objective == pytest.approx(cost, rel=1e-4)
    np.testing.assert_allclose(rest.state.z[0], x[:, 0], atol=1e-3)
    np.testing.assert_allclose(rest.state.z[1], x[:, 3], atol=1e-3)


def test_operator_beside_pair_trades_is_the_central_optimum(
    random_agents: Any, central: Any
) -> None:
    """One first block, a second block of operator and closed-form trades: two blocks."""
    problems = random_agents(5, 12, seed=1, boundary=0.5, convex=True)
    cost, x = _central_with_losses(central, problems)
    pairs = Pairs.everyone(5)
    told: list[Message] = []
    quiet = scheduled(BatchQP(problems), with_boundary=True, tell_cost=False)
    step = stepper(
        proposals(quiet, pairs), (pair_trades(), boundary(_operator)), listen=told.append
    )
    shapes = ((len(pairs.agents), 2, 12), (5, 12))
    stop = Stop(absolute=1e-6, relative=1e-5)
    rest = run(step, start(shapes, 300.0), stop=stop, balancing=Balancing())
    position = pairs.sums(rest.state.z[0])
    np.testing.assert_allclose(position, x[:, 0], atol=1e-3)
    np.testing.assert_allclose(rest.state.z[1], x[:, 3], atol=1e-3)
    final = BatchQP(problems).solve(fixed_trade=position)
    losses = 0.5 * LOSS * (final.boundary.sum(axis=0) ** 2).sum()
    assert final.cost.sum() + losses == pytest.approx(cost, rel=1e-3)
    left = {(m.receiver, m.quantity) for m in told if m.sender == "agents"}
    assert left == {("partners", "trade proposal"), ("operator", "boundary power")}


def test_weights_of_the_parts_change_the_way_only(random_agents: Any, central: Any) -> None:
    problems = random_agents(4, 12, seed=2, boundary=0.5, convex=True)
    cost, _ = _central_with_losses(central, problems)
    step = stepper(
        scheduled(BatchQP(problems), with_boundary=True),
        (exchange(), boundary(_operator, weight=0.3)),
    )
    stop = Stop(absolute=1e-6, relative=1e-5)
    rest = run(step, start(((4, 12), (4, 12)), 300.0), stop=stop, balancing=Balancing())
    assert rest.state.objective == pytest.approx(cost, rel=1e-4)


def test_atc_tells_boundary_power_only() -> None:
    told: list[Message] = []
    step = atc_stepper(_first, _second, weights=Weights(cap=2.0), listen=told.append)
    run(step, atc_start((1,), 1.0), stop=Stop(absolute=1e-4))
    assert {m.quantity for m in told if m.sender == "agents"} == {"boundary power"}


@pytest.mark.parametrize("wrong", [{"growth": 0.9}, {"cap": 0.0}])
def test_bad_weights(wrong: dict[str, float]) -> None:
    with pytest.raises(InvalidInput, match=next(iter(wrong))):
        Weights(**wrong)  # type: ignore[arg-type]


def test_bad_start() -> None:
    with pytest.raises(InvalidInput, match="weight"):
        atc_start((1,), 0.0)
