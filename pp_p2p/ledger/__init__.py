"""Settlement of a trading day on a ledger: contract, chain, metering, refund.

Needs the extra: ``pip install pp-p2p[ledger]``. Nothing of it is imported before it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pp_p2p.public import load_when_used

if TYPE_CHECKING:
    from pp_p2p.ledger.chain import Chain
    from pp_p2p.ledger.delivery import Delivery, deliver
    from pp_p2p.ledger.ledger_day import LedgerDay
    from pp_p2p.ledger.settlement import settle_agreed, settle_day
    from pp_p2p.ledger.terms import Terms

_HOMES = {
    "Chain": "pp_p2p.ledger.chain",
    "Delivery": "pp_p2p.ledger.delivery",
    "LedgerDay": "pp_p2p.ledger.ledger_day",
    "Terms": "pp_p2p.ledger.terms",
    "deliver": "pp_p2p.ledger.delivery",
    "settle_agreed": "pp_p2p.ledger.settlement",
    "settle_day": "pp_p2p.ledger.settlement",
}

__all__ = ["Chain", "Delivery", "LedgerDay", "Terms", "deliver", "settle_agreed", "settle_day"]

__getattr__, __dir__ = load_when_used(__name__, _HOMES)
