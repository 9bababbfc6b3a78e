"""Quadratic constraints of Pyomo as rows of second-order cones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyomo.environ as pyo
import scipy.sparse as sp
from pyomo.repn import generate_standard_repn

from pp_p2p.errors import SolverCannot


def column_of(variable: Any, columns: list[Any], position: dict[int, int]) -> int:
    """Return the column of `variable`, appending it where no linear row has it."""
    if id(variable) not in position:
        position[id(variable)] = len(columns)
        columns.append(variable)
    return position[id(variable)]


class Cones:
    """Collects quadratic constraints as rows of second-order cones."""

    def __init__(self, columns: list[Any], position: dict[int, int]) -> None:
        self._columns, self._position = columns, position
        self._entries: tuple[list[int], list[int], list[float]] = ([], [], [])
        self.offsets: list[float] = []
        self.sizes: list[int] = []

    def matrix(self) -> Any:
        """Return the rows so far, sparse (cone row, column)."""
        rows, cols, data = self._entries
        return sp.csr_matrix((data, (rows, cols)), shape=(len(self.offsets), len(self._columns)))

    def add(self, constraint: Any) -> None:
        """Add ``sum a x^2 - (product or square or linear) <= constant`` as one cone."""
        repn = generate_standard_repn(constraint.body, quadratic=True, compute_values=True)
        if constraint.upper is None or constraint.equality or repn.nonlinear_vars:
            raise SolverCannot(f"{constraint.name} is not a second-order cone")
        level = float(pyo.value(constraint.upper)) - float(repn.constant)
        squares: list[tuple[float, Any]] = []
        right: list[tuple[float, Any, Any]] = []
        for coef, (one, two) in zip(repn.quadratic_coefs, repn.quadratic_vars, strict=True):
            if one is two and coef > 0:
                squares.append((float(coef), one))
            elif coef < 0:
                right.append((-float(coef), one, two))
            else:
                raise SolverCannot(f"{constraint.name} is not convex")
        linear = [(-float(c), v) for c, v in zip(repn.linear_coefs, repn.linear_vars, strict=True)]
        self._place(constraint, squares, right, linear, level)

    def _place(
        self,
        constraint: Any,
        squares: list[tuple[float, Any]],
        right: list[tuple[float, Any, Any]],
        linear: list[tuple[float, Any]],
        level: float,
    ) -> None:
        if len(right) == 1 and not linear and level == 0.0:
            k, u, w = right[0]
            self._require_nonnegative(constraint, u, w)
            root = float(np.sqrt(k))
            if u is w:
                self._write([[(root, u)]], [0.0], squares, 1.0)
            else:
                self._write([[(root, u), (root, w)], [(root, u), (-root, w)]], [0, 0], squares, 2.0)
        elif not right and len(linear) == 1 and level == 0.0:
            k, u = linear[0]
            self._require_nonnegative(constraint, u)
            self._write([[(k, u)], [(k, u)]], [1.0, -1.0], squares, 2.0)
        elif not right and not linear and level >= 0.0:
            self._write([[]], [float(np.sqrt(level))], squares, 1.0)
        else:
            raise SolverCannot(f"{constraint.name} is not a second-order cone")

    def _write(
        self,
        head: list[list[tuple[float, Any]]],
        offsets: list[float],
        squares: list[tuple[float, Any]],
        factor: float,
    ) -> None:
        lines = head + [[(factor * float(np.sqrt(a)), x)] for a, x in squares]
        for row, line in enumerate(lines, start=len(self.offsets)):
            for coef, variable in line:
                self._entries[0].append(row)
                self._entries[1].append(column_of(variable, self._columns, self._position))
                self._entries[2].append(coef)
        self.offsets += offsets + [0.0] * len(squares)
        self.sizes.append(len(lines))

    @staticmethod
    def _require_nonnegative(constraint: Any, *variables: Any) -> None:
        for variable in variables:
            if variable.lb is None or variable.lb < 0:
                raise SolverCannot(
                    f"{constraint.name} is a cone only where {variable.name} has a lower bound >= 0"
                )
