"""Results call participants by name beside their row, in memory and in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandapower as pp
import pytest
import xarray as xr

import planning
import pp_p2p as p2p
from pp_p2p.names import OF_PARTICIPANTS, OPERATOR, OPERATOR_NAME
from pp_p2p.network.layout import describe_net
from pp_p2p.results import name_participants, stored_names

LAYOUT_1 = Path(__file__).parents[1] / "flows" / "data" / "study_layout_1.nc"


def traded(net: Any, day: xr.Dataset, how: str) -> xr.Dataset:
    if how == "compete":
        return p2p.trade_day(net, day, mechanism=p2p.Stackelberg())
    if how == "reconfigure":
        beside = net.line.iloc[-1]  # a loop of two lines: one of them stands open
        ends = int(beside.from_bus), int(beside.to_bus)
        made = dict.fromkeys(("r_ohm_per_km", "x_ohm_per_km", "length_km", "max_i_ka"), 1.0)
        pp.create_line_from_parameters(net, *ends, c_nf_per_km=0.0, in_service=False, **made)
        switch = p2p.Reconfiguration(switchable={"line": net.line.index[-2:].tolist()})
        return p2p.trade_day(net, day, formulation="lindistflow", reconfigure=switch)
    return p2p.trade_day(net, day, formulation="lindistflow")


def as_in(net: Any, labels: list[int]) -> list[str]:
    return [OPERATOR_NAME if k == OPERATOR else str(net.participant.at[k, "name"]) for k in labels]


@pytest.mark.parametrize("how", ["bargain", "compete", "reconfigure"])
def test_every_dim_of_participants_has_the_names_of_the_net(
    make_market: Any, how: str, tmp_path: Path
) -> None:
    net, day = make_market(0)
    net.participant.loc[net.participant.index[-1], "name"] = ""  # one has none
    ds = traded(net, day, how)
    there = [dim for dim in OF_PARTICIPANTS if dim in ds.dims]
    assert {"participant", "seller", "buyer"} <= set(there)
    for dim in there:
        assert ds[dim].dtype.kind == "i"  # rows of the table are still the labels
        assert ds[f"{dim}_name"].to_numpy().tolist() == as_in(net, ds[dim].to_numpy().tolist())
        assert f"{dim}_name" in ds.coords
        assert f"{dim}_name" not in ds.xindexes
    assert "participant_name" in ds["payment_eur"].to_dataframe()
    by_name = ds["saving_eur"].swap_dims(participant="participant_name")
    assert by_name.sel(participant_name="P0").item() == ds["saving_eur"][0].item()
    stored = p2p.from_netcdf(p2p.to_netcdf(ds, tmp_path / "day.nc"))
    xr.testing.assert_identical(stored, ds)


def test_names_are_found_again_in_a_result_and_in_a_map(make_market: Any) -> None:
    net, day = make_market(1)
    ds = traded(net, day, "bargain")
    assert stored_names(ds) == stored_names(describe_net(net)) == {
        OPERATOR: OPERATOR_NAME, **net.participant["name"].to_dict()
    }  # fmt: skip
    nameless = ds.drop_vars([f"{dim}_name" for dim in OF_PARTICIPANTS if dim in ds.dims])
    assert stored_names(nameless) == {OPERATOR: OPERATOR_NAME}
    xr.testing.assert_identical(name_participants(nameless, stored_names(nameless)), nameless)
    xr.testing.assert_identical(name_participants(nameless, stored_names(ds)), name_of_all(ds))


def name_of_all(ds: xr.Dataset) -> xr.Dataset:
    """Return `ds` with names that have no long name: those that are put there by hand."""
    named = ds.copy()
    for dim in OF_PARTICIPANTS:
        if dim in named.dims:
            named[f"{dim}_name"].attrs = {}
    return named


def test_many_files_are_aligned_by_name_alone(make_market: Any, tmp_path: Path) -> None:
    net, day = make_market(0)
    trade = traded(net, day, "bargain").rename(time="hour").expand_dims(day=[0])
    groups = {"/network": describe_net(net), "/trade": trade}
    tree = xr.DataTree.from_dict({"/": xr.Dataset(attrs={"case": "new"}), **groups})
    files = {"new": p2p.to_netcdf(tree, tmp_path / "new.nc"), "old": LAYOUT_1}
    both = planning.open_cases(files, group="trade")
    assert set(net.participant["name"]) <= set(both["participant"].to_numpy().tolist())
    assert not {f"{dim}_name" for dim in OF_PARTICIPANTS} & set(map(str, both.variables))
    paid = both["payment_eur"].sel(case="new", participant="P0", day=0).item()
    assert paid == trade["payment_eur"].sel(participant=0).item()
