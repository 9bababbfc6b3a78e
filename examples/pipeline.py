"""Run a study with scenarios as one orchestrated pipeline, stop it, and let it go on.

The study is that of ieee33.toml on fewer days, with three scenarios. The second run computes
nothing again; a changed scenario computes only what depends on the change.
Run: python examples/pipeline.py
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import flows
from flows.study import study_template

if TYPE_CHECKING:
    from collections.abc import Iterator

RESULTS = Path(__file__).parent / "results" / "pipeline"

SCENARIOS = """
[[scenario]]
name = "base"

[[scenario]]
name = "more load"
[scenario.network]
load_growth_percent = 15.0
[scenario.planning]
eens_limit_mwh_per_year = 6.0

[[scenario]]
name = "higher fee"
[scenario.trade]
network_fee_eur_per_mwh = 20.0
"""


def write_study(folder: Path, scenarios: str = SCENARIOS) -> Path:
    """Write the study file: what ``pp-p2p init`` writes, smaller, and with scenarios."""
    text = study_template().replace("n_days = 4", "n_days = 1")
    text = text.replace('extreme_days = ["peak_net_load", "min_net_load"]', "extreme_days = []")
    text = text.replace("mip_gap_percent = 0.05", "mip_gap_percent = 1.0")
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "study.toml"
    file.write_text(text + scenarios, encoding="utf-8")
    return file


def run(study: Path, engine: str = "prefect") -> tuple[Any, list[str]]:
    """Run the study; return its result and what had to be computed."""
    computed = []

    @contextmanager
    def watch(title: str) -> Iterator[None]:
        yield
        if not title.endswith("(kept)"):
            computed.append(title)

    return flows.run_study(study, engine=engine, watch=watch), computed  # type: ignore[arg-type]


def main(folder: Path = RESULTS, engine: str = "prefect") -> list[list[str]]:
    all_computed = []
    for what, scenarios in (
        ("first run", SCENARIOS),
        ("again", SCENARIOS),
        ("changed", SCENARIOS.replace("20.0", "25.0")),
    ):
        result, computed = run(write_study(folder, scenarios), engine)
        all_computed.append(computed)
        print(f"{what}: {len(computed)} pieces of work")
        for title in computed if what == "changed" else ():
            print("   ", title)
    for case in result.cases:
        print(f"{case.case}: {case.state}, {case.report}")
    print(f"all side by side: {result.comparison}")
    return all_computed


if __name__ == "__main__":
    main()
