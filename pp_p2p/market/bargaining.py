"""Generalised Nash bargaining over money: closed-form payments.

With transferable utility the product of gains

    max prod_n (S_n - pi_n)^alpha_n   s.t.  sum_n pi_n = 0,   S_n = C_n^0 - C_n            (1)

splits into two stages: the largest total gain Delta = sum S_n first, payments after,

    pi_n = S_n - alpha_n / sum(alpha) * Delta                                              (2)

so that player n saves its share alpha_n / sum(alpha) of Delta. Wang & Huang (2016) for equal
powers; (2) for any fixed alpha >= 0 follows from the first-order conditions of (1). A player with
alpha_n = 0 is held harmless: it gains and loses nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from pp_p2p.errors import Finding, raise_if_any
from pp_p2p.network.branches import Array

Power = Literal["equal", "net_volume", "given"]
POWERS: Final[tuple[Power, ...]] = ("equal", "net_volume", "given")


@dataclass(frozen=True, kw_only=True)
class NashBargaining:
    """Cooperative trading with payments by generalised Nash bargaining.

    Parameters
    ----------
    network_fee_eur_per_mwh : float
        Fee on every traded MWh, half paid by the seller and half by the buyer (postage stamp). It
        leaves the bargain: it is income of the network, not of a player. Must be above 0 for trades
        without circles.
    bargaining_power : {"equal", "net_volume", "given"}
        All alike; by each participant's net traded volume; or ``net.participant.bargaining_power``.
        By volume the power depends on the quantities: it is fixed after they are (sequential).
    operator_power : float
        The operator buys losses and what nobody owns. At 0 it is held harmless: whoever trades
        pays for losses that trading causes and is paid for those it avoids.
    """

    network_fee_eur_per_mwh: float = 5.0
    bargaining_power: Power = "equal"
    operator_power: float = 0.0

    def __post_init__(self) -> None:
        raise_if_any(_findings(self))


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
    found = []
    for name in ("network_fee_eur_per_mwh", "operator_power"):
        value = getattr(mechanism, name)
        if not (np.isfinite(value) and value >= 0):
            rule = f"is {value}"
            found.append(Finding(table="NashBargaining", column=name, rule=rule, mend="use >= 0"))
    if mechanism.bargaining_power not in POWERS:
        found.append(
            Finding(
                table="NashBargaining",
                column="bargaining_power",
                rule=f"is {mechanism.bargaining_power!r}",
                mend=f"choose one of {', '.join(POWERS)}",
            )
        )
    return found
