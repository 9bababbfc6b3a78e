"""Ten years of an urban medium-voltage network in three stages: what to build where, and when.

The network and its profiles are SimBench's ``1-MV-urban--0-sw`` (year 2016); its normally open
lines are candidates here, beside PV, wind and storage along the feeders. Demand grows, units get
cheaper, and the limit of energy not served gets tighter. Costs are round numbers of this example.
Run: python -m pip install ".[simbench]" && python examples/ten_years.py
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

import clustering
import planning
import pp_p2p as p2p

CODE = "1-MV-urban--0-sw"
RESULTS = Path(__file__).parent / "results" / "ten_years"
WEATHER = Path(__file__).parent / "data" / "simbench_2016.csv"
SITES = 6
"""Buses, far from the substation, at which PV, wind and storage may stand."""


def network() -> tuple[Any, xr.Dataset]:
    """Return SimBench's network with candidates, and the hours of its year."""
    import simbench

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its older pandas
        net = simbench.get_simbench_net(CODE)
        values = simbench.get_absolute_values(net, profiles_instead_of_study_cases=True)
    stamps = pd.date_range("2016-01-01", periods=len(net.profiles["load"]) // 4, freq="h")

    def hourly(table: pd.DataFrame) -> np.ndarray:
        quarters = table.to_numpy(float)
        return quarters.reshape(len(stamps), 4, -1).mean(axis=1)

    table = pd.read_csv(WEATHER, comment="#", index_col="time", parse_dates=True)
    shapes = table.loc[stamps, ["PV5", "WP6"]].to_numpy()  # MW of units of 1 MW
    workday = (stamps.hour >= 7) & (stamps.hour < 20)
    buy = np.where(workday, 130.0, 90.0)
    profiles = xr.Dataset(
        {
            "load_p_mw": (("time", "load"), hourly(values["load", "p_mw"])),
            "load_q_mvar": (("time", "load"), hourly(values["load", "q_mvar"])),
            "sgen_p_mw": (("time", "sgen"), hourly(values["sgen", "p_mw"])),
            "availability_pu": (("time", "technology"), shapes),
            "price_buy_eur_per_mwh": ("time", buy),
            "price_sell_eur_per_mwh": ("time", np.full(len(stamps), 50.0)),
        },
        coords={
            "time": stamps,
            "load": net.load.index.to_numpy(),
            "sgen": net.sgen.index.to_numpy(),
            "technology": ["pv", "wind"],
        },
    )
    del net.profiles
    add_candidates(net)
    return net, profiles


def add_candidates(net: Any) -> None:
    """Let PV, wind, storage and the normally open lines be built; lines and cables fail."""
    p2p.set_line_reliability(
        net, failure_rate_per_km_year=0.06, repair_time_h=6.0, switching_time_h=1.0
    )
    opened = net.switch[(net.switch.et == "l") & ~net.switch.closed]
    ties = sorted(set(opened.element.tolist()))
    for line in ties:
        bus = int(net.line.from_bus[line])
        p2p.create_candidate(
            net, bus, technology="line", line=int(line), name=f"tie {line}",
            capex_eur_per_unit=40e3 + 60e3 * float(net.line.length_km[line]), lifetime_years=40.0,
        )  # fmt: skip
    ends = [int(net.line[side][line]) for line in ties for side in ("from_bus", "to_bus")]
    for bus in list(dict.fromkeys(ends))[:SITES]:
        p2p.create_candidate(
            net, bus, technology="pv", unit_p_mw=0.5, max_units=3, name=f"PV at {bus}",
            capex_eur_per_unit=375e3, fixed_om_eur_per_unit_per_year=6e3, lifetime_years=25.0,
        )  # fmt: skip
        p2p.create_candidate(
            net, bus, technology="wind", unit_p_mw=1.0, max_units=1, name=f"wind at {bus}",
            capex_eur_per_unit=1.5e6, fixed_om_eur_per_unit_per_year=30e3, lifetime_years=25.0,
        )  # fmt: skip
        p2p.create_candidate(
            net, bus, technology="storage", unit_p_mw=0.5, unit_e_mwh=1.0, max_units=3,
            name=f"storage at {bus}", capex_eur_per_unit=180e3, min_soc_percent=20.0,
            fixed_om_eur_per_unit_per_year=3e3, lifetime_years=12.0,
        )  # fmt: skip


def stages() -> tuple[planning.Stage, ...]:
    """Return three, three and four years: demand grows, units get cheaper, limits tighter."""
    return planning.growing_stages(
        [3, 3, 4],
        demand_growth_percent=2.0,
        price_growth_percent=1.0,
        learning_percent={"pv": 4.0, "storage": 7.0, "wind": 1.0},
        eens_limit_mwh_per_year=[np.inf, 5.0, 3.0],
        budget_eur=5e6,
    )


def plan(net: Any, profiles: xr.Dataset, n_days: int = 4, foresight: str = "perfect") -> xr.Dataset:
    """Return the plan of the ten years, within 1 % of the optimum."""
    return planning.plan_horizon(
        net,
        clustering.typical_days(profiles, n_days=n_days),
        stages(),
        interest_rate_percent=5.0,
        salvage="annuity",
        foresight=foresight,
        solver=p2p.SolverConfig(rel_gap=0.01, time_limit_s=840.0),
    )


def main() -> None:
    net, profiles = network()
    result = plan(net, profiles)
    table = result["units_built"].transpose("candidate", "stage").to_pandas()
    table.index = result["candidate_name"].to_numpy()
    print("units built by stage")
    print(table[table.sum(axis="columns") > 0].to_string())
    print("\npaid in each year, million EUR")
    cash = result["cash_flow_eur"].to_pandas() / 1e6
    print(cash.loc[:, (cash != 0).any()].round(3).to_string())
    print("\nenergy not served, MWh/a:", result["eens_mwh_per_year"].to_numpy().round(2))
    print(f"net present cost {float(result['npc_eur']):,.0f} EUR,", end=" ")
    print(f"gap {result.attrs['gap']:.3%} after {result.attrs['seconds']:.0f} s,", end=" ")
    print(f"relaxation {result.attrs['relaxation']}")
    p2p.to_netcdf(result, RESULTS / "plan.nc")
    for name, figure in (
        ("cash_flow", planning.cash_flow_figure(result)),
        ("build_map", planning.build_map_figure(net, result)),
        ("convergence", planning.convergence_figure(result)),
    ):
        figure.write_html(RESULTS / f"{name}.html")
    print(f"pictures and plan.nc are in {RESULTS}")


if __name__ == "__main__":
    main()
