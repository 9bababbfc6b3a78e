"""Reading a solved plan: investments, costs by item, operation, certificate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyomo.environ as pyo
import xarray as xr

from planning.interruption_indices import HOURS_PER_YEAR
from planning.islands import islands_carry
from planning.reliability import interruptions
from planning.replacement import built_grid
from pp_p2p.names import CANDIDATE
from pp_p2p.network.branches import Array
from pp_p2p.network.device_costs import device_costs, storage_costs
from pp_p2p.network.formulation import Formulation
from pp_p2p.network.grid import GridData
from pp_p2p.network.relaxation import loss_price
from pp_p2p.network.solution import (
    FlowSolution,
    cone_slack,
    converter_slack,
    label_flows,
    read_flows,
)
from pp_p2p.network.timeline import Timeline
from pp_p2p.operation.powerflow import Certificate, certify, label_proof

if TYPE_CHECKING:
    from planning.candidates import Candidates
    from planning.year_model import ExpansionData

NOTHING = 1e-6
"""Units below this are the solver's tolerance, where any size may be built."""

CASES = ("nothing", "plan")
ITEMS = (
    "investment",
    "fixed_om",
    "purchase",
    "sale",
    "variable_om",
    "lost_load",
    "emission",
)


def read_plan(
    data: ExpansionData, formulation: Formulation, *, model: Any, nothing: Any, net: Any
) -> tuple[xr.Dataset, Certificate]:
    """Return the result of `model` beside that of doing `nothing`, and its certificate."""
    units = installed_units(model, data.candidates.continuous)
    grid, flows, proof = year_proof(data, formulation, model, net, units)
    idle = read_flows(nothing.network, nothing.injection, has_losses=formulation.has_losses)
    ds = label_flows(grid, flows, data.line)
    without = label_flows(data.grid, idle, data.line)
    ds["vm_nothing_pu"] = without["vm_pu"]
    ds["loss_nothing_mw"] = without["loss_mw"]
    for name in ("line_loading_percent", "trafo_loading_percent"):
        if name in without:
            ds[name.replace("_percent", "_nothing_percent")] = without[name]
    ds = ds.merge(investments(data.candidates, units)).merge(_operation(data, model))
    cases = ((nothing, np.zeros_like(units)), (model, units))
    indices = [year_indices(data, m, n) for m, n in cases]
    costs = [
        _costs(data, m, n, index["eens_mwh_per_year"])
        for (m, n), index in zip(cases, indices, strict=True)
    ]
    ds["cost_eur_per_year"] = (("case", "item"), np.array(costs))
    ds = ds.assign({name: ("case", np.array([i[name] for i in indices])) for name in indices[0]})
    ds = ds.assign_coords(case=list(CASES), item=list(ITEMS), weight=("day", data.line.weight))
    ds = ds.merge(label_proof(proof, grid, data.portfolio, data.line))
    ds["vm_ac_pu"] = (ds["vm_pu"].dims, proof.vm_ac_pu.reshape(ds["vm_pu"].shape))
    ds.attrs["eens_model_mwh_per_year"] = float(model.eens())
    return ds, proof


def year_proof(
    data: ExpansionData, formulation: Formulation, m: Any, net: Any, units: Array
) -> tuple[GridData, FlowSolution, Certificate]:
    """Return grid, load flow and certificate of a solved year `m` in which `units` stand."""
    c, cone = data.candidates, formulation.has_losses
    net, grid = built_grid(net, data.grid, c.rows, c.replacements, units)
    flows = read_flows(m.network, m.injection, has_losses=cone)
    proof = certify(
        net,
        grid,
        flows,
        has_losses=cone,
        converter_slack=converter_slack(m, data.portfolio) if cone else 0.0,
        further_slack=_candidate_slack(data, m, units) if cone else 0.0,
        loss_price=loss_price(flows, data.price_buy, data.price_sell) + data.tightening.loss_weight,
    )
    return grid, flows, proof


def installed_units(m: Any, continuous: Array | None = None) -> Array:
    """Return the units (candidate,) of a solved year: whole numbers unless some are `continuous`.

    What is continuous and below `NOTHING` is not built.
    """
    values = np.array([pyo.value(n) for n in m.installed.values()], dtype=float)
    if continuous is None or not continuous.any():
        return np.round(values).astype(np.int64)
    sized = np.where(values < NOTHING, 0.0, values)
    return np.asarray(np.where(continuous, sized, np.round(values)))


def year_indices(data: ExpansionData, m: Any, units: Array) -> dict[str, float]:
    """Return the indices of a solved year, recomputed from `units` and the schedule."""
    eens = float(data.energy_not_served(units).sum())
    if data.islands == "schedule":
        stored = m.new_storage.energy
        energy = [[stored[s, t].value for s in m.new_storage.STORAGE] for t in m.TIME]
        shaped = np.array(energy, dtype=float).reshape(data.line.n_steps, -1)
        eens -= islands_carry(data, units, shaped * data.grid.s_base_mva)
    c = data.candidates
    built = c.ties(units), c.built_lines(units), c.remote(units)
    saidi, saifi = interruptions(data.faults, data.customers, *built)
    return {
        "eens_mwh_per_year": eens,
        "saidi_h_per_year": saidi,
        "saifi_per_year": saifi,
        "asai_pu": 1.0 - saidi / HOURS_PER_YEAR,
        "emission_t_per_year": float(pyo.value(m.emission)),
        "renewable_mwh_per_year": float(pyo.value(m.renewable)),
    }


def _candidate_slack(data: ExpansionData, m: Any, units: Array) -> Array:
    """Return the slack of the cones (step, terminal) of soft open points that are built."""
    c = data.candidates
    of = {int(row): k for k, row in enumerate(c.sop)}
    built = np.array([float(units[of[int(d)]]) for d in c.sops.device])
    return cone_slack(m.new_sop, c.sops.law, built)


def investments(c: Candidates, units: Array) -> xr.Dataset:
    """Return what `units` (candidate,) build, by candidate."""
    built = {
        "units": units,
        "max_units": c.max_units,
        "built_p_mw": units * c.unit_p_mw,
        "built_e_mwh": units * c.unit_e_mwh,
        "capex_eur": units * c.capex_eur + (units > 0) * c.fixed_capex_eur,
        "annuity_eur_per_year": units * c.annuity_eur_per_year
        + (units > 0) * c.fixed_annuity_eur_per_year,
        "candidate_name": c.name,
        "technology_built": c.technology,
        "candidate_bus": c.bus,
        "candidate_owner": c.owner,
        "candidate_line": c.line,
    }
    return xr.Dataset({k: (CANDIDATE, v) for k, v in built.items()}, coords={CANDIDATE: c.index})


def _operation(data: ExpansionData, m: Any) -> xr.Dataset:
    """Return exchange, candidates' power (generator convention) and stored energy."""
    c, line, base = data.candidates, data.line, data.grid.s_base_mva
    steps = range(line.n_steps)
    power, energy = np.zeros((line.n_steps, len(c.index))), np.zeros((line.n_steps, len(c.index)))
    for k, of in enumerate(c.generator_of):
        power[:, of] = [m.new_generator.p[k, t].value for t in steps]
    for k, of in enumerate(c.storage_of):
        power[:, of] = [
            m.new_storage.discharge[k, t].value - m.new_storage.charge[k, t].value for t in steps
        ]
        energy[:, of] = [m.new_storage.energy[k, t].value for t in steps]
    reactive = np.zeros_like(power)
    for k in m.inverter.INVERTER:
        reactive[:, k] = [m.inverter.q[k, t].value for t in steps]
    terminal = c.sops.index
    converted = {
        f"candidate_sop_{name}": ((*line.dims, "candidate_sop_terminal"), values)
        for name, values in (
            ("p_mw", _of_terminals(m.new_sop.p, terminal, line, base)),
            ("q_mvar", _of_terminals(m.new_sop.q, terminal, line, base)),
        )
    }
    buy = np.array([m.buy[t].value for t in steps])
    sell = np.array([m.sell[t].value for t in steps])
    over = (*line.dims, CANDIDATE)
    return xr.Dataset(
        {
            "candidate_p_mw": (over, (power * base).reshape(*line.shape, -1)),
            "candidate_q_mvar": (over, (reactive * base).reshape(*line.shape, -1)),
            **(converted if len(terminal) else {}),
            "candidate_energy_mwh": (over, (energy * base).reshape(*line.shape, -1)),
            "p_buy_mw": (line.dims, (buy * base).reshape(line.shape)),
            "p_sell_mw": (line.dims, (sell * base).reshape(line.shape)),
        },
        coords={**line.coords, CANDIDATE: c.index}
        | ({"candidate_sop_terminal": terminal} if len(terminal) else {}),
    )


def _of_terminals(variable: Any, terminal: Array, line: Timeline, base: float) -> Array:
    values = [
        [variable[i, t].value * base for i in range(len(terminal))] for t in range(line.n_steps)
    ]
    return np.array(values, dtype=float).reshape(*line.shape, len(terminal))


def _costs(data: ExpansionData, m: Any, units: Array, eens: float) -> list[float]:
    """Return the annual cost by item, EUR/a, recomputed from the operation."""
    c, p, line = data.candidates, data.portfolio, data.line
    mwh = line.step_weight * line.step_h * data.grid.s_base_mva
    steps = range(line.n_steps)
    buy = sum(mwh[t] * data.price_buy[t] * m.buy[t].value for t in steps)
    sell = sum(mwh[t] * data.price_sell[t] * m.sell[t].value for t in steps)
    variable = sum(
        mwh[t] * c.variable_om_eur_per_mwh[of] * m.new_generator.p[k, t].value
        for k, of in enumerate(c.generator_of)
        for t in steps
    )
    hours, base = line.step_weight * line.step_h, data.grid.s_base_mva
    variable += sum(term.value for term in device_costs(m, p, hours, base))
    variable += sum(term.value for term in storage_costs(m.new_storage, c.storages, hours, base))
    return [
        float(units @ c.annuity_eur_per_year + (units > 0) @ c.fixed_annuity_eur_per_year),
        float(units @ c.fixed_om_eur_per_year),
        float(buy),
        -float(sell),
        float(variable),
        data.value_of_lost_load_eur_per_mwh * eens,
        data.emission_price_eur_per_t * float(pyo.value(m.emission)),
    ]
