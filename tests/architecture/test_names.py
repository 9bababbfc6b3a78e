"""What files are called and what they name: no solver outside its room, nothing too long."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("pp_p2p", "planning", "clustering", "flows")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))

SOLVER_NAMES = frozenset(
    {"highs", "highspy", "clarabel", "highs+clarabel", "ipopt", "casadi", "gurobi", "scip", "cbc"}
)


def _strings(path: Path) -> Iterator[str]:
    """Yield string literals that are not docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said:
            yield node.value


def test_no_solver_is_named_outside_its_room() -> None:
    """Also not as a string: a problem says what it is, the room says who solves it."""
    for path in SOURCES:
        if "solve" not in path.relative_to(ROOT).parts:
            named = {text.lower() for text in _strings(path)} & SOLVER_NAMES
            assert not named, path


def test_no_file_anywhere_is_called_as_a_package() -> None:
    """Run as a script, ``examples/planning.py`` would import itself."""
    others = [*(ROOT / "tests").rglob("*.py"), *(ROOT / "examples").rglob("*.py")]
    assert [path for path in others if path.stem in PACKAGES] == []


def test_no_import_is_relative() -> None:
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            assert not (isinstance(node, ast.ImportFrom) and node.level), path


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_files_are_short(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= 400, "split it: 300 lines are the aim"
