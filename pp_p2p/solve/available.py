"""Which solvers there are, what each can solve here, and how to get the rest.

HiGHS, Clarabel and Ipopt come with the project. SCIP is free and one command away. Gurobi and COPT
run without a licence file on small problems; MOSEK needs one for every problem.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import importlib.util
import platform
import shutil
from dataclasses import dataclass
from typing import Final

from pp_p2p.solve.licences import MEND, licence_of
from pp_p2p.solve.report import ProblemClass


@dataclass(frozen=True, kw_only=True)
class SolverEntry:
    """A solver: its name, the classes it solves in this project, and how to install it.

    `package` is its distribution, `module` what is imported, `""` where neither says it is there.
    """

    name: str
    solves: tuple[ProblemClass, ...]
    install: str
    doc: str
    package: str = ""
    module: str = ""


@dataclass(frozen=True, kw_only=True)
class SolverFound:
    """A row of ``pp-p2p solvers``; `version` is None where the solver is missing.

    `licence` says what it may solve here, `""` where it is missing or needs none.
    """

    entry: SolverEntry
    version: str | None
    licence: str

    @property
    def usable(self) -> bool:
        """Whether it solves anything here."""
        return self.version is not None and self.licence != "none"

    @property
    def mend(self) -> str:
        """What makes it usable, or lifts the limit of its size."""
        if self.version is None:
            return self.entry.install
        return MEND[self.entry.name] if self.licence in ("none", "size-limited") else ""


def _ipopt_install() -> str:
    """Return the command that suits this system: IDAES does not know Debian 11 and later."""
    try:
        debian = platform.freedesktop_os_release().get("ID") == "debian"
    except OSError:
        debian = False
    distro = " --distro ubuntu2204" if debian else ""
    return f"python -m pip install casadi, or idaes get-extensions{distro}"


_C = ProblemClass
_CONTINUOUS = (_C.LP, _C.QP, _C.SOCP)
_ALL = (_C.LP, _C.QP, _C.MILP, _C.MIQP, _C.SOCP, _C.MISOCP)
REGISTRY: Final[dict[str, SolverEntry]] = {
    entry.name: entry
    for entry in (
        SolverEntry(
            name="highs",
            solves=(_C.LP, _C.QP, _C.MILP),
            install="python -m pip install highspy",
            doc="linear, quadratic and mixed-integer linear problems",
            package="highspy",
            module="highspy",
        ),
        SolverEntry(
            name="clarabel",
            solves=_CONTINUOUS,
            install="python -m pip install clarabel",
            doc="interior point for linear, quadratic and second-order cone problems",
            package="clarabel",
            module="clarabel",
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
            install=_ipopt_install(),
            doc="smooth nonlinear problems: the exact AC formulation",
        ),
        SolverEntry(
            name="scip",
            solves=_ALL,
            install="python -m pip install pyscipopt",
            doc="branch and bound for mixed-integer cone and quadratic problems",
            package="pyscipopt",
            module="pyscipopt",
        ),
        SolverEntry(
            name="gurobi",
            solves=_ALL,
            install="python -m pip install gurobipy",
            doc="commercial; the wheel's own licence takes 2000 columns, 200 with cones",
            package="gurobipy",
            module="gurobipy",
        ),
        SolverEntry(
            name="copt",
            solves=_ALL,
            install="python -m pip install coptpy",
            doc="commercial; size-limited without a licence file",
            package="coptpy",
            module="coptpy",
        ),
        SolverEntry(
            name="mosek",
            solves=_ALL,
            install="python -m pip install Mosek",
            doc="commercial; needs a licence file",
            package="Mosek",
            module="mosek",
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
    entry = REGISTRY.get(name)
    module, package = (entry.module, entry.package) if entry else (name, name)
    try:
        importlib.import_module(module)
        return _version(package)
    except ImportError:  # PackageNotFoundError is one too
        return None


@functools.cache  # reading a package's metadata takes milliseconds, and every solve asks
def _version(package: str) -> str:
    return importlib.metadata.version(package)


def list_solvers() -> list[SolverFound]:
    """Return every known solver with the version and the licence that are here."""
    found = []
    for entry in REGISTRY.values():
        version = installed_version(entry.name)
        licence = licence_of(entry.name) if version else ""
        found.append(SolverFound(entry=entry, version=version, licence=licence))
    return found


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
