"""Linear expressions built from lists: an order of magnitude quicker than summing Pyomo terms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pyomo.core.expr.numeric_expr import LinearExpression


def linear(coefs: Sequence[float], variables: Sequence[Any], constant: float = 0.0) -> Any:
    """Return ``constant + sum coefs * variables`` as a Pyomo expression."""
    return LinearExpression(constant=constant, linear_coefs=coefs, linear_vars=variables)
