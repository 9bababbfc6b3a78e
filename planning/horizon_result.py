"""Reading a solved horizon: units by stage, cash flow by year, operation and proof."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from planning import expansion_result
from planning.discounting import PURCHASE_ITEMS
from planning.horizon_model import HorizonData
from planning.stages import STAGE, YEAR, YEAR_LIMITS, first_years
from pp_p2p.errors import Finding, InvalidInput
from pp_p2p.names import CANDIDATE
from pp_p2p.network.branches import Array
from pp_p2p.network.formulation import Formulation
from pp_p2p.network.solution import label_flows
from pp_p2p.operation.powerflow import Certificate, label_proof

OPERATION_ITEMS = tuple(item for item in expansion_result.ITEMS if item != "investment")
CASH_ITEMS = (*PURCHASE_ITEMS, *OPERATION_ITEMS)


@dataclass(frozen=True, kw_only=True)
class StageOperation:
    """A solved stage: its dataset, its cost by `OPERATION_ITEMS` (EUR/a) and its certificate."""

    ds: xr.Dataset
    cost_eur_per_year: Array
    proof: Certificate


def read_stage(
    data: HorizonData, physics: Formulation, stage: int, block: Any, bought: Array
) -> StageOperation:
    """Read the operation of stage number `stage` from its solved `block` of the model."""
    year, units = data.years[stage], data.units(bought)[stage]
    net = data.nets[stage]
    grid, flows, proof = expansion_result.year_proof(year, physics, block, net, units)
    ds = label_flows(grid, flows, year.line).merge(expansion_result._operation(year, block))
    ds = ds.merge(label_proof(proof, grid, year.portfolio, year.line))
    ds["vm_ac_pu"] = (ds["vm_pu"].dims, proof.vm_ac_pu.reshape(ds["vm_pu"].shape))
    indices = expansion_result.year_indices(year, block, units)
    nothing = float(year.energy_not_served(np.zeros_like(units)).sum())
    ds = ds.assign(indices).assign(
        eens_nothing_mwh_per_year=nothing,
        relaxation_gap=proof.relaxation_gap,
        ac_vm_error_pu=proof.ac_vm_error_pu,
        ac_loss_error_percent=proof.ac_loss_error_percent,
        weight=("day", year.line.weight),
    )
    costs = expansion_result._costs(year, block, units, indices["eens_mwh_per_year"])
    items = dict(zip(expansion_result.ITEMS, costs, strict=True))
    cost = np.array([items[item] for item in OPERATION_ITEMS])
    return StageOperation(ds=ds, cost_eur_per_year=cost, proof=proof)


def label_horizon(
    data: HorizonData, bought: Array, operations: Sequence[StageOperation]
) -> xr.Dataset:
    """Return the result of all stages: investments, cash flow, operation."""
    labels = np.arange(1, len(data.stages) + 1)
    ds = xr.concat(
        [operation.ds for operation in operations],
        dim=xr.DataArray(labels, dims=STAGE, name=STAGE),
        join="exact",
        coords="minimal",
        compat="equals",
        data_vars="all",
    )
    ds = ds.merge(_investments(data, bought)).merge(_accounts(data, bought, operations))
    over = {
        "stage_first_year": first_years(data.stages),
        "stage_years": [stage.years for stage in data.stages],
        "demand_factor": [stage.demand_factor for stage in data.stages],
        "price_factor": [stage.price_factor for stage in data.stages],
        **{name: [stage.limits()[name] for stage in data.stages] for name in YEAR_LIMITS},
        "budget_eur": [stage.budget_eur for stage in data.stages],
    }
    return ds.assign({name: (STAGE, np.asarray(values)) for name, values in over.items()})


def worst_proof(proofs: Sequence[Certificate]) -> Certificate:
    """Return the certificate of the stage that is farthest from exact, with all reasons."""
    worst = max(
        proofs, key=lambda p: (not p.exact, p.relaxation_gap / p.flow_scale, p.ac_vm_error_pu)
    )
    return dataclasses.replace(
        worst,
        ac_vm_error_pu=max(p.ac_vm_error_pu for p in proofs),
        ac_loss_error_percent=max(p.ac_loss_error_percent for p in proofs),
        reasons=tuple(dict.fromkeys(reason for p in proofs for reason in p.reasons)),
    )


def plan_at(plan: xr.Dataset, stage: int) -> xr.Dataset:
    """Return what stands in one stage as a plan of one year, to be drawn or written back.

    Parameters
    ----------
    plan : Dataset
        Result of `plan_horizon`.
    stage : int
        Label of the stage, from 1.

    Returns
    -------
    Dataset
        ``units(candidate)`` installed in that stage, whatever stage bought them, and its
        operation: what `pp_p2p.write_back` builds and `build_map_figure` draws.
        ``capex_eur`` is what was bought until then, ``first_stage`` when the first unit was (0
        is never).

    Raises
    ------
    InvalidInput
        Another result, or no such stage.
    """
    known = plan[STAGE].to_numpy().tolist() if STAGE in plan.dims else []
    if stage not in known:
        rule = f"has no stage {stage}"
        mend = f"choose one of {', '.join(map(str, known))}" if known else "pass plan_horizon's"
        raise InvalidInput(Finding(table="plan", column=STAGE, rule=rule, mend=mend))
    one = plan.sel({STAGE: stage})
    until = plan.sel({STAGE: slice(None, stage)})
    bought = until["units_built"] > 0
    first = bought[STAGE].isel({STAGE: bought.argmax(STAGE)}).where(bought.any(STAGE), 0)
    return one.assign(
        capex_eur=until["capex_eur"].sum(STAGE),
        first_stage=first.drop_vars(STAGE, errors="ignore"),
    ).rename(units_installed="units")


def _investments(data: HorizonData, bought: Array) -> xr.Dataset:
    c, n = data.years[0].candidates, data.n_candidates
    units, standing = bought[:, :n], data.units(bought)
    paid = bought * data.price_eur
    capex = paid[:, :n].copy()
    for site, candidate in enumerate(data.site_of.tolist()):
        capex[:, candidate] += paid[:, n + site]
    kind = np.float64 if c.continuous.any() else np.int64
    of_stage = {
        "units_built": units.astype(kind),
        "units_installed": standing.astype(kind),
        "built_p_mw": standing * c.unit_p_mw,
        "built_e_mwh": standing * c.unit_e_mwh,
        "capex_eur": capex,
        "capex_eur_per_unit": data.price_eur[:, :n],
    }
    of_candidate = {
        "max_units": data.years[-1].candidates.max_units,
        "lifetime_years": data.life_years[:n],
        "candidate_name": c.name,
        "technology_built": c.technology,
        "candidate_bus": c.bus,
        "candidate_owner": c.owner,
        "candidate_line": c.line,
    }
    return xr.Dataset(
        {name: ((STAGE, CANDIDATE), values) for name, values in of_stage.items()}
        | {name: (CANDIDATE, values) for name, values in of_candidate.items()},
        coords={CANDIDATE: c.index},
    )


def _accounts(data: HorizonData, bought: Array, operations: Sequence[StageOperation]) -> xr.Dataset:
    """Return the cash flow and its present value by year and item, EUR."""
    d = data.discounting
    of_year = np.repeat(np.arange(len(data.stages)), [stage.years for stage in data.stages])
    yearly = np.array([operation.cost_eur_per_year for operation in operations])[of_year]
    cash = np.hstack([np.einsum("sk,skyi->yi", bought, data.cash_eur), yearly])
    paid = d.investment_factors()
    left = np.full(d.horizon_years, d.end_factor())
    factors = np.column_stack([paid, paid, left, *[d.operation_factors()] * len(OPERATION_ITEMS)])
    worth = cash * factors
    by_stage = np.array([worth[of_year == s].sum(axis=0) for s in range(len(data.stages))])
    npc = float(worth.sum())
    return xr.Dataset(
        {
            "cash_flow_eur": ((YEAR, "item"), cash),
            "present_value_eur": ((YEAR, "item"), worth),
            "stage_cost_eur": ((STAGE, "item"), by_stage),
            "npc_eur": npc,
            "eac_eur_per_year": d.equivalent_annual_cost(npc),
        },
        coords={YEAR: np.arange(1, d.horizon_years + 1), "item": list(CASH_ITEMS)},
    )
