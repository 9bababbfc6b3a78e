"""Which solvers there are, what each can solve here, and how to get the rest."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import shutil
from dataclasses import dataclass
from typing import Final

from pp_p2p.solve.report import ProblemClass


@dataclass(frozen=True, kw_only=True)
class SolverEntry:
    """A solver: its name, the classes it solves in this project, and how to install it."""

    name: str
    solves: tuple[ProblemClass, ...]
    install: str
    doc: str


@dataclass(frozen=True, kw_only=True)
class SolverFound:
    """A row of ``pp-p2p solvers``; `version` is None where the solver is missing."""

    entry: SolverEntry
    version: str | None


_C = ProblemClass
REGISTRY: Final[dict[str, SolverEntry]] = {
    entry.name: entry
    for entry in (
        SolverEntry(
            name="highs",
            solves=(_C.LP, _C.QP, _C.MILP),
            install="python -m pip install highspy",
            doc="linear, quadratic and mixed-integer linear problems",
        ),
        SolverEntry(
            name="clarabel",
            solves=(_C.LP, _C.QP, _C.SOCP),
            install="python -m pip install clarabel",
            doc="interior point for linear, quadratic and second-order cone problems",
        ),
        SolverEntry(
            name="highs+clarabel",
            solves=(_C.MISOCP,),
            install="python -m pip install highspy clarabel",
            doc="mixed-integer cone problems by projection onto the integers",
        ),
        SolverEntry(
            name="ipopt",
            solves=(_C.NLP,),
            install="idaes get-extensions, or python -m pip install casadi",
            doc="smooth nonlinear problems: the exact AC formulation",
        ),
    )
}
"""Solvers by name."""


def installed_version(name: str) -> str | None:
    """Return the version of an installed solver, None where it is missing."""
    if "+" in name:
        parts = [installed_version(part) for part in name.split("+")]
        return None if None in parts else "+".join(part or "" for part in parts)
    if name == "ipopt":
        return _ipopt_version()
    module = {"highs": "highspy"}.get(name, name)
    try:
        importlib.import_module(module)
        return importlib.metadata.version(module)
    except ImportError:  # PackageNotFoundError is one too
        return None


def list_solvers() -> list[SolverFound]:
    """Return every known solver with the version that is installed."""
    return [SolverFound(entry=e, version=installed_version(e.name)) for e in REGISTRY.values()]


def put_idaes_on_path() -> None:
    """Make the solvers that ``idaes get-extensions`` installed visible: its import does that."""
    if importlib.util.find_spec("idaes") is not None:
        importlib.import_module("idaes")


def _ipopt_version() -> str | None:
    """Return where Ipopt comes from: an executable that IDAES or the user installed, or CasADi."""
    put_idaes_on_path()
    executable = shutil.which("ipopt")
    if executable:
        return f"executable {executable}"
    try:
        return f"inside casadi {importlib.metadata.version('casadi')}"
    except importlib.metadata.PackageNotFoundError:
        return None
