"""Make rows of our tables, and give loads, generators and storages an owner.

A wrong call raises `InvalidInput` with everything that is wrong and leaves the net as it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import nan
from typing import TYPE_CHECKING

import numpy as np

from pp_p2p.elements.rules import index_of, nearest
from pp_p2p.elements.schema import NONE
from pp_p2p.elements.tables import LossModel, Technology
from pp_p2p.elements.write import add_rows, next_index, set_columns, spread
from pp_p2p.errors import Finding, InvalidInput, raise_if_any
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
        Weight in Nash bargaining, > 0; only ratios matter.
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
    in_service: bool = True,
    index: int | None = None,
) -> int:
    """Let a load shift its energy within the day: a row of ``net.flexible_load``.

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
    p_mw: float | Sequence[float] = 0.0,
    q_mvar: float | Sequence[float] = 0.0,
    min_q_mvar: float | Sequence[float] = nan,
    max_q_mvar: float | Sequence[float] = nan,
    name: str = "",
    loss_model: LossModel = "proportional",
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
    p_mw, q_mvar : float or (terminal,) sequence of float, MW and Mvar
        Set-points fed into the bus.
    min_q_mvar, max_q_mvar : float or (terminal,) sequence of float, Mvar
        Limits of the reactive power fed in; NaN leaves the rating as the only limit.
    name : str
        Label, need not be unique.
    loss_model : {"proportional"}
        Proportional: a terminal loses ``loss_factor`` times its apparent power.
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
        "p_mw": p_mw,
        "q_mvar": q_mvar,
        "min_q_mvar": min_q_mvar,
        "max_q_mvar": max_q_mvar,
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
    row = {"name": name, "loss_model": loss_model, "in_service": in_service}
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
    max_units: int = 1,
    fixed_om_eur_per_unit_per_year: float = 0.0,
    variable_om_eur_per_mwh: float = 0.0,
    lifetime_years: float = 20.0,
    charge_efficiency_percent: float = 95.0,
    discharge_efficiency_percent: float = 95.0,
    min_soc_percent: float = 0.0,
    line: int = NONE,
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
    technology : {"pv", "wind", "storage", "line", "switch", "sop"}
        What would be built.
    capex_eur_per_unit : float, EUR
        Investment in one unit.
    name : str
        Label, need not be unique.
    participant : int
        Owner; -1 is the operator.
    unit_p_mw : float, MW
        Rated power of one unit; > 0 for pv, wind and storage.
    unit_e_mwh : float, MWh
        Energy capacity of one unit; > 0 for storage.
    max_units : int
        Most units built.
    fixed_om_eur_per_unit_per_year : float, EUR/a
        Yearly cost of one unit.
    variable_om_eur_per_mwh : float, EUR/MWh
        Cost of each MWh fed in.
    lifetime_years : float, a
        Years until it is replaced.
    charge_efficiency_percent, discharge_efficiency_percent : float, %
        Of storage, above 0.
    min_soc_percent : float, %
        Of storage: energy below is the reserve that carries an island after a fault.
    line : int
        For technology ``"line"``: row of ``net.line``, out of service or open, that would be
        built as a normally open tie; -1 is none.
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
        Unknown bus, participant or line, taken index, value that breaks a rule of the table or
        of the technology.
    """
    row = {
        "name": name,
        "bus": bus,
        "technology": technology,
        "participant": participant,
        "unit_p_mw": unit_p_mw,
        "unit_e_mwh": unit_e_mwh,
        "max_units": max_units,
        "capex_eur_per_unit": capex_eur_per_unit,
        "fixed_om_eur_per_unit_per_year": fixed_om_eur_per_unit_per_year,
        "variable_om_eur_per_mwh": variable_om_eur_per_mwh,
        "lifetime_years": lifetime_years,
        "charge_efficiency_percent": charge_efficiency_percent,
        "discharge_efficiency_percent": discharge_efficiency_percent,
        "min_soc_percent": min_soc_percent,
        "line": line,
        "in_service": in_service,
    }
    label = next_index(net, "candidate", index)
    add_rows(net, {"candidate": ([label], [row])})
    return label


def assign(
    net: pandapowerNet,
    participant: int,
    *,
    load: int | Iterable[int] = (),
    sgen: int | Iterable[int] = (),
    storage: int | Iterable[int] = (),
) -> None:
    """Make a participant the owner of loads, generators and storages.

    Parameters
    ----------
    net : pandapowerNet
        Gets the column ``participant`` in the tables that are named here.
    participant : int
        Row of ``net.participant``, or -1 to give the elements back to the operator.
    load, sgen, storage : int or iterable of int
        Rows of these tables; who owned them before does so no longer.

    Raises
    ------
    InvalidInput
        Unknown participant or elements.
    """
    known = index_of(net, "participant")
    whole = isinstance(participant, int | np.integer) and not isinstance(participant, bool)
    if not whole or (participant != OPERATOR and participant not in known):
        raise InvalidInput(
            Finding(
                table="participant",
                rule=f"has no row {participant!r}",
                mend=f"name an existing participant ({nearest(participant, known)}), or -1 for the"
                " operator",
            )
        )
    elements = {"load": load, "sgen": sgen, "storage": storage}
    owned = {table: spread(rows, 1) for table, rows in elements.items()}
    values = {"participant": participant}
    set_columns(net, {table: (rows, values) for table, rows in owned.items() if rows})
