"""Ways through a map that keep clear of its buses: arcs of open lines, hubs of soft open points."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import numpy as np

from pp_p2p.network.branches import Array

Point = tuple[float, float]

CLEAR: Final = 1 / 45
"""Distance from buses that counts as clear, as a part of the map's width."""

_BENDS: Final = (0.0, 0.12, 0.2, 0.3, 0.45, 0.6)
_DIRECTIONS: Final = 16
_POINTS: Final = np.linspace(0.08, 0.92, 22)[:, None]


def arc(a: Point, b: Point, buses: Array) -> Array:
    """Return points (point, 2) of a way from `a` to `b`: straight, or bent where a bus is there.

    Parameters
    ----------
    a, b : (x, y)
    buses : (bus, 2) of float
        Where all buses stand, these two included.
    """
    ends = np.array([a, b], dtype=float)
    across = np.array([-(ends[1] - ends[0])[1], (ends[1] - ends[0])[0]])
    offsets = np.array([bend * side * across for bend in _BENDS for side in (1, -1)])
    others = _others(ends, buses)
    clear = np.array([_clearance(_bent(ends, offset, _POINTS), others) for offset in offsets])
    bent = offsets[_first_clear(clear, buses)]
    return _bent(ends, bent, np.linspace(0.0, 1.0, 17 if bent.any() else 3)[:, None])


def hub(ends: Array, buses: Array, drawn: Array) -> Point:
    """Return where straight ways from all of `ends` may meet.

    Parameters
    ----------
    ends : (end, 2) of float
    buses : (bus, 2) of float
        Where all buses stand, these ends included.
    drawn : (point, 2) of float
        What the meeting point itself should not cover either.
    """
    centre = ends.mean(axis=0)
    extent = float(np.ptp(ends, axis=0).max()) or float(np.ptp(buses, axis=0).max()) or 1.0
    angle = np.pi / 2 + np.arange(_DIRECTIONS) * 2 * np.pi / _DIRECTIONS
    ring = np.column_stack([np.cos(angle), np.sin(angle)])
    spots = np.concatenate([centre + bend * extent * ring for bend in _BENDS])
    others = _others(ends, buses)
    clear = [
        min(
            _clearance(np.concatenate([end + _POINTS * (spot - end) for end in ends]), others),
            _clearance(spot[None], np.concatenate([buses, drawn])),
        )
        for spot in spots
    ]
    best = spots[_first_clear(np.array(clear), buses)]
    return float(best[0]), float(best[1])


def along(segments: Array, n: int = 13) -> Array:
    """Return `n` points on each of the segments (x1, y1, x2, y2), one after the other."""
    part = np.linspace(0.0, 1.0, n)[:, None]
    points = [a + part * (b - a) for a, b in segments.reshape(-1, 2, 2)]
    return np.concatenate(points) if points else np.empty((0, 2))


def pen_up(ways: list[Array]) -> Iterator[list[float]]:
    """Yield x and y of several ways as one trace: NaN lifts the pen.

    Plotly takes None as well, but pandapower looks for the largest of all coordinates.
    """
    for axis in range(2):
        yield [v for way in ways for v in (*way[:, axis].tolist(), math.nan)][:-1]


def _bent(ends: Array, offset: Array, part: Array) -> Array:
    """Return points of the quadratic Bezier curve whose middle is `offset` off the straight."""
    control = ends.mean(axis=0) + 2 * offset
    return np.asarray(
        (1 - part) ** 2 * ends[0] + 2 * part * (1 - part) * control + part**2 * ends[1]
    )


def _others(ends: Array, buses: Array) -> Array:
    at_end = (buses[:, None] == ends[None]).all(axis=2).any(axis=1)
    return np.asarray(buses[~at_end])


def _clearance(points: Array, obstacles: Array) -> float:
    if not len(obstacles):
        return np.inf
    return float(np.linalg.norm(points[:, None] - obstacles[None], axis=2).min())


def _first_clear(clear: Array, buses: Array) -> int:
    """Return the first way that keeps clear, else the one that comes closest to it."""
    enough = CLEAR * float(np.ptp(buses, axis=0).max())
    return int(np.argmax(np.minimum(clear, enough)))
