"""Peer-to-peer trading, soft open points and network physics on top of pandapower.

Public names are loaded when they are first used, so that importing the package stays light.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pp_p2p.public import load_when_used
from pp_p2p.version import __version__

if TYPE_CHECKING:
    from pp_p2p import ledger, plotting
    from pp_p2p.elements import toolbox
    from pp_p2p.elements.attributes import (
        set_customers,
        set_line_reliability,
        set_storage,
        set_trafo_reliability,
    )
    from pp_p2p.elements.create import (
        create_candidate,
        create_flexible_load,
        create_participant,
        create_sop,
    )
    from pp_p2p.elements.library import open_net
    from pp_p2p.elements.ownership import assign
    from pp_p2p.elements.references import check, drop_orphans
    from pp_p2p.elements.validate import validate
    from pp_p2p.errors import ConstantGeneration, DivergedSteps, DoubtfulInput, InexactRelaxation
    from pp_p2p.market.bargaining import NashBargaining
    from pp_p2p.market.cases import trading_cases
    from pp_p2p.market.combined_offer import CombinedOffer
    from pp_p2p.market.congestion import CongestionManagement
    from pp_p2p.market.distributed import Distributed
    from pp_p2p.market.end_use import end_use_analysis, price_response
    from pp_p2p.market.indicators import indicators
    from pp_p2p.market.mechanisms import compare_mechanisms
    from pp_p2p.market.reconfiguration_cases import reconfiguration_cases
    from pp_p2p.market.reconfiguration_options import Reconfiguration
    from pp_p2p.market.stackelberg import Stackelberg
    from pp_p2p.market.trade_day import trade_day
    from pp_p2p.network.grid import GridData
    from pp_p2p.network.tightening import Tightening
    from pp_p2p.operation.dispatch import dispatch
    from pp_p2p.operation.dispatch_problem import DispatchProblem
    from pp_p2p.operation.reconfiguration import reconfigure
    from pp_p2p.operation.runpp import runpp
    from pp_p2p.operation.year_flow import run_year
    from pp_p2p.results import from_netcdf, to_netcdf
    from pp_p2p.solve.report import SolverConfig
    from pp_p2p.written_back import write_back

_HOMES = {
    "assign": "pp_p2p.elements.ownership",
    "create_candidate": "pp_p2p.elements.create",
    "create_flexible_load": "pp_p2p.elements.create",
    "create_participant": "pp_p2p.elements.create",
    "create_sop": "pp_p2p.elements.create",
    "set_customers": "pp_p2p.elements.attributes",
    "set_remote_control": "pp_p2p.elements.attributes",
    "set_line_reliability": "pp_p2p.elements.attributes",
    "set_storage": "pp_p2p.elements.attributes",
    "set_trafo_reliability": "pp_p2p.elements.attributes",
    "open_net": "pp_p2p.elements.library",
    "check": "pp_p2p.elements.references",
    "drop_orphans": "pp_p2p.elements.references",
    "toolbox": "pp_p2p.elements",
    "validate": "pp_p2p.elements.validate",
    "ConstantGeneration": "pp_p2p.errors",
    "DivergedSteps": "pp_p2p.errors",
    "DoubtfulInput": "pp_p2p.errors",
    "InexactRelaxation": "pp_p2p.errors",
    "NashBargaining": "pp_p2p.market.bargaining",
    "CombinedOffer": "pp_p2p.market.combined_offer",
    "Distributed": "pp_p2p.market.distributed",
    "CongestionManagement": "pp_p2p.market.congestion",
    "Stackelberg": "pp_p2p.market.stackelberg",
    "compare_mechanisms": "pp_p2p.market.mechanisms",
    "end_use_analysis": "pp_p2p.market.end_use",
    "indicators": "pp_p2p.market.indicators",
    "price_response": "pp_p2p.market.end_use",
    "Reconfiguration": "pp_p2p.market.reconfiguration_options",
    "reconfiguration_cases": "pp_p2p.market.reconfiguration_cases",
    "trade_day": "pp_p2p.market.trade_day",
    "trading_cases": "pp_p2p.market.cases",
    "Tightening": "pp_p2p.network.tightening",
    "ledger": "pp_p2p",
    "plotting": "pp_p2p",
    "dispatch": "pp_p2p.operation.dispatch",
    "DispatchProblem": "pp_p2p.operation.dispatch_problem",
    "run_year": "pp_p2p.operation.year_flow",
    "reconfigure": "pp_p2p.operation.reconfiguration",
    "runpp": "pp_p2p.operation.runpp",
    "GridData": "pp_p2p.network.grid",
    "from_netcdf": "pp_p2p.results",
    "to_netcdf": "pp_p2p.results",
    "SolverConfig": "pp_p2p.solve.report",
    "write_back": "pp_p2p.written_back",
}

__all__ = [
    "CombinedOffer",
    "CongestionManagement",
    "ConstantGeneration",
    "DispatchProblem",
    "Distributed",
    "DivergedSteps",
    "DoubtfulInput",
    "GridData",
    "InexactRelaxation",
    "NashBargaining",
    "Reconfiguration",
    "SolverConfig",
    "Stackelberg",
    "Tightening",
    "__version__",
    "assign",
    "check",
    "compare_mechanisms",
    "create_candidate",
    "create_flexible_load",
    "create_participant",
    "create_sop",
    "dispatch",
    "drop_orphans",
    "end_use_analysis",
    "from_netcdf",
    "indicators",
    "ledger",
    "open_net",
    "plotting",
    "price_response",
    "reconfiguration_cases",
    "reconfigure",
    "run_year",
    "runpp",
    "set_customers",
    "set_line_reliability",
    "set_remote_control",
    "set_storage",
    "set_trafo_reliability",
    "to_netcdf",
    "toolbox",
    "trade_day",
    "trading_cases",
    "validate",
    "write_back",
]


__getattr__, __dir__ = load_when_used(__name__, _HOMES)
