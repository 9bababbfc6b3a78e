"""The net of a study: opened, limited, grown, and peopled with participants and candidates."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flows.study import Study, network_findings
from flows.study_candidate import ENERGY, Candidate
from flows.study_elements import FlexibleLoad, Participant, Sop
from flows.study_text import KeyPath
from pp_p2p.elements.attributes import (
    set_customers,
    set_line_reliability,
    set_storage,
    set_trafo_reliability,
)
from pp_p2p.elements.create import (
    create_candidate,
    create_flexible_load,
    create_participant,
    create_sop,
)
from pp_p2p.elements.library import open_net
from pp_p2p.elements.magnitudes import wrong_magnitudes
from pp_p2p.elements.ownership import assign
from pp_p2p.elements.tables import TABLES, frame
from pp_p2p.elements.validate import findings
from pp_p2p.elements.write import next_index
from pp_p2p.errors import Finding, InvalidInput, raise_if_any
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
    _add_flexible_loads(net, study)
    _add_sops(net, study)
    for participant in study.participant:
        _add_storages(net, participant, owners[participant.name])
    _add_candidates(net, study, owners)
    raise_if_any([*findings(net), *wrong_magnitudes(net)])
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


def _add_flexible_loads(net: Any, study: Study) -> None:
    found: list[Finding] = []
    for i, p in enumerate(study.participant):
        for j, one in enumerate(p.flexible_load):
            here: KeyPath = ("participant", i, "flexible_load", j)
            buses = one.buses or p.load_buses
            try:
                for load in net.load.index[net.load.bus.isin(buses)].tolist():
                    create_flexible_load(net, load, **_columns(one, "flexible_load"))
            except InvalidInput as error:
                found += _placed(study, here, error)
    raise_if_any(found)


def _add_storages(net: Any, p: Participant, owner: int) -> None:
    import pandapower as pp

    sops = rows_by_name(net, "sop")
    for k, unit in enumerate(p.storage):
        link = None if unit.sop is None else sops[unit.sop]
        home = p.bus if link is None else _first_terminal(net, link)
        row = pp.create_storage(
            net,
            home if unit.bus is None else unit.bus,
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
            sop=link,
        )
        assign(net, owner, storage=[int(row)])


def _add_sops(net: Any, study: Study) -> None:
    targets = {candidate.sop for candidate in study.candidate}
    found: list[Finding] = []
    for i, sop in enumerate(study.sop):
        given = _columns(sop, "sop_terminal")
        there = sop.name not in targets if sop.in_service is None else sop.in_service
        try:
            create_sop(net, sop.buses, name=sop.name, in_service=there, **given)
        except InvalidInput as error:
            found += _placed(study, ("sop", i), error)
    raise_if_any(found)


def _add_candidates(net: Any, study: Study, owners: dict[str, int]) -> None:
    sops, first = rows_by_name(net, "sop"), next_index(net, "candidate", None)
    found: list[Finding] = []
    # storage without energy of its own is refused where nothing gives it some: that comes first
    energy_first = sorted(enumerate(study.candidate), key=lambda one: one[1].technology != ENERGY)
    for i, c in energy_first:
        columns = {
            **_columns(c, "candidate"),
            "participant": OPERATOR if c.participant is None else owners[c.participant],
            "capex_eur_per_unit": c.unit_capex_eur,
            "fixed_om_eur_per_unit_per_year": c.unit_fixed_om_eur_per_year,
        }
        if c.sop is not None:
            columns["sop"] = sops[c.sop]
        try:
            create_candidate(net, **{"bus": _bus_of(net, c, sops), **columns}, index=first + i)
        except InvalidInput as error:
            found += _placed(study, ("candidate", i), error)
    raise_if_any(found)
    if study.candidate:
        net.candidate = net.candidate.sort_index()


def rows_by_name(net: Any, table: str) -> dict[str, int]:
    """Return the row of each name of a table; of those that are there twice, the last."""
    rows = frame(net, table)
    named = zip(rows["name"].tolist(), rows.index.tolist(), strict=True)
    return {str(name): int(row) for name, row in named}


def _bus_of(net: Any, candidate: Candidate, sops: dict[str, int]) -> int:
    """Return where a candidate without a bus stands: at the first end of what it is about."""
    if candidate.line is not None:
        return int(net.line.at[candidate.line, "from_bus"])
    if candidate.switch is not None:
        return int(net.switch.at[candidate.switch, "bus"])
    if candidate.sop is not None:
        return _first_terminal(net, sops[candidate.sop])
    return -1


def _first_terminal(net: Any, sop: int) -> int:
    terminal = frame(net, "sop_terminal")
    return int(terminal.loc[terminal["sop"] == sop, "bus"].iloc[0])


def _columns(section: Candidate | FlexibleLoad | Sop, table: str) -> dict[str, Any]:
    """Return the keys of a section that are columns of `table`, where they say something."""
    found = {name: getattr(section, name, None) for name in TABLES[table].by_name}
    given = {name: value for name, value in found.items() if value not in (None, ())}
    if not isinstance(section, Sop):
        return given
    return {
        name: value[0] if len(value) == 1 else value
        for name, value in given.items()
        if isinstance(value, tuple)
    }


def _placed(study: Study, here: KeyPath, error: InvalidInput) -> Iterator[Finding]:
    """Yield findings of the library about a row of a table where the study file has its keys."""
    text = study.places
    for one in error.findings:
        yield text.finding((*here, one.column) if one.column else here, one.rule, one.mend)
