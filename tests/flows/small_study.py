"""A study that runs in seconds: five buses, one typical day; what may be added to it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandapower as pp
import pandas as pd

HEAD = """
[study]
name = "tiny"

[network]
source = "net.json"

[network.reliability]
failure_rate_per_km_year = 0.2
repair_time_h = 5.0
switching_time_h = 1.0

[profiles]
file = "profiles.csv"

[profiles.load]
names = ["house", "shop"]

[profiles.availability]
pv = "sun"
wind = "wind"

[prices]
buy_eur_per_mwh = 200.0
sell_eur_per_mwh = 60.0

[[participant]]
name = "A"
bus = 1
load_buses = [1, 2]

[[participant.sgen]]
technology = "pv"
p_mw = 1.5
profile = "sun"

[[participant]]
name = "B"
bus = 3
load_buses = [3]

[[candidate]]
name = "PV"
technology = "pv"
bus = 3
participant = "B"
unit_p_mw = 0.2
max_units = 3
capex_eur_per_kw = 700.0
lifetime_years = 25

[[candidate]]
name = "Tie"
technology = "line"
line = 4
capex_eur_per_unit = 20_000
lifetime_years = 40

[typical_days]
n_days = 1
extreme_days = []

[planning]
interest_rate_percent = 6.0
value_of_lost_load_eur_per_mwh = 7000.0
mip_gap_percent = 1.0
formulation = "lindistflow"

[trade]
formulation = "lindistflow"
"""

BATTERY = """
[[candidate]]
name = "Battery"
technology = "storage"
bus = 3
unit_p_mw = 0.1
unit_e_mwh = 0.2
capex_eur_per_unit = 70_000
fixed_om_percent_per_year = 2.0
lifetime_years = 15
"""

SCENARIOS = """
[[scenario]]
name = "base"

[[scenario]]
name = "more load"
[scenario.network]
load_growth_percent = 20.0

[[scenario]]
name = "dear PV"
[scenario.candidate.PV]
capex_eur_per_kw = 1500.0

[[scenario]]
name = "no tie"
leave_out = ["candidate.Tie"]
"""

TECHNOLOGIES = """
[[sop]]
name = "A-B"
buses = [2, 4]
sn_mva = [0.5, 0.6]
loss_factor = 0.01
grid_forming = [true, false]

[[candidate]]
name = "Link"
technology = "sop"
sop = "A-B"
max_units = 2
sizing = "continuous"
capex_eur_per_unit = 5_000
lifetime_years = 20

[[candidate]]
name = "Engine"
technology = "dispatchable"
bus = 4
unit_p_mw = 0.3
unit_sn_mva = 0.35
sizing = "continuous"
capex_eur_per_kw = 300.0
fixed_capex_eur = 1_000
variable_om_eur_per_mwh = 90.0
emission_t_per_mwh = 0.5
lifetime_years = 15

[[candidate]]
name = "Battery power"
technology = "storage"
bus = 2
participant = "A"
unit_p_mw = 0.2
max_units = 3
capex_eur_per_kw = 20.0
lifetime_years = 12

[[candidate]]
name = "Battery energy"
technology = "storage_energy"
bus = 2
participant = "A"
unit_e_mwh = 0.4
max_units = 4
capex_eur_per_kwh = 30.0
lifetime_years = 10

[[candidate]]
name = "Thicker line"
technology = "replacement"
line = 0
std_type = "NA2XS2Y 1x240 RM/25 12/20 kV"
parallel = 2
capex_eur_per_unit = 1_000
lifetime_years = 40

[[candidate]]
name = "Remote control"
technology = "switch"
switch = 0
remote_switching_time_h = 0.1
capex_eur_per_unit = 100
lifetime_years = 20
"""
"""Every technology that is not in the usual study; the net needs a switch."""

IMPOSSIBLE = """
[[scenario]]
name = "impossible"
[scenario.planning]
eens_limit_mwh_per_year = 1e-6
"""

HORIZON = """
[horizon]
stage_years = [2, 3]
first_year = 2027
demand_growth_percent_per_year = 2.0
learning_percent_per_year = { pv = 5.0 }
"""


def write_small(
    folder: Path,
    *parts: str,
    changes: tuple[tuple[str, str], ...] = (),
    regions: bool = False,
    switch: bool = False,
) -> Path:
    """Write net, profiles and study file into `folder`; return the study file.

    With `regions` the buses 0 to 2 and 3 to 4 are feeders of their own; with `switch` the line
    from bus 1 to 2 has one.
    """
    net = pp.create_empty_network(sn_mva=1.0)
    buses = [pp.create_bus(net, 10.0, min_vm_pu=0.9, max_vm_pu=1.1) for _ in range(5)]
    pp.create_ext_grid(net, buses[0])
    if regions:
        pp.create_ext_grid(net, buses[3])
    idle = {(4, 0), (2, 3)} if regions else {(4, 0)}
    for a, b in ((0, 1), (1, 2), (2, 3), (3, 4), (4, 0)):
        pp.create_line_from_parameters(
            net, buses[a], buses[b], 2.0, r_ohm_per_km=0.3, x_ohm_per_km=0.3, c_nf_per_km=0.0,
            max_i_ka=0.3, in_service=(a, b) not in idle,
        )  # fmt: skip
    if switch:
        pp.create_switch(net, buses[1], 1, et="l", type="LBS")
    for bus in buses[1:]:
        pp.create_load(net, bus, p_mw=0.6, q_mvar=0.1)
    pp.to_json(net, str(folder / "net.json"))
    hours = pd.date_range("2016-01-01", periods=8784, freq="h")
    hour = hours.hour.to_numpy()
    day = np.repeat(1.0 + 0.2 * np.cos(np.arange(366) / 366 * 2 * np.pi), 24)
    table = pd.DataFrame(
        {
            "house_pload": day * (0.5 + 0.4 * np.sin((hour - 12) / 24 * 2 * np.pi)),
            "shop_pload": day * np.where((hour > 8) & (hour < 19), 0.9, 0.3),
            "sun": np.clip(np.sin((hour - 6) / 12 * np.pi), 0, 1) * (2 - day) / 1.2,
            "wind": 0.5 + 0.2 * np.cos(hour / 24 * 2 * np.pi),
        },
        index=pd.Index(hours, name="time"),
    )
    table.to_csv(folder / "profiles.csv")
    return write_text(folder, "\n".join([HEAD, *parts]), *changes)


def write_text(folder: Path, text: str, *changes: tuple[str, str]) -> Path:
    """Write a study file with changes (old, new), each of a text that is there once."""
    for old, new in changes:
        assert text.count(old) == 1, f"{old!r} is not in the text exactly once"
        text = text.replace(old, new)
    for name in ("net.json", "profiles.csv"):  # a study that is only read looks for them
        (folder / name).touch()
    file = folder / "study.toml"
    file.write_text(text, encoding="utf-8")
    return file


class Asks:
    """Stands for a piece of work: the process that does it fails with what it sees of `NAME`."""

    NAME = "PP_P2P_ASKED"
    title = "ask"

    @property
    def mirror(self) -> str:
        raise LookupError(os.environ.get(self.NAME, "nothing"))
