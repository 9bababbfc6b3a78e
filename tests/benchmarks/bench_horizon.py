"""Ten years of a SimBench medium-voltage net in three stages, four typical days each.

The plan of ``examples/ten_years.py``: certified gap, time and memory with perfect foresight, and
the net present cost of deciding each stage by itself. No peer plans several years of a net with
reliability and conic load flow.
"""

from __future__ import annotations

import runpy
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from registry import PeerMissing, Row, in_own_process, table

EXAMPLE = Path(__file__).parents[2] / "examples" / "ten_years.py"


@table("ten_years", peer="")
def ten_years() -> list[Row]:
    """Measure the plan with both kinds of foresight."""
    if find_spec("simbench") is None:
        raise PeerMissing("simbench")
    perfect, rolling = (in_own_process(_prepare, foresight=k) for k in ("perfect", "rolling"))
    gap, npc, integers, relaxation = perfect.value
    note = f"{integers} units decided, {relaxation} relaxation, {perfect.peak_mb:.0f} MB"
    saving = 100.0 * (rolling.value[1] / npc - 1.0)
    return [
        Row("seconds", "", perfect.seconds, np.nan, np.nan, note),
        Row("certified gap, %", "", 100.0 * gap, np.nan, np.nan, "asked for: 1 %"),
        Row(
            "net present cost, million EUR", "rolling", npc / 1e6, rolling.value[1] / 1e6,
            rolling.value[1] / npc, f"{saving:+.2f} %, in {rolling.seconds:.0f} s",
        ),
    ]  # fmt: skip


def _prepare(foresight: str) -> Callable[[], tuple[float, float, int, str]]:
    example: dict[str, Any] = runpy.run_path(str(EXAMPLE))
    net, profiles = example["network"]()

    def call() -> tuple[float, float, int, str]:
        ds = example["plan"](net, profiles, foresight=foresight)
        attrs = ds.attrs
        return attrs["gap"], float(ds["npc_eur"]), ds["units_built"].size, attrs["relaxation"]

    return call
