"""What a formulation of the load flow must offer, and the choice between them.

A problem names a formulation and never writes one of its equations; `network_block` asks the
formulation for them.
"""

from __future__ import annotations

from typing import Any, Final, Literal, Protocol

from pp_p2p.errors import Finding, InvalidInput
from pp_p2p.network.ac import AcBranchFlow
from pp_p2p.network.branch_flow import BranchFlow
from pp_p2p.network.grid import GridData
from pp_p2p.network.lindistflow import LinDistFlow


class Formulation(Protocol):
    """Branch physics in the squared-voltage coordinates ``v = |V|^2``, sending-end ``p, q``."""

    name: str
    has_losses: bool
    capability: Literal["cone", "exact", "polygon"]
    """How the apparent power of a converter is written."""

    def add_variables(self, block: Any, grid: GridData, flow_bound: float) -> None:
        """Add what the formulation needs beside ``v``, ``p`` and ``q``."""

    def add_branch_physics(self, block: Any, grid: GridData) -> None:
        """Add the voltage drop and the current law of every branch and step."""

    def add_branch_limits(self, block: Any, grid: GridData) -> None:
        """Add the current limits."""


FORMULATIONS: Final[dict[str, Formulation]] = {
    f.name: f for f in (LinDistFlow(), BranchFlow(), AcBranchFlow())
}
"""Formulations by name."""


def get_formulation(name: str) -> Formulation:
    """Return the formulation called `name`.

    Raises
    ------
    InvalidInput
        Where there is none.
    """
    if name not in FORMULATIONS:
        raise InvalidInput(
            Finding(
                table="formulation",
                rule=f"there is no formulation {name!r}",
                mend=f"choose one of {', '.join(sorted(FORMULATIONS))}",
            )
        )
    return FORMULATIONS[name]
