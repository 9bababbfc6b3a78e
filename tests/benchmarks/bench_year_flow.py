"""A year of AC power flows of the 33-bus feeder with a soft open point and varying loads."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
from registry import Measured, Outcome, PeerMissing, benchmark, in_own_process

SIZES: dict[str, Any] = {"full": {"steps": 8760}, "tiny": {"steps": 4}}
LIMIT_PU = 1e-6
SOP_BUSES = (17, 32)


def _net_and_profiles(steps: int) -> tuple[Any, Any]:
    import pandapower.networks as pn
    import xarray as xr

    import pp_p2p as p2p

    net, rng = pn.case33bw(), np.random.default_rng(0)
    p2p.create_sop(net, list(SOP_BUSES), sn_mva=1.0, loss_factor=0.02)
    hour = np.arange(steps) % 24
    level = 0.6 + 0.3 * np.sin((hour - 9.0) / 24.0 * 2 * np.pi)
    factor = level[:, None] * rng.uniform(0.7, 1.3, (steps, len(net.load)))
    over = ("time", "load"), ("time", "sop_terminal")
    profiles = xr.Dataset(
        {
            "load_p_mw": (over[0], factor * net.load.p_mw.to_numpy()),
            "load_q_mvar": (over[0], factor * net.load.q_mvar.to_numpy()),
            "sop_p_mw": (over[1], rng.uniform(-0.4, 0.4, (steps, 2))),
            "sop_q_mvar": (over[1], rng.uniform(-0.4, 0.4, (steps, 2))),
        },
        coords={
            "time": np.arange(float(steps)),
            "load": net.load.index.to_numpy(),
            "sop_terminal": net.sop_terminal.index.to_numpy(),
        },
    )
    return net, profiles


def _ours(steps: int) -> Callable[[], Any]:
    import pp_p2p as p2p

    net, profiles = _net_and_profiles(steps)
    p2p.run_year(net, profiles.isel(time=slice(2)))

    def call() -> Any:
        ds = p2p.run_year(net, profiles, outputs=["vm_pu", "line_loading_percent"])
        return ds["vm_pu"].to_numpy(), ds["line_loading_percent"].to_numpy()

    return call


def _solver_alone(steps: int) -> Callable[[], Any]:
    """The engine's own call, of what `run_year` hands it: the floor of our time."""
    from pp_p2p.operation import newton_engine
    from pp_p2p.operation.batch_flow import BatchFlow
    from pp_p2p.operation.given_profiles import Given
    from pp_p2p.operation.sop_steps import SopSteps
    from pp_p2p.operation.step_power import StepPower

    net, profiles = _net_and_profiles(steps)
    flow = BatchFlow.from_net(net)
    given = Given.checked(net, profiles, None)
    converters = SopSteps.from_net(net, given)
    power = StepPower.from_net(net, given, flow.buses)
    fed = converters.with_terminals(flow, power.chunk(slice(0, steps), steps))
    drawn = np.zeros((steps, flow.model.n_nodes), dtype=complex)
    drawn[:, flow.model.bus_node] = -(fed["p_mw"] + 1j * fed["q_mvar"]) / flow.model.s_base_mva
    none = np.zeros((1, 1), dtype=complex)
    return lambda: newton_engine.voltages(flow.model, [drawn, none, none], None, threads=0)[1]


def _set_points(net: Any, profiles: Any) -> tuple[Any, Any]:
    """Return the balanced set points of the terminals: a peer gets them for nothing."""
    import pp_p2p as p2p

    ds = p2p.run_year(net, profiles, outputs=["sop_p_mw", "sop_q_mvar"])
    return ds["sop_p_mw"].to_numpy(), ds["sop_q_mvar"].to_numpy()


def _run_timeseries(steps: int) -> Callable[[], Any]:
    """pandapower's fastest way: two outputs only, which it reads in one batch; numba if there."""
    import pandapower as pp
    import pandas as pd
    from pandapower.control import ConstControl
    from pandapower.timeseries import DFData, OutputWriter, run_timeseries

    net, profiles = _net_and_profiles(steps)
    p, q = _set_points(net, profiles)
    del net["sop"], net["sop_terminal"]
    rows = [pp.create_sgen(net, bus, 0.0) for bus in SOP_BUSES]

    def call(count: int = steps) -> Any:
        net.controller = net.controller.iloc[:0]
        for table, column, index, values in (
            ("load", "p_mw", net.load.index, profiles["load_p_mw"].to_numpy()),
            ("load", "q_mvar", net.load.index, profiles["load_q_mvar"].to_numpy()),
            ("sgen", "p_mw", rows, p),
            ("sgen", "q_mvar", rows, q),
        ):
            data = DFData(pd.DataFrame(values))
            names = list(range(values.shape[1]))
            ConstControl(net, table, column, list(index), profile_name=names, data_source=data)
        wanted = [("res_bus", "vm_pu"), ("res_line", "loading_percent")]
        writer = OutputWriter(net, range(count), output_path=None, log_variables=wanted)
        run_timeseries(net, range(count), verbose=False, numba=find_spec("numba") is not None)
        out = writer.output
        return out["res_bus.vm_pu"].to_numpy(), out["res_line.loading_percent"].to_numpy()

    call(2)
    return call


def _lightsim2grid(steps: int) -> Callable[[], Any]:
    """Voltages and currents; terminals are loads, because it varies no reactive power of sgens."""
    import pandapower as pp
    from lightsim2grid.network import init_from_pandapower
    from lightsim2grid.timeSerie import TimeSeriesCPP

    net, profiles = _net_and_profiles(steps)
    p, q = _set_points(net, profiles)
    del net["sop"], net["sop_terminal"]
    for bus in SOP_BUSES:
        pp.create_load(net, bus, 0.0)
    pp.runpp(net, numba=False, lightsim2grid=False)
    load_p = np.hstack([profiles["load_p_mw"].to_numpy(), -p])
    load_q = np.hstack([profiles["load_q_mvar"].to_numpy(), -q])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that it makes a slack of the external grid
        grid = init_from_pandapower(net)
    source = np.zeros((steps, len(grid.get_generators())))
    none = np.zeros((steps, len(grid.get_static_generators())))
    start = np.full(grid.total_bus(), 1.0, dtype=complex)

    def call() -> Any:
        series = TimeSeriesCPP(grid)
        status = series.compute_Vs(source, none, load_p, load_q, start, 20, 1e-8)
        series.compute_flows()
        if status != 1:
            raise RuntimeError("lightsim2grid stopped at a step")
        return np.abs(series.get_voltages()), None

    call()
    return call


def _compared(theirs: Measured, steps: int) -> Outcome:
    ours = in_own_process(_ours, repeat=3, steps=steps)
    floor = in_own_process(_solver_alone, repeat=3, steps=steps)
    return Outcome(
        ours=ours.seconds,
        theirs=theirs.seconds,
        difference=float(np.abs(ours.value[0] - theirs.value[0]).max()),
        limit=LIMIT_PU,
        of="p.u.",
        note=f"memory {ours.added_mb:.0f} MB, peer's {theirs.added_mb:.0f} MB; the engine alone "
        f"takes {floor.seconds / ours.seconds:.0%} of ours",
    )


@benchmark("year_flow", peer="pandapower run_timeseries", **SIZES)
def year_against_run_timeseries(*, steps: int) -> Outcome:
    return _compared(in_own_process(_run_timeseries, steps=steps), steps)


@benchmark("year_flow_lightsim2grid", peer="lightsim2grid TimeSeriesCPP", **SIZES)
def year_against_lightsim2grid(*, steps: int) -> Outcome:
    if find_spec("lightsim2grid") is None:
        raise PeerMissing("lightsim2grid")
    return _compared(in_own_process(_lightsim2grid, repeat=3, steps=steps), steps)
