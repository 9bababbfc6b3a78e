"""Reconfiguration against peers, on published feeders, and how its cost grows.

Seconds of ours and the peer's. Peers solve the same mixed-integer second-order cone problem as
`build_joint` writes it; the second peer, MindtPy with HiGHS and Ipopt, gets CasADi's Ipopt where
there is no executable.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandapower.networks as pn
import pyomo.environ as pyo
import xarray as xr
from published_feeders import published_feeder
from pyomo.contrib.solver.common.factory import SolverFactory
from registry import Row, table

import pp_p2p as p2p
from pp_p2p.network.switching import SwitchGraph
from pp_p2p.operation.joint_reconfiguration import build_joint, joint_problem
from pp_p2p.operation.topology_sequence import SwitchingLimits

PEER_LIMIT_S = 300.0
REL_GAP = 1e-4


def model_33() -> Any:
    """Return the 33-bus problem as a Pyomo model."""
    net = pn.case33bw()
    net.poly_cost = net.poly_cost.iloc[:0]
    limits = SwitchingLimits(
        max_operations=None,
        max_operations_per_switch=None,
        dwell_steps=0,
        cost=0.0,
        may_change=np.ones(1, dtype=bool),
    )
    problem = joint_problem(
        net,
        SwitchGraph.from_net(net),
        xr.Dataset(coords={"time": [0.0]}),
        limits=limits,
        required=(),
        options={
            "objective": "loss",
            "formulation": "branch_flow",
            "radiality": "single_commodity",
        },
    )
    return build_joint(problem)


def ours_33() -> tuple[float, xr.Dataset]:
    """Return seconds of the solve, as for the peers without reading and replay, and the result."""
    p2p.reconfigure(published_feeder("case16ci"))  # the imports of the first call
    ds = p2p.reconfigure(pn.case33bw(), solver=p2p.SolverConfig(rel_gap=REL_GAP))
    return float(ds.attrs["seconds"]), ds


@table("reconfigure_scip", peer="SCIP")
def against_scip() -> list[Row]:
    """33 buses to a gap of 0.01 %, SCIP through Pyomo, one thread."""
    ours, ds = ours_33()
    note = f"ours {ds.attrs['objective'] * 1e3:.3f} kW, gap {ds.attrs['gap']:.1e}; "
    try:
        import pyscipopt
    except ImportError:
        return [Row("33 buses", "SCIP", ours, np.nan, np.nan, note + "pyscipopt is not installed")]
    model = model_33()
    started = time.perf_counter()
    result = SolverFactory("scip_direct").solve(
        model,
        load_solutions=False,
        raise_exception_on_nonoptimal_result=False,
        time_limit=PEER_LIMIT_S,
        rel_gap=REL_GAP,
    )
    peers = time.perf_counter() - started
    found, bound = result.incumbent_objective, result.objective_bound
    scale = 1e3
    note += f"SCIP {pyscipopt.Model().version()} "
    note += "no point" if found is None else f"{found * scale:.3f} kW"
    note += f", bound {bound * scale:.3f} kW" if bound is not None else ""
    return [Row("33 buses", "SCIP", ours, peers, peers / ours, note)]


@table("reconfigure_mindtpy", peer="MindtPy")
def against_mindtpy() -> list[Row]:
    """33 buses, Pyomo's MindtPy (outer approximation) with HiGHS and Ipopt."""
    ours, ds = ours_33()
    note = f"ours {ds.attrs['objective'] * 1e3:.3f} kW; "
    with tempfile.TemporaryDirectory() as folder:
        if shutil.which("ipopt") is None:
            note += "Ipopt is CasADi's behind a script: "
            os.environ["PATH"] = f"{_ipopt_script(Path(folder))}{os.pathsep}{os.environ['PATH']}"
        model = model_33()
        started = time.perf_counter()
        try:
            result = pyo.SolverFactory("mindtpy").solve(
                model,
                strategy="OA",
                mip_solver="appsi_highs",
                nlp_solver="ipopt",
                iteration_limit=10_000,
                stalling_limit=10_000,
                time_limit=int(PEER_LIMIT_S),
                relative_bound_tolerance=REL_GAP,
                threads=1,
            )
        except (ValueError, RuntimeError) as error:  # what a peer raises is its result
            note += f"MindtPy stops: {str(error).splitlines()[0][:80]}"
            return [Row("33 buses", "MindtPy", ours, np.nan, np.nan, note)]
        peers = time.perf_counter() - started
    problem = result.problem
    note += f"MindtPy {problem.upper_bound * 1e3:.3f} kW, bound {problem.lower_bound * 1e3:.3f} kW"
    note += f", {result.solver.iterations} iterations, {result.solver.termination_condition}"
    return [Row("33 buses", "MindtPy", ours, peers, peers / ours, note)]


IPOPT_SCRIPT = """#!{python}
import sys
import casadi
import numpy as np
if "-v" in sys.argv:
    print("Ipopt 3.14.11 (CasADi)")
    sys.exit()
stub = sys.argv[1].removesuffix(".nl")
problem = casadi.NlpBuilder()
problem.import_nl(stub + ".nl")
functions = {{"x": casadi.vertcat(*problem.x), "f": problem.f, "g": casadi.vertcat(*problem.g)}}
options = {{"print_time": False, "ipopt.print_level": 0, "ipopt.sb": "yes", "error_on_fail": False}}
solver = casadi.nlpsol("solver", "ipopt", functions, options)
answer = solver(
    x0=problem.x_init, lbx=problem.x_lb, ubx=problem.x_ub, lbg=problem.g_lb, ubg=problem.g_ub
)
word = solver.stats()["return_status"]
good = word in ("Solve_Succeeded", "Solved_To_Acceptable_Level")
x, y = (np.asarray(answer[k]).ravel().tolist() for k in ("x", "lam_g"))
head = ["Ipopt: " + word, "", "Options", "3", "1", "1", "0"]
sizes = [str(n) for n in (len(y), len(y), len(x), len(x))]
code = 0 if good else 200
lines = [*head, *sizes, *(repr(-v) for v in y), *(repr(v) for v in x), f"objno 0 {{code}}"]
with open(stub + ".sol", "w") as file:
    print(*lines, sep=chr(10), file=file)
"""
"""An ``ipopt`` for the command line out of the Ipopt that CasADi's wheel brings."""


def _ipopt_script(folder: Path) -> Path:
    script = folder / "ipopt"
    script.write_text(IPOPT_SCRIPT.format(python=sys.executable))
    script.chmod(0o755)
    return folder


@table("reconfigure_published", peer="")
def published() -> list[Row]:
    """Time and certified gap on 16, 33, 118 and 136 buses."""
    rows = []
    for case in ("case16ci", "case33bw", "case118zh", "case136ma"):
        net = pn.case33bw() if case == "case33bw" else published_feeder(case)
        graph = SwitchGraph.from_net(net)
        ds = p2p.reconfigure(net, solver=p2p.SolverConfig(rel_gap=REL_GAP, time_limit_s=600.0))
        a = ds.attrs
        within = _gap_after(a, 60.0)
        rows.append(
            Row(
                f"{len(net.bus)} buses, {graph.n_open} ties, 1 h",
                "",
                float(a["seconds"]),
                np.nan,
                np.nan,
                f"{a['objective'] * 1e3:.3f} kW, gap {a['gap']:.1e} ({within}), "
                f"{a['iterations']} nodes, {float(a['configurations']):.2g} configurations",
            )
        )
    return rows


def _gap_after(attrs: Any, seconds: float) -> str:
    history = [row for row in json.loads(attrs["history"]) if row[0] <= seconds]
    if not history:
        return "no bound yet after 60 s"
    _, bound, cost = history[-1]
    return f"{1 - bound / cost:.1e} after {min(seconds, history[-1][0]):.0f} s"


def sunny_day(net: Any, hours: int) -> xr.Dataset:
    """Return a day of day-time and evening customers with sun on every third bus."""
    hour = np.arange(hours) * 24.0 / hours
    sun = np.clip(np.sin((hour - 6.0) / 12.0 * np.pi), 0.0, 1.0)
    evening = 0.6 + 0.35 * np.sin((hour - 9.0) / 24.0 * 2 * np.pi)
    by_day = net.load.bus.to_numpy() % 3 == 0
    shape = np.where(by_day[None, :], (0.5 + 0.5 * sun)[:, None], evening[:, None])
    return xr.Dataset(
        {
            "load_p_mw": (("time", "load"), shape * net.load.p_mw.to_numpy()),
            "load_q_mvar": (("time", "load"), shape * net.load.q_mvar.to_numpy()),
        },
        coords={"time": hour, "load": net.load.index.to_numpy()},
    )


@table("reconfigure_ties", peer="")
def growth_with_ties() -> list[Row]:
    """136 buses with the first k ties in the net, all lines switchable."""
    rows = []
    for ties in (5, 9, 13, 17, 21):
        net = published_feeder("case136ma")
        lines = net.line.index[~net.line.in_service.to_numpy(bool)]
        net.line = net.line.drop(index=lines[ties:])
        ds = p2p.reconfigure(net, solver=p2p.SolverConfig(rel_gap=1e-3, time_limit_s=300.0))
        note = f"gap {ds.attrs['gap']:.1e}, {ds.attrs['iterations']} nodes"
        seconds = float(ds.attrs["seconds"])
        rows.append(Row(f"136 buses, {ties} ties, 1 h", "", seconds, np.nan, np.nan, note))
    return rows


@table("reconfigure_hours", peer="")
def growth_with_hours() -> list[Row]:
    """33 buses, a day in h steps, any operations and at most six."""
    rows = []
    for hours in (1, 4, 12, 24):
        for limit in (None, 6) if hours > 1 else (None,):
            net = pn.case33bw()
            ds = p2p.reconfigure(
                net,
                sunny_day(net, hours),
                max_operations=limit,
                solver=p2p.SolverConfig(rel_gap=1e-3, time_limit_s=120.0),
            )
            note = f"gap {ds.attrs['gap']:.1e}, {ds.attrs['iterations']} nodes"
            text = "any operations" if limit is None else f"{limit} operations"
            name = f"33 buses, 5 ties, {hours} h, {text}"
            rows.append(Row(name, "", float(ds.attrs["seconds"]), np.nan, np.nan, note))
    return rows
