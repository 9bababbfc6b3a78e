"""The model of a dispatch, built and compiled once and solved with other data again."""

from __future__ import annotations

from typing import Any

import pyomo.environ as pyo
from pyomo.common.gc_manager import PauseGC

from pp_p2p.errors import NoSolution, TimeLimit
from pp_p2p.network.block import Injection, network_block
from pp_p2p.network.devices import add_devices, fixed_injection
from pp_p2p.network.formulation import Formulation
from pp_p2p.network.limits import explain_compiled
from pp_p2p.network.model_vectors import ModelVectors
from pp_p2p.network.on_off import Closed
from pp_p2p.network.tightening import weigh_losses
from pp_p2p.operation.dispatch_data import DispatchData
from pp_p2p.operation.dispatch_objective import exchange_cost, objective_of, per_pu_hour
from pp_p2p.solve.compiled import CompiledProblem, compile_model, load_values
from pp_p2p.solve.report import SolverConfig, SolveReport
from pp_p2p.solve.run import CompiledSolver
from pp_p2p.solve.vectors import Positions, Vectors


def build(data: DispatchData, formulation: Formulation, closed: Closed | None = None) -> Any:
    """Return the Pyomo model; `closed` are the variables of branches that may open."""
    m = pyo.ConcreteModel(name="dispatch")
    p, line = data.portfolio, data.line
    with PauseGC():  # hundreds of thousands of small objects, none of them garbage
        m.TIME = pyo.RangeSet(0, line.n_steps - 1)
        m.injection = fixed_injection(data.grid.n_nodes, line, p.loads, p.generators)
        add_devices(m, p, line, m.injection, formulation)
        m.network = network_block(
            data.grid, formulation, m.injection, data.tightening, closed=closed
        )
        m.objective = pyo.Objective(expr=objective_of(m, data, formulation))
        weigh_losses(m, data.tightening, data.grid, p.sops, per_pu_hour(data))
    return m


class CompiledDispatch:
    """One built and compiled model, its solver, and where data goes in it.

    Parameters
    ----------
    data : DispatchData
    formulation : Formulation
        Linear or a cone.
    config : SolverConfig

    Attributes
    ----------
    data : DispatchData
        That the model was built from.
    model : pyomo.ConcreteModel
        Holds the values of the last solve; bounds and right-hand sides remain those of `data`.
    """

    def __init__(self, data: DispatchData, formulation: Formulation, config: SolverConfig) -> None:
        self.data = data
        self.model = build(data, formulation)
        self._problem = _compiled(self.model)
        self._config = config
        self._solver = CompiledSolver(self._problem, config)
        positions = Positions(self._problem)
        self._vectors = ModelVectors(self.model, positions)
        self._exchange = (
            (positions.columns(self.model.buy), positions.columns(self.model.sell))
            if data.objective == "cost"
            else ()
        )

    def problem_of(self, data: DispatchData) -> CompiledProblem:
        """Return the compiled problem of `data`, whose structure is that of ``self.data``."""
        vectors = Vectors.of(self._problem)
        injection = self._fixed(data)
        most = self._vectors.write(vectors, data.grid, data.line, data.portfolio, injection)
        if self._exchange:
            for columns, cost in zip(self._exchange, exchange_cost(data), strict=True):
                vectors.price(columns, cost)
                vectors.bound(columns, 0.0, most * len(data.grid.source_node))
        return vectors.put_into(self._problem)

    def solve(self, data: DispatchData, *, afresh: bool = False) -> SolveReport:
        """Solve with `data` and load the values into ``self.model``.

        `afresh` sets the solver up anew, so that no digit depends on what was solved before.

        Raises
        ------
        NoSolution
            With the limits that cannot hold.
        """
        problem = self._problem if data is self.data else self.problem_of(data)
        if afresh:
            self._solver = CompiledSolver(problem, self._config)
        try:
            x, report = self._solver.solve(problem)
        except TimeLimit:
            raise
        except NoSolution as error:
            reasons = explain_compiled(problem, self.model.network, data.grid, data.line)
            raise NoSolution(f"dispatch: {reasons or error}", error.report) from error
        fixed = self._fixed(data)
        self.model.injection.p, self.model.injection.q = fixed.p, fixed.q
        load_values(problem, x)
        return report

    @staticmethod
    def _fixed(data: DispatchData) -> Injection:
        p = data.portfolio
        return fixed_injection(data.grid.n_nodes, data.line, p.loads, p.generators)


def _compiled(model: Any) -> CompiledProblem:
    try:
        return compile_model(model)
    except NoSolution as error:
        raise NoSolution(f"dispatch: {error}") from error
