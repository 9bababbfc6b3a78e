"""`runpp`: pandapower's own Newton power flow, with soft open points.

Terminal i of a device feeds its set point p_i + jq_i into the grid and loses
L_i = A_i |p_i + jq_i|. The last terminal in service holds the voltage of the direct-current link:
its active power is what the others leave,

    p + A sqrt(p^2 + q^2) = c,   c = - sum_{others} (p_i + L_i)                          (1)
    p = (c - A sqrt(c^2 + (1 - A^2) q^2)) / (1 - A^2)                                     (2)

(2) solves (1) exactly, so that the device balances to rounding. Nothing iterates: each terminal is
one static generator of the power flow, and any of pandapower's algorithms can be used.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pandapower as pp
import pandas as pd

from pp_p2p.elements.tables import frame
from pp_p2p.elements.validate import findings
from pp_p2p.errors import Finding, raise_if_any


def runpp(net: Any, **kwargs: Any) -> None:
    """Run ``pandapower.runpp`` with the soft open points of `net`.

    Parameters
    ----------
    net : pandapowerNet
        Its ``res_`` tables are filled as by pandapower; ``res_sop_terminal`` (``p_mw``, ``q_mvar``
        fed into the bus, ``loss_mw``, ``vm_pu``, ``loading_percent``) and ``res_sop``
        (``loss_mw``) beside them. Nothing else changes.
    **kwargs
        Handed to ``pandapower.runpp``.

    Raises
    ------
    InvalidInput
        A broken table, or a set point above the rating of its terminal.
    LoadflowNotConverged
        As pandapower raises it.
    """
    raise_if_any(findings(net))
    terminals = closed_set_points(net)
    raise_if_any(_overloads(terminals))
    with_terminals = copy.deepcopy(net)
    rows = [
        pp.create_sgen(with_terminals, bus, p_mw=p, q_mvar=q)
        for bus, p, q in zip(
            terminals.bus.tolist(),
            terminals.p_mw.tolist(),
            terminals.q_mvar.tolist(),
            strict=True,
        )
    ]
    pp.runpp(with_terminals, **kwargs)
    for name in [key for key in with_terminals if str(key).startswith("res_")]:
        net[name] = with_terminals[name]
    net.res_sgen = net.res_sgen.drop(index=rows)
    net.converged = with_terminals.converged
    vm_pu = net.res_bus.vm_pu.reindex(terminals.bus).to_numpy()
    net["res_sop_terminal"] = terminals[["p_mw", "q_mvar", "loss_mw"]].assign(
        vm_pu=vm_pu, loading_percent=terminals.loading_percent
    )
    net["res_sop"] = terminals.groupby("sop")[["loss_mw"]].sum()


def closed_set_points(net: Any) -> pd.DataFrame:
    """Return the terminals in service with the set points that balance each device.

    Returns
    -------
    DataFrame
        Index and columns of ``net.sop_terminal``, with ``p_mw`` of the last terminal of each device
        by (2), ``loss_mw`` and ``loading_percent``.
    """
    device, terminal = frame(net, "sop"), frame(net, "sop_terminal")
    active = device.index[device.in_service.to_numpy(bool)]
    live = terminal.in_service.to_numpy(bool) & terminal["sop"].isin(active).to_numpy(bool)
    rows = terminal[live].copy()
    for _, members in rows.groupby("sop"):
        others, last = members.iloc[:-1], members.iloc[-1]
        apparent = np.hypot(others.p_mw.to_numpy(float), others.q_mvar.to_numpy(float))
        c = -float((others.p_mw + others.loss_factor * apparent).sum())
        a, q = float(last.loss_factor), float(last.q_mvar)
        rest = 1.0 - a**2
        p = (c - a * np.sqrt(c**2 + rest * q**2)) / rest
        rows.loc[members.index[-1], "p_mw"] = p
    apparent = np.hypot(rows.p_mw.to_numpy(float), rows.q_mvar.to_numpy(float))
    rows["loss_mw"] = rows.loss_factor.to_numpy(float) * apparent
    rows["loading_percent"] = 100.0 * apparent / rows.sn_mva.to_numpy(float)
    return rows


def _overloads(terminals: pd.DataFrame) -> list[Finding]:
    over = terminals.index[terminals.loading_percent.to_numpy(float) > 100.0 + 1e-6]
    if not len(over):
        return []
    return [
        Finding(
            table="sop_terminal",
            column="sn_mva",
            rows=tuple(over.tolist()),
            rule="is below the apparent power of the set point, losses of the device included",
            mend="lower p_mw and q_mvar of the device, or raise sn_mva",
        )
    ]
