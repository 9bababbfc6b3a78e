"""The loss law of converters and the power that closes a device's balance."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pp_p2p.network.converter_losses import LossLaw, balancing_power, close_balance


@settings(max_examples=200, deadline=None)
@given(
    standby=st.floats(0.0, 0.05),
    factor=st.floats(0.0, 0.3),
    quadratic=st.floats(0.0, 0.1),
    left=st.floats(-2.0, 2.0),
    q=st.floats(-2.0, 2.0),
)
def test_balancing_power_solves_the_balance(
    standby: float, factor: float, quadratic: float, left: float, q: float
) -> None:
    law = LossLaw(
        standby=np.array([standby]), factor=np.array([factor]), quadratic=np.array([quadratic])
    )
    p = balancing_power(law, np.array([q]), np.array([left]))
    if np.isnan(p[0]):  # rightly so: nowhere is the sum as low as what is left
        anywhere = np.linspace(-200.0, 10.0, 20_001)[:, None]
        assert (anywhere + law.losses(anywhere, np.array([q]))).min() > left
        return
    residual = p + law.losses(p, np.array([q])) - left
    assert abs(residual[0]) <= 1e-12 * (1.0 + abs(left) + abs(q))
    assert p[0] <= left + 1e-12  # losses are paid, never earned


@pytest.mark.parametrize("factor", [0.5, 1.0 - 1e-12, 1.0])
def test_digits_are_kept_where_nearly_all_is_lost(factor: float) -> None:
    law = LossLaw(standby=np.zeros(1), factor=np.array([factor]), quadratic=np.zeros(1))
    q, left = np.array([[0.2], [0.0]]), np.array([[0.4], [0.2]])
    p = balancing_power(law, q, left)
    np.testing.assert_allclose(p + law.losses(p, q), left, atol=1e-15)


def test_no_solution_where_losses_exceed_what_is_left() -> None:
    law = LossLaw(standby=np.array([0.0]), factor=np.array([0.0]), quadratic=np.array([1.0]))
    assert np.isnan(balancing_power(law, np.array([0.0]), np.array([-1.0])))


def test_devices_close_alone_and_over_many_steps() -> None:
    rng = np.random.default_rng(3)
    law = LossLaw(
        standby=rng.uniform(0, 0.01, 5),
        factor=rng.uniform(0, 0.05, 5),
        quadratic=rng.uniform(0, 0.05, 5),
    )
    device = np.array([4, 4, 7, 7, 7])
    balancing = np.array([False, True, True, False, False])
    p, q = rng.uniform(-1, 1, (20, 5)), rng.uniform(-1, 1, (20, 5))
    drawn = np.where(balancing, rng.uniform(-0.5, 0.5, (20, 1)), 0.0)
    closed = close_balance(law, device, balancing, p, q, drawn)
    total = closed + law.losses(closed, q) + drawn
    for label in (4, 7):
        np.testing.assert_allclose(total[:, device == label].sum(axis=1), 0.0, atol=1e-12)
    np.testing.assert_array_equal(closed[:, ~balancing], p[:, ~balancing])
