"""Bids and asks across a soft open point, pair by pair.

Buyer b bids B_b for at most D_b, seller s asks A_s for at most S_s; of what s sends to b the share
kappa_bs is lost and w_bs is paid for wheeling. The combined offer of a pair, per MWh sent, is

    c_bs = B_b (1 - kappa_bs) - A_s - w_bs                                                (1)

Greedy takes the highest first, as much as both, their terminals and the link allow, while it is
positive. It is not optimal where wheeling or losses differ by pair; the transportation problem is:

    max  sum c_bs q_bs   s.t.  sum_b q_bs <= S_s, terminal of s;   sum_bs q_bs <= link
                               sum_s (1 - kappa_bs) q_bs <= D_b, terminal of b            (2)

The surplus of a pair is split: the seller gets ``A_s + theta c``, the buyer pays ``B_b (1 - kappa)
- (1 - theta) c`` and the operator gets w, so that what is paid is what is received. Individually
rational and balanced, not truthful. Reconstructed: Ji et al. (2022) clear levels
(`combined_offers`), not pairs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pyomo.environ as pyo
import xarray as xr

from pp_p2p.errors import Finding, raise_if_any
from pp_p2p.market.combined_offers import MICRO
from pp_p2p.names import BUYER, SELLER
from pp_p2p.network.branches import Array
from pp_p2p.results import label
from pp_p2p.solve.run import run_solver

NOTHING_MWH: Final = 1e-9


def _none() -> Array:
    return np.array(np.inf)


@dataclass(frozen=True, kw_only=True)
class PairOffers:
    """Bids and asks of one step.

    Parameters
    ----------
    bid_eur_per_mwh, demand_mwh : (buyer,)
    ask_eur_per_mwh, supply_mwh : (seller,)
    wheeling_eur_per_mwh, loss_factor : (buyer, seller)
        Per MWh sent.
    buyer_terminal_mwh : (buyer,), optional
        Most that the terminal of a buyer may receive.
    seller_terminal_mwh : (seller,), optional
        Most that the terminal of a seller may send.
    link_mwh : float
        Most that all may send together.
    seller_share : float
        theta: the seller's part of the surplus.

    Raises
    ------
    InvalidInput
        Shapes that do not fit, values that are not numbers, negative quantities.
    """

    bid_eur_per_mwh: Array
    demand_mwh: Array
    ask_eur_per_mwh: Array
    supply_mwh: Array
    wheeling_eur_per_mwh: Array
    loss_factor: Array
    buyer_terminal_mwh: Array = field(default_factory=_none)
    seller_terminal_mwh: Array = field(default_factory=_none)
    link_mwh: float = float("inf")
    seller_share: float = 0.5

    def __post_init__(self) -> None:
        raise_if_any(_findings(self))

    @property
    def combined_eur_per_mwh(self) -> Array:
        """The combined offers (1) (buyer, seller)."""
        worth = self.bid_eur_per_mwh[:, None] * (1.0 - self.loss_factor)
        combined: Array = worth - self.ask_eur_per_mwh[None, :] - self.wheeling_eur_per_mwh
        return combined

    @property
    def most_received(self) -> Array:
        """What a buyer can take (buyer,), MWh."""
        return np.minimum(self.demand_mwh, self.buyer_terminal_mwh)

    @property
    def most_sent(self) -> Array:
        """What a seller can send (seller,), MWh."""
        return np.minimum(self.supply_mwh, self.seller_terminal_mwh)


def match_pairs(offers: PairOffers) -> xr.Dataset:
    """Match pairs by the highest combined offer, and by the transportation problem beside it.

    Returns
    -------
    Dataset
        ``greedy_mwh`` and ``optimal_mwh(buyer, seller)`` sent, ``payment_eur(buyer)``,
        ``income_eur(seller)`` and ``wheeling_eur`` of the greedy match, ``combined_eur_per_mwh``.
        Attributes ``greedy_eur``, ``optimal_eur`` (summed surplus) and ``greedy_loss_eur``.
    """
    combined = offers.combined_eur_per_mwh
    greedy, optimal = greedy_match(offers), optimal_match(offers)
    surplus = combined * greedy
    bought = offers.bid_eur_per_mwh[:, None] * (1.0 - offers.loss_factor) * greedy
    both = (BUYER, SELLER)
    ds = xr.Dataset(
        {
            "combined_eur_per_mwh": (both, combined),
            "greedy_mwh": (both, greedy),
            "optimal_mwh": (both, optimal),
            "payment_eur": (BUYER, (bought - (1 - offers.seller_share) * surplus).sum(axis=1)),
            "income_eur": (
                SELLER,
                (offers.ask_eur_per_mwh * greedy + offers.seller_share * surplus).sum(axis=0),
            ),
            "wheeling_eur": float((offers.wheeling_eur_per_mwh * greedy).sum()),
        },
        coords={BUYER: np.arange(len(combined)), SELLER: np.arange(combined.shape[1])},
    )
    best, found = float((combined * optimal).sum()), float(surplus.sum())
    return label(
        ds, {"greedy_eur": found, "optimal_eur": best, "greedy_loss_eur": max(best - found, 0.0)}
    )


def greedy_match(offers: PairOffers) -> Array:
    """Return what is sent (buyer, seller), MWh, highest combined offer first; ties by index."""
    combined, keep = offers.combined_eur_per_mwh, 1.0 - offers.loss_factor
    sent = np.zeros_like(combined)
    received, supplied = offers.most_received.copy(), offers.most_sent.copy()
    left = offers.link_mwh
    for place in np.argsort(-combined, axis=None, kind="stable").tolist():
        b, s = divmod(place, combined.shape[1])
        if combined[b, s] <= 0.0:
            break
        amount = min(received[b] / keep[b, s], supplied[s], left)
        if amount <= NOTHING_MWH:
            continue
        sent[b, s] = amount
        received[b] -= amount * keep[b, s]
        supplied[s] -= amount
        left -= amount
    return sent


def optimal_match(offers: PairOffers) -> Array:
    """Return what is sent (buyer, seller), MWh, by the transportation problem (2)."""
    combined, keep = offers.combined_eur_per_mwh, 1.0 - offers.loss_factor
    n_buyers, n_sellers = combined.shape
    m = pyo.ConcreteModel(name="transportation")
    m.BUYER, m.SELLER = pyo.RangeSet(0, n_buyers - 1), pyo.RangeSet(0, n_sellers - 1)
    most = float(min(offers.most_sent.sum(), offers.link_mwh))
    m.sent = pyo.Var(m.BUYER, m.SELLER, bounds=(0.0, most))
    pairs = [(b, s) for b in m.BUYER for s in m.SELLER]
    m.demand = pyo.Constraint(
        m.BUYER,
        rule=lambda m, b: (
            sum(float(keep[b, s]) * m.sent[b, s] for s in m.SELLER)
            <= float(offers.most_received[b])
        ),
    )
    m.supply = pyo.Constraint(
        m.SELLER,
        rule=lambda m, s: sum(m.sent[b, s] for b in m.BUYER) <= float(offers.most_sent[s]),
    )
    m.link = pyo.Constraint(expr=sum(m.sent[pair] for pair in pairs) <= most)
    m.objective = pyo.Objective(expr=-sum(float(combined[pair]) * m.sent[pair] for pair in pairs))
    run_solver(m)
    return np.array([m.sent[pair].value for pair in pairs]).reshape(combined.shape)


def _findings(offers: PairOffers) -> Iterator[Finding]:
    def wrong(column: str, rule: str, mend: str) -> Finding:
        return Finding(table="PairOffers", column=column, rule=rule, mend=mend)

    n_buyers, n_sellers = np.size(offers.bid_eur_per_mwh), np.size(offers.ask_eur_per_mwh)
    for name, shape, least, most in (
        ("bid_eur_per_mwh", (n_buyers,), -MICRO, MICRO),
        ("demand_mwh", (n_buyers,), 0.0, MICRO),
        ("ask_eur_per_mwh", (n_sellers,), -MICRO, MICRO),
        ("supply_mwh", (n_sellers,), 0.0, MICRO),
        ("wheeling_eur_per_mwh", (n_buyers, n_sellers), 0.0, MICRO),
        ("loss_factor", (n_buyers, n_sellers), 0.0, 0.999),
        ("buyer_terminal_mwh", (n_buyers,), 0.0, np.inf),
        ("seller_terminal_mwh", (n_sellers,), 0.0, np.inf),
        ("link_mwh", (), 0.0, np.inf),
        ("seller_share", (), 0.0, 1.0),
    ):
        value = np.asarray(getattr(offers, name))
        if value.shape != shape and not ("terminal" in name and value.shape == ()):
            yield wrong(name, f"has the shape {value.shape}", f"give {shape}: (buyer, seller)")
        elif value.dtype.kind not in "iuf" or not ((value >= least) & (value <= most)).all():
            yield wrong(name, "is out of range", f"use numbers from {least:g} to {most:g}")
