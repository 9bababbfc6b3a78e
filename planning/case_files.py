"""Groups of stored results, opened without being read: what a case holds stays in its file.

netCDF is not safe under threads, so that every call of it here holds the lock of
`pp_p2p.results`. No file stays open: netCDF crashes where text is read from a file that is open
twice (https://github.com/Unidata/netcdf4-python/issues/1444), and an open file of many variables
takes 10 MB.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import xarray as xr

from pp_p2p.errors import Finding, InvalidInput
from pp_p2p.network.branches import Array
from pp_p2p.results import NETCDF_LOCK

READ_AT_ONCE_BYTES: Final = 16_384
"""Variables up to this size are read at once: opening the file again costs far more."""


PLAIN_ATTRIBUTES: Final = frozenset({"units", "long_name", "standard_name", "coordinates"})
"""Attributes of a variable that change nothing about its values."""

TIME_UNITS: Final = frozenset(
    f"{part}s" for part in ("day", "hour", "minute", "second", "millisecond", "microsecond",
                            "nanosecond")
)  # fmt: skip
"""Units by which xarray takes numbers for spans of time."""


class _Version(NamedTuple):
    """A file as it was when it was opened: a run that replaces it makes another one."""

    path: str
    inode: int
    modified_ns: int


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A variable of a group in a file, or one in memory.

    Parameters
    ----------
    dims : tuple of str
    shape : tuple of int
    dtype : dtype
    attrs : mapping
    values : array or Variable, optional
        Where it is in memory already.
    version, group, name
        Where it stands otherwise.
    """

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: Any
    attrs: Mapping[str, Any]
    values: Any = None
    version: _Version | None = None
    group: str = ""
    name: str = ""

    def read(self, at: Sequence[Array]) -> Array:
        """Return the values at some positions of each dim; only these are read."""
        key = tuple(map(_slice, at))
        if self.values is not None:
            return np.asarray(xr.Variable(self.dims, self.values)[key].values)
        assert self.version is not None
        with _opened(self.version) as file:
            group = file.groups[self.group]
            stored = _store(group).open_store_variable(self.name, group.variables[self.name])
            return np.asarray(xr.conventions.decode_cf_variable(self.name, stored)[key].values)

    def whole(self) -> Array:
        """Return all values."""
        return self.read([np.arange(n) for n in self.shape])


@dataclass(frozen=True, kw_only=True)
class CaseGroup:
    """A group of a case: its labels are there, its numbers where they were found."""

    labels: Mapping[str, Array]
    variables: Mapping[str, Stored]
    coords: frozenset[str]
    attrs: Mapping[str, Any]


def of_dataset(ds: xr.Dataset) -> CaseGroup:
    """Return a dataset that is in memory."""
    return CaseGroup(
        labels=_labels(ds),
        variables={str(k): _in_memory(v) for k, v in ds.variables.items() if k not in ds.dims},
        coords=frozenset(map(str, ds.coords)) - frozenset(map(str, ds.dims)),
        attrs=ds.attrs,
    )


def of_file(path: Path, *groups: str, load: Collection[str] = ()) -> list[CaseGroup | None]:
    """Return groups of a file, without their large numbers; None for one that it does not have.

    Variables in `load` are read, however large.

    Raises
    ------
    InvalidInput
        There is no such file.
    OSError
        It is no netCDF file.
    """
    version = _version(path)
    with _opened(version) as file:
        root = {name: file.getncattr(name) for name in file.ncattrs()}
        return [
            _without_numbers(file, version, group, root, load) if group in file.groups else None
            for group in groups
        ]


def _without_numbers(
    file: Any, version: _Version, group: str, root: Mapping[str, Any], load: Collection[str]
) -> CaseGroup:
    entry = file.groups[group]
    found = _as_stored(entry, version, load) or _decoded(entry, version, load)
    return replace(found, attrs={**root, **found.attrs})


def _as_stored(entry: Any, version: _Version, load: Collection[str]) -> CaseGroup | None:
    """Return a group whose values stand in the file as they are: xarray finds the same.

    It would take four times as long, for it tries every encoding of CF on every variable. None
    where one is encoded: scaled, dates, flags, whole numbers with a fill value.
    """
    attrs = {name: entry.getncattr(name) for name in entry.ncattrs()}
    given = {name: _plain_attributes(variable) for name, variable in entry.variables.items()}
    sizes = {
        dim: n
        for v in entry.variables.values()
        for dim, n in zip(v.dimensions, v.shape, strict=True)
    }
    own = {dim: entry.variables[dim] for dim in sizes if dim in given}
    if "coordinates" in attrs or None in given.values() or any(v.ndim != 1 for v in own.values()):
        return None
    entry.set_auto_maskandscale(False)
    coords = {k for one in given.values() if one for k in one.pop("coordinates", "").split()}
    variables = {}
    for name, variable in entry.variables.items():
        if name not in own:
            told = {"dims": variable.dimensions, "shape": variable.shape, "attrs": given[name]}
            if name in load or _is_small(variable):
                values = _whole(variable)
                variables[name] = Stored(**told, dtype=values.dtype, values=values)
            else:
                of = {"version": version, "group": entry.name, "name": name}
                variables[name] = Stored(**told, **of, dtype=variable.dtype)
    labels = {dim: _whole(own[dim]) if dim in own else np.arange(n) for dim, n in sizes.items()}
    return CaseGroup(
        labels=labels, variables=variables, coords=frozenset(coords & variables.keys()), attrs=attrs
    )


def _plain_attributes(variable: Any) -> dict[str, Any] | None:
    """Return the attributes of a variable that is stored as it is; None of one that is not."""
    found = {name: variable.getncattr(name) for name in variable.ncattrs()}
    text, dtype = variable.dtype is str, np.dtype(variable.dtype)
    if not text and not (variable.datatype == dtype and dtype.kind in "iuf" and dtype.isnative):
        return None
    fill = found.pop("_FillValue", None)
    if fill is not None and not (dtype.kind == "f" and np.isnan(fill)):  # NaN is what xarray makes
        return None
    units = found.get("units", "")
    time = " since " in units or units in TIME_UNITS
    return found if not time and found.keys() <= PLAIN_ATTRIBUTES else None


def _is_small(variable: Any) -> bool:
    """Return whether a variable is read at once; text is: its length is known only then."""
    if variable.dtype is str:
        return True
    return bool(variable.size * variable.dtype.itemsize <= READ_AT_ONCE_BYTES)


def _whole(variable: Any) -> Array:
    values: Array = np.asarray(variable[...])
    return values.astype(str) if variable.dtype is str else values


def _decoded(entry: Any, version: _Version, load: Collection[str]) -> CaseGroup:
    """Return a group as xarray decodes it."""
    ds = xr.open_dataset(_store(entry), cache=False)
    variables = {
        str(k): _in_memory(v.load())
        if v.nbytes <= READ_AT_ONCE_BYTES or k in load
        else Stored(dims=tuple(map(str, v.dims)), shape=v.shape, dtype=v.dtype, attrs=v.attrs,
                    version=version, group=entry.name, name=str(k))
        for k, v in ds.variables.items()
        if k not in ds.dims
    }  # fmt: skip
    return CaseGroup(
        labels=_labels(ds),
        variables=variables,
        coords=frozenset(map(str, ds.coords)) - frozenset(map(str, ds.dims)),
        attrs=ds.attrs,
    )


def _version(path: Path) -> _Version:
    try:
        state = path.stat()
    except OSError:
        finding = Finding(
            table=str(path), rule="does not exist", mend="check the path of the result"
        )
        raise InvalidInput(finding) from None
    return _Version(str(path.resolve()), state.st_ino, state.st_mtime_ns)


@contextmanager
def _opened(version: _Version) -> Iterator[Any]:
    """Give the open file, under the lock.

    Raises
    ------
    InvalidInput
        It is another file by now.
    """
    import netCDF4

    with NETCDF_LOCK:
        if _version(Path(version.path)) != version:
            rule, mend = "was replaced while it was compared", "open the cases again"
            raise InvalidInput(Finding(table=version.path, rule=rule, mend=mend))
        with netCDF4.Dataset(version.path) as file:
            yield file


def _store(group: Any) -> Any:
    return xr.backends.NetCDF4DataStore(group)  # type: ignore[no-untyped-call]


def _in_memory(variable: Any) -> Stored:
    return Stored(
        dims=tuple(map(str, variable.dims)),
        shape=variable.shape,
        dtype=variable.dtype,
        attrs=variable.attrs,
        values=variable.data,
    )


def _labels(ds: xr.Dataset) -> dict[str, Array]:
    """Return the labels of every dim; positions where it has none."""
    return {
        str(k): np.asarray(ds.variables[k].values) if k in ds.variables else np.arange(n)
        for k, n in ds.sizes.items()
    }


def _slice(at: Array) -> slice | Array:
    """Return neighbouring positions as a slice, which netCDF reads in one piece."""
    if at.size and at[-1] - at[0] + 1 == at.size and (np.diff(at) == 1).all():
        return slice(int(at[0]), int(at[-1]) + 1)
    return at
