"""`runpp`: pandapower's own Newton power flow, with soft open points.

The balance of each device and who closes it is `pp_p2p.operation.terminal_state`. In the grid a
terminal is

    a static generator              where it holds q_mvar
    a generator                     where it holds vm_pu, until its reactive power meets a limit
    an external grid                where it forms an island that nothing else feeds

so that any of pandapower's algorithms can be used. Where nothing but set points enters the
balance, it is closed beforehand (`pp_p2p.network.converter_losses`) and one power flow is enough;
else power flows alternate with it until the balancing power rests: losses are a small part of what
is transferred, so that each round gains about two digits.
"""

from __future__ import annotations

import copy
from typing import Any, Final

import numpy as np
import pandapower as pp
import pandas as pd

from pp_p2p.elements.validate import findings
from pp_p2p.errors import NotConverged, raise_if_any
from pp_p2p.operation.terminal_state import (
    TerminalState,
    overloads,
    storage_on_links,
    terminal_state,
)

REST_MW: Final = 1e-10
"""Change of a balancing power at which (1) counts as closed."""

MOST_ROUNDS: Final = 40
"""Rounds of power flow and balance before giving up."""


def runpp(net: Any, **kwargs: Any) -> None:
    """Run ``pandapower.runpp`` with the soft open points of `net`.

    Parameters
    ----------
    net : pandapowerNet
        Its ``res_`` tables are filled as by pandapower; ``res_sop_terminal`` (``p_mw``, ``q_mvar``
        fed into the bus, ``loss_mw``, ``vm_pu``, ``loading_percent``, ``role`` that it played) and
        ``res_sop`` (``loss_mw``, ``p_storage_mw`` drawn by storage on the link) beside them.
        Nothing else changes.
    **kwargs
        Handed to ``pandapower.runpp``.

    Raises
    ------
    InvalidInput
        A broken table, a set point above the rating of its terminal, a device without a terminal
        that could balance it, or a terminal on a bus that nothing feeds.
    LoadflowNotConverged
        As pandapower raises it.
    NotConverged
        Power flow and balance of the devices do not come to rest.
    """
    raise_if_any(findings(net))
    state = terminal_state(net)
    alternating = _Alternating(net, state, kwargs)
    alternating.run()
    raise_if_any(overloads(state))
    alternating.write(net)


class _Alternating:
    """Power flows of a copy of the net, in turn with the balance of the devices."""

    def __init__(self, net: Any, state: TerminalState, options: dict[str, Any]) -> None:
        self._net, self._state, self._options = copy.deepcopy(net), state, options
        self._net.storage.loc[storage_on_links(net), "in_service"] = False
        self._rows: dict[str, list[int]] = {"sgen": [], "gen": [], "ext_grid": []}

    def run(self) -> None:
        """Alternate until the balancing powers rest."""
        state, history = self._state, []
        for _ in range(MOST_ROUNDS):
            self._place_terminals()
            pp.runpp(self._net, **self._options)
            if state.settled_beforehand:
                return
            self._read_back()
            limited = bool(state.give_way())
            history.append(float(state.close()))
            if np.isnan(state.p).any():
                raise_if_any(overloads(state))
            if history[-1] <= REST_MW and not limited:
                return
        raise NotConverged(
            f"power flow and balance of the soft open points did not come to rest in {MOST_ROUNDS}"
            f" rounds; the balancing power still moves by {history[-1]:.2g} MW",
            history=history,
        )

    def write(self, net: Any) -> None:
        """Hand the results over to `net`."""
        solved, state = self._net, self._state
        for name in [key for key in solved if str(key).startswith("res_")]:
            added = self._rows.get(str(name).removeprefix("res_"), [])
            net[name] = solved[name].drop(index=added) if added else solved[name]
        net.converged = solved.converged
        rows = state.rows
        loading = np.hypot(state.p, state.q) / rows.sn_mva.to_numpy(float)
        net["res_sop_terminal"] = pd.DataFrame(
            {
                "p_mw": state.p,
                "q_mvar": state.q,
                "loss_mw": state.losses,
                "vm_pu": net.res_bus.vm_pu.reindex(rows.bus).to_numpy(),
                "loading_percent": 100.0 * loading,
                "role": state.roles(),
            },
            index=rows.index,
        )
        by_device = pd.DataFrame(
            {"loss_mw": state.losses, "p_storage_mw": -state.p - state.losses}, index=rows["sop"]
        )
        net["res_sop"] = by_device.groupby(level=0).sum()  # storage draws what terminals leave

    def _place_terminals(self) -> None:
        """Write the terminals into the copy as elements of pandapower's."""
        for table, rows in self._rows.items():
            self._net[table] = self._net[table].drop(index=rows)
        state = self._state
        kinds = np.where(state.forming, "ext_grid", np.where(state.holds_voltage, "gen", "sgen"))
        self._rows = {table: [] for table in self._rows}
        vm, rated = (state.rows[c].to_numpy(float) for c in ("vm_pu", "sn_mva"))
        for k, (kind, bus) in enumerate(zip(kinds, state.rows.bus.tolist(), strict=True)):
            set_point = {
                "sgen": {"p_mw": float(state.p[k]), "q_mvar": float(state.q[k])},
                "gen": {
                    "p_mw": float(state.p[k]),
                    "vm_pu": float(vm[k]),
                    # not enforced; without any, pandapower shares 1e9 Mvar and loses digits
                    "min_q_mvar": -float(rated[k]),
                    "max_q_mvar": float(rated[k]),
                },
                "ext_grid": {"vm_pu": float(vm[k])},
            }[str(kind)]
            row = getattr(pp, f"create_{kind}")(self._net, bus, **set_point)
            self._rows[str(kind)].append(row)

    def _read_back(self) -> None:
        state, solved = self._state, self._net
        if state.holds_voltage.any():
            state.q[state.holds_voltage] = solved.res_gen.q_mvar.loc[self._rows["gen"]]
        if state.forming.any():
            formed = solved.res_ext_grid.loc[self._rows["ext_grid"]]
            state.p[state.forming] = formed.p_mw
            state.q[state.forming] = formed.q_mvar
