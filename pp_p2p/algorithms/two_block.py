"""Two blocks that agree on copies: the alternating direction method of multipliers (ADMM).

    min f(x) + g(z)   s.t.  x = z,      L = f + g + y'(z - x) + rho/2 |z - x|^2

One step, all agents of the first block in parallel:

    x <- argmin f(x) + rho/2 |x - (z + y/rho)|^2                                           (1)
    x' = a x + (1 - a) z                      over-relaxation, a in [1, 2)                 (2)
    z <- argmin g(z) + rho/2 |z - (x' - y/rho)|^2                                          (3)
    y <- y + rho (z - x')                                                                  (4)

Boyd et al. (2011), 3.1-3.4. The second block may consist of parts that do not know each other
(trades here, the network there): that is still two blocks, which is what the proof of convergence
needs. The dual residual ``|rho (z - z_before) + rho (x - x')|`` is exact for every a: it is the
distance of the new y from the subgradients of f at x.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import numpy as np

from pp_p2p.algorithms.acceleration import Anderson
from pp_p2p.algorithms.consensus import ROUNDING, Array, Residuals
from pp_p2p.errors import Finding, raise_if_any

PLAIN: Final = Anderson(depth=0)
"""No acceleration."""


class Reply(NamedTuple):
    """Answer of the first block.

    Parameters
    ----------
    x : tuple of Array
        One array per part.
    cost : Array or None
        f by agent, without proximal terms; None where agents keep it to themselves.
    memory : Any
        Handed back at the next call: a warm start.
    """

    x: tuple[Array, ...]
    cost: Array | None = None
    memory: Any = None


class Answer(NamedTuple):
    """Answer of a part of the second block; fields as in `Reply`."""

    z: Array
    cost: float = 0.0
    memory: Any = None


Penalty = Array | float
"""A number for all, or one per agent (agent, 1)."""

Local = Callable[[tuple[Array, ...], tuple[Penalty, ...], Any], Reply]
"""``local(targets, penalties, memory)``: solves (1) for all agents at once, however it likes: a
closed form, one batched solve, a compiled problem per process."""

Second = Callable[[Array, float, Any], Answer]
"""``second(point, penalty, memory)``: solves (3) for one part."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """What the first block agrees on with one counterpart.

    Parameters
    ----------
    name : str
        What is exchanged, for the log of messages.
    counterpart : str
        With whom: ``"coordinator"``, ``"partners"``, ``"operator"``.
    second : Second
    weight : float
        Penalty of this part relative to the scheme's.
    """

    name: str
    counterpart: str
    second: Second
    weight: float = 1.0


class Message(NamedTuple):
    """What passes between agents and a counterpart in one iteration.

    Parameters
    ----------
    iteration : int
        From 1.
    sender, receiver : str
        ``"agents"`` or a counterpart.
    quantity : str
    values : Array
        As the part lays them out.
    """

    iteration: int
    sender: str
    receiver: str
    quantity: str
    values: Array


@dataclass(frozen=True, kw_only=True)
class TwoBlockState:
    """State of (1)-(4); every tuple has one entry per part.

    Parameters
    ----------
    x, z, y : tuple of Array
        Copies of the first and the second block, multipliers.
    penalty : float
    residuals : Residuals
    objective : float
        f + g; NaN where an agent does not tell.
    iteration : int
    memory, memories : Any
        Warm starts of the first block and of the parts.
    known : Anderson
        What an accelerated scheme knows of its last points.
    """

    x: tuple[Array, ...]
    z: tuple[Array, ...]
    y: tuple[Array, ...]
    penalty: float
    residuals: Residuals
    objective: float = float("nan")
    iteration: int = 0
    memory: Any = None
    memories: tuple[Any, ...] = ()
    known: Anderson = PLAIN

    def with_penalty(self, penalty: float) -> TwoBlockState:
        """Return the state with another penalty, under which nothing is known of other points."""
        return replace(self, penalty=penalty, known=Anderson(depth=self.known.depth))


def start(
    shapes: tuple[tuple[int, ...], ...],
    penalty: float,
    *,
    multipliers: tuple[Array | float, ...] | None = None,
    depth: int = 0,
) -> TwoBlockState:
    """Return the state with copies at 0.

    Parameters
    ----------
    shapes : tuple of shapes
        Of the parts.
    penalty : float
        rho > 0, cost per squared unit of what is coupled: near the mean curvature of f, or, where f
        is piecewise linear, its range of slopes divided by the usual size of x.
    multipliers : tuple, optional
        First y by part, broadcastable to its shape: minus the expected price. Default 0.
    depth : int
        Points that the acceleration mixes; 0 is the plain scheme.
    """
    raise_if_any(
        [Finding(table="penalty", rule=f"is {penalty}", mend="use a number > 0")]
        if not (np.isfinite(penalty) and penalty > 0)
        else []
    )
    zero = tuple(np.zeros(shape) for shape in shapes)
    size = sum(part.size for part in zero)
    return TwoBlockState(
        x=zero,
        z=zero,
        y=tuple(
            np.array(np.broadcast_to(y, shape), dtype=float)
            for y, shape in zip(multipliers or (0.0,) * len(shapes), shapes, strict=True)
        ),
        penalty=float(penalty),
        residuals=Residuals(primal=np.inf, dual=np.inf, copies=0.0, prices=0.0, size=size),
        memories=(None,) * len(zero),
        known=Anderson(depth=depth),
    )


def stepper(
    local: Local,
    parts: tuple[Part, ...],
    *,
    relaxation: float = 1.6,
    listen: Callable[[Message], None] | None = None,
) -> Callable[[TwoBlockState], TwoBlockState]:
    """Return the step (1)-(4) for `consensus.run`.

    Parameters
    ----------
    local : Local
    parts : tuple of Part
    relaxation : float
        a in (0, 2).
    listen : callable, optional
        Called with every message: what leaves an agent, and what reaches it.
    """
    raise_if_any(
        [Finding(table="relaxation", rule=f"is {relaxation}", mend="use a number in (0, 2)")]
        if not 0.0 < relaxation < 2.0
        else []
    )

    def step(state: TwoBlockState) -> TwoBlockState:
        penalties: tuple[float, ...] = tuple(state.penalty * part.weight for part in parts)
        targets = tuple(z + y / r for z, y, r in zip(state.z, state.y, penalties, strict=True))
        reply = local(targets, penalties, state.memory)
        relaxed = tuple(
            relaxation * x + (1.0 - relaxation) * z for x, z in zip(reply.x, state.z, strict=True)
        )
        points, known = _points(state, relaxed, penalties)
        answers = [
            part.second(point, r, memory)
            for part, point, r, memory in zip(parts, points, penalties, state.memories, strict=True)
        ]
        z = tuple(answer.z for answer in answers)
        y = tuple(r * (new - s) for new, s, r in zip(z, points, penalties, strict=True))
        after = replace(
            state,
            x=reply.x,
            z=z,
            y=y,
            residuals=_residuals(state, reply.x, z, y, penalties),
            objective=_objective(reply, answers),
            iteration=state.iteration + 1,
            memory=reply.memory,
            memories=tuple(answer.memory for answer in answers),
            known=known,
        )
        if listen is not None:
            _tell(listen, parts, after, reply)
        return after

    return step


def _points(
    state: TwoBlockState, relaxed: tuple[Array, ...], penalties: tuple[float, ...]
) -> tuple[tuple[Array, ...], Anderson]:
    """Return the points s of (3), accelerated, and what is then known of the last ones."""
    before = [z - y / r for z, y, r in zip(state.z, state.y, penalties, strict=True)]
    moved = [x - z for x, z in zip(relaxed, state.z, strict=True)]
    known = state.known
    scale = np.sqrt(penalties)  # in this norm the plain iteration never moves apart

    def packed(arrays: list[Array]) -> Array:
        return np.concatenate([c * a.ravel() for c, a in zip(scale, arrays, strict=True)])

    point, known = known.next(packed(before), packed(moved))
    parts = np.split(point, np.cumsum([z.size for z in state.z])[:-1])
    shaped = (part.reshape(z.shape) / c for part, z, c in zip(parts, state.z, scale, strict=True))
    return tuple(shaped), known


def _residuals(
    before: TwoBlockState,
    x: tuple[Array, ...],
    z: tuple[Array, ...],
    y: tuple[Array, ...],
    penalties: tuple[float, ...],
) -> Residuals:
    copies = max(norm(x), norm(z))
    dual = norm(
        new - old - r * (copy - own)
        for r, new, old, copy, own in zip(penalties, y, before.y, before.z, x, strict=True)
    )
    return Residuals(
        primal=norm(a - b for a, b in zip(x, z, strict=True)),
        dual=max(dual, max(penalties) * ROUNDING * copies),
        copies=copies,
        prices=norm(y),
        size=sum(part.size for part in x),
    )


def norm(parts: Any) -> float:
    """Return the Euclidean norm over several arrays."""
    return float(np.sqrt(sum(float(np.vdot(part, part)) for part in parts)))


def _objective(reply: Reply, answers: list[Answer]) -> float:
    if reply.cost is None:
        return float("nan")
    return float(np.sum(reply.cost)) + sum(answer.cost for answer in answers)


def _tell(
    listen: Callable[[Message], None],
    parts: tuple[Part, ...],
    after: TwoBlockState,
    reply: Reply,
) -> None:
    k = after.iteration
    for part, x, z, y in zip(parts, after.x, after.z, after.y, strict=True):
        listen(Message(k, "agents", part.counterpart, part.name, x))
        listen(Message(k, part.counterpart, "agents", f"{part.name}: copy", z))
        listen(Message(k, part.counterpart, "agents", f"{part.name}: multiplier", y))
    if reply.cost is not None:
        listen(Message(k, "agents", "coordinator", "cost", reply.cost))
