"""Set our columns in pandapower's tables: reliability, customers, storage.

Every value is one for all rows, or a sequence with one for each; None leaves the column as it
is. A wrong call raises `InvalidInput` and leaves the net as it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from pp_p2p.elements.write import set_columns

if TYPE_CHECKING:
    from pandapower import pandapowerNet


def set_line_reliability(
    net: pandapowerNet,
    lines: int | Iterable[int] | None = None,
    *,
    failure_rate_per_km_year: float | Sequence[float] | None = None,
    repair_time_h: float | Sequence[float] | None = None,
    switching_time_h: float | Sequence[float] | None = None,
) -> None:
    """Say how often lines fail, and for how long.

    Parameters
    ----------
    net : pandapowerNet
        Gets the columns in ``net.line``.
    lines : int or iterable of int, optional
        Rows of ``net.line``; all where None.
    failure_rate_per_km_year : float or (row,) sequence of float, 1/(km a)
        Faults per length and year.
    repair_time_h, switching_time_h : float or (row,) sequence of float, h
        Time from fault to repair, and to isolation by switching.

    Raises
    ------
    InvalidInput
        Unknown lines, value that breaks a rule.
    """
    values = {
        "failure_rate_per_km_year": failure_rate_per_km_year,
        "repair_time_h": repair_time_h,
        "switching_time_h": switching_time_h,
    }
    set_columns(net, {"line": (lines, values)})


def set_trafo_reliability(
    net: pandapowerNet,
    trafos: int | Iterable[int] | None = None,
    *,
    failure_rate_per_year: float | Sequence[float] | None = None,
    repair_time_h: float | Sequence[float] | None = None,
    switching_time_h: float | Sequence[float] | None = None,
    replacement_time_h: float | Sequence[float] | None = None,
) -> None:
    """Say how often transformers fail, and for how long.

    Parameters
    ----------
    net : pandapowerNet
        Gets the columns in ``net.trafo``.
    trafos : int or iterable of int, optional
        Rows of ``net.trafo``; all where None.
    failure_rate_per_year : float or (row,) sequence of float, 1/a
        Faults per year.
    repair_time_h, switching_time_h : float or (row,) sequence of float, h
        Time from fault to repair, and to isolation by switching.
    replacement_time_h : float or (row,) sequence of float, h
        Time from fault until a spare stands in its place; NaN is no spare. The faster of
        repair and replacement counts.

    Raises
    ------
    InvalidInput
        Unknown transformers, value that breaks a rule.
    """
    values = {
        "failure_rate_per_year": failure_rate_per_year,
        "repair_time_h": repair_time_h,
        "switching_time_h": switching_time_h,
        "replacement_time_h": replacement_time_h,
    }
    set_columns(net, {"trafo": (trafos, values)})


def set_remote_control(
    net: pandapowerNet,
    switches: int | Iterable[int] | None = None,
    *,
    remote_switching_time_h: float | Sequence[float],
) -> None:
    """Say which switches are remotely controlled, and how fast.

    Parameters
    ----------
    net : pandapowerNet
        Gets the column in ``net.switch``.
    switches : int or iterable of int, optional
        Rows of ``net.switch``; all where None.
    remote_switching_time_h : float or (row,) sequence of float, h
        Time from fault to switching by remote control; NaN is none: switched by hand.

    Raises
    ------
    InvalidInput
        Unknown switches, value that breaks a rule.
    """
    set_columns(net, {"switch": (switches, {"remote_switching_time_h": remote_switching_time_h})})


def set_customers(
    net: pandapowerNet,
    loads: int | Iterable[int] | None = None,
    *,
    customers: int | Sequence[int],
) -> None:
    """Say how many customers loads stand for.

    Parameters
    ----------
    net : pandapowerNet
        Gets the column in ``net.load``.
    loads : int or iterable of int, optional
        Rows of ``net.load``; all where None.
    customers : int or (row,) sequence of int
        Number of customers.

    Raises
    ------
    InvalidInput
        Unknown loads, value that breaks a rule.
    """
    set_columns(net, {"load": (loads, {"customers": customers})})


def set_storage(
    net: pandapowerNet,
    storages: int | Iterable[int] | None = None,
    *,
    charge_efficiency_percent: float | Sequence[float] | None = None,
    discharge_efficiency_percent: float | Sequence[float] | None = None,
    degradation_eur_per_mwh: float | Sequence[float] | None = None,
    sop: int | Sequence[int] | None = None,
) -> None:
    """Say what storages lose, what their wear costs, and on which soft open point they stand.

    Parameters
    ----------
    net : pandapowerNet
        Gets the columns in ``net.storage``.
    storages : int or iterable of int, optional
        Rows of ``net.storage``; all where None.
    charge_efficiency_percent, discharge_efficiency_percent : float or (row,) sequence, %
        Above 0 and at most 100.
    degradation_eur_per_mwh : float or (row,) sequence of float, EUR/MWh
        Wear for each MWh discharged.
    sop : int or (row,) sequence of int
        Soft open point on whose direct-current link a storage stands: its power then enters the
        balance of that device, not of its bus. -1 puts it back at its bus.

    Raises
    ------
    InvalidInput
        Unknown storages, value that breaks a rule.
    """
    values = {
        "charge_efficiency_percent": charge_efficiency_percent,
        "discharge_efficiency_percent": discharge_efficiency_percent,
        "degradation_eur_per_mwh": degradation_eur_per_mwh,
        "sop": sop,
    }
    set_columns(net, {"storage": (storages, values)})
