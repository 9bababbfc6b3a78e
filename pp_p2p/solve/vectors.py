"""A compiled problem with other vectors: right-hand sides, bounds and linear costs.

`Positions` finds where the members of a Pyomo component stand, `Vectors` collects what replaces
what stands there. Matrix, cones and integers stay: `pp_p2p.solve.run.CompiledSolver` then solves
again without setting up anew.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from pp_p2p.solve.compiled import Array, CompiledProblem

ABSENT = -1
"""Position of a member that the compiled problem does not hold: it is fixed or in no row."""


class Positions:
    """Finds columns and rows by the Pyomo components they were made from.

    Parameters
    ----------
    problem : CompiledProblem
        The positions hold for every problem of the same structure.
    """

    def __init__(self, problem: CompiledProblem) -> None:
        self._columns = {id(variable): k for k, variable in enumerate(problem.columns)}
        self._rows = {id(constraint): k for k, constraint in enumerate(problem.rows)}

    def columns(self, component: Any) -> Array:
        """Return the column (member,) of every variable of `component`, in its order."""
        return self._of(self._columns, component.values())

    def columns_of(self, variables: list[Any]) -> Array:
        """Return the column of every variable of a list."""
        return self._of(self._columns, variables)

    def rows(self, component: Any) -> Array:
        """Return the row (member,) of every constraint of `component`, in its order.

        A constraint with two sides is two rows; the latter is given.
        """
        return self._of(self._rows, component.values())

    @staticmethod
    def _of(place: dict[int, int], members: Any) -> Array:
        return np.fromiter((place.get(id(member), ABSENT) for member in members), np.int64)


@dataclass(frozen=True, kw_only=True)
class Vectors:
    """Vectors of a compiled problem, to be written into; members at `ABSENT` are passed over."""

    cost: Array
    lower: Array
    upper: Array
    row_lower: Array
    row_upper: Array

    @classmethod
    def of(cls, problem: CompiledProblem) -> Self:
        """Return copies of the vectors of `problem`."""
        return cls(**{f.name: getattr(problem, f.name).copy() for f in dataclasses.fields(cls)})

    def bound(self, columns: Array, lower: npt.ArrayLike, upper: npt.ArrayLike) -> None:
        """Replace the bounds of `columns`; the values are scalars or of as many members."""
        _write(self.lower, columns, lower)
        _write(self.upper, columns, upper)

    def equate(self, rows: Array, value: npt.ArrayLike) -> None:
        """Replace the right-hand side of equality `rows`."""
        _write(self.row_lower, rows, value)
        _write(self.row_upper, rows, value)

    def limit(self, rows: Array, upper: npt.ArrayLike) -> None:
        """Replace the upper limit of inequality `rows`."""
        _write(self.row_upper, rows, upper)

    def price(self, columns: Array, cost: npt.ArrayLike) -> None:
        """Replace the linear cost of `columns`."""
        _write(self.cost, columns, cost)

    def put_into(self, problem: CompiledProblem) -> CompiledProblem:
        """Return `problem` with these vectors."""
        own = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return dataclasses.replace(problem, **own)


def _write(vector: Array, at: Array, values: npt.ArrayLike) -> None:
    present = at != ABSENT
    flat = np.broadcast_to(np.ravel(values), at.shape)
    vector[at[present]] = flat[present]
