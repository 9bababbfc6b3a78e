"""Where symbols stand in a map so that they cover neither buses nor lines nor each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from pp_p2p.network.branches import Array
from pp_p2p.plotting.ways import along

_DIRECTIONS: Final = 32
_RADII: Final = (1.0, 1.35)
_APART: Final = 1 / 18
_ROUNDS: Final = 50


def free_places(
    buses: Sequence[int], place: Mapping[int, tuple[float, float]], segments: Array
) -> list[tuple[float, float]]:
    """Return a free place near its bus for every symbol, one after the other.

    Parameters
    ----------
    buses : sequence of int
        The bus of each symbol.
    place : mapping of int to (x, y)
        Where the buses stand.
    segments : (line, 4) of float
        x and y of both ends of every line.

    Returns
    -------
    list of (x, y)
        Of all places around its bus the one that is farthest from everything drawn so far.
    """
    points = np.array(list(place.values()), dtype=float).reshape(-1, 2)
    obstacles = np.concatenate([points, along(segments)])
    radius = _radius(points, segments)
    angle = np.arange(_DIRECTIONS) * 2 * np.pi / _DIRECTIONS + np.pi / 4
    ring = np.column_stack([np.cos(angle), np.sin(angle)])
    offsets = np.concatenate([radius * factor * ring for factor in _RADII])
    near = np.repeat(np.array(_RADII), _DIRECTIONS)
    chosen = []
    for bus in buses:
        spots = np.array(place[bus]) + offsets
        free = np.linalg.norm(spots[:, None] - obstacles[None], axis=2).min(axis=1)
        best = spots[int(np.argmax(np.minimum(free, radius) / near**0.5))]
        obstacles = np.concatenate([obstacles, best[None]])
        chosen.append((float(best[0]), float(best[1])))
    return chosen


def spread_apart(place: Mapping[int, tuple[float, float]]) -> dict[int, tuple[float, float]]:
    """Return the places with those that would cover each other moved apart.

    Two places keep a distance of a twentieth of the map or so where there is room; others stay.
    """
    at = np.array(list(place.values()), dtype=float).reshape(-1, 2)
    apart = _APART * float(np.ptp(at, axis=0).max()) if len(at) > 1 else 0.0
    for _ in range(_ROUNDS):
        between = at[:, None] - at[None]
        distance = np.linalg.norm(between, axis=2)
        close = np.triu(distance < apart * (1 - 1e-6), k=1)
        if not close.any():
            break
        for i, j in np.argwhere(close):
            d = distance[i, j]
            way = between[i, j] / d if d > 0 else np.array([1.0, 0.0])
            step = 0.5 * (apart - d) * way
            at[i], at[j] = at[i] + step, at[j] - step
    return {k: (float(x), float(y)) for k, (x, y) in zip(place, at, strict=True)}


def _radius(points: Array, segments: Array) -> float:
    """Return the distance of a symbol to its bus: a bit less than a typical line is long."""
    length = np.hypot(segments[:, 2] - segments[:, 0], segments[:, 3] - segments[:, 1])
    length = length[length > 0]
    span = float(np.ptp(points, axis=0).max()) if len(points) > 1 else 1.0
    typical = float(np.median(length)) if length.size else span
    return max(0.6 * typical, 0.035 * span) or 1.0
