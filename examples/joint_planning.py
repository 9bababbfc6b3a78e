"""Three microgrids and the operator of the IEEE 33-bus feeder plan together.

What each pays alone, together, and in the central optimum; the gain shared by equal powers, by
traded volume, and by what each adds to it. Net, profiles, prices and candidates are those of
ieee33.toml. Run: python examples/joint_planning.py
"""

from __future__ import annotations

import time
from pathlib import Path

import pandas as pd
import xarray as xr

import clustering
import planning
import pp_p2p as p2p
from flows.chain import read_inputs
from flows.study import load_study

PROOFS = (
    "claim",
    "gain_eur_per_year",
    "gain_noise_eur_per_year",
    "equilibrium",
    "central_status",
    "central_gap",
    "gap_to_central_bound",
    "relaxation",
)
STUDY = Path(__file__).parent / "ieee33.toml"


def plan(n_days: int = 4, formulation: str = "branch_flow") -> tuple[xr.Dataset, list[str]]:
    """Return the joint plan for typical days, and the names of its investors."""
    study = load_study(STUDY)
    inputs = read_inputs(study)
    days = clustering.typical_days(inputs.profiles, n_days=n_days)
    asked = study.planning
    joint = planning.plan_together(
        inputs.net,
        days,
        network_fee_eur_per_mwh=study.trade.network_fee_eur_per_mwh,
        interest_rate_percent=asked.interest_rate_percent,
        eens_limit_mwh_per_year=asked.eens_limit_mwh_per_year,
        value_of_lost_load_eur_per_mwh=asked.value_of_lost_load_eur_per_mwh,
        powers="marginal",
        benchmark=True,
        formulation=formulation,
        solver=p2p.SolverConfig(rel_gap=5e-4, time_limit_s=60.0),
    )
    return joint, [*inputs.net.participant["name"].astype(str), "operator"]


def side_by_side(joint: xr.Dataset, names: list[str]) -> pd.DataFrame:
    """Return the costs of each investor in kEUR/a."""
    equal = planning.share_gain(joint, powers="equal")
    by_volume = planning.share_gain(joint, powers="net_volume")
    columns = {
        "alone": joint["cost_alone_eur_per_year"],
        "together, equal powers": equal["cost_eur_per_year"],
        "by volume": by_volume["cost_eur_per_year"],
        "by contribution": joint["cost_eur_per_year"],
        "central, unpaid": joint["cost_central_eur_per_year"],
    }
    table = pd.DataFrame({k: v.to_numpy() / 1e3 for k, v in columns.items()}, index=names)
    table.loc["all"] = table.sum()
    return table


def main() -> None:
    began = time.perf_counter()
    joint, names = plan()
    print("Cost, kEUR/a")
    print(side_by_side(joint, names).round(2).to_string())
    built = ["candidate_name", "units_alone", "units_together", "units_central", "max_units"]
    print("\nUnits built")
    print(joint[built].to_dataframe().set_index("candidate_name").to_string())
    ends = ["start_cost_eur_per_year", "start_end_cost_eur_per_year", "start_reason"]
    gains = ["deviation_gain_eur_per_year", "deviation_tolerance_eur_per_year"]
    print("\nMost that another plan of its own would save each, EUR/a")
    print(joint[gains].to_dataframe().set_index(pd.Index(names)).round(3).to_string())
    print("\nStarts of the alternation")
    print(joint[ends].to_dataframe().round(0).to_string())
    print()
    for name in PROOFS:
        print(f"{name}: {joint.attrs[name]}")
    print(f"{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
