"""Random agents, and the same problems as matrices for a solver that is not ours."""

from __future__ import annotations

from typing import Any

import clarabel
import numpy as np
import pytest
import scipy.sparse as sp

from pp_p2p.algorithms.batch_data import Boxed, LocalProblems, ShiftData, StorageData


def _random_agents(
    n: int,
    steps: int = 24,
    *,
    seed: int = 0,
    boundary: float | None = None,
    convex: bool = False,
    windows: int = 2,
) -> LocalProblems:
    """Households with PV, storage and movable load, each with some of them; MW and EUR."""
    rng = np.random.default_rng(seed)
    t = np.arange(steps)
    hour = t * 24 / steps
    level = 0.7 + 0.4 * np.sin(2 * np.pi * (hour / 24 - 0.3)) + 0.1 * rng.random((n, steps))
    demand = rng.uniform(0.02, 0.3, (n, 1)) * level
    sun = np.clip(np.sin(np.pi * (hour / 12 - 0.5)), 0.0, 1.0)
    pv = rng.uniform(0.0, 0.5, (n, 1)) * sun * (rng.random((n, 1)) < 0.6)
    buy = np.where((hour >= 8) & (hour < 20), 200.0, 100.0) + rng.uniform(0.0, 5.0, steps)
    size = rng.uniform(0.1, 0.5, (n, 1)) * (rng.random((n, 1)) < 0.6)
    flexible = 0.3 * demand * (rng.random((n, 1)) < 0.5)
    half_full = 0.5 * size[:, 0]
    bent = 40.0 if convex else 0.0
    return LocalProblems(
        demand=demand,
        trade=Boxed(lower=-1.0, upper=1.0, curvature=bent),
        outside=(
            Boxed(lower=0.0, upper=2.0, cost=buy, curvature=bent),
            Boxed(lower=-2.0, upper=0.0, cost=60.0, curvature=bent),
        ),
        inside=(
            Boxed(lower=0.0, upper=pv),
            Boxed(lower=0.0, upper=0.2 * demand, cost=400.0, curvature=100.0),
        ),
        boundary=None if boundary is None else Boxed(lower=-boundary, upper=boundary),
        storage=StorageData(
            charge_max=size / 3,
            discharge_max=size / 3,
            energy_max=size,
            charge_efficiency=rng.uniform(0.9, 1.0, n),
            discharge_efficiency=rng.uniform(0.9, 1.0, n),
            start=np.where(rng.random(n) < 0.5, np.nan, half_full),
            end=np.where(rng.random(n) < 0.3, half_full, np.nan),
            charge_cost=3.0,
            discharge_cost=3.0,
        ),
        shift=ShiftData(
            up_max=flexible,
            down_max=flexible,
            window=np.minimum(t * windows // steps, windows - 1),
            up_cost=5.0,
            down_cost=5.0,
        ),
        step_h=24 / steps,
    )


def _matrices(problems: LocalProblems, n: int) -> dict[str, Any]:
    """Agent n as ``min c x + q x^2 / 2, A x = b, l <= x <= u``, x stacked by name and step."""
    agents, steps = problems.shape
    boxes = problems.boxes()
    none, eye = sp.csr_matrix((steps, steps)), sp.eye(steps, format="csr")

    def stacked(part: str) -> np.ndarray:
        arrays = [np.asarray(getattr(box, part), float) for box in boxes.values()]
        return np.concatenate([np.broadcast_to(a, problems.shape)[n] for a in arrays])

    def row(parts: dict[str, Any], empty: Any = none) -> Any:
        return sp.hstack([parts.get(name, empty) for name in boxes])

    outside = {m: eye for m in boxes if m == "trade" or m.startswith("outside")}
    balance = {m: eye for m in boxes if m.startswith("inside")}
    rows, rhs = [], []
    if "boundary" in boxes:
        rows, rhs = [row(outside | {"boundary": -eye})], [np.zeros(steps)]
        balance["boundary"] = eye
    else:
        balance |= outside
    if problems.storage is not None:
        balance |= {"charge": -eye, "discharge": eye}
    if problems.shift is not None:
        balance |= {"up": -eye, "down": eye}
    rows.append(row(balance))
    rhs.append(problems.demand[n])
    hours = np.broadcast_to(np.asarray(problems.step_h, float), (steps,))
    if (s := problems.storage) is not None:
        one = {
            name: float(np.broadcast_to(np.asarray(getattr(s, name), float), (agents,))[n])
            for name in ("charge_efficiency", "discharge_efficiency", "start", "end")
        }
        change, first = sp.lil_matrix(eye - sp.eye(steps, k=-1)), np.zeros(steps)
        if np.isnan(one["start"]) and np.isnan(one["end"]):
            change[0, steps - 1] -= 1.0
        else:
            first[0] = one["end"] if np.isnan(one["start"]) else one["start"]
        gain, drain = hours * one["charge_efficiency"], hours / one["discharge_efficiency"]
        parts = {"charge": -sp.diags(gain), "discharge": sp.diags(drain), "energy": change.tocsr()}
        rows.append(row(parts))
        rhs.append(first)
    if (m := problems.shift) is not None:
        window = np.broadcast_to(m.window, problems.shape)[n]
        for k in range(int(window.max()) + 1):
            own = sp.csr_matrix(hours * (window == k))
            rows.append(row({"up": own, "down": -own}, sp.csr_matrix((1, steps))))
            rhs.append(np.zeros(1))
    return {
        "A": sp.vstack(rows).tocsr(),
        "b": np.concatenate(rhs),
        "c": stacked("cost"),
        "q": stacked("curvature"),
        "l": stacked("lower"),
        "u": stacked("upper"),
    }


def _solved(Q: Any, c: Any, A: Any, b: Any, lower: Any, upper: Any) -> tuple[str, float, Any, Any]:
    """Status, objective, x, multipliers of ``A x = b`` (cost per unit of b)."""
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = 1e-10
    low, high = np.isfinite(lower), np.isfinite(upper)
    eye = sp.eye(len(c), format="csr")
    rows = sp.vstack([A, -eye[low], eye[high]]).tocsc()
    rhs = np.concatenate([b, -lower[low], upper[high]])
    cones = [clarabel.ZeroConeT(len(b)), clarabel.NonnegativeConeT(int(low.sum() + high.sum()))]
    found = clarabel.DefaultSolver(sp.csc_matrix(Q), c, rows, rhs, cones, settings).solve()
    x = np.array(found.x)
    return str(found.status), found.obj_val, x, -np.array(found.z)[: len(b)]


def _central(problems: LocalProblems, extra: Any = None) -> tuple[float, np.ndarray]:
    """Least total cost with trades that add up to zero, and the trades; `extra` is added to Q."""
    n, steps = problems.shape
    agents = [_matrices(problems, k) for k in range(n)]
    width = len(agents[0]["c"])
    clear = sp.hstack([sp.hstack([sp.eye(steps), sp.csr_matrix((steps, width - steps))])] * n)
    A = sp.vstack([sp.block_diag([a["A"] for a in agents]), clear])
    b, c, q, low, high = (
        np.concatenate([a[key] for a in agents]) for key in ("b", "c", "q", "l", "u")
    )
    Q = sp.diags(q) if extra is None else sp.diags(q) + extra
    status, cost, x, _ = _solved(Q, c, A, np.concatenate([b, np.zeros(steps)]), low, high)
    assert status == "Solved"
    return cost, x.reshape(n, -1, steps)


@pytest.fixture
def random_agents() -> Any:
    return _random_agents


@pytest.fixture
def matrices() -> Any:
    return _matrices


@pytest.fixture
def solved() -> Any:
    return _solved


@pytest.fixture
def central() -> Any:
    return _central
