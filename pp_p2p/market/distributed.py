"""How a day is solved without a centre: the choices of `pp_p2p.market.agreement`."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Final, Literal

from pp_p2p.algorithms.two_block import Message
from pp_p2p.errors import Finding, raise_if_any

Form = Literal["auto", "exchange", "pairs"]

SPLIT: Final = 2e-4
"""Part of the gain that the bounds may leave open: what all payments together can be wrong by."""

NO_GAIN: Final = 1e-6
"""Gap, relative to the cost, that proves well enough that nothing is gained."""


@dataclass(frozen=True, kw_only=True)
class Distributed:
    """How a day is solved without a centre.

    Parameters
    ----------
    form : {"auto", "exchange", "pairs"}
        One price for everyone at every hour, or one for each pair (CF-ADMM). ``"auto"`` takes
        pairs where fees or limits depend on the pair, which the exchange does not know.
    tolerance : float
        Gap between the proven bounds of the least cost at which the scheme ends, relative. With
        trading it has to be below `SPLIT` of the gain, too, where that is not below `NO_GAIN` of
        the cost. What each one's stand-alone cost is wrong by enters its payment: 1e-5 makes
        payments good to a thousandth of the gain where the gain is a small part of the cost.
    max_iterations : int
    relaxation : float
        Over-relaxation in (0, 2).
    penalty : float, optional
        First penalty, EUR/(MW2 h). Default: the spread of prices over the usual exchange.
    group_size : int
        Most participants that are solved together; 1 gives each a process of its own.
    executor : Executor, optional
        Runs the groups; default in this process. The result is the same.
    check_central : bool
        Solve the day centrally, too, and tell the gap.
    listen : callable, optional
        Called with every `Message` between participants, coordinator, partners and operator.
    """

    form: Form = "auto"
    tolerance: float = 1e-4
    max_iterations: int = 500
    relaxation: float = 1.6
    penalty: float | None = None
    group_size: int = 256
    executor: Executor | None = field(default=None, compare=False)
    check_central: bool = True
    listen: Callable[[Message], None] | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        raise_if_any(
            Finding(
                table="Distributed",
                column=name,
                rule=f"is {getattr(self, name)!r}",
                mend=f"use {mend}",
            )
            for name, mend, ok in (
                (
                    "form",
                    "'auto', 'exchange' or 'pairs'",
                    self.form in ("auto", "exchange", "pairs"),
                ),
                ("tolerance", "a number above 0", self.tolerance > 0),
                ("max_iterations", "at least 1", self.max_iterations >= 1),
                ("relaxation", "a number in (0, 2)", 0 < self.relaxation < 2),
                ("penalty", "a number above 0", self.penalty is None or self.penalty > 0),
                ("group_size", "at least 1", self.group_size >= 1),
            )
            if not ok
        )

    def room(self, reference: float) -> Callable[[float], float]:
        """Return the gap (EUR) at which the scheme ends, by the cost of the best point so far.

        Parameters
        ----------
        reference : float
            The same cost without trading; infinite where it is not known.
        """

        def enough(cost: float) -> float:
            gain = max(SPLIT * (reference - cost), NO_GAIN * abs(cost))
            return min(self.tolerance * abs(cost), gain)

        return enough

    def options(self) -> dict[str, object]:
        """Return what a result depends on."""
        names = ("form", "tolerance", "max_iterations", "relaxation", "penalty")
        return {"name": "distributed", **{name: getattr(self, name) for name in names}}
