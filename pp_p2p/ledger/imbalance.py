"""What failing to deliver costs, as the contract counts it.

In every step a seat whose terminal failed and whose energy is off its schedule by d > tolerance
pays ``d`` times the price of imbalance, as far as its collateral goes. That goes to the seats that
did not fail and are off as well, in proportion to it; where there are none, to all that did not
fail alike. What division leaves goes to the first of them. Deviations without a fault are free:
they follow from the faults of others, or from losses.
"""

from __future__ import annotations

import numpy as np

from pp_p2p.ledger.delivery import WH_PER_MWH
from pp_p2p.market.combined_offers import Integers
from pp_p2p.network.branches import Array


def imbalances(
    schedule_wh: Integers,
    metered_wh: Integers,
    fault: Array,
    price: Integers,
    *,
    tolerance_wh: int,
    collateral: int,
) -> Integers:
    """Return what each seat pays (seat,), micro-EUR; sums to zero.

    Parameters
    ----------
    schedule_wh, metered_wh : (seat, step) of int
    fault : (seat, step) of bool
    price : (step,) of int, micro-EUR/MWh
    tolerance_wh, collateral : int
    """
    n_seats, n_steps = schedule_wh.shape
    paid = [0] * n_seats
    room = [collateral] * n_seats
    off = np.abs(metered_wh - schedule_wh)
    off = np.where(off > tolerance_wh, off, 0).astype(np.int64)
    for t in range(n_steps):
        failed = np.flatnonzero(fault[:, t]).tolist()
        sound = np.flatnonzero(~fault[:, t]).tolist()
        charge = {r: min(int(off[r, t]) * int(price[t]) // WH_PER_MWH, room[r]) for r in failed}
        pot = sum(charge.values())
        if pot == 0 or not sound:
            continue
        for r, amount in charge.items():
            room[r] -= amount
            paid[r] += amount
        whole = int(off[sound, t].sum())
        gaining = [r for r in sound if whole == 0 or off[r, t] > 0]
        parts = [pot * int(off[r, t]) // whole if whole else pot // len(sound) for r in gaining]
        parts[0] += pot - sum(parts)
        for r, part in zip(gaining, parts, strict=True):
            paid[r] -= part
    return np.array(paid, dtype=np.int64)
