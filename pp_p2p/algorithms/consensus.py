"""One loop for every scheme: step, residuals, penalty, stop.

A scheme is a frozen state and a pure function from one state to the next. The loop asks of a state

    residual_primal   r = |x - z|            residual_dual   s = rho |z - z_before|
    limits  eps_r = sqrt(p) eps_abs + eps_rel max(|x|, |z|),  eps_s = sqrt(p) eps_abs + eps_rel |y|

and stops where r <= eps_r and s <= eps_s (Boyd et al. 2011, 3.3.1). Residuals creep long after the
result is good: where both are within a looser limit, an objective that has come to rest is enough,
or a lower and an upper bound of the optimum that have met, which proves it.

Every few iterations the penalty moves towards equal relative residuals (He et al. 2000; relative:
Wohlberg 2017). It is held after a while, since convergence is proved for a penalty that is constant
in the end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Generic, Protocol, Self, TypeVar

import numpy as np
import numpy.typing as npt

from pp_p2p.errors import Diverging, Finding, NotConverged, raise_if_any

Array = npt.NDArray[Any]

WINDOW: Final = 50
"""Iterations over which divergence is judged."""
ROUNDING: Final = float(np.finfo(float).eps)
"""Part of a copy that its rounding hides. The dual residual is never told as less than the penalty
times that: where a penalty grows without bound, copies stand still in floating point at any point.
"""
STILL: Final = 0.02
"""Relative change below which a norm counts as standing still."""


@dataclass(frozen=True, kw_only=True)
class Residuals:
    """How far a state is from rest.

    Parameters
    ----------
    primal, dual : float
        Norms r and s.
    copies, prices : float
        ``max(|x|, |z|)`` and ``|y|``, the scales of r and s.
    size : int
        Number p of coupled quantities.
    """

    primal: float
    dual: float
    copies: float
    prices: float
    size: int

    def scaled(self, absolute: float, relative: float) -> tuple[float, float]:
        """Return r and s as multiples of their limits; 0/0 is 0."""
        own = np.sqrt(self.size) * absolute
        limits = own + relative * self.copies, own + relative * self.prices
        primal, dual = (
            0.0 if norm == 0.0 else norm / limit if limit > 0.0 else np.inf
            for norm, limit in zip((self.primal, self.dual), limits, strict=True)
        )
        return primal, dual


class State(Protocol):
    """What the loop asks of the state of a scheme."""

    @property
    def penalty(self) -> float:
        """Penalty rho."""

    @property
    def residuals(self) -> Residuals:
        """Residuals of the step that led here."""

    @property
    def objective(self) -> float:
        """Sum of the agents' costs; NaN where they keep it to themselves."""

    def with_penalty(self, penalty: float) -> Self:
        """Return the state with another penalty; multipliers are unscaled and stay."""


S = TypeVar("S", bound=State)


@dataclass(frozen=True, kw_only=True)
class Stop:
    """When the loop ends.

    Parameters
    ----------
    absolute, relative : float
        Tolerances eps_abs (in the unit of the coupled quantity) and eps_rel of both residuals.
    objective : float or None
        Relative change per iteration below which the objective rests. None = by residuals alone.
    loose : float
        Multiple of the residuals' limits that is enough where objective or bounds tell.
    patience : int
        Iterations in a row that the objective has to rest.
    gap : float
        Relative gap between the bounds that `run` is given, if any.
    room : callable, optional
        Gap that is wide enough, by the upper bound; default `gap` times its size.
    check_every : int
        Iterations between two looks at the bounds, once the residuals are within `loose`.
    max_iterations : int
    """

    absolute: float = 1e-6
    relative: float = 1e-4
    objective: float | None = None
    loose: float = 30.0
    patience: int = 3
    gap: float = 1e-4
    room: Callable[[float], float] | None = None
    check_every: int = 5
    max_iterations: int = 1000

    def met(self, bounds: tuple[float, float] | None) -> bool:
        """Return whether lower and upper bound are near enough."""
        if bounds is None or not np.isfinite(bounds[1]):
            return False
        room = self.gap * abs(bounds[1]) if self.room is None else self.room(bounds[1])
        return bool(bounds[1] - bounds[0] <= room)

    def __post_init__(self) -> None:
        raise_if_any(
            Finding(table="Stop", column=name, rule=f"is {value}", mend=f"use a number {rule}")
            for name, value, rule, ok in (
                ("absolute", self.absolute, ">= 0", self.absolute >= 0),
                ("relative", self.relative, ">= 0", self.relative >= 0),
                ("objective", self.objective, "> 0", self.objective is None or self.objective > 0),
                ("loose", self.loose, ">= 1", self.loose >= 1),
                ("patience", self.patience, ">= 1", self.patience >= 1),
                ("gap", self.gap, "> 0", self.gap > 0),
                ("check_every", self.check_every, ">= 1", self.check_every >= 1),
                ("max_iterations", self.max_iterations, ">= 1", self.max_iterations >= 1),
            )
            if not ok
        )


@dataclass(frozen=True, kw_only=True)
class Balancing:
    """Residual balancing of the penalty.

    Parameters
    ----------
    ratio : float
        mu: the penalty moves where one relative residual is more than `ratio` times the other.
    factor : float
        tau: by what it is multiplied or divided.
    every : int
        Iterations between two moves.
    until : int
        Iteration after which the penalty is held.
    """

    ratio: float = 10.0
    factor: float = 2.0
    every: int = 5
    until: int = 100

    def penalty(self, k: int, penalty: float, primal: float, dual: float) -> float:
        """Return the penalty after iteration `k` (from 1) with these scaled residuals."""
        if k > self.until or k % self.every:
            return penalty
        if primal > self.ratio * dual:
            return penalty * self.factor
        if dual > self.ratio * primal:
            return penalty / self.factor
        return penalty


@dataclass(frozen=True, kw_only=True)
class History:
    """One entry per iteration."""

    primal: list[float] = field(default_factory=list)
    dual: list[float] = field(default_factory=list)
    scaled: list[float] = field(default_factory=list)
    """Larger of both residuals as a multiple of its limit; at rest <= 1."""
    penalty: list[float] = field(default_factory=list)
    objective: list[float] = field(default_factory=list)
    prices: list[float] = field(default_factory=list)
    """Norm of the multipliers."""


@dataclass(frozen=True, kw_only=True)
class Rest(Generic[S]):
    """Where a scheme came to rest.

    Parameters
    ----------
    state : State
    history : History
    reason : {"residuals", "objective", "bounds"}
        Which test was met.
    bounds : (float, float) or None
        Lower and upper bound of the optimum where they were looked at last.
    """

    state: S
    history: History
    reason: str
    bounds: tuple[float, float] | None = None

    @property
    def iterations(self) -> int:
        """Steps taken."""
        return len(self.history.primal)


def run(
    step: Callable[[S], S],
    start: S,
    *,
    stop: Stop | None = None,
    balancing: Balancing | None = None,
    bounds: Callable[[S], tuple[float, float]] | None = None,
    watch: Callable[[int, S], None] | None = None,
) -> Rest[S]:
    """Return the state at which `step` comes to rest.

    Parameters
    ----------
    step : callable
        One iteration: pure function of the state.
    start : State
    stop : Stop, optional
    balancing : Balancing, optional
        None = the penalty stays as the scheme sets it.
    bounds : callable, optional
        Lower and upper bound of the optimum at a state (infinite where there is none): the value
        of the Lagrangian at its prices, the cost of its repaired point.
    watch : callable, optional
        Called with the number of the iteration (from 1) and its state: progress, checkpoints.

    Raises
    ------
    NotConverged
        No rest within the iterations allowed; carries the history and the last state.
    Diverging
        The multipliers grow steadily while the residual stands still: no common point.
    """
    stop = stop or Stop()
    state, history, proved = start, History(), None
    for k in range(1, stop.max_iterations + 1):
        state = step(state)
        primal, dual = state.residuals.scaled(stop.absolute, stop.relative)
        _note(history, state, max(primal, dual))
        if watch is not None:
            watch(k, state)
        near = max(primal, dual) <= stop.loose
        if bounds is not None and near and k % stop.check_every == 0:
            proved = bounds(state)
        if reason := _reason(history, stop, proved):
            return Rest(state=state, history=history, reason=reason, bounds=proved)
        if not np.isfinite(history.scaled[-1]) or _diverges(history, primal):
            raise Diverging(
                f"after {k} iterations the multipliers grow without bound while the parts stay "
                f"{state.residuals.primal:.3g} apart: they have no point in common "
                "(relax what they are bound to agree on), or the penalty is far too small",
                history=history.scaled,
                last=state,
            )
        if balancing is not None:
            wanted = balancing.penalty(k, state.penalty, primal, dual)
            if wanted != state.penalty:
                state = state.with_penalty(wanted)
    raise NotConverged(
        f"no rest after {stop.max_iterations} iterations: the larger residual is "
        f"{history.scaled[-1]:.3g} times its limit (least on the way: {min(history.scaled):.3g}); "
        "allow more iterations, a looser tolerance, or start with another penalty",
        history=history.scaled,
        last=state,
    )


def _reason(history: History, stop: Stop, bounds: tuple[float, float] | None) -> str:
    """Return which test is met; empty where none is."""
    if history.scaled[-1] <= 1.0:
        return "residuals"
    if stop.met(bounds):
        return "bounds"
    if history.scaled[-1] <= stop.loose and _objective_rests(history, stop):
        return "objective"
    return ""


def _note(history: History, state: State, scaled: float) -> None:
    history.primal.append(state.residuals.primal)
    history.dual.append(state.residuals.dual)
    history.scaled.append(scaled)
    history.penalty.append(state.penalty)
    history.objective.append(state.objective)
    history.prices.append(state.residuals.prices)


def _objective_rests(history: History, stop: Stop) -> bool:
    if stop.objective is None or len(history.objective) <= stop.patience:
        return False
    last = np.array(history.objective[-stop.patience - 1 :])
    scale = max(abs(last[-1]), np.finfo(float).tiny)
    return bool((np.abs(np.diff(last)) <= stop.objective * scale).all())


def _diverges(history: History, primal: float) -> bool:
    """Return whether the multipliers grow linearly and nothing else moves."""
    if len(history.primal) <= WINDOW or primal <= 1.0:
        return False
    r, y = np.array(history.primal[-WINDOW:]), np.array(history.prices[-WINDOW - 1 :])
    growth = np.diff(y)
    apart = r.max() - r.min() <= STILL * r.max()
    moved_on = np.array(history.dual[-WINDOW:]).max() <= STILL * growth.min()
    linear = growth.min() > 0.0 and growth.max() - growth.min() <= STILL * growth.max()
    held = len(set(history.penalty[-WINDOW:])) == 1
    return bool(apart and linear and held and moved_on)
