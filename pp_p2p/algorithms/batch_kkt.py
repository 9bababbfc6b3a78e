"""One Newton system of an interior-point method, solved for all agents at once.

    D dx - A' dy = g,    A dx = r      (D diagonal > 0, A the rows (1)-(4) of `batch_data`)

Each step's variables are eliminated through D, then its two balances (1) and (2): what is left per
agent is a tridiagonal chain over the steps (3) and a few rows for the windows (4). A storage that
returns to a free start keeps its last level as one more unknown, so that the chain stays
tridiagonal. Sums that would cancel are written as resistances in series and parallel. Arrays have
the agent as their last axis.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from pp_p2p.algorithms.batch_data import Array, LocalProblems

Rows = tuple[Array, Array, Array, Array]
"""Values of rows (1), (2), (3): (step, agent); of rows (4): (window, agent)."""


@dataclass(frozen=True, kw_only=True)
class Slots:
    """Where the quantities stand in a stack (slot, step, agent)."""

    outside: slice
    boundary: int | None
    inside: slice
    storage: int | None
    """Charge; discharge and energy follow."""
    shift: int | None
    """Up; down follows."""
    n: int

    @classmethod
    def of(cls, problems: LocalProblems) -> Slots:
        """Return the places in the order of ``problems.boxes()``."""
        at = 1 + len(problems.outside)
        outside, boundary = slice(0, at), None
        if problems.boundary is not None:
            boundary, at = at, at + 1
        inside = slice(at, at + len(problems.inside))
        at, storage, shift = inside.stop, None, None
        if problems.storage is not None:
            storage, at = at, at + 3
        if problems.shift is not None:
            shift, at = at, at + 2
        return cls(
            outside=outside, boundary=boundary, inside=inside, storage=storage, shift=shift, n=at
        )


@dataclass(frozen=True, kw_only=True)
class Structure:
    """Coefficients of the rows.

    Parameters
    ----------
    slots : Slots
    gain, drain : (step, agent)
        Energy per unit charged and discharged, ``h eta_c`` and ``h / eta_d``.
    cyclic : (agent,) of float
        1 where the level after the last step is the level before the first.
    hours : (window, step, agent)
        Length of the step where it belongs to the window, else 0.
    window : (step, agent) of int
        Window of the step; any where there is none.
    """

    slots: Slots
    gain: Array
    drain: Array
    cyclic: Array
    hours: Array
    window: Array

    def of_agents(self, which: Array) -> Structure:
        """Return the same for some agents."""
        return replace(
            self,
            gain=self.gain[:, which],
            drain=self.drain[:, which],
            cyclic=self.cyclic[which],
            hours=self.hours[:, :, which],
            window=self.window[:, which],
        )

    def rows(self, x: Array) -> Rows:
        """Return ``A x``."""
        s = self.slots
        outside = x[s.outside].sum(axis=0)
        into = x[s.boundary].copy() if s.boundary is not None else outside
        first = outside - into
        for i in range(s.inside.start, s.inside.stop):
            into = into + x[i]
        third = np.zeros_like(into)
        fourth = np.zeros((len(self.hours), x.shape[2]))
        if s.storage is not None:
            charge, discharge, energy = x[s.storage : s.storage + 3]
            into = into + discharge - charge
            third = energy - self.gain * charge + self.drain * discharge
            third[1:] -= energy[:-1]
            third[0] -= self.cyclic * energy[-1]
        if s.shift is not None:
            moved = x[s.shift] - x[s.shift + 1]
            into = into - moved
            fourth = np.einsum("wtn,tn->wn", self.hours, moved)
        return first, into, third, fourth

    def prices(self, y: Rows, out: Array) -> Array:
        """Return ``A' y``, written into `out`."""
        s = self.slots
        first, second, third, fourth = y
        out[s.outside] = first if s.boundary is not None else second
        if s.boundary is not None:
            np.subtract(second, first, out=out[s.boundary])
        out[s.inside] = second
        if s.storage is not None:
            np.multiply(self.gain, third, out=out[s.storage])
            out[s.storage] += second
            np.negative(out[s.storage], out=out[s.storage])
            np.multiply(self.drain, third, out=out[s.storage + 1])
            out[s.storage + 1] += second
            np.subtract(third[:-1], third[1:], out=out[s.storage + 2, :-1])
            out[s.storage + 2, -1] = third[-1] - self.cyclic * third[0]
        if s.shift is not None:
            value = np.take_along_axis(fourth, self.window, axis=0)
            value *= self.hours.sum(axis=0)
            np.subtract(value, second, out=out[s.shift])
            np.negative(out[s.shift], out=out[s.shift + 1])
        return out


class Factor:
    """The Newton system for one diagonal.

    Parameters
    ----------
    structure : Structure
    weight : (slot, step, agent)
        ``1 / D``; 0 for what is fixed.
    boundary_diagonal : (step, agent) or None
        ``D`` of the boundary slot, which may be 0; very large where it is fixed.
    last_diagonal : (agent,) or None
        ``D`` of the last storage level.
    """

    def __init__(
        self,
        structure: Structure,
        weight: Array,
        boundary_diagonal: Array | None,
        last_diagonal: Array | None,
    ) -> None:
        s = structure.slots
        self.structure, self.weight = structure, weight
        self.boundary_diagonal = boundary_diagonal
        self.outside = weight[s.outside].sum(axis=0)
        rest = self.outside
        if boundary_diagonal is not None:
            self.series = 1.0 / (1.0 + self.outside * boundary_diagonal)
            rest = self.outside * self.series
        for i in range(s.inside.start, s.inside.stop):
            rest = rest + weight[i]
        self._condense(rest)
        if s.storage is not None:
            self._factor_chain(last_diagonal)
        self._factor_border()

    def _condense(self, rest: Array) -> None:
        s, structure, weight = self.structure.slots, self.structure, self.weight
        moved = weight[s.shift] + weight[s.shift + 1] if s.shift is not None else None
        without_storage = rest + moved if moved is not None else rest
        total = without_storage
        if s.storage is not None:
            c, d = weight[s.storage], weight[s.storage + 1]
            total = without_storage + c + d
        self.total = np.where(total > 0.0, total, 1.0)
        if s.storage is not None:
            gain, drain = structure.gain, structure.drain
            self.coupled = drain * d + gain * c
            self.chain = (
                without_storage * (gain**2 * c + drain**2 * d) + c * d * (drain - gain) ** 2
            ) / self.total
        if moved is not None:
            hours = structure.hours.sum(axis=0)
            others = rest if s.storage is None else rest + c + d
            self.shifted = hours * moved
            self.window_own = hours**2 * moved * others / self.total

    def _factor_chain(self, last_diagonal: Array | None) -> None:
        s, cyclic = self.structure.slots, self.structure.cyclic
        assert s.storage is not None
        link = self.weight[s.storage + 2].copy()
        link[-1] *= 1.0 - cyclic
        own, n_steps = self.chain, len(link)
        pivot, lower = np.empty_like(own), np.empty_like(own)
        spare = own[0]
        for t in range(n_steps):
            if t:
                lower[t] = link[t - 1] / pivot[t - 1]
                spare = own[t] + lower[t] * spare
            pivot[t] = spare + link[t]
            np.copyto(pivot[t], 1.0, where=pivot[t] <= 0.0)
        self.lower, self.inverse_pivot = lower, 1.0 / pivot
        self.last_diagonal = last_diagonal

    def _factor_border(self) -> None:
        s, structure = self.structure.slots, self.structure
        n_windows, n_agents = len(structure.hours), len(structure.cyclic)
        has_last = s.storage is not None and bool(structure.cyclic.any())
        self.n_border = n_windows + has_last
        self.has_last = has_last
        if not self.n_border:
            return
        own = np.zeros((n_agents, self.n_border, self.n_border))
        inside = structure.hours > 0.0
        for k in range(n_windows):
            own[:, k, k] = np.einsum("tn,tn->n", inside[k], self.window_own)
        if s.storage is not None:
            n_steps = len(self.chain)
            border = np.zeros((n_steps, self.n_border, n_agents))
            if n_windows:
                both = self.coupled * self.shifted / self.total
                border[:, :n_windows] = (both * inside).transpose(1, 0, 2)
            if has_last:
                border[-1, -1] += structure.cyclic
                border[0, -1] -= structure.cyclic
                assert self.last_diagonal is not None
                own[:, -1, -1] = np.where(structure.cyclic > 0.0, -self.last_diagonal, 1.0)
            self.border = border
            self.border_solved = self._chain_solve(border)
            own -= np.einsum("tkn,tjn->nkj", border, self.border_solved)
        empty = np.einsum("nkk->nk", own) == 0.0
        np.einsum("nkk->nk", own)[empty] = 1.0
        self.border_inverse = np.linalg.inv(own) if self.n_border > 1 else 1.0 / own

    def _chain_solve(self, rhs: Array) -> Array:
        """Solve the chain for right-hand sides (step, ..., agent)."""
        found = rhs.copy()
        for t in range(1, len(found)):
            found[t] += self.lower[t] * found[t - 1]
        shape = (len(found), *[1] * (rhs.ndim - 2), rhs.shape[-1])
        found *= self.inverse_pivot.reshape(shape)
        for t in range(len(found) - 2, -1, -1):
            found[t] += self.lower[t + 1] * found[t + 1]
        return found

    def solve(self, g: Array, r: Rows, out: Array) -> tuple[Array, Rows]:
        """Return ``dx`` (written into `out`) and ``dy``."""
        s, structure = self.structure.slots, self.structure
        gi = np.multiply(g, self.weight, out=out)
        first = r[0] - gi[s.outside].sum(axis=0)
        if s.boundary is not None:
            own = g[s.boundary]
            second = r[1] - (self.outside * own - first) * self.series
        else:
            second = r[1] + first - r[0]
        for i in range(s.inside.start, s.inside.stop):
            second -= gi[i]
        third, fourth = r[2], r[3]
        if s.storage is not None:
            charge, discharge, energy = gi[s.storage : s.storage + 3]
            second += charge - discharge
            third = third + structure.gain * charge - structure.drain * discharge - energy
            third[-1] += structure.cyclic * energy[-1]
            third[1:] += energy[:-1]
        if s.shift is not None:
            moved = gi[s.shift] - gi[s.shift + 1]
            second += moved
        y2 = second / self.total
        if s.shift is not None:
            fourth = (
                fourth
                + np.einsum("wtn,tn->wn", structure.hours > 0.0, self.shifted * y2)
                - np.einsum("wtn,tn->wn", structure.hours, moved)
            )
        y3, y4 = self._solve_reduced(g, third, fourth, y2)
        if s.storage is not None:
            y2 -= self.coupled * y3 / self.total
        if s.shift is not None:
            y2 += self.shifted * np.take_along_axis(y4, structure.window, axis=0) / self.total
        y1 = y2
        if s.boundary is not None:
            y1 = self._boundary_price(own, y2, first)
        dy = (y1, y2, y3, y4)
        dx = structure.prices(dy, out)
        dx += g
        dx *= self.weight
        return dx, dy

    def _solve_reduced(
        self, g: Array, third: Array, fourth: Array, y2: Array
    ) -> tuple[Array, Array]:
        s, n_windows = self.structure.slots, len(self.structure.hours)
        y3 = third
        if s.storage is not None:
            y3 = self._chain_solve(third - self.coupled * y2)
        if not self.n_border:
            return y3, fourth
        rhs = fourth
        if self.has_last:
            assert s.storage is not None
            last = np.where(self.structure.cyclic > 0.0, -g[s.storage + 2, -1], 0.0)
            rhs = np.concatenate([fourth, last[None]])
        if s.storage is not None:
            rhs = rhs - np.einsum("tkn,tn->kn", self.border, y3)
        found = np.einsum("nkj,jn->kn", self.border_inverse, rhs)
        if s.storage is not None:
            y3 -= np.einsum("tkn,kn->tn", self.border_solved, found)
        return y3, found[:n_windows]

    def _boundary_price(self, own: Array, y2: Array, first: Array) -> Array:
        """Return the multiplier of (1), from whichever side has the larger resistance."""
        assert self.boundary_diagonal is not None
        flow = (self.outside * (own + y2) - first) * self.series
        from_outside = self.outside * self.boundary_diagonal > 1.0
        safe = np.where(from_outside, self.outside, 1.0)
        behind = own + y2 - self.boundary_diagonal * flow
        found: Array = np.where(from_outside, (first + flow) / safe, behind)
        return found
