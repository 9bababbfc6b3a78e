"""Groups of several cases as one dataset with the dim ``case``, aligned by label, read when used.

A variable stands in the dataset before any of its numbers is read: xarray asks for a part of it,
and only that part of only those cases is read. Labels that a case does not have are NaN (an empty
text, for text), or 0 where absence is nothing built.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from planning.case_files import CaseGroup, Stored
from pp_p2p.network.branches import Array

CASE: Final = "case"
OWN_CASE: Final = "plan_case"
"""Name of the dim ``case`` that a plan has of its own."""


class StackedCases(BackendArray):
    """A variable of several cases, (case, *dims): each case's part is read where it is asked for.

    Parameters
    ----------
    parts : sequence of Stored or None
        The variable of every case; None where a case does not have it.
    places : sequence of mapping
        dim -> position of every label among those of the case, -1 where it has none.
    dims : tuple of str
        Without ``case``.
    zero_along : str
        Along this dim a label that a case does not have is 0, where it has the other labels.
    """

    def __init__(
        self,
        parts: Sequence[Stored | None],
        places: Sequence[Mapping[str, Array]],
        dims: tuple[str, ...],
        *,
        zero_along: str = "",
    ) -> None:
        self._parts, self._places, self._dims = list(parts), list(places), dims
        self._zero_along = zero_along
        self.shape = (len(self._parts), *(self._places[0][dim].size for dim in dims))
        whole = all(
            part is not None and all((place[dim] >= 0).all() for dim in dims)
            for part, place in zip(parts, places, strict=True)
        )
        self.dtype = _dtype([part.dtype for part in parts if part is not None], whole=whole)

    @property
    def in_memory(self) -> bool:
        """Whether nothing of it stands in a file."""
        return all(part is None or part.values is not None for part in self._parts)

    def __getitem__(self, key: Any) -> Any:
        """Return a part, as xarray asks for it."""
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._read
        )

    def _read(self, key: tuple[Any, ...]) -> Array:
        of = [np.atleast_1d(np.arange(n)[k]) for n, k in zip(self.shape, key, strict=True)]
        values = np.full([len(one) for one in of], _missing(self.dtype), dtype=self.dtype)
        for row, case in enumerate(of[0]):
            part = self._parts[case]
            if part is not None:
                self._put(values[row, ...], part, self._places[case], of[1:])
        single = tuple(0 if np.ndim(np.arange(n)[k]) == 0 else slice(None)
                       for n, k in zip(self.shape, key, strict=True))  # fmt: skip
        return values[single]

    def _put(
        self, out: Array, part: Stored, place: Mapping[str, Array], wanted: Sequence[Array]
    ) -> None:
        """Read into `out` what the case has of the wanted labels."""
        source = [place[dim][at] for dim, at in zip(self._dims, wanted, strict=True)]
        there = [np.flatnonzero(one >= 0) for one in source]
        if self._zero_along in self._dims:
            k = self._dims.index(self._zero_along)
            rest = [np.arange(one.size) if n == k else there[n] for n, one in enumerate(source)]
            out[np.ix_(*rest)] = 0
        if all(one.size for one in there):
            order = [self._dims.index(dim) for dim in part.dims]
            read = part.read([source[k][there[k]] for k in order])
            out[np.ix_(*there)] = read.transpose([part.dims.index(dim) for dim in self._dims])


def stacked(
    groups: Mapping[str, CaseGroup],
    *,
    zero_where_absent: Sequence[str] = (),
    zero_along: str = "",
) -> xr.Dataset:
    """Return groups of several cases as one dataset along ``case``, in the order given.

    Parameters
    ----------
    groups : mapping
        Name of the case -> its group.
    zero_where_absent : sequence of str
        Variables that are 0 where a case does not have a label of `zero_along`.
    zero_along : str
        A dim.

    Returns
    -------
    Dataset
        Every variable over ``case`` and its own dims; labels are those of all cases.
    """
    groups = {name: _with_own_case(one) for name, one in groups.items()}
    labels = _all_labels([one.labels for one in groups.values()])
    places = [
        {dim: pd.Index(one.labels[dim]).get_indexer(pd.Index(of)) if dim in one.labels
         else np.full(len(of), -1) for dim, of in labels.items()}
        for one in groups.values()
    ]  # fmt: skip
    variables, coords = {}, set()
    for name in dict.fromkeys(k for one in groups.values() for k in one.variables):
        parts = [one.variables.get(name) for one in groups.values()]
        known = next(part for part in parts if part is not None)
        zero = zero_along if name in zero_where_absent else ""
        array = StackedCases(parts, places, known.dims, zero_along=zero)
        variables[name] = xr.Variable((CASE, *known.dims), _values(array), dict(known.attrs))
        if any(name in one.coords for one in groups.values()):
            coords.add(name)
    ds = xr.Dataset(variables, coords={**labels, CASE: np.array(list(groups), dtype=str)})
    return ds.set_coords(sorted(coords))


def _values(array: StackedCases) -> Any:
    """Return what is in memory as an array, anything else as what reads it once it is used."""
    lazy: Any = indexing.LazilyIndexedArray(array)
    if not array.in_memory:
        return indexing.MemoryCachedArray(lazy)  # type: ignore[no-untyped-call]
    values = lazy.get_duck_array()
    return values.astype(str) if values.dtype.kind == "O" else values


def _with_own_case(one: CaseGroup) -> CaseGroup:
    """Rename the dim ``case`` of a plan: the cases of the studies have that name."""
    if CASE not in one.labels:
        return one

    def own(dim: str) -> str:
        return OWN_CASE if dim == CASE else dim

    variables = {own(k): replace(v, dims=tuple(map(own, v.dims))) for k, v in one.variables.items()}
    return replace(one, labels={own(k): v for k, v in one.labels.items()}, variables=variables)


def _all_labels(found: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    """Return the labels of every dim in all cases: numbers in order, text as it first appears."""
    labels = {}
    for dim in dict.fromkeys(dim for one in found for dim in one):
        of = [one[dim] for one in found if dim in one]
        if all(np.array_equal(one, of[0]) for one in of):
            labels[dim] = of[0]
        elif all(one.dtype.kind in "iufM" for one in of):
            labels[dim] = np.unique(np.concatenate(of))
        else:
            names = dict.fromkeys(str(k) for one in of for k in one.tolist())
            labels[dim] = np.array(list(names), dtype=str)
    return labels


def _dtype(found: Sequence[Any], *, whole: bool) -> Any:
    """Return a dtype that holds the values of all cases, and what says that there are none."""
    dtype = np.result_type(*found) if all(one.kind != "O" for one in found) else np.dtype(object)
    return np.dtype(float) if dtype.kind in "iub" and not whole else dtype


def _missing(dtype: Any) -> Any:
    return {"f": np.nan, "M": np.datetime64("NaT"), "m": np.timedelta64("NaT")}.get(
        dtype.kind, "" if dtype.kind in "UO" else 0
    )
