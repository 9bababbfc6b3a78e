"""The net of a study: opened, limited, grown, and peopled with participants and candidates."""

from __future__ import annotations

from typing import Any

from flows.study import Study, network_findings
from flows.study_elements import Participant
from pp_p2p.elements.attributes import (
    set_customers,
    set_line_reliability,
    set_storage,
    set_trafo_reliability,
)
from pp_p2p.elements.create import create_candidate, create_participant
from pp_p2p.elements.library import open_net
from pp_p2p.elements.ownership import assign
from pp_p2p.elements.validate import validate
from pp_p2p.errors import InvalidInput, raise_if_any
from pp_p2p.names import OPERATOR

_SGEN_TYPE = {"pv": "PV", "wind": "WP"}


def build_net(study: Study) -> Any:
    """Return the net of `study`.

    Raises
    ------
    InvalidInput
        The study names buses, loads or lines that the net does not have; all are listed.
    """
    net = _open(study)
    raise_if_any(network_findings(study, net))
    _limit(net, study)
    _set_reliability(net, study)
    owners = {p.name: _add_participant(net, p) for p in study.participant}
    _add_sgens(net, study, owners)
    for participant in study.participant:
        _add_storages(net, participant, owners[participant.name])
    _add_candidates(net, study, owners)
    validate(net)
    return net


def _open(study: Study) -> Any:
    """Open the net; a mistake is placed in the study file."""
    try:
        return open_net(study.network_source)
    except InvalidInput as error:
        text = study.places
        raise InvalidInput(
            text.finding(("network", "source"), f.rule, f.mend) for f in error.findings
        ) from error


def _limit(net: Any, study: Study) -> None:
    network = study.network
    for column, limit in (("min_vm_pu", network.min_vm_pu), ("max_vm_pu", network.max_vm_pu)):
        if limit is not None:
            net.bus[column] = limit
    if network.line_max_i_ka is not None:
        net.line["max_i_ka"] = network.line_max_i_ka
    if network.max_import_mw is not None:
        net.ext_grid["max_p_mw"] = network.max_import_mw
    if network.max_export_mw is not None:
        net.ext_grid["min_p_mw"] = -network.max_export_mw


def _set_reliability(net: Any, study: Study) -> None:
    r = study.network.reliability
    if r is None:
        return
    set_line_reliability(
        net,
        failure_rate_per_km_year=r.failure_rate_per_km_year,
        repair_time_h=r.repair_time_h,
        switching_time_h=r.switching_time_h,
    )
    if len(net.trafo):
        set_trafo_reliability(
            net,
            failure_rate_per_year=r.trafo_failure_rate_per_year,
            repair_time_h=r.trafo_repair_time_h,
            switching_time_h=r.switching_time_h,
        )
    if r.customers_per_mw is None:
        return
    for load in net.load.index:
        customers = max(1, round(float(net.load.p_mw[load]) * r.customers_per_mw))
        set_customers(net, [load], customers=customers)


def _add_participant(net: Any, p: Participant) -> int:
    limits = {
        name: value
        for name in ("max_import_mw", "max_export_mw", "max_trade_mw")
        if (value := getattr(p, name)) is not None
    }
    row = create_participant(net, p.bus, name=p.name, bargaining_power=p.bargaining_power, **limits)
    assign(net, row, load=net.load.index[net.load.bus.isin(p.load_buses)].tolist())
    return row


def _add_sgens(net: Any, study: Study, owners: dict[str, int]) -> None:
    import pandapower as pp

    for site in study.sgens():
        kind = _SGEN_TYPE.get(site.technology, site.technology)
        row = pp.create_sgen(
            net, site.bus, p_mw=site.p_mw, name=site.name, type=kind, controllable=True
        )
        assign(net, owners[site.participant], sgen=[int(row)])


def _add_storages(net: Any, p: Participant, owner: int) -> None:
    import pandapower as pp

    for k, unit in enumerate(p.storage):
        row = pp.create_storage(
            net,
            p.bus if unit.bus is None else unit.bus,
            p_mw=0.0,
            max_e_mwh=unit.e_mwh,
            min_e_mwh=unit.e_mwh * unit.min_soc_percent / 100.0,
            max_p_mw=unit.p_mw,
            min_p_mw=-unit.p_mw,
            name=unit.name or f"{p.name} storage {k}",
            controllable=True,
        )
        set_storage(
            net,
            [int(row)],
            charge_efficiency_percent=unit.charge_efficiency_percent,
            discharge_efficiency_percent=unit.discharge_efficiency_percent,
            degradation_eur_per_mwh=unit.degradation_eur_per_mwh,
        )
        assign(net, owner, storage=[int(row)])


def _add_candidates(net: Any, study: Study, owners: dict[str, int]) -> None:
    for c in study.candidate:
        bus = int(net.line.from_bus[c.line]) if c.bus is None else c.bus
        given = {
            name: value
            for name in (
                "unit_p_mw",
                "unit_e_mwh",
                "charge_efficiency_percent",
                "discharge_efficiency_percent",
                "min_soc_percent",
                "line",
            )
            if (value := getattr(c, name)) is not None
        }
        create_candidate(
            net,
            bus,
            technology=c.technology,
            name=c.name,
            participant=OPERATOR if c.participant is None else owners[c.participant],
            max_units=c.max_units,
            capex_eur_per_unit=c.unit_capex_eur,
            fixed_om_eur_per_unit_per_year=c.unit_fixed_om_eur_per_year,
            variable_om_eur_per_mwh=c.variable_om_eur_per_mwh,
            lifetime_years=c.lifetime_years,
            **given,
        )
