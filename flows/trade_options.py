"""From the section ``[trade]`` to what `pp_p2p.trade_day` takes.

Keys have the names of the options of the library's classes: one that is added there and in
`flows.study_market` needs nothing here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Final

from flows.key_meaning import options_of
from flows.study_market import COMBINED, STACKELBERG, UNMANAGED, Trade

BY_NAME: Final = ("sop",)
"""Options whose value is a row of the net, and a name in the study file."""


Switchable = Mapping[str, list[int]]


def trade_options(
    trade: Trade, sop_rows: Mapping[str, int], switchable: Switchable
) -> dict[str, Any]:
    """Return the arguments of `pp_p2p.trade_day` beside net, profiles, solver and seed.

    Parameters
    ----------
    trade : Trade
    sop_rows : mapping
        Row of ``net.sop`` of each name.
    switchable : mapping
        Rows of ``line`` and ``switch`` that may be operated in the net of the plan.
    """
    found = {
        "mechanism": mechanism_of(trade, sop_rows),
        "congestion": congestion_of(trade),
        "reconfigure": reconfiguration_of(trade, switchable),
    }
    chosen = options_of(trade, ("formulation", "algorithm"))
    if "algorithm" in chosen:
        chosen["algorithm"] = scheme_of(trade) or chosen["algorithm"]
    return {**chosen, **{name: value for name, value in found.items() if value is not None}}


def mechanism_of(trade: Trade, sop_rows: Mapping[str, int] | None = None) -> Any:
    """Return the mechanism; without `sop_rows` one that trades across the only device."""
    if trade.mechanism == STACKELBERG:
        from pp_p2p import Stackelberg

        return _made(Stackelberg, trade)
    if trade.mechanism == COMBINED:
        from pp_p2p import CombinedOffer

        rows = {} if trade.sop is None or sop_rows is None else {"sop": sop_rows[trade.sop]}
        return _made(CombinedOffer, trade, **rows)
    from pp_p2p import NashBargaining

    return _made(NashBargaining, trade)


def congestion_of(trade: Trade) -> Any:
    """Return the congestion management, or None."""
    if trade.congestion == UNMANAGED:
        return None
    from pp_p2p import CongestionManagement

    return CongestionManagement(rule=trade.congestion)


def scheme_of(trade: Trade) -> Any:
    """Return how the day is solved without a centre, where the study says how."""
    if trade.distributed is None:
        return None
    from pp_p2p import Distributed

    return Distributed(**dict(trade.distributed))


def reconfiguration_of(trade: Trade, switchable: Switchable | None = None) -> Any:
    """Return what the operator may switch, or None."""
    if trade.reconfigure is None:
        return None
    from pp_p2p import Reconfiguration

    options = trade.reconfigure.model_dump(exclude={"lines", "switches"})
    return Reconfiguration(**options, switchable=switchable)


def _made(kind: Callable[..., Any], trade: Trade, **more: Any) -> Any:
    names = [one.name for one in dataclasses.fields(kind) if one.name not in BY_NAME]  # type: ignore[arg-type]
    return kind(**options_of(trade, names), **more)
