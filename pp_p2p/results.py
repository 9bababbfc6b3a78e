"""Results: labels with units and provenance, netCDF in and out, write back into the net."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr

from pp_p2p.elements.ownership import participant_names
from pp_p2p.errors import Finding, InvalidInput
from pp_p2p.names import (
    LONG_NAMES,
    OF_PARTICIPANTS,
    OPERATOR,
    OPERATOR_NAME,
    PARTICIPANT,
    unit_of,
)
from pp_p2p.storage import local_file

SCHEMA_VERSION: Final = 2
"""Version of the layout of stored results; 2 has the group ``indicators`` and stages."""

NETCDF_LOCK: Final = threading.Lock()
"""netCDF4 crashes when two threads call it at once, so every call takes this lock."""


def label(ds: xr.Dataset, attrs: Mapping[str, object], net: Any = None) -> xr.Dataset:
    """Return `ds` with units on every variable and `attrs` that netCDF can hold.

    bool becomes int, None becomes ``""``, mappings and sequences become JSON text. With `net`,
    participants have their names beside their rows: see `name_participants`.
    """
    labelled = ds.copy() if net is None else name_participants(ds, participant_names(net))
    for name in labelled.variables:
        unit = unit_of(str(name))
        if unit and "units" not in labelled[name].attrs:
            labelled[name].attrs["units"] = unit
        if str(name) in LONG_NAMES:
            labelled[name].attrs.setdefault("long_name", LONG_NAMES[str(name)])
    labelled.attrs = {**labelled.attrs, **{key: _storable(value) for key, value in attrs.items()}}
    return labelled


def name_participants(ds: xr.Dataset, names: Mapping[int, str]) -> xr.Dataset:
    """Return `ds` with the names of participants beside their rows.

    Parameters
    ----------
    ds : Dataset
        With some of the dims `pp_p2p.names.OF_PARTICIPANTS`.
    names : mapping
        Row of ``net.participant`` -> name.

    Returns
    -------
    Dataset
        With a coordinate, no index, along each such dim: ``participant_name(participant)``,
        ``seller_name(seller)``, and so on. Labels stay the rows of ``net.participant``;
        ``ds.swap_dims(participant="participant_name")`` selects by name. As it was, where no
        participant is known.
    """
    if not set(names) - {OPERATOR}:
        return ds
    found = {
        f"{dim}_name": (dim, np.array([names.get(int(k), "") for k in ds[dim].to_numpy()], str))
        for dim in OF_PARTICIPANTS
        if dim in ds.coords
    }
    return ds.assign_coords(found)


def stored_names(ds: xr.Dataset) -> dict[int, str]:
    """Return row -> name of the participants in a result; of earlier results none."""
    known = {OPERATOR: OPERATOR_NAME}
    if f"{PARTICIPANT}_name" not in ds.variables:
        return known
    rows, names = ds[PARTICIPANT].to_numpy(), ds[f"{PARTICIPANT}_name"].to_numpy()
    return {**known, **{int(k): str(v) for k, v in zip(rows, names, strict=True)}}


def _storable(value: object) -> str | int | float:
    if value is None:
        return ""
    if isinstance(value, (bool, np.bool_)):
        return int(value)
    if isinstance(value, (str, int, float)):
        return value
    if isinstance(value, np.generic):
        return _storable(value.item())
    return json.dumps(value, sort_keys=True, default=str)


def net_hash(net: Any) -> str:
    """Return a SHA-256 of all input tables of a net."""
    digest = hashlib.sha256()
    for name in sorted(str(key) for key in net):
        entry = net[name]
        if isinstance(entry, pd.DataFrame) and len(entry) and not name.startswith(("res_", "_")):
            digest.update(name.encode())
            digest.update(entry.sort_index(axis=1).to_csv().encode())
    digest.update(repr((float(net.sn_mva), float(net.f_hz))).encode())
    return digest.hexdigest()


def input_hash(
    net: Any, profiles: xr.Dataset, options: Mapping[str, object], *, of_net: str = ""
) -> str:
    """Return a SHA-256 of everything a result depends on: tables, profiles, options.

    `of_net` is the net's own hash (`net_hash`) where it is known.
    """
    digest = hashlib.sha256((of_net or net_hash(net)).encode())
    for name in sorted(str(key) for key in profiles.variables):
        values = profiles[name].to_numpy()
        text = values.astype(str).tobytes() if values.dtype == object else values.tobytes()
        digest.update(name.encode() + str(profiles[name].dims).encode() + text)
    digest.update(json.dumps(options, sort_keys=True, default=str).encode())
    return digest.hexdigest()


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside `path`; rename it to `path` where the body succeeds.

    The folder is made where it is missing, an older file is replaced, and nothing is left behind
    where the body fails.

    Raises
    ------
    InvalidInput
        The place cannot be written.
    """
    target = Path(path)
    part: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        os.close(handle)
        part = Path(name)
        part.chmod(0o666 & ~_umask())
        yield part
        with part.open("rb+") as written:
            os.fsync(written.fileno())  # a power cut must not leave an empty file under the name
        os.replace(part, target)
    except OSError as error:
        raise InvalidInput(
            Finding(
                table=str(target),
                rule=f"cannot be written ({error.strerror or error})",
                mend="choose another output folder",
            )
        ) from error
    finally:
        if part is not None:
            part.unlink(missing_ok=True)


def _umask() -> int:
    """Return the process's umask; mkstemp ignores it and makes files that only the owner reads."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def to_netcdf(ds: xr.Dataset | xr.DataTree, path: str | os.PathLike[str]) -> Path:
    """Store a result; the file appears whole or not at all.

    Parameters
    ----------
    ds : Dataset or DataTree
    path : path
        The folder is made where it is missing; an older file is replaced.
    """
    with whole_file(path) as part, NETCDF_LOCK:
        if isinstance(ds, xr.DataTree):
            ds.to_netcdf(part, engine="netcdf4", write_inherited_coords=True)
        else:
            ds.to_netcdf(part, engine="netcdf4")
    return Path(path)


def from_netcdf(path: str | os.PathLike[str]) -> xr.Dataset | xr.DataTree:
    """Load a stored result into memory: a DataTree where the file has groups, else a Dataset."""
    target = local_file(path)
    if not target.is_file():
        raise InvalidInput(
            Finding(table=str(target), rule="does not exist", mend="check the path of the result")
        )
    with NETCDF_LOCK, xr.open_datatree(target, engine="netcdf4") as tree:
        loaded = tree.load()
    return loaded if loaded.children else loaded.to_dataset()


def read_group(path: str | os.PathLike[str], group: str) -> xr.Dataset | None:
    """Load one group of a stored result, with the attributes of the file; None if it has none."""
    target = local_file(path)
    if not target.is_file():
        raise InvalidInput(
            Finding(table=str(target), rule="does not exist", mend="check the path of the result")
        )
    with NETCDF_LOCK:
        import netCDF4

        with netCDF4.Dataset(target) as file:  # opened once: that takes longer than reading
            if group not in file.groups:
                return None
            root = {name: file.getncattr(name) for name in file.ncattrs()}
            store: Any = xr.backends.NetCDF4DataStore(file.groups[group])  # type: ignore[no-untyped-call]
            ds = xr.open_dataset(store).load()
    ds.attrs = {**root, **ds.attrs}
    return ds
