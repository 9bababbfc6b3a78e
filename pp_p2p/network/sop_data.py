"""Terminals of soft open points as per-unit arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd

from pp_p2p.elements.terminals import live_terminals
from pp_p2p.network.branches import Array
from pp_p2p.network.converter_losses import LossLaw
from pp_p2p.network.grid import GridData


@dataclass(frozen=True, kw_only=True)
class SoftOpenPoints:
    """Terminals in service (terminal,), p.u.; `device` is the row of ``net.sop`` of each."""

    index: Array
    device: Array
    bus: Array
    node: Array
    s_max: Array
    law: LossLaw
    q_min: Array
    q_max: Array

    @classmethod
    def from_net(cls, net: Any, grid: GridData) -> Self:
        """Read the terminals that are in service, with their device, on energised buses."""
        return cls.from_terminals(live_terminals(net), grid)

    @classmethod
    def from_terminals(cls, terminal: pd.DataFrame, grid: GridData) -> Self:
        """Read rows of ``net.sop_terminal`` that are on energised buses."""
        node = grid.nodes_of(terminal.bus.to_numpy())
        rows, base = terminal[node >= 0], grid.s_base_mva
        s_max = rows.sn_mva.to_numpy(float) / base
        q_min = rows.min_q_mvar.astype(float).to_numpy() / base
        q_max = rows.max_q_mvar.astype(float).to_numpy() / base
        return cls(
            index=rows.index.to_numpy(np.int64),
            device=rows["sop"].to_numpy(np.int64),
            bus=rows.bus.to_numpy(np.int64),
            node=node[node >= 0],
            s_max=s_max,
            law=LossLaw(
                standby=rows.loss_standby_mw.to_numpy(float) / base,
                factor=rows.loss_factor.to_numpy(float),
                quadratic=rows.loss_quadratic_per_mva.to_numpy(float) * base,
            ),
            q_min=np.where(np.isnan(q_min), -s_max, np.maximum(q_min, -s_max)),
            q_max=np.where(np.isnan(q_max), s_max, np.minimum(q_max, s_max)),
        )
