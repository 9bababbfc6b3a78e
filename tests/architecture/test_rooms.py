"""The house stands: layers, who touches what, what an import costs."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("pp_p2p", "planning", "clustering", "flows")
SOURCES = sorted(path for name in PACKAGES for path in (ROOT / name).rglob("*.py"))

TOUCH_PANDAPOWER = (
    "pp_p2p/elements/",
    "pp_p2p/network/grid.py",
    "pp_p2p/operation/bus_branch.py",
    "pp_p2p/operation/runpp.py",
    "pp_p2p/operation/switching_replay.py",
    "pp_p2p/operation/terminal_state.py",
    "pp_p2p/results.py",
    "pp_p2p/written_back.py",
    "pp_p2p/plotting/",
    "flows/study_net.py",
)
SOLVERS = frozenset(
    {"highspy", "clarabel", "casadi", "idaes", "ipopt", "pyscipopt", "gurobipy", "mosek", "coptpy"}
)


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def _names_for_types_only(path: Path) -> set[str]:
    """Return modules that are imported under ``if TYPE_CHECKING`` alone."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            found |= {
                n.module for n in ast.walk(node) if isinstance(n, ast.ImportFrom) and n.module
            }
    return found


def _roots(path: Path) -> set[str]:
    return {module.split(".")[0] for module in set(_imports(path)) - _names_for_types_only(path)}


def test_layers_hold() -> None:
    lint = Path(sysconfig.get_path("scripts")) / "lint-imports"
    done = subprocess.run([lint], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_pandapower_is_touched_only_where_nets_are_read_and_written() -> None:
    touching = {str(path.relative_to(ROOT)) for path in SOURCES if "pandapower" in _roots(path)}
    assert {name for name in touching if not name.startswith(TOUCH_PANDAPOWER)} == set()


def test_no_solver_outside_the_solver_room() -> None:
    for path in SOURCES:
        if "solve" not in path.relative_to(ROOT).parts:
            assert not _roots(path) & SOLVERS, path


def test_prefect_is_two_files() -> None:
    """The flow, and the server beside it."""
    found = {path.name for path in SOURCES if "prefect" in _roots(path)}
    assert found == {"prefect_engine.py", "prefect_server.py"}


def test_names_of_files() -> None:
    stems = {path.stem for path in SOURCES}
    assert not stems & {"utils", "util", "helpers", "common", "misc", *PACKAGES}
    assert not list((ROOT / "tests").rglob("__init__.py"))


def test_no_public_name_is_shadowed_by_a_module() -> None:
    """A module that bears a public name would stand in its place once it is imported."""
    for package in ("pp_p2p", "planning", "flows"):
        code = f"import {package} as p; print(*p._HOMES)"
        names = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.split()
        assert not set(names) & {path.stem for path in (ROOT / package).glob("*.py")}


def test_public_names_are_what_they_say() -> None:
    code = (
        "import pp_p2p, planning, clustering, flows\n"
        "for p in (pp_p2p, planning, clustering, flows):\n"
        "    for name in p.__all__: assert getattr(p, name) is not None, name\n"
        "    for name in getattr(p, '_HOMES', ()): assert name in p.__all__, name\n"
        "    assert callable(getattr(p, p.__all__[-1])), p\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_packages_live_together() -> None:
    """Another distribution that owns one of our package names would split them."""
    code = (
        "import importlib.util as u, json, pathlib;"
        f"specs = {{n: u.find_spec(n) for n in {PACKAGES!r}}};"
        "print(json.dumps({n: s and str(pathlib.Path(s.submodule_search_locations[0]).parent)"
        " for n, s in specs.items()}))"
    )
    isolated = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True
    )
    homes = json.loads(isolated.stdout)
    if not any(homes.values()):
        pytest.skip("the project is not installed in this environment, so nothing can collide")
    assert len(set(homes.values())) == 1, f"another distribution owns one of our names: {homes}"


def _loaded(code: str) -> set[str]:
    """Return the modules that a fresh process has after running `code`."""
    code = f"import sys; {code}; print(*sys.modules, sep='\\n')"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_import_is_light() -> None:
    """Modules, not seconds: the same on every machine."""
    heavy = {"pandapower", "pyomo", "xarray", "prefect", "sklearn", "plotly", "pandas", "numpy"}
    loaded = _loaded("import pp_p2p, planning, clustering, flows")
    assert not heavy & loaded
    ours = ("pp_p2p", "planning", "clustering", "flows")
    assert len({name for name in loaded if name.split(".")[0] in ours}) <= 20
