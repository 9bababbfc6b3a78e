"""Trades between pairs without a coordinator: consensus-free ADMM (CF-ADMM).

    e_nm + e_mn = 0 for every pair,   copies h with h_nm = -h_mn,   fee phi_nm |e_nm|

e_nm > 0 is what n takes from m. Both copies of a pair lie next to each other: arrays (pair, 2,
step), side 0 the first agent's. The second block of `two_block` has the closed form

    h_nm = clip( soft( (e_nm - e_mn)/2 - (y_nm - y_mn)/(2 rho), phi_nm/(2 rho) ), +-e_max )  (1)

Without fee and limit y_nm = y_mn after one step, and -y is the price of the pair; with them buyer
and seller see prices that differ by the fee. An agent whose cost depends on s_n = sum_m e_nm alone
needs its M_n proposals only in sum: with targets a_nm,

    s_n = argmin f_n(s) + rho/(2 M_n) (s - sum a)^2,    e_nm = a_nm + (s_n - sum a)/M_n    (2)

Payments by Nash bargaining are the same scheme with f_n(p) = -alpha_n ln(S_n - p):

    kappa = [-X + sqrt(X^2 + 4 alpha_n / rho)] / 2,   X = S_n - a,   p = a - kappa         (3)

where S_n - p > 0 always. Money is best divided by the total gain first; then rho near the number
of agents works for every case.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pp_p2p.algorithms.consensus import Array
from pp_p2p.algorithms.two_block import Answer, Local, Part, Penalty, Reply, TwoBlockState
from pp_p2p.errors import Finding, raise_if_any


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Who may trade with whom.

    Parameters
    ----------
    agents : (pair, 2) of int
        Numbers of the two agents, each pair once.
    n_agents : int

    Raises
    ------
    InvalidInput
        An agent out of range, a pair with itself, a pair twice, an agent without partner.
    """

    agents: Array
    n_agents: int

    def __post_init__(self) -> None:
        raise_if_any(_findings(self.agents, self.n_agents))

    @classmethod
    def everyone(cls, n_agents: int) -> Pairs:
        """Return all pairs of `n_agents` agents."""
        return cls(
            agents=np.argwhere(np.triu(np.ones((n_agents, n_agents)), k=1)), n_agents=n_agents
        )

    @property
    def partners(self) -> Array:
        """Number of partners (agent,)."""
        return np.bincount(self.agents.ravel(), minlength=self.n_agents)

    def sums(self, values: Array) -> Array:
        """Return the sum over partners (agent, step) of values (pair, 2, step)."""
        total = np.zeros((self.n_agents, values.shape[-1]))
        for side in (0, 1):
            np.add.at(total, self.agents[:, side], values[:, side])
        return total


def pair_trades(
    *, fee: Array | float = 0.0, limit: Array | float = np.inf, weight: float = 1.0
) -> Part:
    """Return the part that makes trades reciprocal, (1).

    Parameters
    ----------
    fee : broadcastable to (pair, step)
        phi, cost per unit and step; each side pays half.
    limit : broadcastable to (pair, step)
        Most that a pair may trade.
    weight : float
        Penalty relative to the scheme's.
    """
    raise_if_any(
        Finding(table="pairs", column=name, rule="is negative or not a number", mend="use >= 0")
        for name, value in (("fee", fee), ("limit", limit))
        if not (np.asarray(value) >= 0).all()
    )

    def second(point: Array, penalty: float, _memory: Any) -> Answer:
        half = 0.5 * (point[:, 0] - point[:, 1])
        soft = np.sign(half) * np.maximum(np.abs(half) - np.asarray(fee) / (2.0 * penalty), 0.0)
        trade = np.clip(soft, -np.asarray(limit), limit)
        return Answer(np.stack([trade, -trade], axis=1), float((fee * np.abs(trade)).sum()))

    return Part(name="trade proposal", counterpart="partners", second=second, weight=weight)


def proposals(local: Local, pairs: Pairs) -> Local:
    """Return the first block of pair trades from agents that know their sum alone, (2).

    Parameters
    ----------
    local : Local
        Its first part is the sum s_n (agent, step), with a penalty (agent, 1). Further parts, such
        as boundary power, are passed on.
    pairs : Pairs
    """
    many = pairs.partners[:, None].astype(float)

    def spread(targets: tuple[Array, ...], penalties: tuple[Penalty, ...], memory: Any) -> Reply:
        wanted = pairs.sums(targets[0])
        reply = local((wanted, *targets[1:]), (penalties[0] / many, *penalties[1:]), memory)
        share = (reply.x[0] - wanted) / many
        return reply._replace(x=(targets[0] + share[pairs.agents], *reply.x[1:]))

    return spread


def pair_prices(state: TwoBlockState, part: int = 0) -> Array:
    """Return what a unit is worth to both sides (pair, 2, step)."""
    return -state.y[part]


def bargained_payments(
    gain: Array,
    power: Array,
    lower: Array | float = -np.inf,
    upper: Array | float = np.inf,
) -> Local:
    """Return the payment stage (3) as a first block.

    Parameters
    ----------
    gain : (agent,)
        S_n, cost alone minus cost together before payments.
    power : (agent,)
        alpha_n > 0.
    lower, upper : broadcastable to (agent,)
        Corridor of the payment; ``upper < gain`` where it binds.

    Returns
    -------
    Local
        Payments (agent, 1), positive = pays: a pool with `exchange.exchange`, pair payments through
        `proposals`.
    """
    S, alpha = np.asarray(gain, dtype=float)[:, None], np.asarray(power, dtype=float)[:, None]
    low, high = (np.broadcast_to(b, len(S))[:, None] for b in (lower, upper))
    raise_if_any(
        [Finding(table="power", rule="is not above 0", mend="leave such agents out of the pool")]
        if not (alpha > 0).all()
        else []
    )

    def local(targets: tuple[Array, ...], penalties: tuple[Penalty, ...], _memory: Any) -> Reply:
        (target,), (penalty,) = targets, penalties
        X = S - target
        root = np.sqrt(X**2 + 4.0 * alpha / penalty)
        # the form without cancellation, by the sign of X
        kappa = np.where(X > 0.0, 2.0 * alpha / penalty / (np.abs(X) + root), 0.5 * (root - X))
        paid = np.clip(target - kappa, low, high)
        with np.errstate(invalid="ignore", divide="ignore"):
            return Reply((paid,), -(alpha * np.log(S - paid))[:, 0])

    return local


def _findings(agents: Array, n_agents: int) -> list[Finding]:
    if agents.ndim != 2 or agents.shape[1] != 2 or not len(agents):
        return [Finding(table="pairs", rule="has no axes (pair, 2)", mend="give at least one pair")]
    rules = (
        (((agents < 0) | (agents >= n_agents)).any(axis=1), "names an agent that does not exist"),
        (agents[:, 0] == agents[:, 1], "pairs an agent with itself"),
        (_again(agents), "occurs before"),
    )
    found = [
        Finding(
            table="pairs",
            rows=tuple(np.flatnonzero(bad).tolist()),
            rule=rule,
            mend="list each pair of two agents once",
        )
        for bad, rule in rules
        if bad.any()
    ]
    if not found and (alone := np.bincount(agents.ravel(), minlength=n_agents) == 0).any():
        rows = tuple(np.flatnonzero(alone).tolist())
        mend = "give it a partner or leave it out"
        found.append(Finding(table="agents", rows=rows, rule="has no partner", mend=mend))
    return found


def _again(agents: Array) -> Array:
    _, first = np.unique(np.sort(agents, axis=1), axis=0, return_index=True)
    again = np.ones(len(agents), dtype=bool)
    again[first] = False
    return again
