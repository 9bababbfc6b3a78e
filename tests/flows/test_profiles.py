from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from flows.profiles import read_profiles
from flows.study import load_study
from pp_p2p.errors import InvalidInput
from pp_p2p.names import PROFILE_DIMS

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "ieee33.toml"
DATA = ROOT / "examples" / "data"

STUDY = """
[study]
name = "small"
[network]
source = "case33bw"
load_growth_percent = 10.0
[profiles]
file = "data.csv"
[profiles.load]
names = ["H"]
by_load = { 7 = "G" }
scaling = "peak"
[profiles.availability]
pv = "PV"
wind = "W"
[prices]
buy_eur_per_mwh = [0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23]
sell_eur_per_mwh = -1.0
[[participant]]
name = "A"
bus = 1
[[participant.sgen]]
technology = "pv"
p_mw = 2.0
profile = "PV"
[planning]
interest_rate_percent = 6.0
"""

HOURS = 48
LOAD = pd.DataFrame({"bus": [1, 2], "p_mw": [0.2, 0.4], "q_mvar": [0.1, -0.2]}, index=[3, 7])
SGEN = pd.DataFrame({"name": ["A pv 1"], "p_mw": [2.0]}, index=[5])


def table(hours: int = HOURS) -> pd.DataFrame:
    h = np.arange(hours)
    return pd.DataFrame(
        {
            "time": pd.date_range("2016-01-01", periods=hours, freq="h").astype(str),
            "H_pload": 0.1 + 0.4 * (h % 24) / 23,
            "H_qload": -0.2 + 0.1 * (h % 24) / 23,
            "G_pload": 0.5 + 0.25 * (h % 2),
            "PV": np.clip(np.sin((h % 24 - 6) / 12 * np.pi), 0, None) * 0.6,
            "W": 0.3,
        }
    )


def study_of(folder: Path, data: pd.DataFrame | str, *changes: tuple[str, str]):
    text = STUDY
    for old, new in changes:
        assert text.count(old) == 1
        text = text.replace(old, new)
    (folder / "study.toml").write_text(text, encoding="utf-8")
    content = data if isinstance(data, str) else data.to_csv(index=False)
    (folder / "data.csv").write_text(content, encoding="utf-8")
    return load_study(folder / "study.toml")


def findings_of(study, load=LOAD, sgen=SGEN) -> list[str]:
    with pytest.raises(InvalidInput) as caught:
        read_profiles(study, load=load, sgen=sgen)
    return [str(finding) for finding in caught.value.findings]


def test_variables_dimensions_and_units(tmp_path):
    ds = read_profiles(study_of(tmp_path, table()), load=LOAD, sgen=SGEN)
    emission = "grid_emission_t_per_mwh"  # only where the study gives it
    expected = {name: dims for name, dims in PROFILE_DIMS.items() if name != emission}
    assert {name: v.dims for name, v in ds.data_vars.items()} == expected
    assert list(ds["load"].values) == [3, 7]
    assert list(ds["sgen"].values) == [5]
    assert list(ds.technology.values) == ["pv", "wind"]
    assert ds.load_p_mw.attrs["units"] == "MW"
    assert ds.price_buy_eur_per_mwh.attrs["units"] == "EUR/MWh"
    assert ds.attrs["step_h"] == 1.0
    np.testing.assert_allclose(ds.sgen_p_mw[:, 0], 2.0 * table()["PV"])
    np.testing.assert_allclose(ds.availability_pu, table()[["PV", "W"]])
    np.testing.assert_array_equal(ds.price_buy_eur_per_mwh, list(range(24)) * 2)
    np.testing.assert_array_equal(ds.price_sell_eur_per_mwh, -1.0)


def test_peak_scaling_reaches_each_loads_nominal(tmp_path):
    ds = read_profiles(study_of(tmp_path, table()), load=LOAD, sgen=SGEN)
    np.testing.assert_allclose(ds.load_p_mw.max("time"), [1.1 * 0.2, 1.1 * 0.4])
    # H has its own reactive shape (capacitive: its sign stays), G keeps the net's power factor.
    np.testing.assert_allclose(ds.load_q_mvar.sel(load=3), 1.1 * 0.1 * table()["H_qload"] / 0.2)
    np.testing.assert_allclose(ds.load_q_mvar.sel(load=7), -0.5 * ds.load_p_mw.sel(load=7))


def test_nominal_scaling_takes_the_profile_as_it_is(tmp_path):
    study = study_of(tmp_path, table(), ('scaling = "peak"', 'scaling = "nominal"'))
    ds = read_profiles(study, load=LOAD.assign(scaling=2.0), sgen=SGEN)
    np.testing.assert_allclose(ds.load_p_mw.sel(load=3), 1.1 * 2 * 0.2 * table()["H_pload"])
    np.testing.assert_allclose(ds.load_q_mvar.sel(load=3), 1.1 * 2 * 0.1 * table()["H_qload"])


def test_net_peak_scaling_reaches_the_nets_total(tmp_path):
    data = table().assign(G_pload=lambda d: 0.6 - d["H_pload"])
    study = study_of(tmp_path, data, ('scaling = "peak"', 'scaling = "net_peak"'))
    ds = read_profiles(study, load=LOAD, sgen=SGEN)
    assert float(ds.load_p_mw.sum("load").max()) == pytest.approx(1.1 * 0.6)
    plain = read_profiles(study_of(tmp_path, data), load=LOAD, sgen=SGEN)
    ratio = (ds.load_p_mw / plain.load_p_mw).values
    assert ratio.min() == pytest.approx(ratio.max())
    np.testing.assert_allclose(ds.load_q_mvar, plain.load_q_mvar * ratio[0, 0])


def test_who_follows_which_profile(tmp_path):
    change = ('name = "A"\nbus = 1', 'name = "A"\nbus = 1\nload_buses = [1]\nload_profiles = ["G"]')
    study = study_of(tmp_path, table(), change)
    ds = read_profiles(study, load=LOAD, sgen=SGEN)
    np.testing.assert_allclose(ds.load_p_mw.sel(load=3) / 0.2, ds.load_p_mw.sel(load=7) / 0.4)
    plain = study_of(tmp_path, table(), ('names = ["H"]\nby_load = { 7 = "G" }', ""))
    ds = read_profiles(plain, load=LOAD.assign(profile=["G", "H"]), sgen=None)
    assert ds.sizes["sgen"] == 0
    assert float(ds.load_p_mw.sel(load=7)[0]) == pytest.approx(1.1 * 0.4 * 0.1 / 0.5)


def test_rows_without_a_profile(tmp_path):
    study = study_of(tmp_path, table(), ('names = ["H"]\n', ""))
    others = pd.DataFrame({"name": ["A pv 1", "x", None], "p_mw": [2.0, 1.0, 1.0]})
    load, sgen = findings_of(study, sgen=others)
    assert "study.toml, profiles.load: row 3 these rows of net.load have no profile" in load
    assert "study.toml, profiles.sgen: rows 1, 2 these rows of net.sgen have no profile" in sgen
    assert '"constant" is its p_mw all year' in sgen


def test_a_generator_may_be_constant_where_the_study_says_so(tmp_path):
    change = ("[profiles.load]", '[profiles.sgen]\nby_sgen = { 1 = "constant" }\n[profiles.load]')
    sgen = pd.DataFrame({"name": ["A pv 1", "old"], "p_mw": [2.0, 0.4]})
    ds = read_profiles(study_of(tmp_path, table(), change), load=LOAD, sgen=sgen)
    assert (ds.sgen_p_mw.sel(sgen=1) == 0.4).all()
    assert ds.sgen_p_mw.sel(sgen=0).min() == 0.0
    new = ('pv = "PV"', 'pv = "constant"')
    assert "has no profile 'constant'" in findings_of(study_of(tmp_path, table(), new))[0]


@pytest.mark.parametrize("minutes", [15, 60])
def test_step_length(tmp_path, minutes):
    steps = 2 * 1440 // minutes
    data = table(steps)
    data["time"] = pd.date_range("2016-01-01", periods=steps, freq=f"{minutes}min").astype(str)
    ds = read_profiles(study_of(tmp_path, data), load=LOAD, sgen=SGEN)
    assert ds.attrs["step_h"] == minutes / 60
    assert ds.price_buy_eur_per_mwh.values[-1] == 23


def test_stamps_with_an_offset_keep_their_clock(tmp_path):
    data = table().assign(time=lambda d: d["time"] + "+01:00")
    ds = read_profiles(study_of(tmp_path, data), load=LOAD, sgen=SGEN)
    assert ds.time.values[0] == np.datetime64("2016-01-01T00:00")


def with_cell(column: str, row: int, value: object) -> pd.DataFrame:
    data = table().astype({column: object})
    data.loc[row, column] = value
    return data


BAD_DATA = {
    "a gap": (
        with_cell("H_pload", 30, np.nan),
        "data.csv.H_pload: row 2016-01-02 06:00:00 1 of 48 values are empty or no number",
    ),
    "a text": (with_cell("PV", 1, "n/v"), "data.csv.PV: row 2016-01-01 01:00:00 1 of 48"),
    "an infinite value": (with_cell("H_qload", 2, "inf"), "data.csv.H_qload: row"),
    "kW instead of per unit": (table().assign(PV=250.0), "divide by the installed power"),
    "negative feed-in": (with_cell("W", 5, -0.1), "data.csv.W: row 2016-01-01 05:00:00"),
    "a load that is never on": (table().assign(G_pload=0.0), "the profile never is above 0"),
    "no such column": (
        table().drop(columns="G_pload"),
        "study.toml:11, profiles.load.by_load.7: data.csv has no load profile 'G'; it has: H",
    ),
    "no such wind": (
        table().drop(columns="W"),
        "study.toml:15, profiles.availability.wind: data.csv has no profile 'W'; it has: PV",
    ),
    "no time": (table().drop(columns="time"), "there is no column 'time'"),
    "no rows": (table(0), "there are no rows"),
    "one row": (table(1), "there is one row only"),
    "half a day": (table(36), "36 steps of 1 h are no whole number of days"),
    "a stamp left out": (
        table().drop(index=10),
        "data.csv.time: row 2016-01-01 11:00:00 the step before is not 1 h as elsewhere",
    ),
    "an hour twice": (
        pd.concat([table()[:10], table()[9:]]),
        "data.csv.time: row 2016-01-01 09:00:00 is there more than once; keep one row of each step",
    ),
    "all stamps alike": (table().assign(time="2016-01-01"), "is there more than once"),
    "no stamp": (
        with_cell("time", 10, "yesterday"),
        "data.csv.time: row yesterday (row 11) is no time stamp",
    ),
    "a late start": (
        table(72).iloc[6:54],
        "the first step is 2016-01-01 06:00:00; let the data begin at 00:00",
    ),
    "ragged rows": ("time,H_pload\n2016-01-01,1\n2016-01-01 01:00,1,2,3\n", "cannot be read"),
    "nothing": ("", "cannot be read as a table"),
}


@pytest.mark.parametrize("case", BAD_DATA)
def test_bad_data(tmp_path, case):
    data, text = BAD_DATA[case]
    found = findings_of(study_of(tmp_path, data))
    assert len(found) == 1, "\n".join(found)
    assert text in found[0]


def test_a_year_that_is_not_complete(tmp_path):
    data = table(365 * 24)
    change = ('file = "data.csv"', 'file = "data.csv"\nyear = 2016')
    (found,) = findings_of(study_of(tmp_path, data, change))
    assert "8760 rows from 2016-01-01 00:00:00 to 2016-12-30 23:00:00" in found
    assert "profiles.year = 2016 has 8784 steps of 1 h" in found


def test_all_findings_come_at_once(tmp_path):
    data = table(47).assign(PV=9.0).drop(columns="W")
    data.loc[3, "H_pload"] = np.nan
    found = "\n".join(findings_of(study_of(tmp_path, data)))
    for part in ("data.csv.PV", "availability.wind", "data.csv.H_pload", "47 steps of 1 h"):
        assert part in found


def test_an_hour_twice_and_one_left_out(tmp_path):
    """The clock is set back and forth."""
    data = pd.concat([table()[:10], table()[9:30], table()[31:]])
    twice, left_out = findings_of(study_of(tmp_path, data))
    assert "2016-01-01 09:00:00 is there more than once" in twice
    assert "without daylight saving" in twice
    assert "2016-01-02 07:00:00 the step before is not 1 h" in left_out


def test_a_misspelt_profile_is_found_in_the_study_file(tmp_path):
    """Every key that asks for it is named, with the profile that was meant."""
    changes = [
        ('names = ["H"]', 'names = ["Hh"]'),
        ('name = "A"\nbus = 1', 'name = "A"\nbus = 1\nload_buses = [1]\nload_profiles = ["Hh"]'),
        ('profile = "PV"', 'profile = "PV1"'),
    ]
    load = pd.concat([LOAD, LOAD.rename(index={3: 4, 7: 8}).assign(bus=3)])
    found = findings_of(study_of(tmp_path, table(), *changes), load=load)
    assert found == [
        "study.toml:10, profiles.load.names: data.csv has no load profile 'Hh'; did you mean 'H'? "
        "it has: H, G",
        "study.toml:23, participant[0].load_profiles: data.csv has no load profile 'Hh'; did you "
        "mean 'H'? it has: H, G",
        "study.toml:27, participant[0].sgen[0].profile: data.csv has no profile 'PV1'; did you "
        "mean 'PV'? it has: PV, W",
    ]


def test_a_profile_that_the_net_asks_for(tmp_path):
    study = study_of(tmp_path, table(), ('names = ["H"]\nby_load = { 7 = "G" }', ""))
    (found,) = findings_of(study, load=LOAD.assign(profile=["G", "J"]))
    assert found == "net.load.profile: data.csv has no load profile 'J'; it has: H, G"


@pytest.fixture(scope="module")
def shipped() -> pd.DataFrame:
    file = DATA / "simbench_2016.csv"
    return pd.read_csv(file, comment="#", parse_dates=["time"], index_col="time")


def test_the_shipped_year_is_complete_and_plausible(shipped):
    assert shipped.index.equals(pd.date_range("2016-01-01", periods=8784, freq="h", name="time"))
    assert shipped.notna().all().all()
    pv, wind = shipped.filter(like="PV"), shipped.filter(like="WP")
    assert (pv[(pv.index.hour >= 20) | (pv.index.hour < 4)] == 0).all().all()
    by_month = pv.groupby(pv.index.month).mean()
    assert (by_month.loc[5:7].mean() > 3 * by_month.loc[[12, 1]].mean()).all()
    assert pv.sum().between(600, 700).all()
    assert wind.sum().between(2200, 2600).all()
    assert (shipped.filter(like="_pload").min() > 0).all()
    assert (shipped.filter(like="_pload").max() <= 1).all()
    assert (DATA / "simbench_2016.csv").stat().st_size < 1_500_000


def test_the_shipped_clock_is_cet_all_year(shipped):
    """People follow daylight saving, the sun does not: commerce opens an hour earlier in CET."""
    opens = shipped["G4-A_pload"]
    opens = opens[opens.index.dayofweek < 5]
    winter, summer = opens.loc["2016-02-22":"2016-03-24"], opens.loc["2016-03-29":"2016-04-29"]
    rise = {
        name: days.groupby(days.index.hour).mean().loc[4:9].diff().idxmax()
        for name, days in (("winter", winter), ("summer", summer))
    }
    assert rise["summer"] == rise["winter"] - 1


def test_the_notice_names_licence_and_changes():
    text = (DATA / "NOTICE.md").read_text(encoding="utf-8")
    for part in ("ODbL", "DbCL", "derived database", "What was changed", "make_simbench_2016.py"):
        assert part in text


@pytest.mark.skipif(importlib.util.find_spec("simbench") is None, reason="simbench is an extra")
def test_the_script_makes_the_shipped_file():
    script = [sys.executable, str(DATA / "make_simbench_2016.py"), "--check"]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_example_reads():
    import pandapower.networks as pn

    study = load_study(EXAMPLE)
    net = pn.case33bw()
    sgen = pd.DataFrame([{"name": s.name, "p_mw": s.p_mw} for s in study.sgens()])
    ds = read_profiles(study, load=net.load, sgen=sgen)
    assert ds.sizes == {"time": 8784, "load": 32, "sgen": 4, "technology": 2}
    assert float(ds.load_p_mw.sum("load").max()) == pytest.approx(net.load.p_mw.sum())
    assert bool(np.isfinite(ds.to_array()).all())
    surplus = [
        ds.sgen_p_mw.values[
            :, [i for i, s in enumerate(study.sgens()) if s.participant == p.name]
        ].sum(axis=1)
        - ds.load_p_mw.sel(load=net.load.index[net.load.bus.isin(p.load_buses)]).sum("load").values
        for p in study.participant
    ]
    to_trade = (np.max(surplus, axis=0) > 0.01) & (np.min(surplus, axis=0) < -0.01)
    assert to_trade.mean() > 0.3


def with_prices(folder: Path, data: pd.DataFrame):
    """Return the study whose prices and emissions are columns of its file."""
    buy = next(line for line in STUDY.splitlines() if line.startswith("buy_eur_per_mwh"))
    sell = next(line for line in STUDY.splitlines() if line.startswith("sell_eur_per_mwh"))
    return study_of(
        folder,
        data,
        (buy, 'buy_eur_per_mwh = "market"'),
        (sell, 'sell_eur_per_mwh = "feed-in"\ngrid_emission_t_per_mwh = "CO2"'),
    )


def test_prices_and_emissions_may_be_columns(tmp_path):
    hours = np.arange(48.0)
    data = table().assign(**{"market": 50 + hours, "feed-in": 20.0, "CO2": hours / 100})
    ds = read_profiles(with_prices(tmp_path, data), load=LOAD, sgen=SGEN)
    np.testing.assert_array_equal(ds.price_buy_eur_per_mwh, 50 + hours)
    np.testing.assert_array_equal(ds.price_sell_eur_per_mwh, 20.0)
    np.testing.assert_array_equal(ds.grid_emission_t_per_mwh, hours / 100)
    assert ds.grid_emission_t_per_mwh.attrs["units"] == "t/MWh"
    assert {name: v.dims for name, v in ds.data_vars.items()} == dict(PROFILE_DIMS)


def test_one_number_is_the_emission_of_every_hour(tmp_path):
    line = next(line for line in STUDY.splitlines() if line.startswith("sell_eur_per_mwh"))
    study = study_of(tmp_path, table(), (line, f"{line}\ngrid_emission_t_per_mwh = 0.4"))
    ds = read_profiles(study, load=LOAD, sgen=SGEN)
    np.testing.assert_array_equal(ds.grid_emission_t_per_mwh, 0.4)


def test_what_is_wrong_with_columns_of_prices(tmp_path):
    good = table().assign(**{"market": 50.0, "feed-in": 20.0, "CO2": 0.1})
    study = with_prices(tmp_path, good.drop(columns="market").assign(marked=1.0, CO2=-0.1))
    missing, negative = findings_of(study)
    assert "prices.buy_eur_per_mwh: data.csv has no column 'market'; did you mean 'marked'?" \
        in missing  # fmt: skip
    assert "48 values are below 0" in negative
    good.loc[5, "market"] = np.nan
    (gap,) = findings_of(with_prices(tmp_path, good))
    assert "1 of 48 values are empty or no number" in gap
    good.loc[5, "market"] = 19.0
    (dear,) = findings_of(with_prices(tmp_path, good))
    assert "feed-in" in dear
    assert "above the purchase price" in dear
