"""Operator and participants agree on boundary power: analytical target cascading (ATC).

Shared is the total exchange P of each participant: the operator's target T, the participant's
response R, c = T - R:

    participants  min C_n(R) + v (T - R) + |w (T - R)|^2                                   (1)
    operator      min C_0(T) + v (T - R) + |w (T - R)|^2                                   (2)
    after both    v <- v + 2 w^2 c,    w <- beta w                                         (3)

Tosserams et al. (2006). With beta = 1 this is `two_block` with rho = 2 w^2 and y = v. With beta > 1
the steps shrink as 1/w^2 and both usual tests (c, change of cost) pass at a wrong point: the dual
residual 2 w^2 |T - T_before| is what tells, so it is part of the stopping test; w grows only while
c does not shrink, and up to a cap.

`boundary` is the same coupling as a part of `two_block`: together with an exchange or with pair
trades it makes the scheme of two blocks {all participants} and {operator, closed forms}.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, Self

import numpy as np

from pp_p2p.algorithms.consensus import ROUNDING, Array, Residuals
from pp_p2p.algorithms.two_block import Local, Message, Part, Second, norm
from pp_p2p.errors import Finding, raise_if_any

SHRINKING: Final = 0.25
"""The weight grows where the gap is above this part of the last."""


def boundary(operator: Second, *, weight: float = 1.0) -> Part:
    """Return the part in which the operator sees boundary power (agent, step), and nothing else.

    Parameters
    ----------
    operator : Second
        ``argmin C_0(T) + penalty/2 |T - point|^2``.
    weight : float
        Penalty relative to the scheme's.
    """
    return Part(name="boundary power", counterpart="operator", second=operator, weight=weight)


@dataclass(frozen=True, kw_only=True)
class Weights:
    """How the weight w of ATC grows.

    Parameters
    ----------
    growth : float
        beta >= 1.
    cap : float
        Largest w; infinite = none (for the record: such runs do not come to rest).
    only_if_slow : bool
        Grow only where ``|c| > 0.25 |c_before|``.
    """

    growth: float = 1.05
    cap: float = np.inf
    only_if_slow: bool = True

    def __post_init__(self) -> None:
        raise_if_any(
            Finding(table="Weights", column=name, rule=f"is {value}", mend=f"use {rule}")
            for name, value, rule, ok in (
                ("growth", self.growth, ">= 1", self.growth >= 1),
                ("cap", self.cap, "> 0", self.cap > 0),
            )
            if not ok
        )

    def after(self, weight: float, gap: float, gap_before: float) -> float:
        """Return the weight of the next iteration."""
        if self.only_if_slow and gap <= SHRINKING * gap_before:
            return weight
        return max(weight, min(weight * self.growth, self.cap))


@dataclass(frozen=True, kw_only=True)
class AtcState:
    """State of (1)-(3).

    Parameters
    ----------
    target, response, multiplier : (agent, step)
        T, R, v.
    weight : float
        w.
    residuals : Residuals
    objective : float
    iteration : int
    memory, operator_memory : Any
        Warm starts.
    """

    target: Array
    response: Array
    multiplier: Array
    weight: float
    residuals: Residuals
    objective: float = float("nan")
    iteration: int = 0
    memory: Any = None
    operator_memory: Any = None

    @property
    def penalty(self) -> float:
        """The penalty rho = 2 w^2 of the equivalent ADMM."""
        return 2.0 * self.weight**2

    def with_penalty(self, penalty: float) -> Self:
        """Return the state with the weight of this penalty."""
        return replace(self, weight=float(np.sqrt(penalty / 2.0)))


def atc_start(shape: tuple[int, ...], weight: float) -> AtcState:
    """Return the state with everything 0 and weight `weight` > 0."""
    raise_if_any(
        [Finding(table="weight", rule=f"is {weight}", mend="use a number > 0")]
        if not (np.isfinite(weight) and weight > 0)
        else []
    )
    zero = np.zeros(shape)
    return AtcState(
        target=zero,
        response=zero,
        multiplier=zero,
        weight=float(weight),
        residuals=Residuals(primal=np.inf, dual=np.inf, copies=0.0, prices=0.0, size=zero.size),
    )


def atc_stepper(
    participants: Local,
    operator: Second,
    *,
    weights: Weights,
    listen: Callable[[Message], None] | None = None,
) -> Callable[[AtcState], AtcState]:
    """Return one sweep (1)-(3) for `consensus.run`.

    Parameters
    ----------
    participants : Local
        One part: boundary power (agent, step).
    operator : Second
    weights : Weights
    listen : callable, optional
        Called with every message.
    """

    def step(state: AtcState) -> AtcState:
        rho = state.penalty
        shift = state.multiplier / rho
        reply = participants((state.target + shift,), (rho,), state.memory)
        (response,) = reply.x
        answer = operator(response - shift, rho, state.operator_memory)
        gap = answer.z - response
        multiplier = state.multiplier + rho * gap
        copies = max(norm([response]), norm([answer.z]))
        residuals = Residuals(
            primal=norm([gap]),
            dual=rho * max(norm([answer.z - state.target]), ROUNDING * copies),
            copies=copies,
            prices=norm([multiplier]),
            size=gap.size,
        )
        after = replace(
            state,
            target=answer.z,
            response=response,
            multiplier=multiplier,
            weight=weights.after(state.weight, residuals.primal, state.residuals.primal),
            residuals=residuals,
            objective=float("nan")
            if reply.cost is None
            else float(np.sum(reply.cost)) + answer.cost,
            iteration=state.iteration + 1,
            memory=reply.memory,
            operator_memory=answer.memory,
        )
        if listen is not None:
            listen(Message(after.iteration, "agents", "operator", "boundary power", response))
            listen(Message(after.iteration, "operator", "agents", "target", answer.z))
        return after

    return step
