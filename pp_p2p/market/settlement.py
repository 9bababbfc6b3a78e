"""Money of a trading day: who gains what, who pays whom.

The bargain gives every account one payment pi_n. Between two that traded, the payment is recovered
from it by the projection

    min sum_{nm} (p_nm - p^_nm)^2 / V_nm   s.t.  sum_m p_nm = pi_n,  p_nm = -p_mn         (1)

on the graph of trades, where V_nm is the energy that the two traded and p^_nm what n bought from m
less what it sold, at the mean of what energy is worth to both: prices of pairs deviate from that
mean as little as can be, each MWh counting alike. Its solution is p_nm = p^_nm + V_nm (theta_n -
theta_m) with the weighted Laplacian L theta = pi - sum_m p^_nm. It exists where the payments of
every connected part sum to zero: an operator inside the bargain is connected with everyone, by a
small V of its own, so that it passes on little; without it each part bargains alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.linalg import solve
from scipy.sparse.csgraph import connected_components

from pp_p2p.errors import Finding, raise_if_any
from pp_p2p.market.bargaining import (
    bounded_payments,
    energy_map_power,
    nash_payments,
    net_volume_power,
)
from pp_p2p.market.clearing import ClearingData
from pp_p2p.network.branches import Array

LINK: Final = 0.01
"""V between operator and participant, relative to what this and the mean one have traded."""

NOISE: Final = 0.01
"""Where more than this share of a gain is the solver's gap, its split is noise."""


@dataclass(frozen=True, kw_only=True)
class Settlement:
    """Payments and bargaining powers by account, the operator last, EUR.

    `pair_payment` (account, account) is what the row pays the column. `group` (account,) numbers
    the parts that bargained apart; -1 takes no part.
    """

    payment: Array
    power: Array
    pair_payment: Array
    group: Array


def settle(
    data: ClearingData,
    trades_mwh: Array,
    share: Array,
    power: Array,
    worth_eur_per_mwh: Array,
) -> Settlement:
    """Return the payments of the bargain and of its pairs.

    Parameters
    ----------
    data : ClearingData
    trades_mwh : (seller, buyer, hour)
    share : (account,), EUR
        What each saves before payments; the operator last.
    power : (account,)
        Bargaining powers.
    worth_eur_per_mwh : (participant, hour)
        What a MWh is worth to each participant.
    """
    n = len(data.participants)
    inside = data.mechanism.operator == "inside"
    group = _groups(trades_mwh, inside=inside, gain=share)
    low, high = _corridor(data, trades_mwh)
    payment = np.zeros(n + 1)
    for label in range(int(group.max(initial=-1)) + 1):
        mine = group == label
        if not power[mine].sum() > 0:
            raise_if_any(_powerless(data, mine[:n]))
            continue  # nobody has traded anything
        if data.mechanism.price_corridor:
            payment[mine] = bounded_payments(share[mine], power[mine], low[mine], high[mine])
        else:
            payment[mine] = nash_payments(share[mine], power[mine])
    return Settlement(
        payment=payment,
        power=power,
        pair_payment=_pair_payments(payment, trades_mwh, worth_eur_per_mwh, inside=inside),
        group=group,
    )


def worse_off(data: ClearingData, share: Array, money: Settlement, tolerance: float) -> Array:
    """Return the participants that a price corridor leaves worse off than alone.

    Without a corridor everyone gains; within one, an agreement that all would sign may not exist.

    Parameters
    ----------
    data : ClearingData
    share : (account,), EUR
        As in `settle`.
    money : Settlement
    tolerance : float, EUR
        Smaller losses are the solver's.
    """
    if not data.mechanism.price_corridor:
        return data.participants[:0]
    saving = (share - money.payment)[:-1]
    return np.asarray(data.participants[saving < -tolerance])


def verdict(traded_mwh: float, gain: float, tolerance: float, worse: Array) -> str:
    """Return whether there is an agreement, and why not."""
    if len(worse):
        who = ", ".join(map(str, worse.tolist()))
        return f"none: the price corridor leaves participants {who} worse off than alone"
    if gain > tolerance:
        return "agreed"
    if not traded_mwh > 0:
        return "none: no trade lowers the cost"
    return f"none: the gain ({gain:.2g} EUR) is below the solver's tolerance ({tolerance:.2g} EUR)"


def split_quality(gain: float, error: float, *, agreed: bool) -> str:
    """Return whether a gain is large enough, beside what the solver leaves open, to be split."""
    if not agreed:
        return "no gain to split"
    if error <= NOISE * gain:
        return "certain"
    return (
        f"noise: the solver leaves {error:.2g} EUR of the gain of {gain:.2g} EUR open; "
        "ask it for a smaller gap"
    )


def bargaining_powers(data: ClearingData, trades_mwh: Array, marginal: Array | None) -> Array:
    """Return the bargaining power of every account, the operator last.

    Parameters
    ----------
    trades_mwh : (seller, buyer, hour)
    marginal : (participant,), EUR
        What the gain loses without each; needed for powers of that kind.
    """
    bought_minus_sold = trades_mwh.sum(axis=0) - trades_mwh.sum(axis=1)
    kind = data.mechanism.bargaining_power
    if kind == "given":
        own = data.power
    elif kind == "net_volume":
        own = net_volume_power(bought_minus_sold)
    elif kind == "energy_map":
        own = energy_map_power(bought_minus_sold)
    elif kind == "marginal" and marginal is not None:
        own = np.maximum(marginal, 0.0)
    else:
        own = np.ones(len(data.participants))
    of_operator = data.mechanism.operator_power if data.mechanism.operator == "inside" else 0.0
    return np.append(own, of_operator)


def _powerless(data: ClearingData, mine: Array) -> list[Finding]:
    """Return the finding that all of a part have a given power of 0: nobody could take its gain."""
    if data.mechanism.bargaining_power != "given":
        return []
    return [
        Finding(
            table="participant",
            column="bargaining_power",
            rows=tuple(data.participants[mine].tolist()),
            rule="is 0 for everyone of a group that trades with nobody else",
            mend="give at least one of them a power > 0",
        )
    ]


def _groups(trades_mwh: Array, *, inside: bool, gain: Array) -> Array:
    """Return the connected part of each account; one alone takes no part.

    Where a part alone would lose, all bargain as one.
    """
    n = len(gain) - 1
    if inside:
        return np.zeros(n + 1, dtype=np.int64)
    traded = trades_mwh.sum(axis=2)
    _, label = connected_components(traded + traded.T > 0, directed=False)
    count = np.bincount(label, minlength=n)
    group = np.full(n + 1, -1)
    parts = [k for k in range(n) if count[k] > 1]
    if any(gain[:n][label == k].sum() < 0 for k in parts):
        group[:n] = 0
        return group
    for new, k in enumerate(parts):
        group[:n][label == k] = new
    return group


def _corridor(data: ClearingData, trades_mwh: Array) -> tuple[Array, Array]:
    """Return what each one's net energy is worth at the least and at the best price of the grid."""
    net = trades_mwh.sum(axis=0) - trades_mwh.sum(axis=1)
    line = data.line
    buy, sell = (
        line.weight @ price.reshape(line.n_days, -1) for price in (data.price_buy, data.price_sell)
    )
    bought, sold = np.maximum(net, 0.0), np.maximum(-net, 0.0)
    low, high = bought @ sell - sold @ buy, bought @ buy - sold @ sell
    return np.append(low, -np.inf), np.append(high, np.inf)


def _pair_payments(payment: Array, trades_mwh: Array, worth: Array, *, inside: bool) -> Array:
    """Return the solution (account, account) of (1)."""
    n = len(payment) - 1
    value, volume = np.zeros((n + 1, n + 1)), np.zeros((n + 1, n + 1))
    bought = 0.5 * (
        np.einsum("sbt,st->bs", trades_mwh, worth) + np.einsum("sbt,bt->bs", trades_mwh, worth)
    )  # what the row buys from the column
    value[:n, :n] = bought - bought.T
    traded = trades_mwh.sum(axis=2)
    volume[:n, :n] = traded + traded.T
    if inside:
        own = volume[:n, :n].sum(axis=1)
        volume[:n, n] = volume[n, :n] = LINK * (own + own.mean())
    scale = float(volume.max())
    if not scale > 0.0:
        return value
    volume /= scale
    _, part = connected_components(volume > 0.0, directed=False)
    level = part[:, None] == part[None, :]  # theta sums to zero over every part: one solution
    laplacian = np.diag(volume.sum(axis=1)) - volume
    theta = solve(laplacian + level, payment - value.sum(axis=1), assume_a="pos")
    return np.asarray(value + volume * (theta[:, None] - theta[None, :]))
