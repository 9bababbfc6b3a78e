"""Reading a solved plan: investments, costs by item, operation, certificate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from pp_p2p.names import CANDIDATE
from pp_p2p.network.branches import Array
from pp_p2p.network.device_costs import device_costs, storage_costs
from pp_p2p.network.formulation import Formulation
from pp_p2p.network.relaxation import loss_price
from pp_p2p.network.solution import converter_slack, label_flows, read_flows
from pp_p2p.operation.powerflow import Certificate, certify, label_proof

if TYPE_CHECKING:
    from planning.expansion import ExpansionData

CASES = ("nothing", "plan")
ITEMS = ("investment", "fixed_om", "purchase", "sale", "variable_om", "lost_load")


def read_plan(
    data: ExpansionData, formulation: Formulation, *, model: Any, nothing: Any, net: Any
) -> tuple[xr.Dataset, Certificate]:
    """Return the result of `model` beside that of doing `nothing`, and its certificate."""
    units = np.array([round(model.units[k].value) for k in model.CANDIDATE], dtype=np.int64)
    flows = read_flows(model.network, model.injection, has_losses=formulation.has_losses)
    idle = read_flows(nothing.network, nothing.injection, has_losses=formulation.has_losses)
    ds = label_flows(data.grid, flows, data.line)
    without = label_flows(data.grid, idle, data.line)
    ds["vm_nothing_pu"] = without["vm_pu"]
    ds["loss_nothing_mw"] = without["loss_mw"]
    for name in ("line_loading_percent", "trafo_loading_percent"):
        if name in without:
            ds[name.replace("_percent", "_nothing_percent")] = without[name]
    ds = ds.merge(_investments(data, units)).merge(_operation(data, model))
    none = np.zeros_like(units)
    eens = [float(data.energy_not_served(n).sum()) for n in (none, units)]
    costs = [_costs(data, nothing, none, eens[0]), _costs(data, model, units, eens[1])]
    ds["cost_eur_per_year"] = (("case", "item"), np.array(costs))
    ds["eens_mwh_per_year"] = ("case", np.array(eens))
    ds = ds.assign_coords(case=list(CASES), item=list(ITEMS), weight=("day", data.line.weight))
    proof = certify(
        net,
        data.grid,
        flows,
        has_losses=formulation.has_losses,
        converter_slack=converter_slack(model, data.portfolio) if formulation.has_losses else 0.0,
        loss_price=loss_price(flows, data.price_buy, data.price_sell) + data.tightening.loss_weight,
    )
    ds = ds.merge(label_proof(proof, data.grid, data.portfolio, data.line))
    ds["vm_ac_pu"] = (ds["vm_pu"].dims, proof.vm_ac_pu.reshape(ds["vm_pu"].shape))
    ds.attrs["eens_model_mwh_per_year"] = float(model.eens())
    return ds, proof


def _investments(data: ExpansionData, units: Array) -> xr.Dataset:
    c = data.candidates
    built = {
        "units": units,
        "max_units": c.max_units,
        "built_p_mw": units * c.unit_p_mw,
        "built_e_mwh": units * c.unit_e_mwh,
        "capex_eur": units * c.capex_eur,
        "annuity_eur_per_year": units * c.annuity_eur_per_year,
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
    buy = np.array([m.buy[t].value for t in steps])
    sell = np.array([m.sell[t].value for t in steps])
    over = (*line.dims, CANDIDATE)
    return xr.Dataset(
        {
            "candidate_p_mw": (over, (power * base).reshape(*line.shape, -1)),
            "candidate_energy_mwh": (over, (energy * base).reshape(*line.shape, -1)),
            "p_buy_mw": (line.dims, (buy * base).reshape(line.shape)),
            "p_sell_mw": (line.dims, (sell * base).reshape(line.shape)),
        },
        coords={**line.coords, CANDIDATE: c.index},
    )


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
        float(units @ c.annuity_eur_per_year),
        float(units @ c.fixed_om_eur_per_year),
        float(buy),
        -float(sell),
        float(variable),
        data.value_of_lost_load_eur_per_mwh * eens,
    ]
