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
SCENARIO: Final = "scenario"
PARTNER: Final = "partner"
SELLER: Final = "seller"
BUYER: Final = "buyer"
INVESTOR: Final = "investor"
CANDIDATE: Final = "candidate"
TECHNOLOGY: Final = "technology"
EXT_GRID: Final = "ext_grid"
TRAFO3W: Final = "trafo3w"
SOP_TERMINAL: Final = "sop_terminal"
FLEXIBLE_LOAD: Final = "flexible_load"

OPERATOR: Final = -1
"""Owner of everything that no participant owns; the label of the operator in owner columns."""

OPERATOR_NAME: Final = "operator"
"""How the operator is called beside the names of participants."""

OF_PARTICIPANTS: Final = (PARTICIPANT, SELLER, BUYER, PARTNER, INVESTOR)
"""Dims of results whose labels are rows of ``net.participant``, or `OPERATOR`."""

PROFILE_DIMS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "load_p_mw": (TIME, LOAD),
        "load_q_mvar": (TIME, LOAD),
        "sgen_p_mw": (TIME, SGEN),
        "availability_pu": (TIME, TECHNOLOGY),
        "price_buy_eur_per_mwh": (TIME,),
        "price_sell_eur_per_mwh": (TIME,),
        "grid_emission_t_per_mwh": (TIME,),
    }
)
"""Variables of a profiles dataset and their dimensions; element dims carry pandapower indices."""

SET_POINT_DIMS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "sgen_q_mvar": (TIME, SGEN),
        "storage_p_mw": (TIME, STORAGE),
        "load_shift_mw": (TIME, FLEXIBLE_LOAD),
        "sop_p_mw": (TIME, SOP_TERMINAL),
        "sop_q_mvar": (TIME, SOP_TERMINAL),
    }
)
"""Set points that a power flow follows beside `PROFILE_DIMS`: results of a dispatch hold them."""

UNITS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "_eur_per_mwh": "EUR/MWh",
        "_eur_per_mw2h": "EUR/(MW2 h)",
        "_eur_per_year": "EUR/a",
        "_t_per_mwh": "t/MWh",
        "_eur_per_t": "EUR/t",
        "_t_per_year": "t/a",
        "_mwh_per_year": "MWh/a",
        "_kwh_per_year": "kWh/a",
        "_h_per_year": "h/a",
        "_per_year": "1/a",
        "_mw": "MW",
        "_mwh": "MWh",
        "_mvar": "Mvar",
        "_mva": "MVA",
        "_per_mva": "1/MVA",
        "_kv": "kV",
        "_ka": "kA",
        "_km": "km",
        "_pu": "1",
        "_percent": "%",
        "_degree": "degree",
        "_eur": "EUR",
        "_h": "h",
        "hour": "h",
        "weight": "d",
    }
)
"""Unit of a quantity, by the longest suffix of its name that is listed here."""


LONG_NAMES: Final[Mapping[str, str]] = MappingProxyType(
    {
        **{f"{dim}_name": f"name of the {dim} in net.participant" for dim in OF_PARTICIPANTS},
        "vm_pu": "voltage magnitude",
        "vm_nothing_pu": "voltage magnitude with nothing built",
        "va_degree": "voltage angle",
        "line_loading_percent": "larger current of both ends over the rated current of a line",
        "trafo_loading_percent": "larger current over the rated current of a transformer",
        "trafo3w_loading_percent": "largest current over the rated one, three windings",
        "converged": "whether the power flow of the step converged",
        "vm_ac_pu": "voltage magnitude of the AC replay",
        "loss_mw": "losses of branches and shunts",
        "grid_purchase_alone_mwh": "energy bought from the grid without trading",
        "grid_sale_alone_mwh": "energy sold to the grid without trading",
        "p_grid_alone_mw": "exchange with the grid without trading; positive buys",
        "storage_p_alone_mw": "charging of storage without trading",
        "storage_energy_alone_mwh": "energy in storage without trading",
        "vm_alone_pu": "voltage magnitude without trading",
        "line_loading_alone_percent": "loading of lines without trading",
        "closed": "whether the element is closed",
        "closed_before": "whether the element is closed before the first step",
        "open_elements": "switchable elements that stand open",
        "round_objective_eur": "social cost of the incumbent after the round",
        "round_estimate_eur": "least estimate of a sequence after the round",
        "round_free_binaries": "binaries that were free in the round",
        "round_hours_valued": "hours valued in the round, each under one configuration",
        "round_trials": "sequences traded on in the round",
        "round_accepted": "1 where the round found a better sequence",
        "round_operations": "operations of the incumbent's day",
        "round_seconds": "time from the start to the end of the round",
        "round_ac_vm_error_pu": "largest difference of voltage to the AC replay",
        "round_ac_excess": "limits broken in the AC replay, summed",
        "operations": "operations before the step",
        "operation_closes": "1 where the operation closes its element, 0 where it opens it",
        "operation_vm_min_pu": "lowest voltage after the operation",
        "operation_loading_max_percent": "highest loading of a rated element after the operation",
        "operation_safe": "1 where the network keeps its limits after the operation",
        "p_source_mw": "active power from the external grid",
        "q_source_mvar": "reactive power from the external grid",
        "weight": "days that a typical day stands for",
        "cost_eur_per_year": "annual cost by item; sale is negative",
        "eens_mwh_per_year": "expected energy not served",
        "emission_t_per_year": "CO2 of purchased energy and of dispatchable units",
        "renewable_mwh_per_year": "energy from PV, wind and existing static generators",
        "saifi_per_year": "interruptions of an average customer",
        "saidi_h_per_year": "hours without supply of an average customer",
        "caidi_h": "hours that an interruption of a customer lasts on average",
        "asai_pu": "share of the hours of the year with supply, of an average customer",
        "aens_kwh_per_year": "expected energy not served per customer",
        "failure_rate_per_year": "interruptions of the load point (Lambda)",
        "unavailability_h_per_year": "hours without supply of the load point (U)",
        "outage_time_h": "hours that an interruption of the load point lasts on average (r)",
        "load_eens_mwh_per_year": "expected energy not served of the load point",
        "fault_rate_per_year": "faults of the line or transformer",
        "fault_eens_mwh_per_year": "expected energy not served because of the fault",
        "fault_saidi_h_per_year": "hours without supply of an average customer because of it",
        "units": "units built",
        "units_built": "units bought for the stage",
        "units_installed": "units that stand in the stage",
        "capex_eur": "investment",
        "cash_flow_eur": "paid in the year, in money of the base year; income is negative",
        "present_value_eur": "what the cash flow of the year is worth now",
        "stage_cost_eur": "present value of the cash flow of the stage's years",
        "npc_eur": "net present cost",
        "eac_eur_per_year": "constant annual cost that is worth the net present cost",
        "candidate_p_mw": "power of what was built; positive feeds in",
        "candidate_energy_mwh": "energy stored by what was built, at the start of the step",
        "trade_mw": "power traded from seller to buyer",
        "net_trade_mw": "power bought from peers less power sold to them",
        "pair_payment_eur": "payment of a participant to a partner; positive pays",
        "pair_price_eur_per_mwh": "payment between two over the energy that they traded, net",
        "average_price_eur_per_mwh": "payment of the bargain over net energy bought",
        "payment_eur": "payment of the bargain; positive pays, negative receives",
        "operator_payment_eur": "payment of the operator; positive pays, negative receives",
        "cost_alone_eur": "cost without trading",
        "cost_before_payment_eur": "cost with trading, before payments",
        "cost_eur": "cost with trading, after payments",
        "saving_eur": "cost alone less cost after payments",
        "fee_eur": "network fee on traded energy, part of the cost",
        "regret_eur": "what one could gain by moving alone",
        "seller_price_eur_per_mwh": "what a seller asks of its peers; NaN where it sells nothing",
        "uniqueness_margin": "room of the condition for one equilibrium; positive holds",
        "market_capacity_mw": "most that one may sell where it loads a limit; NaN is unlimited",
        "grid_capacity_mw": "most that one may sell to the grid; NaN is unlimited",
        "grid_purchase_mwh": "energy bought from the grid",
        "grid_sale_mwh": "energy sold to the grid",
        "peer_purchase_mwh": "energy bought from peers",
        "social_cost_alone_eur": "cost without trading of all and the operator",
        "social_cost_eur": "cost with trading of all and the operator",
        "p_grid_mw": "exchange with the grid; positive buys",
        "operator_p_grid_mw": "exchange of the operator with the grid; positive buys",
        "price_eur_per_mwh": "social cost of one more MWh of load at the bus",
        "storage_p_mw": "power of storage; positive charges",
        "storage_energy_mwh": "stored energy at the start of the step",
        "sgen_p_mw": "output of static generators",
        "sgen_available_mw": "available power of static generators",
        "load_shift_mw": "load shifted; positive consumes more",
        "load_curtailed_mw": "load forgone",
        "load_response_mw": "response of load to the price; positive consumes more",
        "sop_p_mw": "active power of a converter into its bus",
        "sop_q_mvar": "reactive power of a converter into its bus",
        "sop_loss_mw": "losses of a converter",
        "sop_q_limit": "whether a converter gave up its voltage for its limit of reactive power",
        "line_relaxation_gap_pu": "slack of the current cone, l v - P^2 - Q^2; 0 where exact",
        "trafo_relaxation_gap_pu": "slack of the current cone, l v - P^2 - Q^2; 0 where exact",
        "sop_relaxation_gap_pu": "slack of the converter's cone, k^2 - p^2 - q^2; 0 where exact",
    }
)
"""What a variable of a result is, with its sign."""


def unit_of(name: str) -> str:
    """Return the unit that the suffix of `name` says, or ``""`` where it has none."""
    fitting = [suffix for suffix in UNITS if name.endswith(suffix)]
    return UNITS[max(fitting, key=len)] if fitting else ""
