"""Which limits the plan, or doing nothing, breaks on the typical days."""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
import xarray as xr

from flows.key_figures import digits
from pp_p2p.names import BUS, LINE, TRAFO

Case = Literal["nothing", "plan"]

VM_SLACK_PU: Final = 1e-4
"""A voltage counts as outside its limits from this far on: as the AC replay is compared."""

LOADING_SLACK_PERCENT: Final = 0.5
"""A loading counts as above its limit from this far on: models limit the current of the series
impedance, a loading is that of the larger end, charging current included."""

RATED_PERCENT: Final = 100.0
ELEMENTS: Final = {LINE: "line", TRAFO: "transformer"}


def loading_of(plan: xr.Dataset, dim: str, case: Case) -> xr.DataArray | None:
    """Return the loading (day, hour, element), %, of a case; None where it is not stored."""
    return plan.get(f"{dim}_loading_{'nothing_' if case == 'nothing' else ''}percent")


def loading_limit(network: xr.Dataset, dim: str) -> xr.DataArray:
    """Return the highest loading allowed (element,), %."""
    if f"{dim}_max_loading_percent" in network:
        return network[f"{dim}_max_loading_percent"]
    return xr.full_like(network[dim], RATED_PERCENT, dtype=float)  # stored by an earlier version


def broken_limits(tree: xr.DataTree, case: Case) -> list[str]:
    """Return every kind of limit that `case` breaks, as a phrase with its worst place."""
    plan, network = tree["plan"].to_dataset(), tree["network"].to_dataset()
    vm = plan.get("vm_nothing_pu" if case == "nothing" else "vm_pu")
    found = []
    if vm is not None:
        bounds = network.sel({BUS: vm[BUS].to_numpy()})
        for beyond, word in (
            (bounds["vm_min_pu"] - vm, "below"),
            (vm - bounds["vm_max_pu"], "above"),
        ):
            found += _phrase_of_voltages(beyond, word)
    for dim, name in ELEMENTS.items():
        loading = loading_of(plan, dim, case)
        if loading is not None and loading.size:
            limit = loading_limit(network, dim).sel({dim: loading[dim].to_numpy()})
            found += _phrase_of_loadings(loading, limit, dim, name)
    return found


def limits_sentence(tree: xr.DataTree) -> str:
    """Return which limits doing nothing would break, and whether the plan keeps them."""
    broken, left = (broken_limits(tree, case) for case in ("nothing", "plan"))
    if not broken and not left:
        return "Doing nothing and the plan both keep all voltage and current limits on these days."
    first = (
        f"Doing nothing would break limits: {'; '.join(broken)}."
        if broken
        else "Doing nothing would keep all voltage and current limits."
    )
    if left:
        return f"{first} The plan breaks limits: {'; '.join(left)}."
    return f"{first} The plan keeps them all."


def _phrase_of_voltages(beyond: xr.DataArray, word: str) -> list[str]:
    worst = beyond.max([dim for dim in beyond.dims if dim != BUS]).fillna(-np.inf)
    n = int((worst > VM_SLACK_PU).sum())
    if not n:
        return []
    bus = int(worst.idxmax())
    return [
        f"the voltage of {n} {'bus is' if n == 1 else 'buses is'} {word} its limit at times, "
        f"that of bus {bus} by {digits(float(worst.max()))} p.u."
    ]


def _phrase_of_loadings(
    loading: xr.DataArray, limit: xr.DataArray, dim: str, name: str
) -> list[str]:
    highest = loading.max([k for k in loading.dims if k != dim])
    over = (highest - limit).fillna(-np.inf)
    n = int((over > LOADING_SLACK_PERCENT).sum())
    if not n:
        return []
    k = over.idxmax()
    at = {dim: k}
    return [
        f"{n} {name}{' is' if n == 1 else 's are'} overloaded at times, {name} "
        f"{int(k)} with {digits(float(highest.sel(at)))} % "
        f"(limit {digits(float(limit.sel(at)))} %)"
    ]
