"""Numbers in another unit are refused or told; those of real networks are not."""

from __future__ import annotations

from typing import Any

import pandapower as pp
import pandapower.networks as pn
import pytest

import pp_p2p as p2p
from pp_p2p.elements.magnitudes import doubtful_magnitudes, wrong_magnitudes
from pp_p2p.errors import InvalidInput
from pp_p2p.network.native_rules import native_findings

SOUND = (
    "case33bw", "mv_oberrhein", "create_cigre_network_mv", "create_cigre_network_lv",
    "create_cigre_network_hv", "case118", "case14", "case300", "case1888rte", "GBreducednetwork",
    "create_kerber_vorstadtnetz_kabel_1", "example_multivoltage", "case11_iwamoto", "iceland",
)  # fmt: skip
COST = {"capex_eur_per_unit": 1.0, "lifetime_years": 20.0}


@pytest.mark.parametrize("name", SOUND)
def test_no_network_of_pandapower_raises_a_doubt(name: str) -> None:
    net = getattr(pn, name)()
    assert not [*wrong_magnitudes(net), *doubtful_magnitudes(net)]


@pytest.fixture
def net() -> Any:
    return pn.case33bw()


def in_percent(net: Any) -> None:
    net.bus["min_vm_pu"] *= 100.0
    net.bus["max_vm_pu"] *= 100.0


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("bus", "max_vm_pu", 110.0),
        ("bus", "max_vm_pu", 13.2),
        ("bus", "max_vm_pu", 0.1),
        ("bus", "min_vm_pu", 90.0),
        ("ext_grid", "vm_pu", 101.0),
        ("ext_grid", "vm_pu", 0.02),
    ],
)
def test_voltages_that_are_not_in_pu_are_wrong(
    net: Any, table: str, column: str, value: float
) -> None:
    net[table].loc[0, column] = value
    (found,) = wrong_magnitudes(net)
    assert (found.table, found.column, found.rows) == (table, column, (0,))
    with pytest.raises(InvalidInput, match=f"{table}.{column}: row 0"):
        p2p.validate(net)
    assert found in set(native_findings(net))  # wherever a model reads the net


def test_all_limits_in_percent_are_two_findings_beside_crossed_ones(net: Any) -> None:
    in_percent(net)
    found = {(one.column, len(one.rows)) for one in wrong_magnitudes(net)}
    assert found == {("max_vm_pu", 33), ("min_vm_pu", 33)}
    net.bus["in_service"] = False
    assert not [*wrong_magnitudes(net)]


@pytest.mark.parametrize("name", ["case33bw", "create_kerber_landnetz_kabel_1", "mv_oberrhein"])
def test_loads_in_kw_are_told_and_nothing_is_held_against_them(name: str) -> None:
    net = getattr(pn, name)()
    net.load[["p_mw", "q_mvar"]] *= 1000.0
    p2p.create_candidate(net, int(net.load.bus.iloc[0]), technology="pv", unit_p_mw=1e6, **COST)
    (found,) = doubtful_magnitudes(net)
    assert (found.table, found.column) == ("load", "p_mw")
    assert len(found.rows) > 0.9 * len(net.load)
    with pytest.warns(p2p.DoubtfulInput, match="divide kW by 1000"):
        p2p.validate(net)


@pytest.mark.parametrize(
    ("technology", "sizes", "column"),
    [
        ("pv", {"unit_p_mw": 100.0}, "unit_p_mw"),
        ("storage", {"unit_p_mw": 1.0, "unit_e_mwh": 2000.0}, "unit_e_mwh"),
    ],
)
def test_a_unit_of_many_times_the_feeder_is_told(
    net: Any, technology: str, sizes: dict[str, float], column: str
) -> None:
    p2p.create_candidate(net, 5, technology=technology, **sizes, **COST)
    (found,) = doubtful_magnitudes(net)
    assert (found.table, found.column, found.rows) == ("candidate", column, (0,))
    net.candidate["in_service"] = False
    assert not doubtful_magnitudes(net)


def test_plants_and_ratings_in_another_unit_are_told(net: Any) -> None:
    pp.create_sgen(net, 5, p_mw=300.0)
    pp.create_storage(net, 5, p_mw=0.0, max_e_mwh=1e5)
    net.line.loc[3, "max_i_ka"] = 400.0
    net.bus.loc[7, "max_vm_pu"] = 3.0
    places = {(one.table, one.column, one.rows) for one in doubtful_magnitudes(net)}
    assert places == {
        ("sgen", "p_mw", (0,)),
        ("storage", "max_e_mwh", (0,)),
        ("line", "max_i_ka", (3,)),
        ("bus", "max_vm_pu", (7,)),
    }
