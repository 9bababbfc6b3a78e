"""Reliability indices of a distribution network: how often, how long, how much.

With the effects of every fault f (`fault_effects`), of rate lambda_f, switching time tau_f and
repair time r_f, for each load point i with N_i customers and average demand D_i:

    Lambda_i = sum_f lambda_f [i interrupted by f]                                         (1)
    U_i      = sum_f lambda_f ( tau_f [i interrupted by f] + (r_f - tau_f) [i waits] )      (2)
    r_i      = U_i / Lambda_i                                                              (3)
    SAIFI = sum N_i Lambda_i / sum N_i        SAIDI = sum N_i U_i / sum N_i                (4)
    CAIDI = SAIDI / SAIFI                     ASAI  = 1 - SAIDI / 8760                     (5)
    EENS  = sum D_i U_i                       AENS  = EENS / sum N_i                       (6)

Billinton & Allan, Reliability Evaluation of Power Systems, ch. 7-8; IEEE Std 1366. (1) and (2)
take faults one at a time: two that overlap, and the time in which a faulty element cannot fail
again, are of order lambda r / 8760. The simulation (`fault_simulation`) has both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Self, get_args

import numpy as np
import xarray as xr

from planning.fault_effects import FaultEffects
from planning.fault_graph import FaultGraph, Isolators
from planning.fault_simulation import Estimate, Repair, simulate
from planning.load_points import LoadPoints
from planning.post_fault import waiting_within_limits
from planning.remote_control import Restoration, early_hours, remote_times, restorations
from pp_p2p.errors import Finding, UnsupportedFeature, raise_if_any
from pp_p2p.names import LOAD
from pp_p2p.network.branches import Array
from pp_p2p.network.support import raise_unsupported
from pp_p2p.results import input_hash, label
from pp_p2p.version import __version__

HOURS_PER_YEAR: Final = 8760.0

Method = Literal["analytic", "monte_carlo"]


@dataclass(frozen=True, kw_only=True)
class InterruptionData:
    """Faults and load points, and which fault does what to which load point.

    Parameters
    ----------
    graph : FaultGraph
    effects : FaultEffects
    points : LoadPoints
    interrupted, waiting : sparse (row, load) of bool
        By rows of `effects`.
    early : tuple of Restoration
        What remote control brings back early.
    remote_h : mapping
        Time (h) of the switches that have it.
    """

    graph: FaultGraph
    effects: FaultEffects
    points: LoadPoints
    interrupted: Any
    waiting: Any
    early: tuple[Restoration, ...]
    remote_h: Mapping[int, float]

    @classmethod
    def from_net(
        cls,
        net: Any,
        profiles: xr.Dataset | None = None,
        *,
        load_factor: float = 1.0,
        isolators: Isolators = "switches",
        feeder_breakers: bool = True,
        capacity: bool = False,
    ) -> Self:
        """Read `net` and find what every fault does."""
        raise_unsupported(net)
        graph = FaultGraph.from_net(net, isolators=isolators, feeder_breakers=feeder_breakers)
        points = LoadPoints.from_net(net, graph, profiles, load_factor)
        effects = FaultEffects.from_net(net, graph)
        waiting = effects.waiting[:, points.section]
        if capacity:
            waiting = waiting_within_limits(net, graph, effects, points)
        return cls(
            graph=graph,
            effects=effects,
            points=points,
            interrupted=effects.interrupted[:, points.section],
            waiting=waiting,
            early=tuple(restorations(graph, effects, remote_times(net))),
            remote_h=remote_times(net),
        )


def reliability_indices(
    net: Any,
    profiles: xr.Dataset | None = None,
    *,
    load_factor: float = 1.0,
    isolators: Isolators = "switches",
    feeder_breakers: bool = True,
    capacity: bool = False,
    method: Method = "analytic",
    years: int = 10_000,
    seed: int = 0,
    repair: Repair = "constant",
    confidence_percent: float = 95.0,
) -> xr.Dataset:
    """Return how often and how long customers of a network are interrupted.

    Parameters
    ----------
    net : pandapowerNet
        With failure rates and times (`pp_p2p.set_line_reliability`, `set_trafo_reliability`) and
        customers (`set_customers`); is not changed. A load is a load point. Switches say what
        trips (type ``"CB"``, ``"fuse"``) and what can be isolated (every type); open ones are
        ties, and lines out of service are not there. A row with ``parallel`` above 1 fails as one.
        An island that a soft open point forms counts as supplied whatever fails on its other side.
        Other soft open points are ties, too, that lead to their ``grid_forming`` terminals.
    profiles : Dataset, optional
        ``load_p_mw(time, load)`` or typical days: average demand is its weighted mean.
    load_factor : float
        Average demand over ``p_mw * scaling`` where there are no profiles, above 0 up to 1.
    isolators : {"switches", "every_branch"}
        ``"every_branch"`` takes every line and transformer to be isolable at both ends: for nets
        whose switches are not modelled.
    feeder_breakers : bool
        Whether every line and transformer has a breaker of its own at the busbar of a substation:
        at an external grid, and at the low-voltage side of a transformer that stands there. With
        False only switches of the net break, and a fault without one interrupts all.
    capacity : bool
        Whether ties, and soft open points, resupply no more than ratings and lower voltage limits
        of the post-fault network allow (`planning.post_fault`); the net must be radial.
    method : {"analytic", "monte_carlo"}
    years, seed, repair, confidence_percent
        Of the simulation: years simulated, at least 20; seed; whether repair takes its
        ``"constant"`` time or is ``"exponential"`` beyond the switching time; confidence of the
        intervals, %.

    Returns
    -------
    Dataset
        For the system ``saifi_per_year``, ``saidi_h_per_year``, ``caidi_h``, ``asai_pu``,
        ``eens_mwh_per_year``, ``aens_kwh_per_year``; the same with ``feeder_`` in front by feeder;
        by load ``failure_rate_per_year`` (Lambda), ``unavailability_h_per_year`` (U),
        ``outage_time_h`` (r) and ``load_eens_mwh_per_year``. The analytic method adds what each
        fault contributes; the simulation an interval ``*_bound_*`` (bound) of each and the
        system's indices year by year. NaN where undefined: r and CAIDI without interruptions, the
        indices of a feeder without customers.

    Raises
    ------
    InvalidInput
        Broken tables, negative rates, rates without repair time, loads that nothing feeds, no
        customers, options out of range.
    UnsupportedFeature
        Elements that the network model does not know; with `capacity` a net that is not radial.
    """
    raise_if_any(_option_findings(profiles, load_factor, method, years, repair, confidence_percent))
    data = InterruptionData.from_net(
        net,
        profiles,
        load_factor=load_factor,
        isolators=isolators,
        feeder_breakers=feeder_breakers,
        capacity=capacity,
    )
    if method == "monte_carlo" and data.early:
        raise UnsupportedFeature(
            "reliability_indices",
            Finding(
                table="switch",
                column="remote_switching_time_h",
                rows=tuple(data.remote_h),
                rule="is known to the analytic method alone",
                mend="use method='analytic'",
            ),
        )
    options: dict[str, object] = {
        "load_factor": load_factor,
        "isolators": isolators,
        "feeder_breakers": feeder_breakers,
        "capacity": capacity,
        "method": method,
    }
    if method == "analytic":
        ds = _analytic(data)
    else:
        options |= {"years": years, "repair": repair, "confidence_percent": confidence_percent}
        ds = _simulated(data, years, seed, repair, confidence_percent / 100.0)
    attrs = {
        "problem": "reliability_indices",
        "status": "computed" if method == "analytic" else "estimated",
        "n_sections": data.graph.n_sections,
        "version": __version__,
        "input_hash": input_hash(net, xr.Dataset() if profiles is None else profiles, options),
        "seed": seed,
        "options": options,
    }
    return label(ds, attrs)


def _analytic(data: InterruptionData) -> xr.Dataset:
    effects, n_rows = data.effects, len(data.effects.section)
    beyond = effects.rate * (effects.repair_h - effects.switching_h)

    def by_row(values: Array) -> Array:
        return np.bincount(effects.row, values, minlength=n_rows)

    hit, stays = data.interrupted.astype(float), data.waiting.astype(float)
    rate = by_row(effects.rate) @ hit  # (1)
    hours = by_row(effects.rate * effects.switching_h) @ hit + by_row(beyond) @ stays  # (2)
    saved = _early_hours(data)
    hours = hours - effects.rate @ saved
    ds = indices(data.points, rate, hours)
    demand, customers = data.points.average_mw, data.points.customers
    contribution = {
        "fault_rate_per_year": effects.rate,
        "fault_eens_mwh_per_year": effects.rate * effects.switching_h * (hit @ demand)[effects.row]
        + beyond * (stays @ demand)[effects.row]
        - effects.rate * (saved @ demand),
        "fault_saidi_h_per_year": (
            effects.rate * effects.switching_h * (hit @ customers)[effects.row]
            + beyond * (stays @ customers)[effects.row]
            - effects.rate * (saved @ customers)
        )
        / customers.sum(),
    }
    ds = ds.assign({name: ("fault", values) for name, values in contribution.items()})
    return ds.assign_coords(
        fault_element=("fault", effects.element.astype(str)), fault_index=("fault", effects.index)
    )


def _early_hours(data: InterruptionData) -> Array:
    """Return (fault, load) by how many hours remote control shortens an interruption."""
    effects, section = data.effects, data.points.section
    saved = np.zeros((len(effects.rate), len(section)))
    for one in data.early:
        f = np.flatnonzero(effects.row == one.row)
        waits = np.asarray(data.waiting[[one.row]].toarray()).ravel() > 0
        at = np.flatnonzero(np.isin(section, one.sections) & ~waits)
        saved[np.ix_(f, at)] = early_hours(one, effects.switching_h[f], data.remote_h)[:, None]
    return saved


def indices(points: LoadPoints, rate: Array, hours: Array) -> xr.Dataset:
    """Return (3)-(6) from rate (1/a) and hours (h/a) of each load point (load,)."""
    feeders, of = np.unique(points.feeder, return_inverse=True)
    system = _averages(points, rate, hours, np.zeros(len(of), dtype=np.int64), 1)
    by_feeder = _averages(points, rate, hours, of, len(feeders))
    ds = xr.Dataset({name: ((), float(values[0])) for name, values in system.items()})
    ds = ds.assign({f"feeder_{name}": ("feeder", values) for name, values in by_feeder.items()})
    ds = ds.assign(
        failure_rate_per_year=(LOAD, rate),
        unavailability_h_per_year=(LOAD, hours),
        outage_time_h=(LOAD, _ratio(hours, rate)),
        load_eens_mwh_per_year=(LOAD, hours * points.average_mw),
        customers=(LOAD, points.customers),
        average_mw=(LOAD, points.average_mw),
    )
    return ds.assign_coords(
        {"feeder": feeders, LOAD: points.index, "load_feeder": (LOAD, points.feeder)}
    )


def _averages(points: LoadPoints, rate: Array, hours: Array, of: Array, n: int) -> dict[str, Array]:
    """Return the indices of `n` groups of load points, `of` (load,) the group of each."""

    def total(values: Array) -> Array:
        return np.bincount(of, values, minlength=n)

    customers = total(points.customers.astype(float))
    saifi = _ratio(total(points.customers * rate), customers)
    saidi = _ratio(total(points.customers * hours), customers)
    eens = total(points.average_mw * hours)
    return {
        "saifi_per_year": saifi,
        "saidi_h_per_year": saidi,
        "caidi_h": _ratio(saidi, saifi),
        "asai_pu": 1.0 - saidi / HOURS_PER_YEAR,
        "eens_mwh_per_year": eens,
        "aens_kwh_per_year": _ratio(1e3 * eens, customers),
    }


def _ratio(part: Array, whole: Array) -> Array:
    """Return part / whole, NaN where the whole is 0."""
    result = np.full(np.shape(part), np.nan)
    np.divide(part, whole, out=result, where=np.asarray(whole) > 0)
    return result


def _simulated(
    data: InterruptionData, years: int, seed: int, repair: Repair, confidence: float
) -> xr.Dataset:
    points = data.points
    n, d = points.customers.astype(float), points.average_mw
    sample = simulate(
        data.effects,
        data.interrupted,
        data.waiting,
        weights=np.stack([n / n.sum(), n / n.sum(), d]),
        years=years,
        seed=seed,
        repair=repair,
    )
    ds = indices(points, sample.rate.mean(axis=0), sample.hours.mean(axis=0))
    estimate = Estimate(confidence=confidence, n_batches=len(sample.rate))
    saifi, saidi = sample.rate @ n / n.sum(), sample.hours @ n / n.sum()
    bounds = {
        "saifi_bound_per_year": estimate.mean(saifi),
        "saidi_bound_h_per_year": estimate.mean(saidi),
        "caidi_bound_h": estimate.ratio(saidi, saifi),
        "asai_bound_pu": 1.0 - estimate.mean(saidi)[::-1] / HOURS_PER_YEAR,
        "eens_bound_mwh_per_year": estimate.mean(sample.hours @ d),
        "aens_bound_kwh_per_year": estimate.mean(1e3 * (sample.hours @ d) / n.sum()),
    }
    ds = ds.assign({name: ("bound", values) for name, values in bounds.items()})
    of_loads = {
        "failure_rate_bound_per_year": estimate.mean(sample.rate),
        "unavailability_bound_h_per_year": estimate.mean(sample.hours),
    }
    ds = ds.assign({name: (("bound", LOAD), values) for name, values in of_loads.items()})
    names = ("yearly_saifi_per_year", "yearly_saidi_h_per_year", "yearly_eens_mwh_per_year")
    ds = ds.assign(
        {name: ("year", values) for name, values in zip(names, sample.yearly, strict=True)}
    )
    ds.attrs["n_faults"] = sample.n_faults
    return ds.assign_coords(bound=["low", "high"], year=np.arange(years))


def _option_findings(
    profiles: object,
    load_factor: float,
    method: str,
    years: int,
    repair: str,
    confidence_percent: float,
) -> list[Finding]:
    found = []

    def refuse(column: str, rule: str, mend: str) -> None:
        found.append(Finding(table="reliability_indices", column=column, rule=rule, mend=mend))

    if not 0 < load_factor <= 1:
        refuse("load_factor", f"is {load_factor}", "use a number above 0 up to 1")
    if profiles is not None and not math.isclose(load_factor, 1.0):
        refuse("load_factor", "is given beside profiles", "leave one of them out")
    for name, value, kind in (
        ("method", method, Method),
        ("repair", repair, Repair),
    ):
        if value not in get_args(kind):
            refuse(name, f"is {value!r}", f"use one of {', '.join(map(repr, get_args(kind)))}")
    if years < 20:
        refuse("years", f"is {years}", "simulate 20 years at least")
    if not 0 < confidence_percent < 100:
        refuse("confidence_percent", f"is {confidence_percent}", "use a number between 0 and 100")
    return found
