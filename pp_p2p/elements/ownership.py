"""Give loads, generators and storages an owner.

A wrong call raises `InvalidInput` and leaves the net as it was.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from pp_p2p.elements.rules import index_of, nearest
from pp_p2p.elements.tables import frame
from pp_p2p.elements.write import set_columns, spread
from pp_p2p.errors import Finding, InvalidInput
from pp_p2p.names import OPERATOR, OPERATOR_NAME

if TYPE_CHECKING:
    from pandapower import pandapowerNet


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


def participant_names(net: pandapowerNet) -> dict[int, str]:
    """Return row -> name of the participants of a net, and of the operator.

    A participant that has no name is there with an empty one.
    """
    names = frame(net, "participant")["name"]
    found = zip(names.index.tolist(), names.tolist(), strict=True)
    return {OPERATOR: OPERATOR_NAME, **{int(row): str(name) for row, name in found}}
