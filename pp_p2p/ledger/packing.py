"""Lists as packed bytes, as `day_market.vy` reads them.

    offers     (step, level), 8 bytes each: micro-EUR + 2^63, 0 where nothing is offered
    schedule   (step, seat), 4 bytes each: Wh taken + 2^31
    reading    (step,), 4 bytes each, as the schedule

Big-endian, and 32 bytes of padding at the end of what is handed over.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from pp_p2p.errors import Finding, InvalidInput
from pp_p2p.market.combined_offers import NOT_OFFERED, Integers

PAD: Final = bytes(32)
ZERO_VALUE: Final = 2**63
ZERO_WH: Final = 2**31


def pack_offers(offers: Integers) -> bytes:
    """Return offers (step, level) of one seat, micro-EUR, without padding."""
    flat = [0 if v == NOT_OFFERED else v + ZERO_VALUE for v in offers.ravel().tolist()]
    return np.array(flat, dtype=np.uint64).astype(">u8").tobytes()


def pack_energy(energy_wh: Integers) -> bytes:
    """Return energies, Wh, in their order, without padding.

    Raises
    ------
    InvalidInput
        An energy of 2147 MWh or more.
    """
    if (np.abs(energy_wh) >= ZERO_WH).any():
        raise InvalidInput(
            Finding(table="ledger", rule="is asked for 2147 MWh or more in a step",
                    mend="use shorter steps")
        )  # fmt: skip
    return (energy_wh.ravel() + ZERO_WH).astype(">u4").tobytes()


def unpack_energy(packed: bytes) -> Integers:
    """Return energies, Wh, of bytes without padding."""
    return np.frombuffer(packed, dtype=">u4").astype(np.int64) - ZERO_WH


def as_bits(flags: Integers) -> int:
    """Return flags (step,) as one number, the first step lowest."""
    return sum(1 << t for t, flag in enumerate(flags.tolist()) if flag)
