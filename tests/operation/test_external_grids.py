"""Limits of external grids (``ext_grid.min_p_mw`` and so on) against pandapower's OPF and laws."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pandapower as pp
import pytest

import pp_p2p as p2p
from pp_p2p.errors import InvalidInput, NoSolution
from pp_p2p.network.grid import GridData
from pp_p2p.network.switching import SwitchGraph


@pytest.fixture
def priced(case33: Any) -> Any:
    """The 33-bus feeder with two generators dearer than the grid, which has reactive power."""
    case33.bus.loc[1:, ["min_vm_pu", "max_vm_pu"]] = [0.9, 1.1]
    case33.poly_cost = case33.poly_cost.iloc[:0]
    case33.ext_grid[["min_p_mw", "max_p_mw"]] = [-10.0, 10.0]  # without any, runopp fails
    pp.create_poly_cost(case33, 0, "ext_grid", cp1_eur_per_mw=50.0)
    for bus, cost in ((17, 80.0), (24, 90.0)):
        limits = {"min_p_mw": 0.0, "max_p_mw": 2.0, "min_q_mvar": -1.0, "max_q_mvar": 1.0}
        g = pp.create_sgen(case33, bus, p_mw=0.0, controllable=True, **limits)
        pp.create_poly_cost(case33, g, "sgen", cp1_eur_per_mw=cost, cp2_eur_per_mw2=5.0)
    return case33


@pytest.mark.parametrize("formulation", ["branch_flow", "ac"])
@pytest.mark.parametrize(
    "limits",
    [{"max_p_mw": 2.5}, {"max_p_mw": 3.0, "max_q_mvar": 1.2}, {"min_p_mw": 3.5}],
    ids=["p", "p and q", "least p"],
)
def test_dispatch_is_pandapowers_opf(
    priced: Any, limits: dict[str, float], formulation: str
) -> None:
    if "min_p_mw" in limits:  # the grid is dear, and has to be taken from all the same
        priced.poly_cost.loc[priced.poly_cost.et == "ext_grid", "cp1_eur_per_mw"] = 150.0
        priced.load["scaling"] = 1.2
    free = p2p.dispatch(priced, objective="cost", formulation=formulation)
    for column, limit in limits.items():
        priced.ext_grid[column] = limit
    ds = p2p.dispatch(priced, objective="cost", formulation=formulation)
    pp.runopp(priced, numba=False)
    assert ds.attrs["objective"] == pytest.approx(float(priced.res_cost), rel=1e-5)
    assert ds.attrs["objective"] > free.attrs["objective"] + 1.0
    for name, limited in (("p_source_mw", "p_mw"), ("q_source_mvar", "q_mvar")):
        power = ds[name].item()
        assert power == pytest.approx(float(priced.res_ext_grid[limited].sum()), abs=2e-3)
        assert power <= limits.get(f"max_{limited}", np.inf) + 1e-6
        assert power >= limits.get(f"min_{limited}", -np.inf) - 1e-6


def test_narrower_limits_never_cost_less(priced: Any) -> None:
    problem = p2p.DispatchProblem(priced, objective="cost")
    costs = [problem.solve().attrs["objective"]]
    for most in (4.0, 3.0, 2.0, 1.0):
        priced.ext_grid["max_p_mw"] = most
        ds = problem.solve()
        assert ds.attrs["rebuilt"] == "changed: grid.source_limits.p_max"
        costs.append(ds.attrs["objective"])
    assert np.diff(costs).min() > -1e-5
    assert costs[-1] > costs[0] + 10.0
    priced.ext_grid["max_p_mw"] = np.nan
    assert problem.solve().attrs["objective"] == pytest.approx(costs[0], rel=1e-6)


def test_message_names_the_external_grid(feeder: Any) -> None:
    feeder.ext_grid["max_p_mw"] = 3.0
    said = r"limits of 1 external grids cannot hold: ext_grid 0 by about 1.1 MW .*ext_grid.min_p_mw"
    with pytest.raises(NoSolution, match=said):
        p2p.dispatch(feeder)
    feeder.ext_grid[["max_p_mw", "max_q_mvar"]] = [np.nan, 0.5]
    with pytest.raises(NoSolution, match=r"ext_grid 0 by about 0.4 Mvar .*max_q_mvar"):
        p2p.dispatch(feeder)


def test_message_names_an_external_grid_that_may_not_take_back(feeder: Any) -> None:
    """A lower limit of 0 is a limit, no sign."""
    pp.create_sgen(feeder, 2, p_mw=6.0)
    feeder.ext_grid["min_p_mw"] = 0.0
    with pytest.raises(NoSolution, match=r"ext_grid 0 by about 2 MW .*ext_grid.min_p_mw"):
        p2p.dispatch(feeder, formulation="lindistflow")


def test_losses_that_keep_a_limit_are_named(feeder: Any) -> None:
    """The cone relaxation may lose what the external grid does not take; it says so."""
    pp.create_sgen(feeder, 2, p_mw=4.05)
    feeder.ext_grid["min_p_mw"] = 0.0
    with pytest.warns(p2p.InexactRelaxation, match="an external grid takes no more"):
        p2p.dispatch(feeder)


def test_limits_that_cross_are_refused(feeder: Any) -> None:
    feeder.ext_grid["min_p_mw"], feeder.ext_grid["max_p_mw"] = 2.0, 1.0
    feeder.ext_grid["min_q_mvar"], feeder.ext_grid["max_q_mvar"] = 0.0, -1.0
    with pytest.raises(InvalidInput) as caught:
        p2p.dispatch(feeder)
    assert {(f.table, f.column) for f in caught.value.findings} == {
        ("ext_grid", "min_p_mw"),
        ("ext_grid", "min_q_mvar"),
    }


def test_rows_at_one_bus_share_their_limits(feeder: Any) -> None:
    feeder.ext_grid["max_p_mw"] = 1.5
    pp.create_ext_grid(feeder, 0, vm_pu=1.0, max_p_mw=2.0, min_p_mw=-1.0)
    limits = GridData.from_net(feeder, 2.0).source_limits
    np.testing.assert_allclose(limits.p_max, [1.75])
    assert np.isneginf(limits.p_min).all()  # one of the rows has none
    assert np.isposinf(limits.q_max).all()


@pytest.mark.parametrize("seed", [1, 3])
def test_reconfiguration_within_the_limits_of_two_feeders(
    seed: int, make_meshed: Any, load_of: Any, every_tree: Any
) -> None:
    """The best of all trees that keep a limit which the best of all breaks."""
    net = make_meshed(seed, n=7, ties=2, feed_in=False)
    net.line["c_nf_per_km"] = 0.0  # the joint problem leaves open cables connected
    best = p2p.reconfigure(net)
    limit = float(best["p_source_mw"].isel(ext_grid=0).item()) - 0.05
    net.ext_grid.loc[best["ext_grid"].values[0], "max_p_mw"] = limit
    graph = SwitchGraph.from_net(net)
    within = []
    for closed, flow in every_tree(graph, load_of(net, graph)):
        tried = _set(net, graph, closed)
        pp.runpp(tried, numba=False)
        if tried.res_ext_grid.p_mw.iloc[0] <= limit:
            within.append(float(flow.loss.sum()) * graph.s_base_mva)
    ds = p2p.reconfigure(net)
    assert ds["p_source_mw"].isel(ext_grid=0).item() <= limit + 1e-6
    assert ds.attrs["limits_hold"]
    assert ds.attrs["objective"] == pytest.approx(min(within), rel=1e-4)
    assert min(within) > best.attrs["objective"] + 1e-6


def _set(net: Any, graph: SwitchGraph, closed: np.ndarray) -> Any:
    tried = copy.deepcopy(net)
    for e in np.flatnonzero(graph.switchable).tolist():
        at = (tried.switch.et == "l") & (tried.switch.element == graph.index[e])
        tried.switch.loc[at, "closed"] = bool(closed[e])
    return tried
