"""Generalised Nash bargaining over money: closed-form payments.

With transferable utility the product of gains

    max prod_n (S_n - pi_n)^alpha_n   s.t.  sum_n pi_n = 0,   S_n = C_n^0 - C_n            (1)

splits into two stages: the largest total gain Delta = sum S_n first, payments after,

    pi_n = S_n - alpha_n / sum(alpha) * Delta                                              (2)

so that player n saves its share alpha_n / sum(alpha) of Delta. Wang & Huang (2016) for equal
powers; (2) for any fixed alpha >= 0 follows from the first-order conditions of (1). A player with
alpha_n = 0 is held harmless: it gains and loses nothing. With payments between l_n and u_n,

    saving_n = clip(alpha_n theta, S_n - u_n, S_n - l_n),   theta such that sum saving = Delta   (3)
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import Final, Literal

import numpy as np

from pp_p2p.errors import Finding, InvalidInput, raise_if_any
from pp_p2p.network.branches import Array

Power = Literal["equal", "net_volume", "energy_map", "marginal", "given"]
POWERS: Final[tuple[Power, ...]] = ("equal", "net_volume", "energy_map", "marginal", "given")

Fee = Literal["postage_stamp", "electrical_distance", "nodal_price"]
FEES: Final[tuple[Fee, ...]] = ("postage_stamp", "electrical_distance", "nodal_price")

Operator = Literal["inside", "outside"]
OPERATORS: Final[tuple[Operator, ...]] = ("inside", "outside")

MOST: Final = float(np.finfo(float).max)
BELOW_ONE: Final = float(np.nextafter(1.0, 0.0))

CORRIDOR_TOLERANCE: Final = 1e-12
"""Room (relative to the amounts) by which a corridor may miss the balance through rounding."""


@dataclass(frozen=True, kw_only=True)
class NashBargaining:
    """Cooperative trading with payments by generalised Nash bargaining.

    Parameters
    ----------
    network_fee_eur_per_mwh : float
        Fee on every traded MWh, half paid by the seller and half by the buyer. It leaves the
        bargain: it is income of the network, not of a player.
    fee : {"postage_stamp", "electrical_distance", "nodal_price"}
        The same fee for every trade; the fee times the resistance of the path between the two
        over its mean over all pairs; or, in place of a fee that is given, the difference of the
        nodal prices of buyer and seller, which the network's limits and losses make.
    pair_limit_mw : float
        Most that any two participants may trade with each other.
    bargaining_power : {"equal", "net_volume", "energy_map", "marginal", "given"}
        All alike; by each participant's net traded volume (Kim et al. 2019); by the exponential
        map of energy given and received; by what the gain loses without the participant; or
        ``net.participant.bargaining_power``. All but the first and the last depend on the
        quantities: they are fixed after them (sequential). Who does not trade (nothing to offer,
        or no devices) gets an equal share with ``"equal"``, as everyone at the table, and nothing
        by net volume, map of energy or marginal contribution. A given power of 0 gains exactly 0.
    operator : {"inside", "outside"}
        Inside, the operator's cost (losses, and what nobody owns) is part of the social cost, and
        it bargains with `operator_power`; outside, it collects the fees and bears its cost.
    operator_power : float
        Of an operator inside. At 0 it is held harmless: whoever trades pays for losses that
        trading causes and is paid for those it avoids.
    price_corridor : bool
        Keep every participant's payment between what its net energy is worth at the sale and at
        the purchase price of the grid. Where that leaves someone worse off than alone, as behind
        a congested line, there is no agreement.
    risk_weight, risk_level : float
        Costs are ``(1 - weight) E[C] + weight CVaR(C)`` over price scenarios, the mean of the
        worst ``1 - level``; weight 0 is the mean. At weight 1 the losses of all other scenarios
        have no price, and the cone relaxation is inexact there: the result says so.
    """

    network_fee_eur_per_mwh: float = 5.0
    fee: Fee = "postage_stamp"
    pair_limit_mw: float = float("inf")
    bargaining_power: Power = "equal"
    operator: Operator = "inside"
    operator_power: float = 0.0
    price_corridor: bool = False
    risk_weight: float = 0.0
    risk_level: float = 0.9

    def __post_init__(self) -> None:
        raise_if_any(_findings(self))


def require_mechanism(mechanism: object) -> None:
    """Raise `InvalidInput` where `mechanism` is none."""
    if not isinstance(mechanism, NashBargaining):
        said = mechanism.__name__ if isinstance(mechanism, type) else repr(mechanism)
        raise InvalidInput(
            Finding(
                table="mechanism",
                rule=f"is {said}",
                mend="pass pp_p2p.NashBargaining(...), CombinedOffer(...) or Stackelberg(...)",
            )
        )


def nash_payments(gain: Array, power: Array) -> Array:
    """Return the payments (2), positive = pays, summing to zero.

    Parameters
    ----------
    gain : (player,) of float
        What each player saves before payments, ``C^0 - C``; single entries may be negative.
    power : (player,) of float
        Bargaining powers, >= 0, not all 0.

    Examples
    --------
    The three microgrids of the reference vector (equal powers):

    >>> nash_payments(np.array([-2.2100592, 19.0449704, -6.2733728]), np.ones(3)).round(4)
    array([-5.7306, 15.5245, -9.7939])
    """
    raise_if_any(_power_findings(power))
    share = power / power.sum()
    payments: Array = gain - share * gain.sum()
    return payments


def bounded_payments(gain: Array, power: Array, low: Array, high: Array) -> Array:
    """Return the payments (3): the bargain within a corridor, by water-filling.

    Parameters
    ----------
    gain, power : (player,) of float
        As in `nash_payments`.
    low, high : (player,) of float
        Least and largest payment, ``low <= high``; infinite where there is none.

    Raises
    ------
    InvalidInput
        The corridor holds no payments that sum to zero.
    """
    raise_if_any(_power_findings(power))
    room = CORRIDOR_TOLERANCE * (1.0 + np.abs(gain).sum())
    if (low > high + room).any() or low.sum() > room or high.sum() < -room:
        raise InvalidInput(
            Finding(
                table="price corridor",
                rule="holds no payments that sum to zero",
                mend="widen it, or bargain without one",
            )
        )
    least, most, total = gain - high, gain - low, float(gain.sum())
    share = power / power.sum()
    moving = share > 0
    ends = np.concatenate([least[moving] / share[moving], most[moving] / share[moving]])
    ends = np.unique(ends[np.isfinite(ends)])

    def saved(theta: float) -> float:
        return float(np.clip(share * theta, least, most).sum())

    # between two neighbouring ends the sum is linear in theta: find the piece, then the point
    at = int(np.searchsorted([saved(end) for end in ends], total))
    below = ends[at - 1] if at > 0 else (ends[0] if len(ends) else 0.0) - 1.0
    above = ends[at] if at < len(ends) else (ends[-1] if len(ends) else 0.0) + 1.0
    slope = (saved(above) - saved(below)) / (above - below)
    theta = below + (total - saved(below)) / slope if slope > 0 else below
    payments: Array = gain - np.clip(share * theta, least, most)
    return payments


def net_volume_power(net_mwh: Array) -> Array:
    """Return powers by net traded volume: ``sum_t |e_nt|`` as a share of all (player,).

    Parameters
    ----------
    net_mwh : (player, step)
        Energy bought minus sold. Net, since gross volumes can run in circles.
    """
    volume: Array = np.abs(net_mwh).sum(axis=1)
    total = volume.sum()
    return volume / total if total > 0 else volume


def energy_map_power(net_mwh: Array) -> Array:
    """Return powers ``exp(E+/max E+) - exp(-E-/max E-)`` of energy given E+ and received E-.

    Reconstructed from the asymmetric bargaining literature: who gives counts for more, who does
    not trade for nothing.

    Parameters
    ----------
    net_mwh : (player, step)
        Energy bought minus sold.
    """
    given, received = (np.maximum(sign * net_mwh, 0.0).sum(axis=1) for sign in (-1.0, 1.0))
    parts = [e / e.max() if e.size and e.max() > 0 else np.zeros_like(e) for e in (given, received)]
    return np.asarray(np.exp(parts[0]) - np.exp(-parts[1]))


def _power_findings(power: Array) -> list[Finding]:
    mend = "give every player a power >= 0 and at least one a power > 0"
    bad = np.flatnonzero(~np.isfinite(power) | (power < 0))
    if bad.size:
        return [
            Finding(
                table="bargaining power",
                rows=tuple(bad.tolist()),
                rule="is negative or not a number",
                mend=mend,
            )
        ]
    if not power.sum() > 0:
        return [Finding(table="bargaining power", rule="is 0 for every player", mend=mend)]
    return []


def _findings(mechanism: NashBargaining) -> list[Finding]:
    def wrong(column: str, mend: str) -> Finding:
        rule = f"is {getattr(mechanism, column)!r}"
        return Finding(table="NashBargaining", column=column, rule=rule, mend=mend)

    found = []
    for name, least, most, mend in (
        ("network_fee_eur_per_mwh", 0.0, MOST, "use a number >= 0"),
        ("operator_power", 0.0, MOST, "use a number >= 0"),
        ("pair_limit_mw", 0.0, np.inf, "use a number >= 0"),
        ("risk_weight", 0.0, 1.0, "use 0 (mean) to 1 (worst cases alone)"),
        ("risk_level", 0.0, BELOW_ONE, "use at least 0 and below 1"),
    ):
        value = getattr(mechanism, name)
        number = isinstance(value, Real) and not isinstance(value, bool)
        if not (number and least <= value <= most):
            found.append(wrong(name, mend))
    corridor: object = mechanism.price_corridor
    if not isinstance(corridor, bool | np.bool_):
        found.append(wrong("price_corridor", "use True or False"))
    for name, allowed in (
        ("bargaining_power", POWERS),
        ("fee", FEES),
        ("operator", OPERATORS),
    ):
        if getattr(mechanism, name) not in allowed:
            found.append(wrong(name, f"choose one of {', '.join(allowed)}"))
    return found
