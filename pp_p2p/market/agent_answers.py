"""What a group of participants is asked, and what it tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pp_p2p.network.branches import Array

Schedule = Mapping[str, tuple[Array, Array]]
"""Variable of the day's model -> its rows (row,) and their values (row, step), p.u."""


@dataclass(frozen=True, kw_only=True)
class Ask:
    """Terms ``cost x + curvature x^2 / 2`` on trade and boundary power, EUR per p.u. and step.

    Parameters
    ----------
    trade_cost, trade_curvature : broadcastable to (agent, hour)
    boundary_cost, boundary_curvature : broadcastable to (port, step)
    fixed_trade : (agent, hour), optional
        Trades that are agreed.
    schedule : bool
        Tell the schedule of every device, too: when all is agreed.
    """

    trade_cost: Array | float = 0.0
    trade_curvature: Array | float = 0.0
    boundary_cost: Array | float = 0.0
    boundary_curvature: Array | float = 0.0
    fixed_trade: Array | None = None
    schedule: bool = False


@dataclass(frozen=True, kw_only=True)
class Told:
    """Answer of a group.

    Parameters
    ----------
    trade : (agent, hour), p.u.
        Positive = bought.
    boundary : (port, step), p.u.
        Positive = drawn.
    cost : (agent,), EUR
        Own cost, without the terms of the question.
    schedule : Schedule
        Empty unless asked for.
    memory : Any
        The group's own: handed back with the next question, read by nobody else.
    """

    trade: Array
    boundary: Array
    cost: Array
    schedule: Schedule = field(default_factory=dict)
    memory: Any = None
