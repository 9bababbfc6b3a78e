"""Delivery: the schedule is written to the soft open point, an AC power flow is the meter."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr

from pp_p2p.elements.tables import frame
from pp_p2p.errors import Finding, raise_if_any
from pp_p2p.market.combined_offers import Integers
from pp_p2p.names import PARTICIPANT, TIME
from pp_p2p.network.branches import Array
from pp_p2p.network.portfolio import load_power
from pp_p2p.network.timeline import Timeline
from pp_p2p.operation.runpp import runpp
from pp_p2p.written_back import write_back

WH_PER_MWH: Final = 10**6


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """What was metered.

    Parameters
    ----------
    energy_wh : (participant, step) of int, Wh
        Taken from the link.
    fault : (participant, step) of bool
        Whether the terminal was out of order.
    sop_p_mw : (terminal, step), MW
        Fed into the buses by the power flow.
    loss_mw : (step,), MW
        Of branches and converters, by the power flow.
    """

    energy_wh: Integers
    fault: Array
    sop_p_mw: Array
    loss_mw: Array


def deliver(
    net: Any,
    profiles: xr.Dataset,
    day: xr.Dataset,
    *,
    failed: Mapping[int, Sequence[int]] | None = None,
    noise_mwh: float = 0.0,
    seed: int = 0,
) -> Delivery:
    """Carry out a day of `pp_p2p.CombinedOffer` in the power flow, and meter it.

    Parameters
    ----------
    net : pandapowerNet
        Is not changed.
    profiles : Dataset
    day : Dataset
        Of `pp_p2p.trade_day`.
    failed : mapping of int to sequence of int, optional
        Participant -> steps in which its terminal is out of order. The others go on; of those that
        take from the link and those that feed it, the side that then has more gives way alike.
    noise_mwh : float
        Standard deviation of a meter's error.
    seed : int
        Of the noise.

    Raises
    ------
    InvalidInput
        A day of another mechanism, an unknown participant or step.
    LoadflowNotConverged
        As `pp_p2p.runpp` raises it.
    """
    failed = {} if failed is None else failed
    raise_if_any(_findings(day, failed))
    line = Timeline.from_profiles(profiles)
    work = copy.deepcopy(net)
    p_load, q_load = load_power(net.load, profiles, line)
    p_load = p_load + _moved(net, day, line.n_steps)
    work.load["scaling"] = 1.0
    points = day.assign_attrs(problem="dispatch")
    terminals = day["sop_terminal_of"].to_numpy().tolist()
    people = day[PARTICIPANT].to_numpy().tolist()
    fault = np.array([[t in failed.get(k, ()) for t in range(line.n_steps)] for k in people])
    taken, fed = np.zeros(fault.shape), np.zeros(fault.shape)
    loss = np.zeros(line.n_steps)
    healthy = work.sop_terminal[["in_service", "control_mode_dc"]].copy()
    planned = day["link_mw"].transpose(PARTICIPANT, TIME).to_numpy()
    for t in range(line.n_steps):
        work.load["p_mw"], work.load["q_mvar"] = p_load[t], q_load[t]
        write_back(work, points, step=t)
        work.sop_terminal[["in_service", "control_mode_dc"]] = healthy
        if fault[:, t].any():
            _go_on_without(work.sop_terminal, terminals, fault[:, t], planned[:, t])
        runpp(work, numba=False)  # small nets, and no word about it where numba is missing
        found = work.res_sop_terminal.reindex(terminals).fillna(0.0)
        fed[:, t] = found.p_mw
        taken[:, t] = found.p_mw + found.loss_mw
        loss[t] = work.res_line.pl_mw.sum() + work.res_trafo.pl_mw.sum()
        loss[t] += work.res_sop.loss_mw.sum()
    energy = taken * line.step_h * WH_PER_MWH
    energy += np.random.default_rng(seed).normal(0.0, noise_mwh * WH_PER_MWH, energy.shape)
    return Delivery(
        energy_wh=np.round(energy).astype(np.int64), fault=fault, sop_p_mw=fed, loss_mw=loss
    )


def _go_on_without(table: pd.DataFrame, terminals: list[int], fault: Array, link: Array) -> None:
    """Balance the link without the terminals at fault: the side that has more gives way.

    Its largest terminal holds the link and so takes what the change of losses leaves.
    """
    rows = np.array(terminals)
    table.loc[rows[fault], "in_service"] = False
    left = np.where(fault, 0.0, link)
    taken, fed = np.maximum(left, 0.0).sum(), np.maximum(-left, 0.0).sum()
    side = (left > 0) if taken > fed else (left < 0)
    if not side.any():
        return
    table.loc[rows[side], "p_mw"] *= min(taken, fed) / max(taken, fed)
    table.loc[rows, "control_mode_dc"] = "p_mw"
    table.loc[rows[np.argmax(np.where(side, np.abs(left), -1.0))], "control_mode_dc"] = "vm_pu"


def _moved(net: Any, day: xr.Dataset, n_steps: int) -> Array:
    """Return what flexible loads add to their profile (step, load), MW."""
    added = pd.DataFrame(0.0, index=range(n_steps), columns=net.load.index)
    for row, load in frame(net, "flexible_load").load.items():
        if row in day["flexible_load"]:
            one = day.sel(flexible_load=row)
            more = one["load_shift_mw"] - one["load_curtailed_mw"] + one["load_response_mw"]
            added[load] += more.to_numpy()
    return added.to_numpy()


def _findings(day: xr.Dataset, failed: Mapping[int, Sequence[int]]) -> Iterator[Finding]:
    if day.attrs.get("mechanism") != "CombinedOffer":
        yield Finding(
            table="day",
            column="mechanism",
            rule="is not CombinedOffer",
            mend="pass a result of trade_day(..., mechanism=pp_p2p.CombinedOffer())",
        )
        return
    people, n_steps = day[PARTICIPANT].to_numpy().tolist(), day.sizes[TIME]
    wrong = [k for k, steps in failed.items()
             if k not in people or any(not 0 <= t < n_steps for t in steps)]  # fmt: skip
    if wrong:
        yield Finding(
            table="failed",
            rows=tuple(wrong),
            rule=f"are no participants of the day, or name no steps of 0 to {n_steps - 1}",
            mend="name rows of net.participant and the positions of steps",
        )
