"""Peer-to-peer trading, soft open points and network physics on top of pandapower.

Public names are loaded when they are first used, so that importing the package stays light.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pp_p2p.public import load_when_used
from pp_p2p.version import __version__

if TYPE_CHECKING:
    from pp_p2p import plotting
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
    from pp_p2p.errors import DivergedSteps, InexactRelaxation
    from pp_p2p.market.bargaining import NashBargaining
    from pp_p2p.market.cases import trading_cases
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
    "set_line_reliability": "pp_p2p.elements.attributes",
    "set_storage": "pp_p2p.elements.attributes",
    "set_trafo_reliability": "pp_p2p.elements.attributes",
    "open_net": "pp_p2p.elements.library",
    "check": "pp_p2p.elements.references",
    "drop_orphans": "pp_p2p.elements.references",
    "toolbox": "pp_p2p.elements",
    "validate": "pp_p2p.elements.validate",
    "DivergedSteps": "pp_p2p.errors",
    "InexactRelaxation": "pp_p2p.errors",
    "NashBargaining": "pp_p2p.market.bargaining",
    "trade_day": "pp_p2p.market.trade_day",
    "trading_cases": "pp_p2p.market.cases",
    "Tightening": "pp_p2p.network.tightening",
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
    "DispatchProblem",
    "DivergedSteps",
    "GridData",
    "InexactRelaxation",
    "NashBargaining",
    "SolverConfig",
    "Tightening",
    "__version__",
    "assign",
    "check",
    "create_candidate",
    "create_flexible_load",
    "create_participant",
    "create_sop",
    "dispatch",
    "drop_orphans",
    "from_netcdf",
    "open_net",
    "plotting",
    "reconfigure",
    "run_year",
    "runpp",
    "set_customers",
    "set_line_reliability",
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
