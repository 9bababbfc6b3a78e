"""Trades between participants in a model: through a pool, or pair by pair.

At every hour, with net purchases e_n = bought_n - sold_n of the participants,

    sum_n bought_n = sum_n sold_n                                      (pool_balance)    (1)
    bought_n + sold_n <= T_n                                           (trade_limit)     (2)

(1) is reciprocity: whatever meets it can be split into trades between sellers and buyers. Where
the fee or a limit depends on the pair, the trades e_ij >= 0 themselves are the variables, and (1)
holds by their form. Trades are agreed before it is known which scenario comes true: they are the
same in all of them.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pyomo.environ as pyo

from pp_p2p.network.algebra import linear
from pp_p2p.network.branches import Array

SMALLEST_PU: Final = 1e-7
"""Trades below this are the solver's tolerance."""

Terms = list[tuple[float, Any]]


def trade_block(limit: Array, pair_limit: Array | None, n_hours: int) -> Any:
    """Return a block of trades.

    Parameters
    ----------
    limit : (participant,), p.u.
        Most that each may trade (2); 0 keeps one out.
    pair_limit : (participant, participant), p.u., or None
        Most that each pair may trade; None is a pool without such limits.
    n_hours : int
        Steps of the day.
    """
    block = pyo.Block(concrete=True)
    n = len(limit)
    block.PARTICIPANT, block.HOUR = pyo.RangeSet(0, n - 1), pyo.RangeSet(0, n_hours - 1)
    if pair_limit is None:
        bounds = lambda _, k, _h: (0.0, float(limit[k]))  # noqa: E731
        block.bought = pyo.Var(block.PARTICIPANT, block.HOUR, bounds=bounds)
        block.sold = pyo.Var(block.PARTICIPANT, block.HOUR, bounds=bounds)
        block.pool_balance = pyo.Constraint(block.HOUR, rule=_pool_balance)
        return block
    most = np.minimum(pair_limit, np.minimum.outer(limit, limit))
    pairs = [(i, j) for i in range(n) for j in range(n) if i != j and most[i, j] > 0]
    block.PAIR = pyo.Set(dimen=2, initialize=pairs)
    block.trade = pyo.Var(
        block.PAIR, block.HOUR, bounds=lambda _, i, j, _h: (0.0, float(most[i, j]))
    )

    def trade_limit(b: Any, k: int, h: int) -> Any:
        trades = [b.trade[i, j, h] for i, j in b.PAIR if k in (i, j)]
        if not trades:
            return pyo.Constraint.Skip
        return linear([1.0] * len(trades), trades) <= float(limit[k])

    block.trade_limit = pyo.Constraint(block.PARTICIPANT, block.HOUR, rule=trade_limit)
    return block


def _pool_balance(b: Any, h: int) -> Any:
    coefs = [1.0] * len(b.PARTICIPANT) + [-1.0] * len(b.PARTICIPANT)
    variables = [b.bought[k, h] for k in b.PARTICIPANT] + [b.sold[k, h] for k in b.PARTICIPANT]
    return linear(coefs, variables) == 0.0


def net_terms(block: Any) -> dict[tuple[int, int], Terms]:
    """Return net purchases of each participant and hour as terms."""
    terms: dict[tuple[int, int], Terms] = {
        (k, h): [] for k in block.PARTICIPANT for h in block.HOUR
    }
    for h in block.HOUR:
        if not hasattr(block, "PAIR"):
            for k in block.PARTICIPANT:
                terms[k, h] = [(1.0, block.bought[k, h]), (-1.0, block.sold[k, h])]
            continue
        for i, j in block.PAIR:
            terms[i, h].append((-1.0, block.trade[i, j, h]))
            terms[j, h].append((1.0, block.trade[i, j, h]))
    return terms


def fee_terms(block: Any, fee: Array) -> dict[tuple[int, int], Terms]:
    """Return the fee of each participant and hour as terms: half of each trade's.

    Parameters
    ----------
    fee : (participant, participant), EUR per p.u. and hour step
        Of trades from row to column.
    """
    terms: dict[tuple[int, int], Terms] = {
        (k, h): [] for k in block.PARTICIPANT for h in block.HOUR
    }
    for h in block.HOUR:
        if not hasattr(block, "PAIR"):
            half = 0.5 * float(fee.max(initial=0.0))
            for k in block.PARTICIPANT:
                terms[k, h] = [(half, block.bought[k, h]), (half, block.sold[k, h])]
            continue
        for i, j in block.PAIR:
            for k in (i, j):
                terms[k, h].append((0.5 * float(fee[i, j]), block.trade[i, j, h]))
    return terms


def read_trades(block: Any) -> Array:
    """Return trades (seller, buyer, hour), p.u., of a solved block.

    From a pool every seller gives every buyer a part of the buyer's purchase that is the seller's
    share of all sales: the least-squares choice among those that have the same totals, and no
    circle. What is below the solver's tolerance is 0; reciprocity holds by the form.
    """
    n, hours = len(block.PARTICIPANT), len(block.HOUR)
    trades = np.zeros((n, n, hours))
    if not hasattr(block, "PAIR"):
        net = np.array(
            [[block.bought[k, h].value - block.sold[k, h].value for h in block.HOUR] for k in
             block.PARTICIPANT]
        ).reshape(n, hours)  # fmt: skip
        return split_pool(net)
    for i, j in block.PAIR:
        trades[i, j] = [max(block.trade[i, j, h].value, 0.0) for h in block.HOUR]
    trades[trades < SMALLEST_PU] = 0.0
    circular = np.minimum(trades, trades.transpose(1, 0, 2))
    return np.asarray(trades - circular)  # nobody buys from whom he sells to


def split_pool(net: Array) -> Array:
    """Return trades (seller, buyer, hour) >= 0 whose net purchases are `net` (participant, hour).

    Where `net` does not sum to zero but for the solver's tolerance, both sides are scaled to the
    smaller one.
    """
    net = np.where(np.abs(net) < SMALLEST_PU, 0.0, net)
    bought, sold = np.maximum(net, 0.0), np.maximum(-net, 0.0)
    total_bought, total_sold = bought.sum(axis=0), sold.sum(axis=0)
    volume = np.minimum(total_bought, total_sold)
    if not volume.any():
        return np.zeros((len(net), *net.shape))

    def share(amount: Array, total: Array) -> Array:
        return np.divide(amount, total, out=np.zeros_like(amount), where=total > 0)

    to, by = share(bought, total_bought), share(sold, total_sold)
    by *= volume
    return np.asarray(by[:, None, :] * to[None, :, :])


def in_proportion(
    net: Array, grid: Array, most: tuple[Array, Array, Array]
) -> tuple[Array, Array, Array]:
    """Return net purchases of the same volume that everyone has a proportional part of.

    Through a pool, who needs energy in an hour pays the same for it as all others who do: which of
    them takes it from peers, and which from the grid, makes no difference to their sum. Of these
    trades those are taken in which everyone trades the same part of what it draws or feeds in.

    Parameters
    ----------
    net, grid : (participant, hour), p.u.
        What each buys net from peers, and from the grid.
    most : tuple of (participant,), p.u.
        Limits of trades, purchase and sale.

    Returns
    -------
    tuple
        Net purchases from peers and from the grid, and the hours that changed: those in which a
        limit would break stay as they are.
    """
    power = grid + net
    drawn, fed = np.maximum(power, 0.0), np.maximum(-power, 0.0)
    traded = np.minimum(np.maximum(net, 0.0).sum(axis=0), np.maximum(-net, 0.0).sum(axis=0))
    volume = np.minimum(traded, np.minimum(drawn.sum(axis=0), fed.sum(axis=0)))
    part = [
        np.divide(side, side.sum(axis=0), out=np.zeros_like(side), where=side.sum(axis=0) > 0)
        for side in (drawn, fed)
    ]
    shared = volume * (part[0] - part[1])
    left = power - shared
    held = [
        (value <= limit[:, None]).all(axis=0)
        for value, limit in zip((np.abs(shared), left, -left), most, strict=True)
    ]
    hours = np.flatnonzero(np.logical_and.reduce(held))
    net, grid = net.copy(), grid.copy()
    net[:, hours], grid[:, hours] = shared[:, hours], left[:, hours]
    return net, grid, hours
