"""A day of trading between regions across a soft open point, as one labelled result."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import xarray as xr

from pp_p2p.elements.tables import frame
from pp_p2p.errors import Finding, UnsupportedFeature
from pp_p2p.market.combined_offer import CombinedOffer
from pp_p2p.market.combined_offers import MICRO, Combination
from pp_p2p.market.region_problem import RegionDay, RegionProblem
from pp_p2p.market.regions import Region, find_regions
from pp_p2p.names import BUYER, PARTICIPANT, SELLER, TIME
from pp_p2p.network.branches import Array
from pp_p2p.network.formulation import get_formulation
from pp_p2p.network.tightening import PLAIN, Tightening
from pp_p2p.operation.dispatch_data import DispatchData
from pp_p2p.operation.powerflow import Certificate
from pp_p2p.operation.provenance import provenance
from pp_p2p.results import input_hash, label
from pp_p2p.solve.report import SolverConfig, SolveReport

LEVEL = "level"


def trade_across(
    net: Any,
    profiles: xr.Dataset,
    mechanism: CombinedOffer,
    *,
    formulation: str,
    algorithm: object,
    tightening: Tightening,
    solver: SolverConfig,
    seed: int,
) -> xr.Dataset:
    """Return `pp_p2p.trade_day` by `CombinedOffer`; see there.

    Beside what every trading day holds: ``offer_eur(participant, time, level)``,
    ``cleared_level(participant, time)``, ``link_mw(participant, time)`` (taken from the link),
    ``combined_offer_eur(time)``, ``step_payment_eur(participant, time)``, ``region_loss_mw`` and
    ``region_loss_alone_mw(participant, time)``. Trades share what is fed into the link among those
    who take from it, in proportion.
    """
    _refuse(algorithm, tightening, profiles)
    physics = get_formulation(formulation)
    whole = DispatchData.from_net(net, profiles, "cost", 1.0)
    regions = find_regions(net, whole.grid, mechanism)
    problems = [RegionProblem(net, profiles, region, physics, solver) for region in regions]
    levels = np.arange(-mechanism.max_level, mechanism.max_level + 1)
    alone, before, offers = [], [], []
    for problem in problems:
        alone.append(problem.alone())
        before.append(_steps_of(problem))
        offers.append(problem.offers(alone[-1], levels * mechanism.step_mw))
    cleared = mechanism.clear(np.array(offers), _weights(net, regions))
    link = cleared.level * mechanism.step_mw
    days, proofs, parts = [], [], []
    for k, problem in enumerate(problems):
        days.append(problem.solve(link[k]) if cleared.level[k].any() else problem.alone())
        proofs.append(problem.certify())
        parts.append(problem.label(proofs[-1]))
    proof, report = _together(proofs), _summed(days)
    ds = _merged(parts)
    ds = ds.assign_coords({PARTICIPANT: [r.participant for r in regions], LEVEL: levels})
    ds["offer_eur"] = ((PARTICIPANT, TIME, LEVEL), np.array(offers))
    for name, values in (("region_loss_alone_mw", "loss_mw"), ("p_grid_alone_mw", "p_source_mw")):
        ds[name] = ((PARTICIPANT, TIME), np.array([steps[values] for steps in before]))
    ds["link_mw"] = ((PARTICIPANT, TIME), link)
    _put_money(ds, cleared, np.array([d.cost for d in alone]), np.array([d.cost for d in days]))
    _put_trades(ds, link)
    ds["fee_eur"] = (PARTICIPANT, np.zeros(len(regions)))
    ds["sop_terminal_of"] = (PARTICIPANT, [r.terminal for r in regions])
    options = {
        "mechanism": dataclasses.asdict(mechanism),
        "formulation": formulation,
        "algorithm": "central",
        "solver": dataclasses.asdict(solver),
    }
    attrs = provenance(
        "trade_day",
        report,
        proof,
        formulation=physics,
        seed=seed,
        options=options,
        digest=input_hash(net, profiles, options),
    )
    attrs |= {
        "mechanism": "CombinedOffer",
        "objective_eur": float(sum(d.cost.sum() for d in days)),
        "gain_eur": float(cleared.value.sum() / MICRO),
        "trade": "agreed" if cleared.level.any() else "no gain",
        "sharing": mechanism.sharing,
        "step_mw": mechanism.step_mw,
        "total_limit_mw": mechanism.total_limit_mw,
        "step_h": whole.line.step_h,
        "levels_not_offered": int(np.isnan(offers).sum()),
    }
    return label(ds, attrs, net)


def _refuse(algorithm: object, tightening: Tightening, profiles: xr.Dataset) -> None:
    found = []
    if algorithm != "central":
        found.append(
            Finding(
                table="trade_day",
                column="algorithm",
                rule="is not 'central'",
                mend="leave it: regions solve their own problems and exchange offers alone",
            )
        )
    if tightening != PLAIN:
        found.append(
            Finding(
                table="trade_day",
                column="tightening",
                rule="is set",
                mend="leave it: levels whose relaxation is inexact are not offered",
            )
        )
    if TIME not in profiles.dims or "scenario" in profiles.dims:
        found.append(
            Finding(
                table="profiles",
                rule="are not one known day over 'time'",
                mend="pass one day; trade typical days or scenarios one by one",
            )
        )
    if found:
        raise UnsupportedFeature("CombinedOffer", found)


def _weights(net: Any, regions: tuple[Region, ...]) -> Array:
    power = frame(net, "participant").bargaining_power
    return power.loc[[r.participant for r in regions]].to_numpy(float)


def _steps_of(problem: RegionProblem) -> dict[str, Array]:
    """Return losses and exchange (step,) of the last day of a region, MW."""
    ds = problem.label(problem.certify())
    lost = ds["loss_mw"] + ds["sop_loss_mw"].sum("sop_terminal")
    return {"loss_mw": lost.to_numpy(), "p_source_mw": ds["p_source_mw"].sum("ext_grid").to_numpy()}


def _merged(parts: list[xr.Dataset]) -> xr.Dataset:
    """Return one dataset of all regions: elements side by side, what has none by participant."""
    whole = [name for name in parts[0].data_vars if parts[0][name].dims == (TIME,)]
    lost = [part["loss_mw"] + part["sop_loss_mw"].sum("sop_terminal") for part in parts]
    grid = [part["p_source_mw"].sum("ext_grid") for part in parts]
    ds = xr.merge([part.drop_vars(whole) for part in parts], join="outer", compat="no_conflicts")
    ds["loss_mw"] = sum(part["loss_mw"] for part in parts)
    for name, values in (("region_loss_mw", lost), ("p_grid_mw", grid)):
        ds[name] = ((PARTICIPANT, TIME), np.array([v.to_numpy() for v in values]))
    return ds


def _put_money(ds: xr.Dataset, cleared: Combination, alone: Array, cost: Array) -> None:
    payment = cleared.payment / MICRO
    ds["cleared_level"] = ((PARTICIPANT, TIME), cleared.level)
    ds["combined_offer_eur"] = (TIME, cleared.value / MICRO)
    ds["step_payment_eur"] = ((PARTICIPANT, TIME), payment)
    paid = cleared.payment.sum(axis=1) / MICRO
    ds["cost_alone_eur"] = (PARTICIPANT, alone.sum(axis=1))
    ds["cost_before_payment_eur"] = (PARTICIPANT, cost.sum(axis=1))
    ds["payment_eur"] = (PARTICIPANT, paid)
    ds["cost_eur"] = (PARTICIPANT, cost.sum(axis=1) + paid)
    ds["saving_eur"] = ds["cost_alone_eur"] - ds["cost_eur"]


def _put_trades(ds: xr.Dataset, link: Array) -> None:
    taken, fed = np.maximum(link, 0.0), np.maximum(-link, 0.0)
    total = taken.sum(axis=0)
    part = np.divide(taken, total, out=np.zeros_like(taken), where=total > 0)
    ds["trade_mw"] = ((SELLER, BUYER, TIME), fed[:, None, :] * part[None, :, :])
    ds["net_trade_mw"] = ((PARTICIPANT, TIME), link)
    ds.coords[SELLER] = ds.coords[BUYER] = ds[PARTICIPANT].to_numpy()


def _together(proofs: list[Certificate]) -> Certificate:
    return Certificate(
        relaxation_gap=max(p.relaxation_gap for p in proofs),
        branch_gap=np.concatenate([p.branch_gap for p in proofs], axis=1),
        converter_gap=np.concatenate([p.converter_gap for p in proofs], axis=1),
        flow_scale=min(p.flow_scale for p in proofs),
        ac_vm_error_pu=max(p.ac_vm_error_pu for p in proofs),
        ac_loss_error_percent=max(p.ac_loss_error_percent for p in proofs),
        ac_diverged=tuple(sorted({t for p in proofs for t in p.ac_diverged})),
        vm_ac_pu=np.concatenate([p.vm_ac_pu for p in proofs], axis=1),
        has_losses=proofs[0].has_losses,
        reasons=tuple(dict.fromkeys(reason for p in proofs for reason in p.reasons)),
    )


def _summed(days: list[RegionDay]) -> SolveReport:
    reports = [day.report for day in days]
    return dataclasses.replace(
        reports[0],
        objective=sum(r.objective for r in reports),
        bound=sum(r.bound for r in reports),
        seconds=sum(r.seconds for r in reports),
        iterations=sum(r.iterations for r in reports),
    )
