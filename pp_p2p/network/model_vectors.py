"""What profiles change in a compiled model: the vectors of `network_block` and `add_devices`.

    balance_p, balance_q     right-hand sides: what is fixed of the injection
    p, q, p_source, q_source, l       bounds that follow from the size of the injection
    charge, discharge, energy, generator p and q, up, down, ...  their limits

Whatever else differs is in the matrix, and the model has to be built anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from pp_p2p.network.block import Injection, Terms, flow_bound, source_bounds
from pp_p2p.network.branch_flow import current_bound
from pp_p2p.network.branches import Array
from pp_p2p.network.devices import flexible_load_bounds, generator_bounds, storage_bounds
from pp_p2p.network.grid import GridData
from pp_p2p.network.portfolio import Portfolio
from pp_p2p.network.timeline import Timeline
from pp_p2p.solve.vectors import Positions, Vectors


class ModelVectors:
    """Positions of a built model's laws and limits, and what new data writes there.

    Parameters
    ----------
    m : pyomo.ConcreteModel
        With ``m.injection``, ``m.network`` and the blocks of `add_devices`.
    positions : Positions
        Of the model's compiled problem.
    """

    def __init__(self, m: Any, positions: Positions) -> None:
        network, at = m.network, positions.columns
        self._balance = positions.rows(network.balance_p), positions.rows(network.balance_q)
        self._flow = np.concatenate([at(network.p), at(network.q)])
        self._source = {name: at(getattr(network, name)) for name in ("p_source", "q_source")}
        self._current = at(network.l) if network.component("l") is not None else None
        self._terms = [
            _TermPlaces.of(terms, positions) for terms in (m.injection.p_terms, m.injection.q_terms)
        ]
        self._storage = {name: at(getattr(m.storage, name)) for name in _STORAGE}
        f = m.flexible
        self._flexible = {
            "up": (list(f.FLEXIBLE), at(f.up)),
            "down": (list(f.FLEXIBLE), at(f.down)),
            "curtail": (list(f.CURTAILABLE), at(f.curtail)),
            "response": (list(f.ELASTIC), at(f.response)),
        }
        self._several = list(f.SEVERAL), positions.rows(f.not_below_zero)
        self._generator = {
            "p": (list(m.generator.GENERATOR), at(m.generator.p)),
            "q": (list(m.generator.REACTIVE), at(m.generator.q)),
        }

    def write(
        self,
        vectors: Vectors,
        grid: GridData,
        line: Timeline,
        portfolio: Portfolio,
        injection: Injection,
    ) -> float:
        """Write into `vectors`; return the new bound of every flow, p.u.

        Parameters
        ----------
        vectors : Vectors
        grid : GridData
        line : Timeline
        portfolio : Portfolio
        injection : Injection
            What is fixed of it (`fixed_injection`); its terms are the model's own.
        """
        for rows, fixed in zip(self._balance, (injection.p, injection.q), strict=True):
            vectors.equate(rows, -fixed)
        for name, bounds in storage_bounds(portfolio.storages, line).items():
            vectors.bound(self._storage[name], *bounds)
        for name, (lower, upper) in flexible_load_bounds(portfolio.flexible).items():
            keys, columns = self._flexible[name]
            vectors.bound(columns, lower[keys], upper[keys])
        keys, rows = self._several
        vectors.limit(rows, portfolio.flexible.level.T[keys])
        for name, (lower, upper) in generator_bounds(portfolio.generators).items():
            keys, columns = self._generator[name]
            vectors.bound(columns, lower[keys], upper[keys])
        movable = sum(
            (terms.reach(vectors, line.n_steps) for terms in self._terms), np.zeros(line.n_steps)
        )
        fixed_size = np.hypot(injection.p, injection.q).sum(axis=0)
        most = flow_bound(grid, float((fixed_size + movable).max()))
        vectors.bound(self._flow, -most, most)
        for name, bounds in source_bounds(grid, most).items():
            lower, upper = (np.repeat(side, line.n_steps) for side in bounds)
            vectors.bound(self._source[name], lower, upper)
        if self._current is not None:
            limit = np.repeat(current_bound(grid, most), line.n_steps)
            vectors.bound(self._current, 0.0, limit)
        return most


_STORAGE = ("charge", "discharge", "energy")


@dataclass(frozen=True, kw_only=True)
class _TermPlaces:
    """Terms of an injection as arrays (term,): step, size of the coefficient, column."""

    step: Array
    size: Array
    column: Array

    @classmethod
    def of(cls, terms: Terms, positions: Positions) -> Self:
        flat = [(t, abs(c), v) for (_, t), pairs in terms.items() for c, v in pairs]
        return cls(
            step=np.array([t for t, _, _ in flat], dtype=np.int64),
            size=np.array([c for _, c, _ in flat], dtype=float),
            column=positions.columns_of([v for _, _, v in flat]),
        )

    def reach(self, vectors: Vectors, n_steps: int) -> Array:
        """Return the largest total power (step,) of the terms."""
        largest = np.maximum(np.abs(vectors.lower), np.abs(vectors.upper))[self.column]
        total = np.zeros(n_steps)
        np.add.at(total, self.step, self.size * largest)
        return total
