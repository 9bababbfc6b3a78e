"""Ten years of the IEEE 33-bus feeder in three stages, under six scenarios, side by side.

What comes out is one page with net present cost and its parts by year, investments on a map,
reliability, losses, voltages and gains of trading, and the differences to the first scenario.
Run: python examples/compare_years.py
"""

from __future__ import annotations

from pathlib import Path

import xarray as xr

import flows
import planning
from flows.comparison import export, find_results, summary_table
from flows.comparison_figures import write_pictures
from flows.study import study_template
from pp_p2p.results import read_group

RESULTS = Path(__file__).parent / "results" / "compare_years"

HORIZON = """
[horizon]
stage_years = [3, 3, 4]
first_year = 2026
demand_growth_percent_per_year = 1.0
learning_percent_per_year = { pv = 4.0, storage = 7.0 }
eens_limit_mwh_per_year = [7.5, 7.0, 6.5]
"""

SCENARIOS = {
    "base": "",
    "faster growth": "[scenario.horizon]\ndemand_growth_percent_per_year = 2.0\n",
    "dear energy": "[scenario.horizon]\nprice_growth_percent_per_year = 3.0\n",
    "cheap capital": "[scenario.planning]\ninterest_rate_percent = 3.0\n",
    "no limit": (
        'leave_out = ["horizon.eens_limit_mwh_per_year", "planning.eens_limit_mwh_per_year"]\n'
    ),
    "one stage at a time": '[scenario.horizon]\nforesight = "rolling"\n',
}


def write_study(folder: Path, *, horizon: str = HORIZON, names: tuple[str, ...] = ()) -> Path:
    """Write the study file with some of the scenarios, all of them by default."""
    text = study_template()
    first, rest = text.split("\n[collaboration]\n")  # one year is planned together, not several
    text = first + "\n[trade]\n" + rest.split("\n[trade]\n")[1]
    for old, new in (
        ("n_days = 4", "n_days = 2"),
        ('extreme_days = ["peak_net_load", "min_net_load"]', 'extreme_days = ["peak_net_load"]'),
        ("mip_gap_percent = 0.05", "mip_gap_percent = 1.0"),
        ("eens_limit_mwh_per_year = 4.8 ", "eens_limit_mwh_per_year = 6.5 "),
    ):
        text = text.replace(old, new)
    scenarios = [f'[[scenario]]\nname = "{name}"\n{SCENARIOS[name]}' for name in names or SCENARIOS]
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "study.toml"
    file.write_text("\n".join([text, horizon, *scenarios]), encoding="utf-8")
    return file


def compare(study: Path, runner: str = "processes") -> xr.Dataset:
    """Run all scenarios and put them side by side."""
    result = flows.run_study(study, engine="plain", runner=runner, tell=print)
    print(f"the page: {result.comparison}")
    return planning.compare(find_results([result.folder]))


def traded_by_hour(folder: Path) -> xr.DataArray:
    """Return what is traded in each hour of the day in a year, MWh, from the files' trades."""
    trade = planning.open_cases(find_results([folder]), group="trade")
    return (trade["trade_mw"].sum(["seller", "buyer"]) * trade["weight"]).sum("day")


def main() -> None:
    cases = compare(write_study(RESULTS))
    print(summary_table(cases)[["npc_eur", "capex_eur", "eens_mwh_per_year"]].round(1).to_string())
    less = planning.difference_to(cases, "base")
    print("\nnet present cost, difference to base in k EUR")
    print((less["npc_eur"] / 1e3).round(1).to_series().to_string())
    best = planning.pareto_cases(
        cases[["npc_eur"]].assign(eens=cases["eens_mwh_per_year"].max("stage"))
    )
    print(
        "\nnot beaten in cost and reliability:", *cases["case"].to_numpy()[best].tolist(), sep=" "
    )
    files = find_results([RESULTS / "results" / "ieee33"])
    network = read_group(files["base"], "network")
    for path in write_pictures(cases, network, RESULTS / "pictures", base="base"):
        print(f"picture {path}")
    print(f"numbers {export(cases, RESULTS / 'numbers.csv')}")
    noon = traded_by_hour(RESULTS / "results" / "ieee33").sel(hour=12.0)
    print("\ntraded from 12 to 13 h in a year of each stage, MWh")
    print(noon.round(1).to_pandas().to_string())


if __name__ == "__main__":
    main()
