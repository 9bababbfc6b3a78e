"""Nothing that a model cannot represent is passed over in silence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandapower as pp
import pandapower.networks as pn
import pandas as pd
import pytest

from pp_p2p.errors import InvalidInput, UnsupportedFeature
from pp_p2p.network.grid import GridData
from pp_p2p.network.support import KNOWN, REFUSED

BUS_COLUMNS = {"bus", "from_bus", "to_bus", "hv_bus", "mv_bus", "lv_bus"}


def test_every_table_with_a_bus_is_known_or_refused() -> None:
    """A table that a later pandapower adds fails here, and is not passed over."""
    net = pp.create_empty_network()
    with_bus = {
        name
        for name, table in net.items()
        if isinstance(table, pd.DataFrame)
        and not name.startswith(("_", "res_"))
        and BUS_COLUMNS & set(table.columns)
    }
    assert with_bus <= KNOWN | set(REFUSED)
    assert {"line", "trafo", "load", "trafo3w", "vsc"} <= with_bus  # the rule finds what it should
    assert not KNOWN & set(REFUSED)


def _trafo3w(net: Any) -> None:
    b = [pp.create_bus(net, kv) for kv in (110.0, 20.0, 10.0)]
    pp.create_transformer3w(net, *b, std_type="63/25/38 MVA 110/20/10 kV")


REFUSALS: dict[str, Callable[[Any], Any]] = {
    "trafo3w": _trafo3w,
    "impedance": lambda n: pp.create_impedance(n, 1, 2, 0.1, 0.1, 1.0),
    "gen": lambda n: pp.create_gen(n, 2, p_mw=1.0),
    "ward": lambda n: pp.create_ward(n, 2, 0.1, 0.1, 0.1, 0.1),
    "xward": lambda n: pp.create_xward(n, 2, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 1.0),
    "dcline": lambda n: pp.create_dcline(n, 1, 2, 0.1, 1.0, 0.1, 1.0, 1.0),
    "motor": lambda n: pp.create_motor(n, 2, 0.1, 0.9),
    "asymmetric_load": lambda n: pp.create_asymmetric_load(n, 2, p_a_mw=0.1),
    "asymmetric_sgen": lambda n: pp.create_asymmetric_sgen(n, 2, p_a_mw=0.1),
    "svc": lambda n: pp.create_svc(n, 2, 1.0, -1.0, 1.0, 90.0),
    "ssc": lambda n: pp.create_ssc(n, 2, 0.1, 0.1, 1.0),
    "tcsc": lambda n: pp.create_tcsc(n, 1, 2, 1.0, -1.0, 0.1, 90.0),
}


@pytest.mark.parametrize("table", REFUSALS)
def test_refused_table_names_its_rows(feeder: Any, table: str) -> None:
    REFUSALS[table](feeder)
    with pytest.raises(UnsupportedFeature) as error:
        GridData.from_net(feeder)
    (finding,) = error.value.findings
    assert (finding.table, finding.rows) == (table, (0,))
    assert finding.mend in str(error.value)


@pytest.mark.parametrize("table", REFUSALS)
def test_refused_table_out_of_service_is_away(feeder: Any, table: str) -> None:
    REFUSALS[table](feeder)
    feeder[table]["in_service"] = False
    assert GridData.from_net(feeder).n_branches == 4


def test_every_refused_table_is_refused(feeder: Any) -> None:
    """Also those whose elements are laborious to create: one row is enough."""
    for table in REFUSED:
        feeder[table] = pd.DataFrame({"in_service": [False, True]}, index=[4, 7])
    with pytest.raises(UnsupportedFeature) as error:
        GridData.from_net(feeder)
    assert {f.table: f.rows for f in error.value.findings} == dict.fromkeys(REFUSED, (7,))


@pytest.mark.parametrize(
    "column", ["const_z_p_percent", "const_z_q_percent", "const_i_p_percent", "const_i_q_percent"]
)
def test_load_that_follows_its_voltage(feeder: Any, column: str) -> None:
    feeder.load.loc[[1, 3], column] = 20.0
    feeder.load.loc[3, "in_service"] = False
    with pytest.raises(UnsupportedFeature, match=rf"load.{column}: row 1 .*constant power"):
        GridData.from_net(feeder)


def _with_trafo(net: Any) -> int:
    low = pp.create_bus(net, 0.4)
    return int(pp.create_transformer(net, 4, low, std_type="0.25 MVA 10/0.4 kV"))


@pytest.mark.parametrize("column", ["tap_dependency_table", "tap_dependent_impedance"])
def test_transformer_with_a_characteristic(feeder: Any, column: str) -> None:
    trafo = _with_trafo(feeder)
    feeder.trafo[column] = True
    with pytest.raises(UnsupportedFeature, match=rf"trafo.{column}: row {trafo} "):
        GridData.from_net(feeder)


def test_shunt_with_a_characteristic(feeder: Any) -> None:
    pp.create_shunt(feeder, 2, q_mvar=0.1)
    feeder.shunt["step_dependency_table"] = True
    with pytest.raises(UnsupportedFeature, match=r"shunt.step_dependency_table: row 0 "):
        GridData.from_net(feeder)


def test_tap_from_before_pandapower_3(feeder: Any) -> None:
    """Without a changer type ``runpp`` reads another column; ignoring the tap would be silent."""
    _with_trafo(feeder)
    feeder.trafo["tap_pos"] = 2
    feeder.trafo = feeder.trafo.drop(columns=["tap_changer_type"])
    with pytest.raises(UnsupportedFeature, match=r"trafo.tap_changer_type: row 0 "):
        GridData.from_net(feeder)
    feeder.trafo["tap_pos"] = feeder.trafo["tap_neutral"]
    GridData.from_net(feeder)


def test_loop_names_its_rows(case33: Any) -> None:
    """Closing tie 36 (24-28) makes one loop; only lines on it are named."""
    case33.line.loc[36, "in_service"] = True
    with pytest.raises(UnsupportedFeature, match="closed loop") as error:
        GridData.from_net(case33)
    (finding,) = error.value.findings
    assert finding.table == "line"
    assert set(finding.rows) == {2, 3, 4, 21, 22, 23, 24, 25, 26, 27, 36}


def test_loop_over_two_tables(feeder: Any) -> None:
    pp.create_switch(feeder, 1, 4, et="b", z_ohm=0.1)
    with pytest.raises(UnsupportedFeature) as error:
        GridData.from_net(feeder)
    assert {f.table: f.rows for f in error.value.findings} == {"line": (1, 2, 3), "switch": (0,)}


def test_connected_external_grids_name_the_path(feeder: Any) -> None:
    pp.create_ext_grid(feeder, 3)
    with pytest.raises(UnsupportedFeature, match="connect two external grids") as error:
        GridData.from_net(feeder)
    assert error.value.findings[0].rows == (0, 1, 2)


def test_bundled_meshed_net() -> None:
    with pytest.raises(UnsupportedFeature):
        GridData.from_net(pn.create_cigre_network_hv())


def test_external_grids_that_disagree_on_one_node(feeder: Any) -> None:
    pp.create_ext_grid(feeder, 0, vm_pu=1.02)
    with pytest.raises(UnsupportedFeature, match=r"ext_grid.vm_pu: rows 0, 1 "):
        GridData.from_net(feeder)


def test_no_external_grid(feeder: Any) -> None:
    feeder.ext_grid["in_service"] = False
    with pytest.raises(UnsupportedFeature, match="no in-service external grid"):
        GridData.from_net(feeder)


def test_line_short_circuited_by_a_switch(feeder: Any) -> None:
    pp.create_switch(feeder, 1, 2, et="b")
    with pytest.raises(UnsupportedFeature, match="line: row 1 connects a node with itself"):
        GridData.from_net(feeder)


TRAFO = {
    "sn_mva": 0.4,
    "vn_hv_kv": 10.0,
    "vn_lv_kv": 0.4,
    "vkr_percent": 1.0,
    "vk_percent": 5.0,
    "pfe_kw": 0.0,
    "i0_percent": 0.0,
    "tap_side": "hv",
    "tap_neutral": 0,
    "tap_step_percent": 2.5,
}


@pytest.mark.parametrize(
    "other",
    [
        {"tap_pos": 1, "tap_changer_type": "Ratio"},
        {"vn_lv_kv": 0.41},
        {"shift_degree": 150.0},
        {"tap_pos": 1, "tap_changer_type": "Ideal"},
        {
            "tap_pos": 1,
            "tap_changer_type": "Ideal",
            "tap_step_percent": np.nan,
            "tap_step_degree": 5.0,
        },
    ],
    ids=str,
)
def test_parallel_transformers_that_circulate(feeder: Any, other: dict[str, Any]) -> None:
    low = pp.create_bus(feeder, 0.4)
    for data in (TRAFO, TRAFO | other):
        pp.create_transformer_from_parameters(feeder, 4, low, **data)
    with pytest.raises(UnsupportedFeature, match=r"trafo: rows 0, 1 are parallel") as error:
        GridData.from_net(feeder)
    assert error.value.findings[0].rows == (0, 1)


def test_parallel_transformers_in_phase_after_a_full_turn(feeder: Any) -> None:
    low = pp.create_bus(feeder, 0.4)
    for shift in (150.0, -210.0):
        pp.create_transformer_from_parameters(feeder, 4, low, **TRAFO, shift_degree=shift)
    assert GridData.from_net(feeder).n_branches == 5


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("line", "to_bus", 99),
        ("trafo", "lv_bus", 99),
        ("load", "bus", 99),
        ("sgen", "bus", 99),
        ("shunt", "bus", 99),
        ("ext_grid", "bus", 99),
        ("switch", "element", 99),
        ("line", "r_ohm_per_km", np.nan),
        ("line", "length_km", np.inf),
        ("line", "parallel", 0),
        ("trafo", "sn_mva", 0.0),
        ("trafo", "vk_percent", 0.5),  # below vkr_percent
        ("load", "p_mw", np.nan),
        ("sgen", "scaling", np.nan),
        ("shunt", "q_mvar", np.nan),
        ("ext_grid", "vm_pu", np.nan),
        ("ext_grid", "vm_pu", 0.0),
        ("line", "max_i_ka", -0.1),
        ("line", "max_loading_percent", 0.0),
        ("line", "df", -1.0),
        ("trafo", "max_loading_percent", -50.0),
        ("trafo", "df", 0.0),
        ("bus", "vn_kv", 0.0),
        ("bus", "min_vm_pu", 1.2),
    ],
)
def test_broken_row_of_pandapowers_own(feeder: Any, table: str, column: str, value: Any) -> None:
    _with_trafo(feeder)
    pp.create_sgen(feeder, 2, p_mw=0.1)
    pp.create_shunt(feeder, 2, q_mvar=0.1)
    pp.create_switch(feeder, 2, 1, et="l")
    row = int(feeder[table].index[-1]) if table != "bus" else 2
    feeder[table].loc[row, column] = value
    with pytest.raises(InvalidInput) as error:
        GridData.from_net(feeder)
    found = [(f.table, f.column, f.rows) for f in error.value.findings]
    assert (table, column, (row,)) in found
    if "bus" not in (table, column) and value != 99:
        feeder[table].loc[row, "in_service"] = False
        if table != "ext_grid":
            GridData.from_net(feeder)


def test_all_findings_at_once(feeder: Any) -> None:
    feeder.line.loc[0, "r_ohm_per_km"] = np.nan
    feeder.load.loc[[1, 2], "p_mw"] = np.nan
    with pytest.raises(InvalidInput) as error:
        GridData.from_net(feeder)
    assert len(error.value.findings) == 2
