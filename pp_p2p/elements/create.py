"""Make rows of our tables.

A wrong call raises `InvalidInput` with everything that is wrong and leaves the net as it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import nan
from typing import TYPE_CHECKING

from pp_p2p.elements.candidate_table import Sizing, Technology
from pp_p2p.elements.schema import NONE
from pp_p2p.elements.sop_tables import ControlModeAc, ControlModeDc
from pp_p2p.elements.write import add_rows, next_index, spread
from pp_p2p.errors import Finding, raise_if_any
from pp_p2p.names import OPERATOR

if TYPE_CHECKING:
    from pandapower import pandapowerNet


def create_participant(
    net: pandapowerNet,
    bus: int,
    *,
    name: str = "",
    max_import_mw: float = nan,
    max_export_mw: float = nan,
    max_trade_mw: float = nan,
    bargaining_power: float = 1.0,
    in_service: bool = True,
    index: int | None = None,
) -> int:
    """Create a participant: a row of ``net.participant``.

    Parameters
    ----------
    net : pandapowerNet
        Gets the table where it has none.
    bus : int
        Bus at which the participant is metered.
    name : str
        Label, need not be unique.
    max_import_mw, max_export_mw, max_trade_mw : float, MW
        Most it may take, feed in, and trade with peers; NaN is unlimited.
    bargaining_power : float
        Weight in Nash bargaining, >= 0; only ratios matter, and 0 gains nothing.
    in_service : bool
        False leaves it out of every problem.
    index : int, optional
        Index of the row; the next free one where None.

    Returns
    -------
    int
        Index of the row.

    Raises
    ------
    InvalidInput
        Unknown bus, taken index, value that breaks a rule of the table.
    """
    row = {
        "name": name,
        "bus": bus,
        "max_import_mw": max_import_mw,
        "max_export_mw": max_export_mw,
        "max_trade_mw": max_trade_mw,
        "bargaining_power": bargaining_power,
        "in_service": in_service,
    }
    label = next_index(net, "participant", index)
    add_rows(net, {"participant": ([label], [row])})
    return label


def create_flexible_load(
    net: pandapowerNet,
    load: int,
    *,
    name: str = "",
    max_up_percent: float = 0.0,
    max_down_percent: float = 0.0,
    shift_cost_eur_per_mwh: float = 0.0,
    shift_discomfort_eur_per_mw2h: float = 0.0,
    window_start_h: float = 0.0,
    window_end_h: float = 24.0,
    max_curtail_percent: float = 0.0,
    curtail_cost_eur_per_mwh: float = 0.0,
    price_elasticity: float = 0.0,
    reference_price_eur_per_mwh: float = nan,
    in_service: bool = True,
    index: int | None = None,
) -> int:
    """Let a load shift its energy, forgo some or follow the price: a row of ``net.flexible_load``.

    Parameters
    ----------
    net : pandapowerNet
        Gets the table where it has none.
    load : int
        Row of ``net.load``; a load is flexible once.
    name : str
        Label, need not be unique.
    max_up_percent, max_down_percent : float, %
        Most it may add to and take off its profile, of the profile.
    shift_cost_eur_per_mwh : float, EUR/MWh
        Cost of each MWh shifted.
    shift_discomfort_eur_per_mw2h : float, EUR/(MW2 h)
        Half of it times the square of the shift (MW) is the discomfort of each hour.
    window_start_h, window_end_h : float, h
        Hours of the day between which it may shift; energy is kept within. An end before the
        start means over midnight, where the day is taken as a circle.
    max_curtail_percent : float, %
        Most it may forgo, of the profile.
    curtail_cost_eur_per_mwh : float, EUR/MWh
        Discomfort of each MWh forgone.
    price_elasticity : float
        Own-price elasticity at the reference price, at most 0: the load then follows the price
        ``d = d0 (1 + elasticity (price / reference - 1))``, the quadratic utility's response.
    reference_price_eur_per_mwh : float, EUR/MWh
        Price at which it draws its profile; NaN is the mean purchase price of the day.
    in_service : bool
        False leaves it out of every problem.
    index : int, optional
        Index of the row; the next free one where None.

    Returns
    -------
    int
        Index of the row.

    Raises
    ------
    InvalidInput
        Unknown load, one that is flexible already, taken index, value that breaks a rule.
    """
    row = {
        "name": name,
        "load": load,
        "max_up_percent": max_up_percent,
        "max_down_percent": max_down_percent,
        "shift_cost_eur_per_mwh": shift_cost_eur_per_mwh,
        "shift_discomfort_eur_per_mw2h": shift_discomfort_eur_per_mw2h,
        "window_start_h": window_start_h,
        "window_end_h": window_end_h,
        "max_curtail_percent": max_curtail_percent,
        "curtail_cost_eur_per_mwh": curtail_cost_eur_per_mwh,
        "price_elasticity": price_elasticity,
        "reference_price_eur_per_mwh": reference_price_eur_per_mwh,
        "in_service": in_service,
    }
    label = next_index(net, "flexible_load", index)
    add_rows(net, {"flexible_load": ([label], [row])})
    return label


def create_sop(
    net: pandapowerNet,
    buses: Sequence[int],
    *,
    sn_mva: float | Sequence[float],
    loss_factor: float | Sequence[float] = 0.0,
    loss_standby_mw: float | Sequence[float] = 0.0,
    loss_quadratic_per_mva: float | Sequence[float] = 0.0,
    control_mode_ac: ControlModeAc | Sequence[ControlModeAc] = "q_mvar",
    control_mode_dc: ControlModeDc | Sequence[ControlModeDc] = "p_mw",
    p_mw: float | Sequence[float] = 0.0,
    q_mvar: float | Sequence[float] = 0.0,
    vm_pu: float | Sequence[float] = 1.0,
    min_q_mvar: float | Sequence[float] = nan,
    max_q_mvar: float | Sequence[float] = nan,
    grid_forming: bool | Sequence[bool] = False,
    name: str = "",
    in_service: bool = True,
    index: int | None = None,
) -> int:
    """Create a soft open point: a row of ``net.sop`` and one of ``net.sop_terminal`` per bus.

    Parameters
    ----------
    net : pandapowerNet
        Gets the tables where it has none.
    buses : (terminal,) sequence of int
        Two or more different buses.
    sn_mva : float or (terminal,) sequence of float, MVA
        Rated apparent power.
    loss_factor : float or (terminal,) sequence of float
        Loss per apparent power, 0 to 1.
    loss_standby_mw : float or (terminal,) sequence of float, MW
        Loss whatever the terminal carries.
    loss_quadratic_per_mva : float or (terminal,) sequence of float, 1/MVA
        Loss per square of the apparent power: a terminal that carries S loses
        ``loss_standby_mw + loss_factor S + loss_quadratic_per_mva S^2``.
    control_mode_ac : {"q_mvar", "vm_pu"} or (terminal,) sequence
        What `runpp` and `run_year` hold: reactive power, or the voltage of the bus as long as the
        rating and the limits of reactive power allow.
    control_mode_dc : {"p_mw", "vm_pu"} or (terminal,) sequence
        What they hold on the other side: active power, or the voltage of the direct-current link;
        that terminal, at most one, takes what the others leave. Without any, the last one in
        service does.
    p_mw, q_mvar : float or (terminal,) sequence of float, MW and Mvar
        Set-points fed into the bus.
    vm_pu : float or (terminal,) sequence of float, p.u.
        Set-point of the bus voltage.
    min_q_mvar, max_q_mvar : float or (terminal,) sequence of float, Mvar
        Limits of the reactive power fed in; NaN leaves the rating as the only limit.
    grid_forming : bool or (terminal,) sequence of bool
        True lets a terminal form the grid, at `vm_pu`, of an island that no external grid feeds.
    name : str
        Label, need not be unique.
    in_service : bool
        State of the whole device and of each terminal.
    index : int, optional
        Index of the row of ``net.sop``; the next free one where None.

    Returns
    -------
    int
        Index of the row of ``net.sop``.

    Raises
    ------
    InvalidInput
        Fewer than two buses, unknown or repeated buses, taken index, value that breaks a rule.
    """
    ends = spread(buses, 1)
    per_terminal = {
        "sn_mva": sn_mva,
        "loss_factor": loss_factor,
        "loss_standby_mw": loss_standby_mw,
        "loss_quadratic_per_mva": loss_quadratic_per_mva,
        "control_mode_ac": control_mode_ac,
        "control_mode_dc": control_mode_dc,
        "p_mw": p_mw,
        "q_mvar": q_mvar,
        "vm_pu": vm_pu,
        "min_q_mvar": min_q_mvar,
        "max_q_mvar": max_q_mvar,
        "grid_forming": grid_forming,
    }
    values = {column: spread(value, len(ends)) for column, value in per_terminal.items()}
    raise_if_any(
        Finding(
            table="sop_terminal",
            column=column,
            rule=f"has {len(given)} values for {len(ends)} terminals",
            mend="give one value for all terminals, or one for each",
        )
        for column, given in values.items()
        if len(given) != len(ends)
    )
    label = next_index(net, "sop", index)
    first = next_index(net, "sop_terminal", None)
    terminals = [
        {"sop": label, "bus": bus, "in_service": in_service}
        | {column: given[k] for column, given in values.items()}
        for k, bus in enumerate(ends)
    ]
    row = {"name": name, "in_service": in_service}
    rows_of_terminals = (range(first, first + len(ends)), terminals)
    add_rows(net, {"sop": ([label], [row]), "sop_terminal": rows_of_terminals})
    return label


def create_candidate(
    net: pandapowerNet,
    bus: int,
    *,
    technology: Technology,
    capex_eur_per_unit: float,
    name: str = "",
    participant: int = OPERATOR,
    unit_p_mw: float = 0.0,
    unit_e_mwh: float = 0.0,
    unit_sn_mva: float = 0.0,
    max_units: int = 1,
    sizing: Sizing = "units",
    fixed_capex_eur: float = 0.0,
    fixed_om_eur_per_unit_per_year: float = 0.0,
    variable_om_eur_per_mwh: float = 0.0,
    emission_t_per_mwh: float = 0.0,
    lifetime_years: float = 20.0,
    charge_efficiency_percent: float = 95.0,
    discharge_efficiency_percent: float = 95.0,
    min_soc_percent: float = 0.0,
    line: int = NONE,
    std_type: str = "",
    parallel: int = 1,
    sop: int = NONE,
    switch: int = NONE,
    remote_switching_time_h: float = 0.0,
    in_service: bool = True,
    index: int | None = None,
) -> int:
    """Let planning build something: a row of ``net.candidate``.

    Parameters
    ----------
    net : pandapowerNet
        Gets the table where it has none.
    bus : int
        Bus at which it would stand.
    technology : str
        What would be built: ``"pv"``, ``"wind"``, ``"dispatchable"``, ``"storage"``,
        ``"storage_energy"`` (for the owner's storage candidate at the bus), ``"line"`` (a tie),
        ``"replacement"`` (of a line), ``"switch"`` (remote control of one) or ``"sop"``.
    capex_eur_per_unit : float, EUR
        Investment in one unit.
    name : str
        Label, need not be unique.
    participant : int
        Owner; -1 is the operator.
    unit_p_mw : float, MW
        Rated power of one unit; > 0 for pv, wind, dispatchable and storage.
    unit_e_mwh : float, MWh
        Energy capacity of one unit; > 0 for storage_energy, and for storage without that.
    unit_sn_mva : float, MVA
        Rated apparent power of one unit of a generator or of storage: reactive power is free
        within it. 0 is no reactive power.
    max_units : int
        Most units built.
    sizing : {"units", "continuous"}
        Whether whole units are built, or any size up to `max_units`.
    fixed_capex_eur : float, EUR
        Investment in the site, whatever is built there.
    fixed_om_eur_per_unit_per_year : float, EUR/a
        Yearly cost of one unit.
    variable_om_eur_per_mwh : float, EUR/MWh
        Cost of each MWh fed in, fuel included; of storage each MWh discharged.
    emission_t_per_mwh : float, t/MWh
        Of technology ``"dispatchable"``: CO2 of each MWh fed in.
    lifetime_years : float, a
        Years until it is replaced.
    charge_efficiency_percent, discharge_efficiency_percent : float, %
        Of storage, above 0.
    min_soc_percent : float, %
        Of storage: energy below is the reserve that carries an island after a fault.
    line : int
        For technology ``"line"``: row of ``net.line``, out of service or open, that would be
        built as a normally open tie. For ``"replacement"``: the line in service that would be
        replaced. -1 is none.
    std_type : str
        Of ``"replacement"``: type of the new line in ``net.std_types["line"]``; empty keeps it.
    parallel : int
        Of ``"replacement"``: parallel systems of the new line.
    sop : int
        For ``"sop"``: row of ``net.sop``, out of service, that would be built; -1 is none.
    switch : int
        For ``"switch"``: row of ``net.switch`` that would get remote control; -1 is none.
    remote_switching_time_h : float, h
        For ``"switch"``: time from fault to switching by remote control.
    in_service : bool
        False leaves it out of every problem.
    index : int, optional
        Index of the row; the next free one where None.

    Returns
    -------
    int
        Index of the row.

    Raises
    ------
    InvalidInput
        Unknown bus, participant, line, soft open point or switch, candidate that is there twice
        at one place, taken index, value that breaks a rule of the table or
        of the technology.
    """
    row = {
        "name": name,
        "bus": bus,
        "technology": technology,
        "participant": participant,
        "unit_p_mw": unit_p_mw,
        "unit_e_mwh": unit_e_mwh,
        "unit_sn_mva": unit_sn_mva,
        "max_units": max_units,
        "sizing": sizing,
        "capex_eur_per_unit": capex_eur_per_unit,
        "fixed_capex_eur": fixed_capex_eur,
        "fixed_om_eur_per_unit_per_year": fixed_om_eur_per_unit_per_year,
        "variable_om_eur_per_mwh": variable_om_eur_per_mwh,
        "emission_t_per_mwh": emission_t_per_mwh,
        "lifetime_years": lifetime_years,
        "charge_efficiency_percent": charge_efficiency_percent,
        "discharge_efficiency_percent": discharge_efficiency_percent,
        "min_soc_percent": min_soc_percent,
        "line": line,
        "std_type": std_type,
        "parallel": parallel,
        "sop": sop,
        "switch": switch,
        "remote_switching_time_h": remote_switching_time_h,
        "in_service": in_service,
    }
    label = next_index(net, "candidate", index)
    add_rows(net, {"candidate": ([label], [row])})
    return label
