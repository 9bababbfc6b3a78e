"""Sharing the gain of a joint plan: powers and payments from the final quantities."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

from pp_p2p.errors import Finding, InvalidInput, raise_if_any
from pp_p2p.market.bargaining import (
    POWERS,
    Power,
    energy_map_power,
    nash_payments,
    net_volume_power,
)
from pp_p2p.names import INVESTOR, OPERATOR, PARTICIPANT
from pp_p2p.network.branches import Array
from pp_p2p.results import label

Powers = Power | Mapping[int, float]


def require_powers(powers: Powers, operator_power: float, accounts: Array, given: Array) -> None:
    """Raise where powers cannot be bargained with.

    Raises
    ------
    InvalidInput
        An unknown rule, a power that is not above 0, or one that is missing.
    """
    found = []
    if not (np.isfinite(operator_power) and operator_power >= 0):
        found.append(
            Finding(table="plan_together", column="operator_power", rule=f"is {operator_power}",
                    mend="use a number >= 0; 0 holds the operator harmless")
        )  # fmt: skip
    own: dict[int, float] = {}
    if isinstance(powers, Mapping):
        own = {int(k): float(v) for k, v in powers.items()}
        wrong = sorted({int(k) for k in accounts} ^ set(own), key=int)
        wrong = [k for k in wrong if k != OPERATOR]
        if wrong:
            found.append(
                Finding(table="powers", rows=tuple(wrong), rule="has no power, or no such account",
                        mend="give one for every participant in service")
            )  # fmt: skip
    elif powers == "given":
        own = dict(zip(accounts[:-1].tolist(), given.tolist(), strict=True))
    elif powers not in POWERS:
        found.append(
            Finding(table="plan_together", column="powers", rule=f"is {powers!r}",
                    mend=f"choose one of {', '.join(POWERS)}, or a mapping")
        )  # fmt: skip
    bad = [k for k, v in own.items() if not (np.isfinite(v) and v > 0)]
    if bad:
        found.append(
            Finding(table="powers", rows=tuple(bad), rule="is not above 0",
                    mend="give every investor a power > 0")
        )  # fmt: skip
    raise_if_any(found)


def bargaining_powers(
    joint: xr.Dataset, powers: Powers, operator_power: float
) -> tuple[Array, str]:
    """Return the power of every account, the operator last, and the rule that holds.

    The operator's is `operator_power` times the mean of the participants', unless a mapping names
    it. Powers by what is traded or contributed depend on the quantities, and are fixed after them:
    the pair is not a maximiser of the product with powers that move.

    Raises
    ------
    InvalidInput
        Marginal powers of a plan that was made without them.
    """
    accounts = joint[INVESTOR].to_numpy()
    rule = "mapping" if isinstance(powers, Mapping) else str(powers)
    if isinstance(powers, Mapping):
        own = np.array([float(powers[int(k)]) for k in accounts[:-1]])
    elif powers == "given":
        own = joint["power_given"].to_numpy()[:-1].astype(float)
    elif powers == "equal":
        own = np.ones(len(accounts) - 1)
    else:
        own = _contribution(joint, powers)
        if not own.sum() > 0:
            own, rule = np.ones(len(accounts) - 1), "equal: nobody trades or contributes anything"
    inside = joint.attrs["operator"] == "inside"
    last = operator_power * float(own.mean())
    if isinstance(powers, Mapping) and OPERATOR in powers:
        last = float(powers[OPERATOR])
    return np.append(own, last if inside else 0.0), rule


def _contribution(joint: xr.Dataset, powers: str) -> Array:
    """Return powers (participant,) by what each trades, or adds to the gain."""
    if powers == "marginal":
        if "gain_without_eur_per_year" not in joint:
            raise InvalidInput(
                Finding(table="joint", column="gain_without_eur_per_year",
                        rule="is not in this plan, but powers='marginal' need it",
                        mend="plan with powers='marginal'; other powers can follow")
            )  # fmt: skip
        without = joint["gain_without_eur_per_year"].to_numpy()[:-1]
        return np.asarray(np.maximum(joint.attrs["gain_eur_per_year"] - without, 0.0))
    net = (joint["net_trade_mw"] * joint["weight"]).transpose(PARTICIPANT, ...)
    energy = net.to_numpy().reshape(net.sizes[PARTICIPANT], -1)
    return net_volume_power(energy) if powers == "net_volume" else energy_map_power(energy)


def payments(saved: Array, power: Array, *, operator_inside: bool) -> Array:
    """Return the payments of all accounts (account,), EUR/a: sums to zero, positive pays."""
    paid = np.zeros(len(saved))
    who = slice(None) if operator_inside else slice(0, -1)
    paid[who] = nash_payments(saved[who], power[who])
    return paid


def share_gain(joint: xr.Dataset, *, powers: Powers, operator_power: float = 1.0) -> xr.Dataset:
    """Return a joint plan with its gain shared by other powers; what is built stays.

    Quantities do not depend on powers (transferable utility), so that nothing is solved again.

    Parameters
    ----------
    joint : Dataset
        Of `planning.plan_together`.
    powers, operator_power
        As there.

    Raises
    ------
    InvalidInput
        Powers that are not above 0, or a dataset of another kind.
    """
    if joint.attrs.get("problem") != "plan_together":
        raise InvalidInput(
            Finding(table="joint", rule="is not a result of plan_together", mend="pass one")
        )
    accounts, given = joint[INVESTOR].to_numpy(), joint["power_given"].to_numpy()[:-1]
    require_powers(powers, operator_power, accounts, given)
    inside = joint.attrs["operator"] == "inside"
    power, rule = bargaining_powers(joint, powers, operator_power)
    alone = joint["cost_alone_eur_per_year"].to_numpy()
    before = joint["cost_before_payment_eur_per_year"].to_numpy()
    agreed = joint.attrs["claim"] != NO_CLAIM
    paid = payments(alone - before, power, operator_inside=inside) if agreed else 0.0 * power
    return label(
        joint.assign(
            {
                "bargaining_power": (INVESTOR, power),
                "payment_eur_per_year": (INVESTOR, paid),
                "cost_eur_per_year": (INVESTOR, before + paid),
                "saving_eur_per_year": (INVESTOR, alone - before - paid),
            }
        ),
        {"powers": rule},
    )


NO_CLAIM = "none: the gain is below what the solvers can tell, all stay alone"
