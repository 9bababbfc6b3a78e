"""Compare with peers: ``python tests/benchmarks/run.py [--tiny] [--list] [name ...]``.

Prints one table; a ratio above 1 is in our favour. Exit code 1 where a result differs from the
peer's. Peers are in the extra ``bench``; one that is not installed is said and left out.
"""

from __future__ import annotations

import argparse
import importlib
import math
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

import registry  # noqa: E402
from registry import REGISTERED, Benchmark, Outcome, PeerMissing, Table  # noqa: E402

HEAD = ("name", "peer", "ours", "peer's", "ratio", "equal to", "note")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", nargs="*", help="part of a name; all without one")
    parser.add_argument("--tiny", action="store_true", help="smallest sizes: does it run at all")
    parser.add_argument("--list", action="store_true", help="names only")
    chosen = parser.parse_args(arguments)
    for path in sorted(HERE.glob("bench_*.py")):
        importlib.import_module(path.stem)
    wanted = [
        b for b in REGISTERED.values() if not chosen.name or any(n in b.name for n in chosen.name)
    ]
    if not wanted:
        parser.error(f"no such benchmark; there are {', '.join(REGISTERED)}")
    if chosen.list:
        print(*(b.name for b in wanted), sep="\n")
        return 0
    registry.OWN_PROCESSES = not chosen.tiny
    rows, same = [HEAD], True
    for one in wanted:
        size = one.tiny if chosen.tiny else one.full
        if size is None:
            continue
        print(f"... {one.name} against {one.peer or 'nobody'}", file=sys.stderr, flush=True)
        if isinstance(one, Table):
            rows += _rows(one, size)
            continue
        row, fits = _row(one, size)
        rows.append(row)
        same &= fits
    widths = [max(len(row[k]) for row in rows) for k in range(len(HEAD))]
    for row in rows:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )
    return 0 if same else 1


def _row(one: Benchmark, size: dict[str, object]) -> tuple[tuple[str, ...], bool]:
    try:
        found: Outcome = one.run(**size)
    except PeerMissing as missing:
        return (one.name, one.peer, "", "", "", "", f"{missing} is not installed"), True
    ratio = f"{found.theirs / found.ours:.1f}"
    equal = f"{found.difference:.1e} {found.of}" + ("" if found.same else f" > {found.limit:.0e}")
    times = [f"{value:.3g} {found.unit}" for value in (found.ours, found.theirs)]
    return (one.name, one.peer, *times, ratio, equal, found.note), found.same


def _rows(one: Table, size: dict[str, object]) -> list[tuple[str, ...]]:
    try:
        found = one.run(**size)
    except PeerMissing as missing:
        return [(one.name, one.peer, "", "", "", "", f"{missing} is not installed")]
    return [
        (
            f"{one.name}: {row.name}",
            row.peer,
            *("" if math.isnan(value) else f"{value:.4g}" for value in row[2:5]),
            "",
            row.note,
        )
        for row in found
    ]


if __name__ == "__main__":
    sys.exit(main())
