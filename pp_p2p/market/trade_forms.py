"""How trades are agreed on without a centre: nobody's, through a pool, or pair by pair.

A form says what copies there are, which part of the second block makes them reciprocal, and how
copies and multipliers are read. Fees are half each side's; money is EUR, power p.u.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from pp_p2p.algorithms.exchange import balanced, exchange
from pp_p2p.algorithms.pairs import Pairs, pair_trades, proposals
from pp_p2p.algorithms.two_block import Local, Part
from pp_p2p.errors import Finding, InvalidInput, UnsupportedFeature
from pp_p2p.market.agent_answers import Ask
from pp_p2p.market.clearing import ClearingData
from pp_p2p.market.trades import SMALLEST_PU, split_pool
from pp_p2p.network.branches import Array


class TradeForm(Protocol):
    """What a scheme asks of a form; `copies` and `multipliers` are its part's, None without one."""

    @property
    def shape(self) -> tuple[int, ...] | None:
        """Shape of the copies; None where there are none."""

    def part(self) -> Part | None:
        """Return the part of the second block."""

    def proposing(self, local: Local) -> Local:
        """Return the first block that answers with copies, from one that answers with sums."""

    def position(self, copies: Array | None, /) -> Array:
        """Return net purchases (participant, hour) that sum to zero."""

    def fees(self, copies: Array | None, /) -> float:
        """Return all fees of these positions."""

    def trades(self, copies: Array | None, /) -> Array:
        """Return trades (seller, buyer, hour)."""

    def worth(self, multipliers: Array | None, /) -> Array | None:
        """Return what a unit is worth to each (participant, hour)."""

    def relaxed(self, copies: Array | None, multipliers: Array | None, /) -> tuple[Ask, float]:
        """Return prices on trades, and the least that fees and copies cost at these prices."""


@dataclass(frozen=True, kw_only=True)
class NoTrade:
    """Everyone alone."""

    n: int
    hours: int

    @property
    def shape(self) -> tuple[int, ...] | None:
        """No copies."""
        return None

    def part(self) -> Part | None:
        """No part."""
        return None

    def proposing(self, local: Local) -> Local:
        """Return `local` as it is."""
        return local

    def position(self, _copies: Array | None) -> Array:
        """Return zeros."""
        return np.zeros((self.n, self.hours))

    def fees(self, _copies: Array | None) -> float:
        """Return 0."""
        return 0.0

    def trades(self, _copies: Array | None) -> Array:
        """Return zeros."""
        return np.zeros((self.n, self.n, self.hours))

    def worth(self, _multipliers: Array | None) -> Array | None:
        """Nobody trades: no price."""
        return None

    def relaxed(self, _copies: Array | None, _multipliers: Array | None) -> tuple[Ask, float]:
        """Return no price."""
        return Ask(fixed_trade=self.position(None)), 0.0


@dataclass(frozen=True, kw_only=True)
class PoolTrades:
    """One price for everyone at every hour: `most` (participant,), `fee` that each side pays."""

    most: Array
    fee: float
    hours: int

    @property
    def shape(self) -> tuple[int, ...] | None:
        """Net positions (participant, hour)."""
        return len(self.most), self.hours

    def part(self) -> Part | None:
        """Return the exchange."""
        return exchange(fee=self.fee, limit=self.most[:, None])

    def proposing(self, local: Local) -> Local:
        """Return `local` as it is."""
        return local

    def position(self, copies: Array | None) -> Array:
        """Return the copies, which balance but for rounding, balanced."""
        assert copies is not None
        return balanced(copies, -self.most[:, None], self.most[:, None])

    def fees(self, copies: Array | None) -> float:
        """Return the fees of both sides."""
        return self.fee * float(np.abs(self.position(copies)).sum())

    def trades(self, copies: Array | None) -> Array:
        """Return positions split in proportion."""
        return split_pool(self.position(copies))

    def worth(self, multipliers: Array | None) -> Array | None:
        """Return the price that each sees."""
        assert multipliers is not None
        return -multipliers

    def relaxed(self, copies: Array | None, multipliers: Array | None) -> tuple[Ask, float]:
        """Return the prices, to which the copies are the best answer."""
        assert copies is not None
        assert multipliers is not None
        value = self.fee * np.abs(copies).sum() + (multipliers * copies).sum()
        return Ask(trade_cost=-multipliers), float(value)


@dataclass(frozen=True, kw_only=True)
class PairTrades:
    """One price for each pair: `limit` and `fee` (pair,) of each; `pairs` of participants."""

    pairs: Pairs
    limit: Array
    fee: Array
    hours: int
    by_limits: bool

    @classmethod
    def of(cls, most: Array, pair_limit: float, fee: Array, hours: int) -> PairTrades:
        """Return the form of trades up to `most` (participant,) and `pair_limit`."""
        limit = np.minimum(pair_limit, np.minimum.outer(most, most))
        agents = np.argwhere(np.triu(limit > 0.0, k=1))
        i, j = agents.T
        apart = np.setdiff1d(np.arange(len(most)), agents)
        if len(apart):  # whoever may not trade has a partner, at a limit of 0
            other = next(k for k in range(len(most)) if k != apart[0])
            more = [(k, other) if k != other else (k, int(i[0])) for k in apart.tolist()]
            agents = np.concatenate([agents, np.array(more)])
            i, j = agents.T
        return cls(
            pairs=Pairs(agents=agents, n_agents=len(most)),
            limit=limit[i, j],
            fee=fee[i, j],
            hours=hours,
            by_limits=bool(np.isfinite(pair_limit)),
        )

    @property
    def shape(self) -> tuple[int, ...] | None:
        """Proposals (pair, side, hour)."""
        return len(self.limit), 2, self.hours

    def part(self) -> Part | None:
        """Return the closed form of every pair.

        An agent with many partners answers them together: the weight makes the penalty on its sum
        that of a pool.
        """
        weight = float(self.pairs.partners.mean())
        return pair_trades(fee=self.fee[:, None], limit=self.limit[:, None], weight=weight)

    def proposing(self, local: Local) -> Local:
        """Return the first block that shares a sum out among partners."""
        return proposals(local, self.pairs)

    def position(self, copies: Array | None) -> Array:
        """Return the sums over partners."""
        assert copies is not None
        return self.pairs.sums(copies)

    def fees(self, copies: Array | None) -> float:
        """Return the fees of all pairs."""
        assert copies is not None
        return float((self.fee[:, None] * np.abs(copies[:, 0])).sum())

    def trades(self, copies: Array | None) -> Array:
        """Return what each sells to each, without what is the solver's tolerance."""
        assert copies is not None
        n = self.pairs.n_agents
        trades = np.zeros((n, n, self.hours))
        i, j = self.pairs.agents.T
        bought = copies[:, 0]
        trades[j, i] = np.where(bought > SMALLEST_PU, bought, 0.0)
        trades[i, j] = np.where(-bought > SMALLEST_PU, -bought, 0.0)
        return trades

    def worth(self, multipliers: Array | None) -> Array | None:
        """Return the mean price that each sees over its partners."""
        assert multipliers is not None
        return -self.pairs.sums(multipliers) / self.pairs.partners[:, None]

    def relaxed(self, _copies: Array | None, multipliers: Array | None) -> tuple[Ask, float]:
        """Return one price for each participant, and what the pairs lose by their differences.

        Where no limit keeps pairs apart, prices are first drawn together until no difference
        exceeds the fee, that is the mean of the largest such prices below them and the smallest
        above. Any prices make a bound; these make a good one.
        """
        price = self.worth(multipliers)
        assert price is not None
        i, j = self.pairs.agents.T
        fee = self.fee[:, None]
        if not self.by_limits:
            low, high = price.copy(), price.copy()
            for one, two in ((i, j), (j, i)):
                np.minimum.at(low, one, price[two] + fee)
                np.maximum.at(high, one, price[two] - fee)
            price = 0.5 * (low + high)
        apart = np.maximum(np.abs(price[i] - price[j]) - fee, 0.0)
        return Ask(trade_cost=price), -float((self.limit[:, None] * apart).sum())


def is_pairwise(data: ClearingData, form: str) -> bool:
    """Return whether trades are agreed on pair by pair.

    Raises
    ------
    InvalidInput
        An exchange was asked for that cannot know the day's fees or limits.
    UnsupportedFeature
        Limits of pairs beside limits of participants: a pair does not know what others trade.
    """
    if form == "exchange" and data.pairwise:
        raise InvalidInput(
            Finding(
                table="Distributed",
                column="form",
                rule="is 'exchange', but fees or limits depend on the pair",
                mend="use form='pairs' or 'auto'",
            )
        )
    limited = np.isfinite(data.max_trade)
    if np.isfinite(data.mechanism.pair_limit_mw) and limited.any():
        raise UnsupportedFeature(
            "trade_day(algorithm='distributed')",
            Finding(
                table="participant",
                column="max_trade_mw",
                rows=tuple(data.participants[limited].tolist()),
                rule="limits what one trades with all, beside pair_limit_mw",
                mend="use one of both limits, or algorithm='central'",
            ),
        )
    return form == "pairs" or (form == "auto" and data.pairwise)


def trade_form(data: ClearingData, most: Array, *, in_pairs: bool) -> TradeForm:
    """Return the form for trades up to `most` (participant,), p.u."""
    n, hours = len(most), data.line.steps_per_day
    fee = data.fee_eur_per_mwh * data.step_mwh
    if (most > 0.0).sum() < 2:
        return NoTrade(n=n, hours=hours)
    if in_pairs:
        pair = data.mechanism.pair_limit_mw / data.grid.s_base_mva
        return PairTrades.of(most, pair, fee, hours)
    return PoolTrades(most=most, fee=0.5 * float(fee.max(initial=0.0)), hours=hours)
