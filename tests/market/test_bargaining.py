"""Nash bargaining: the reference vector, axioms, and bad input."""

from __future__ import annotations

import numpy as np
import pyomo.environ as pyo
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import minimize

from pp_p2p.errors import InvalidInput
from pp_p2p.market.bargaining import (
    NashBargaining,
    Power,
    bounded_payments,
    energy_map_power,
    nash_payments,
    net_volume_power,
)
from pp_p2p.solve.report import DEFAULT_CONFIG
from pp_p2p.solve.run import run_solver

# three microgrids, one period, f_n(e) = a/2 (d-e)^2 + b (d-e) (derived by hand and checked by NLP)
A, B, D = np.array([0.2, 0.4, 0.3]), np.array([1.0, 2.0, 1.5]), np.array([4.0, 6.0, -3.0])
GAIN = np.array([-2.2100592, 19.0449704, -6.2733728])
EXCHANGE = np.array([-1.1538462, 5.9230769, -4.7692308])

amounts = arrays(float, st.integers(2, 6), elements=st.floats(-100, 100))


def test_reference_quantities_are_the_optimum() -> None:
    price = 2.0307692
    np.testing.assert_allclose(D - (price - B) / A, EXCHANGE, atol=1e-6)
    cost = 0.5 * A * (D - EXCHANGE) ** 2 + B * (D - EXCHANGE)
    alone = 0.5 * A * D**2 + B * D
    np.testing.assert_allclose(alone - cost, GAIN, atol=1e-6)


@pytest.mark.parametrize(
    ("power", "payment"),
    [
        (np.ones(3), [-5.7305720, 15.5244576, -9.7938856]),
        (net_volume_power(EXCHANGE[:, None]), [-3.2387805, 13.7642012, -10.5254207]),
        (energy_map_power(EXCHANGE[:, None]), [-3.3116956, 16.5008109, -13.1891153]),
    ],
)
def test_reference_payments(power: np.ndarray, payment: list[float]) -> None:
    np.testing.assert_allclose(nash_payments(GAIN, power), payment, atol=1e-6)


def test_powers_by_net_volume() -> None:
    np.testing.assert_allclose(
        net_volume_power(EXCHANGE[:, None]), [0.0974026, 0.5, 0.4025974], atol=1e-7
    )


def test_powers_by_the_map_of_energy() -> None:
    np.testing.assert_allclose(
        energy_map_power(EXCHANGE[:, None]), [0.2737120, 0.6321206, 1.7182818], atol=1e-6
    )
    assert (energy_map_power(np.zeros((3, 4))) == 0.0).all()


def test_reference_payments_in_a_corridor() -> None:
    power, bound = net_volume_power(EXCHANGE[:, None]), np.array([12.0, 13.0, 9.0])
    payment = bounded_payments(GAIN, power, -bound, bound)
    np.testing.assert_allclose(payment, [-3.4874904, 12.4874904, -9.0], atol=1e-6)


@given(
    gain=arrays(float, 4, elements=st.floats(-100, 100)),
    power=arrays(float, 4, elements=st.floats(0.01, 10)),
    low=arrays(float, 4, elements=st.floats(-50, 0)),
    high=arrays(float, 4, elements=st.floats(0, 50)),
)
def test_corridor_is_kept_and_unneeded_where_it_is_wide(
    gain: np.ndarray, power: np.ndarray, low: np.ndarray, high: np.ndarray
) -> None:
    payment = bounded_payments(gain, power, low, high)
    assert abs(payment.sum()) <= 1e-9 * (1.0 + np.abs(gain).sum())
    assert (payment >= low - 1e-9).all()
    assert (payment <= high + 1e-9).all()
    free = nash_payments(gain, power)
    everywhere = np.full(4, np.inf)
    np.testing.assert_allclose(
        bounded_payments(gain, power, -everywhere, everywhere), free, atol=1e-8
    )
    # whoever is strictly inside the corridor saves in proportion to its power
    inside = (payment > low + 1e-6) & (payment < high - 1e-6)
    ratio = ((gain - payment) / power)[inside]
    np.testing.assert_allclose(ratio, ratio.mean() if ratio.size else 0.0, atol=1e-5)


def test_corridor_without_room_is_refused() -> None:
    one = np.ones(2)
    with pytest.raises(InvalidInput, match="sum to zero"):
        bounded_payments(one, one, one, 2 * one)


def _joint_bargain(
    power: np.ndarray, bound: np.ndarray, *, fixed: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Return quantities and payments that maximise the product of gains over both at once."""
    m = pyo.ConcreteModel()
    m.N = pyo.RangeSet(0, 2)
    m.e = pyo.Var(m.N, bounds=(-20.0, 20.0), initialize=0.0)
    if fixed:
        m.agreed = pyo.Constraint(m.N, rule=lambda m, n: m.e[n] == float(EXCHANGE[n]))
    m.pi = pyo.Var(m.N, bounds=lambda _, n: (-bound[n], bound[n]), initialize=0.0)
    m.saving = pyo.Var(m.N, bounds=(1e-6, 100.0), initialize=1.0)
    alone = 0.5 * A * D**2 + B * D
    if not fixed:
        m.reciprocity = pyo.Constraint(expr=sum(m.e[n] for n in m.N) == 0.0)
    m.balance = pyo.Constraint(expr=sum(m.pi[n] for n in m.N) == 0.0)
    m.gain = pyo.Constraint(
        m.N,
        rule=lambda m, n: (
            m.saving[n]
            == alone[n] - 0.5 * A[n] * (D[n] - m.e[n]) ** 2 - B[n] * (D[n] - m.e[n]) - m.pi[n]
        ),
    )
    m.utility = pyo.Var(m.N, bounds=(-20.0, 20.0), initialize=0.0)
    m.log = pyo.Constraint(m.N, rule=lambda m, n: m.utility[n] <= pyo.log(m.saving[n]))
    m.product = pyo.Objective(expr=-sum(float(power[n]) * m.utility[n] for n in m.N))
    run_solver(m, DEFAULT_CONFIG)
    return tuple(np.array([v[n].value for n in m.N]) for v in (m.e, m.pi))  # type: ignore[return-value]


@pytest.mark.parametrize("weights", [np.ones(3), np.array([0.0974026, 0.5, 0.4025974])])
def test_two_stages_are_the_joint_bargain(weights: np.ndarray) -> None:
    """Theorem: least cost first and (2) after is the maximum over quantities and payments."""
    e, payment = _joint_bargain(weights, np.full(3, 100.0))
    np.testing.assert_allclose(e, EXCHANGE, atol=1e-6)
    np.testing.assert_allclose(payment, nash_payments(GAIN, weights), atol=1e-6)
    saving = 0.5 * A * D**2 + B * D - 0.5 * A * (D - e) ** 2 - B * (D - e) - payment
    np.testing.assert_allclose(saving, weights / weights.sum() * GAIN.sum(), atol=1e-6)


def test_corridor_is_the_bounded_bargain_at_fixed_quantities() -> None:
    """(3) against the numerical maximum of the product within bounds."""
    power, bound = net_volume_power(EXCHANGE[:, None]), np.array([12.0, 13.0, 9.0])
    _, payment = _joint_bargain(power, bound, fixed=True)
    np.testing.assert_allclose(payment, bounded_payments(GAIN, power, -bound, bound), atol=1e-6)


@given(shift=arrays(float, 3, elements=st.floats(-1e3, 1e3)))
def test_costs_that_are_there_anyway_do_not_matter(shift: np.ndarray) -> None:
    """Shift invariance: C0 + c and C + c."""
    alone = 0.5 * A * D**2 + B * D
    cost = alone - GAIN
    moved = (alone + shift) - (cost + shift)
    np.testing.assert_allclose(
        nash_payments(moved, np.ones(3)), nash_payments(GAIN, np.ones(3)), atol=1e-9
    )


@pytest.mark.parametrize("kind", ["equal", "net_volume", "energy_map"])
def test_reference_in_a_wide_corridor(kind: Power) -> None:
    power = {
        "equal": np.ones(3),
        "net_volume": net_volume_power(EXCHANGE[:, None]),
        "energy_map": energy_map_power(EXCHANGE[:, None]),
    }[kind]
    wide = np.full(3, 30.0)
    np.testing.assert_allclose(
        bounded_payments(GAIN, power, -wide, wide), nash_payments(GAIN, power), atol=1e-9
    )


def test_closed_form_maximises_the_product() -> None:
    power = np.array([1.0, 2.0, 0.5])

    def minus_log_product(payment: np.ndarray) -> float:
        full = np.append(payment, -payment.sum())
        return -float(power @ np.log(np.maximum(GAIN - full, 1e-12)))

    start = GAIN - GAIN.sum() / 3
    found = minimize(minus_log_product, start[:2], method="Nelder-Mead", options={"xatol": 1e-9})
    np.testing.assert_allclose(found.x, nash_payments(GAIN, power)[:2], atol=1e-4)


@given(gain=amounts, data=st.data())
def test_axioms(gain: np.ndarray, data: st.DataObject) -> None:
    n = len(gain)
    power = data.draw(arrays(float, n, elements=st.floats(0.1, 10)))
    payment = nash_payments(gain, power)
    scale = 1 + np.abs(gain).sum()
    assert abs(payment.sum()) <= 1e-9 * scale
    saving = gain - payment
    np.testing.assert_allclose(saving, power / power.sum() * gain.sum(), atol=1e-9 * scale)
    order = data.draw(st.permutations(range(n)))
    np.testing.assert_allclose(
        nash_payments(gain[order], power[order]), payment[order], atol=1e-9 * scale
    )
    np.testing.assert_allclose(nash_payments(3 * gain, power), 3 * payment, atol=1e-8 * scale)
    np.testing.assert_allclose(nash_payments(gain, 7 * power), payment, atol=1e-9 * scale)


def test_player_without_power_is_held_harmless() -> None:
    gain = np.array([5.0, -1.0])
    np.testing.assert_allclose(gain - nash_payments(gain, np.array([1.0, 0.0])), [4.0, 0.0])


@pytest.mark.parametrize(
    ("power", "rule"),
    [
        ([0.0, 0.0], "0 for every player"),
        ([1.0, -1.0], "negative"),
        ([np.nan, 1.0], "not a number"),
    ],
)
def test_bad_powers(power: list[float], rule: str) -> None:
    with pytest.raises(InvalidInput, match=rule):
        nash_payments(np.array([1.0, 1.0]), np.array(power))


def test_bad_mechanism_lists_every_finding() -> None:
    with pytest.raises(InvalidInput) as error:
        NashBargaining(
            network_fee_eur_per_mwh=-1.0,
            operator_power=np.nan,
            bargaining_power="alike",  # type: ignore[arg-type]
        )
    assert len(error.value.findings) == 3
