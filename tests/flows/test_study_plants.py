"""Flexible loads of participants, and storage on the link of a soft open point, in a study file."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import pp_p2p as p2p
from flows.chain import read_inputs
from flows.study import load_study
from flows.study_elements import FlexibleLoad
from flows.study_net import build_net
from pp_p2p.elements.tables import TABLES
from pp_p2p.errors import InvalidInput

sys.path.insert(0, str(Path(__file__).parent))
from small_study import HEAD, write_small

FIRST = 'profile = "sun"\n'
FLEXIBLE = """
[[participant.flexible_load]]
buses = [2]
max_up_percent = 40.0
max_down_percent = 30.0
shift_cost_eur_per_mwh = 1.0
window_start_h = 6.0
window_end_h = 20.0

[[participant.flexible_load]]
buses = [1]
max_curtail_percent = 10.0
curtail_cost_eur_per_mwh = 90.0
price_elasticity = -0.2
reference_price_eur_per_mwh = 150.0
"""
STORED = """
[[participant.storage]]
p_mw = 0.2
e_mwh = 0.5
sop = "A-B"
"""
SOP = """
[[sop]]
name = "A-B"
buses = [2, 4]
sn_mva = 0.5
"""


def study_with(folder: Path, *of_a: str, rest: str = SOP) -> Path:
    return write_small(folder, rest, changes=((FIRST, FIRST + "".join(of_a)),))


def refusals(folder: Path, *of_a: str, rest: str = SOP) -> list[str]:
    with pytest.raises(InvalidInput) as caught:
        build_net(load_study(study_with(folder, *of_a, rest=rest)))
    return [str(one) for one in caught.value.findings]


def test_every_column_of_a_flexible_load_is_a_key() -> None:
    columns = set(TABLES["flexible_load"].by_name) - {"name", "load", "in_service"}
    assert set(FlexibleLoad.model_fields) == {"buses", *columns}


def test_the_net_gets_what_the_file_says(tmp_path: Path) -> None:
    net = build_net(load_study(study_with(tmp_path, FLEXIBLE, STORED)))
    rows = net.flexible_load.set_index(net.load.bus[net.flexible_load.load].to_numpy())
    assert sorted(rows.index) == [1, 2]
    assert rows.loc[2, ["max_up_percent", "max_down_percent", "window_end_h"]].tolist() == [
        40,
        30,
        20,
    ]
    assert rows.loc[1, "price_elasticity"] == -0.2
    assert rows.loc[1, "reference_price_eur_per_mwh"] == 150.0
    assert np.isnan(rows.loc[2, "reference_price_eur_per_mwh"])
    (storage,) = net.storage.index
    assert net.storage.at[storage, "sop"] == net.sop.index[net.sop.name == "A-B"][0]
    assert net.storage.at[storage, "participant"] == 0
    p2p.validate(net)


def test_without_buses_all_loads_of_the_participant_are_flexible(tmp_path: Path) -> None:
    flexible = "\n[[participant.flexible_load]]\nmax_curtail_percent = 5.0\n"
    net = build_net(load_study(study_with(tmp_path, flexible)))
    own = net.load.index[net.load["participant"] == 0]
    assert sorted(net.flexible_load.load) == sorted(own)
    assert len(own) == 2


def test_a_day_is_traded_with_them(tmp_path: Path) -> None:
    inputs = read_inputs(load_study(study_with(tmp_path, FLEXIBLE, STORED)))
    day = inputs.profiles.isel(time=slice(24 * 170, 24 * 171))
    ds = p2p.trade_day(inputs.net, day, formulation="lindistflow")
    shift = ds["load_shift_mw"].sel(flexible_load=inputs.net.flexible_load.index[0]).to_numpy()
    assert np.abs(shift).max() > 1e-3
    assert abs(shift.sum()) < 1e-6  # energy is kept
    assert np.abs(shift[:6]).max() < 1e-6  # and its window, too
    assert float(np.abs(ds["storage_p_mw"]).max()) > 1e-3
    rigid = write_small(tmp_path, SOP)
    plain = p2p.trade_day(read_inputs(load_study(rigid)).net, day, formulation="lindistflow")
    assert ds["cost_eur"].sum() < plain["cost_eur"].sum()


@pytest.mark.parametrize(
    ("of_a", "said"),
    [
        ("buses = [3]", ", participant[0].flexible_load[0].buses: has bus 3, and load_buses"),
        ("max_down_percent = 101.0", ".max_down_percent: 101.0 is out of range"),
        ("window_end_h = 25.0", ".window_end_h: 25.0 is out of range"),
        ("price_elasticity = 0.5", ".price_elasticity: 0.5 is out of range"),
        ("shift_cost = 1.0", ".shift_cost: unknown key; did you mean 'shift_cost_eur_per_mwh'"),
        (
            "[[participant.flexible_load]]\nbuses = [2]",
            "[1].buses: has bus 2, which flexible_load[0]",
        ),
    ],
)
def test_what_is_wrong_with_flexible_loads(tmp_path: Path, of_a: str, said: str) -> None:
    (found,) = refusals(tmp_path, f"\n[[participant.flexible_load]]\n{of_a}\n")
    assert said in found


def test_flexible_loads_need_loads(tmp_path: Path) -> None:
    change = ("load_buses = [3]", "[[participant.flexible_load]]\nmax_curtail_percent = 5.0")
    with pytest.raises(InvalidInput, match=r"participant\[1\].flexible_load\[0\]: has no loads"):
        load_study(write_small(tmp_path, changes=(change,)))


def test_storage_on_a_device_that_is_not_there(tmp_path: Path) -> None:
    (found,) = refusals(tmp_path, STORED.replace("A-B", "A-C"))
    line = HEAD.replace(FIRST, FIRST + STORED).splitlines().index('sop = "A-B"') + 1
    assert found.startswith(f"study.toml:{line}, participant[0].storage[0].sop: there is no soft")
    assert "did you mean 'A-B'" in found
    (found,) = refusals(tmp_path, STORED + "bus = 2\n")
    assert ".bus: has no meaning beside sop" in found
