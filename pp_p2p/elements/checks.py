"""Rules on one value of a column, each with the text a user reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.generic]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Check:
    """A named rule; two checks with the same text are the same rule.

    Parameters
    ----------
    text : str
        The rule, to be read after "must be", e.g. ``">= 0"``.
    test : callable
        From values to a mask that is true where the rule is kept.
    """

    text: str
    test: Callable[[Values], Mask] = field(repr=False, compare=False)

    def passes(self, values: Values) -> Mask:
        """Return where `values` keep the rule."""
        return np.asarray(self.test(values), dtype=np.bool_)


def ge(bound: float) -> Check:
    """Return the rule ``value >= bound``."""
    return Check(f">= {bound:g}", lambda values: np.greater_equal(values, bound))


def gt(bound: float) -> Check:
    """Return the rule ``value > bound``."""
    return Check(f"> {bound:g}", lambda values: np.greater(values, bound))


def between(low: float, high: float) -> Check:
    """Return the rule ``low <= value <= high``."""
    return Check(
        f"between {low:g} and {high:g}",
        lambda values: np.greater_equal(values, low) & np.less_equal(values, high),
    )


def above_up_to(low: float, high: float) -> Check:
    """Return the rule ``low < value <= high``."""
    return Check(
        f"above {low:g} and at most {high:g}",
        lambda values: np.greater(values, low) & np.less_equal(values, high),
    )


def one_of(*allowed: str) -> Check:
    """Return the rule that the value is one of the `allowed` words."""
    words = frozenset(allowed)
    return Check(
        "one of " + ", ".join(repr(word) for word in allowed),
        lambda values: np.array([value in words for value in values.tolist()], dtype=np.bool_),
    )
