"""Names that every room shares: dimensions, profile variables, units, signs.

Sign convention: a load is positive when it consumes, a generator when it feeds in, a grid
exchange when energy is bought. Outside a model quantities are SI and carry pandapower's
suffixes; inside a model they are per unit on ``GridData.s_base_mva`` and carry none.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

TIME: Final = "time"
DAY: Final = "day"
HOUR: Final = "hour"
BUS: Final = "bus"
LINE: Final = "line"
TRAFO: Final = "trafo"
LOAD: Final = "load"
SGEN: Final = "sgen"
STORAGE: Final = "storage"
PARTICIPANT: Final = "participant"
SELLER: Final = "seller"
BUYER: Final = "buyer"
CANDIDATE: Final = "candidate"
TECHNOLOGY: Final = "technology"

OPERATOR: Final = -1
"""Owner of everything that no participant owns; the label of the operator in owner columns."""

PROFILE_DIMS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "load_p_mw": (TIME, LOAD),
        "load_q_mvar": (TIME, LOAD),
        "sgen_p_mw": (TIME, SGEN),
        "availability_pu": (TIME, TECHNOLOGY),
        "price_buy_eur_per_mwh": (TIME,),
        "price_sell_eur_per_mwh": (TIME,),
    }
)
"""Variables of a profiles dataset and their dimensions; element dims carry pandapower indices."""

UNITS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "_eur_per_mwh": "EUR/MWh",
        "_eur_per_year": "EUR/a",
        "_mwh_per_year": "MWh/a",
        "_h_per_year": "h/a",
        "_per_year": "1/a",
        "_mw": "MW",
        "_mwh": "MWh",
        "_mvar": "Mvar",
        "_mva": "MVA",
        "_kv": "kV",
        "_ka": "kA",
        "_km": "km",
        "_pu": "1",
        "_percent": "%",
        "_eur": "EUR",
        "_h": "h",
        "hour": "h",
        "weight": "d",
    }
)
"""Unit of a quantity, by the longest suffix of its name that is listed here."""


LONG_NAMES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "vm_pu": "voltage magnitude",
        "vm_nothing_pu": "voltage magnitude with nothing built",
        "vm_ac_pu": "voltage magnitude of the AC replay",
        "loss_mw": "losses of branches and shunts",
        "p_source_mw": "active power from the external grid",
        "q_source_mvar": "reactive power from the external grid",
        "weight": "days that a typical day stands for",
        "cost_eur_per_year": "annual cost by item; sale is negative",
        "eens_mwh_per_year": "expected energy not served",
        "units": "units built",
        "candidate_p_mw": "power of what was built; positive feeds in",
        "candidate_energy_mwh": "energy stored by what was built, at the start of the step",
        "trade_mw": "power traded from seller to buyer",
        "payment_eur": "payment of the bargain; positive pays, negative receives",
        "operator_payment_eur": "payment of the operator; positive pays, negative receives",
        "cost_alone_eur": "cost without trading",
        "cost_before_payment_eur": "cost with trading, before payments",
        "cost_eur": "cost with trading, after payments",
        "saving_eur": "cost alone less cost after payments",
        "fee_eur": "network fee on traded energy, part of the cost",
        "p_grid_mw": "exchange with the grid; positive buys",
        "operator_p_grid_mw": "exchange of the operator with the grid; positive buys",
        "price_eur_per_mwh": "social cost of one more MWh of load at the bus",
        "storage_p_mw": "power of storage; positive charges",
        "storage_energy_mwh": "stored energy at the start of the step",
        "sgen_p_mw": "output of static generators",
        "sgen_available_mw": "available power of static generators",
        "load_shift_mw": "load shifted; positive consumes more",
        "sop_p_mw": "active power of a converter into its bus",
        "sop_q_mvar": "reactive power of a converter into its bus",
        "sop_loss_mw": "losses of a converter",
    }
)
"""What a variable of a result is, with its sign."""


def unit_of(name: str) -> str:
    """Return the unit that the suffix of `name` says, or ``""`` where it has none."""
    fitting = [suffix for suffix in UNITS if name.endswith(suffix)]
    return UNITS[max(fitting, key=len)] if fitting else ""
