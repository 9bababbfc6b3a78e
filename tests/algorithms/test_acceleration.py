"""Anderson acceleration: exact on linear maps, harmless on others."""

from __future__ import annotations

import numpy as np

from pp_p2p.algorithms.acceleration import Anderson


def _iterate(matrix: np.ndarray, shift: np.ndarray, known: Anderson, n: int) -> np.ndarray:
    x = np.zeros(len(shift))
    for _ in range(n):
        x, known = known.next(x, matrix @ x + shift - x)
    return x


def test_linear_maps_need_as_many_steps_as_dimensions() -> None:
    rng = np.random.default_rng(0)
    basis, _ = np.linalg.qr(rng.normal(size=(4, 4)))
    matrix, shift = basis @ np.diag([0.99, 0.95, 0.9, 0.5]) @ basis.T, rng.normal(size=4)
    fixed = np.linalg.solve(np.eye(4) - matrix, shift)
    plain = _iterate(matrix, shift, Anderson(depth=0), 30)
    mixed = _iterate(matrix, shift, Anderson(depth=5), 30)
    assert np.abs(plain - fixed).max() > 0.1
    np.testing.assert_allclose(mixed, fixed, atol=1e-6 * np.abs(fixed).max())


def test_a_drift_is_followed() -> None:
    """Where residuals stay the same, points go on at least half as fast as without mixing."""
    x, known = np.zeros(2), Anderson(depth=5)
    for _ in range(60):
        x, known = known.next(x, np.array([0.01, 0.0]))
    assert x[0] >= 0.5 * 60 * 0.01


def test_no_depth_is_the_plain_iteration() -> None:
    x, known = Anderson(depth=0).next(np.ones(2), np.array([1.0, -1.0]))
    np.testing.assert_array_equal(x, [2.0, 0.0])
    assert known == Anderson(depth=0)
