"""Participants, network and switching of a day: the rounds that a reconfigured day is made of."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from pp_p2p.errors import Finding, UnsupportedFeature, raise_if_any
from pp_p2p.market.agreed_topology import AgreedTopology
from pp_p2p.market.bargaining import NashBargaining
from pp_p2p.market.clearing import ALONE_WEIGHT, ClearingData
from pp_p2p.market.day_result import Day
from pp_p2p.market.distributed import Distributed
from pp_p2p.market.fixed_topology import FixedTopology, Point
from pp_p2p.market.joint_trading import JOINT_BINARIES, JOINT_GAP, JointAnswer, JointTrading
from pp_p2p.market.looped_market import LoopedMarket
from pp_p2p.market.reconfiguration_options import Reconfiguration, operations
from pp_p2p.market.switched_proof import certify_switched
from pp_p2p.market.topology_bound import bound_jointly
from pp_p2p.market.topology_rounds import Outcome, TopologyRounds
from pp_p2p.network.branches import Array
from pp_p2p.network.formulation import Formulation, get_formulation
from pp_p2p.network.power_base import power_base_mva
from pp_p2p.network.spanning import graph_facts
from pp_p2p.network.switching import SwitchGraph
from pp_p2p.network.tightening import Tightening, require_cone
from pp_p2p.network.timeline import Timeline
from pp_p2p.operation.powerflow import Certificate
from pp_p2p.operation.reconfiguration_rules import no_configuration
from pp_p2p.solve.report import SolverConfig


@dataclass(frozen=True, kw_only=True)
class Ended:
    """Rounds that ended: the problem they were of, where, and the day there."""

    topology: FixedTopology
    outcome: Outcome
    weight: float
    proof: Certificate

    @property
    def point(self) -> Point:
        """The incumbent."""
        return self.outcome.point


class ReconfiguredMarket:
    """Participants, network and switching of a day.

    Parameters
    ----------
    net : pandapowerNet
    profiles : Dataset
    mechanism, formulation, tightening, config
        As of `trade_day`.
    options : Reconfiguration
    scheme : Distributed, optional
        How the inner rounds are solved without a centre.

    Raises
    ------
    InvalidInput, UnsupportedFeature
        Before anything is solved.
    """

    def __init__(
        self,
        net: Any,
        profiles: xr.Dataset,
        *,
        mechanism: NashBargaining,
        formulation: str,
        tightening: Tightening,
        config: SolverConfig,
        options: Reconfiguration,
        scheme: Distributed | None,
    ) -> None:
        self.physics: Formulation = get_formulation(formulation)
        require_cone(tightening, self.physics)
        Timeline.from_profiles(profiles)  # what is no day is told before all else
        _require_supported(mechanism, self.physics, profiles, tightening)
        if scheme is not None and options.listen is None:
            options = dataclasses.replace(options, listen=scheme.listen)
        self.net, self.options, self.scheme, self.config = net, options, scheme, config
        self.graph = _graph(net, profiles, options)
        self.facts = graph_facts(self.graph)
        raise_if_any(no_configuration(self.graph, self.facts))
        self.data = ClearingData.from_net(
            net, profiles, mechanism, tightening, grid=self.graph.as_grid()
        )

    def alone(self) -> Ended:
        """Return the day without trades; the weight of the operator is that of `trade_day`."""
        present = np.tile(self.graph.closed, (self.data.line.n_steps, 1))
        for weight in (ALONE_WEIGHT, 1.0):
            ended = self.ended([present], trading=False, weight=weight)
            if ended.proof.exact or not self.physics.has_losses:
                break
        return ended

    def ended(
        self, starts: list[Array], *, trading: bool, weight: float, without: int | None = None
    ) -> Ended:
        """Return where the rounds from `starts` (step, edge) end."""
        outside = not trading or self.data.mechanism.operator == "outside"
        own = weight if outside else 1.0
        limits = self.options.limits(self.data.line, own)
        market = LoopedMarket(
            self.data, self.physics, trading=trading, without=without, operator_weight=weight
        )
        given = (self.net, self.graph, market, self.physics, self.config, limits.cost)
        topology: FixedTopology = FixedTopology(*given)
        if self.scheme is not None:
            terms = {"trading": trading, "without": without, "operator_weight": weight}
            topology = AgreedTopology(*given, scheme=self.scheme, terms=terms)
        price = own * self.data.price_buy * self.data.step_mwh
        outcome = TopologyRounds(topology, limits, self.options, price).run(starts)
        loss_price = own * np.minimum(self.data.price_buy, self.data.price_sell)
        proof = certify_switched(
            topology, outcome.point, self.physics, loss_price + self.data.tightening.loss_weight
        )
        return Ended(topology=topology, outcome=outcome, weight=own, proof=proof)

    def day(self, ended: Ended) -> Day:
        """Return the day where rounds ended, the operations on the operator's account."""
        day = ended.topology.day(ended.point)
        day.cost[-1] += self.options.switching_cost_eur * self.operations(ended.point)
        return day

    def operations(self, point: Point) -> int:
        """Return the operations of the day."""
        return int(operations(self.graph.closed, point.closed).sum())

    def bounded(self, together: Ended) -> Ended:
        """Return rounds with trading, with a bound of all sequences that is proven and finite.

        The higher one of that of the rounds and that of `pp_p2p.market.topology_bound`.
        """
        outcome, objective = together.outcome, together.point.objective
        enough = objective - self.options.least_gain(objective)
        if outcome.bound >= enough:
            return together
        found = bound_jointly(
            self.joint_problem(together.weight),
            together.topology.market,
            nodes=self.options.bound_nodes,
            time_limit_s=self.options.time_limit_s - outcome.rounds[-1].seconds,
            target=enough,
            offers=(together.topology.hours.tying, together.point.duals),
        )
        bound = min(max(outcome.bound, found.value), objective)
        termination = "proven optimum" if bound >= enough else outcome.termination
        outcome = dataclasses.replace(outcome, bound=bound, termination=termination)
        return dataclasses.replace(together, outcome=outcome)

    def joint(self, together: Ended) -> JointAnswer | None:
        """Return the answer of the joint problem, where it is asked for."""
        problem = self.joint_problem(together.weight)
        wanted = self.options.compare_joint
        if wanted is None:
            wanted = problem.n_binaries <= JOINT_BINARIES
        if not wanted:
            return None
        config = dataclasses.replace(
            self.config,
            rel_gap=min(self.config.rel_gap, JOINT_GAP),
            time_limit_s=self.options.joint_time_limit_s,
        )
        return problem.solve(config)

    def joint_problem(self, operator_weight: float) -> JointTrading:
        """Return trades and configurations of the day as one problem."""
        return JointTrading(
            data=self.data,
            graph=self.graph,
            formulation=self.physics,
            limits=self.options.limits(self.data.line, operator_weight),
            operator_weight=operator_weight,
        )


def _graph(net: Any, profiles: xr.Dataset, options: Reconfiguration) -> SwitchGraph:
    """Return what may be switched, on the power base of a trading day."""
    placed = copy.deepcopy(net)
    placed.sn_mva = power_base_mva(net, profiles)
    return SwitchGraph.from_net(placed, options.switchable)


def _require_supported(
    mechanism: NashBargaining, physics: Formulation, profiles: xr.Dataset, tightening: Tightening
) -> None:
    found = tuple(_unsupported(mechanism, physics, profiles, tightening))
    if found:
        raise UnsupportedFeature("trade_day with reconfigure", found)


def _unsupported(
    mechanism: object, physics: Formulation, profiles: xr.Dataset, tightening: Tightening
) -> Iterator[Finding]:
    if not isinstance(mechanism, NashBargaining):
        yield Finding(
            table="trade_day",
            column="mechanism",
            rule=f"is {type(mechanism).__name__}, which knows no changing network",
            mend="pass pp_p2p.NashBargaining(...)",
        )
    if physics.capability == "exact":
        yield Finding(
            table="trade_day",
            column="formulation",
            rule=f"is {physics.name!r}, which is not convex",
            mend="use formulation 'branch_flow' or 'lindistflow'",
        )
    if "scenario" in profiles.dims:
        yield Finding(
            table="profiles",
            column="scenario",
            rule="holds uncertain prices: which configuration follows which price is not modelled",
            mend="pass known prices, for instance profiles.weighted(...).mean('scenario')",
        )
    if tightening.voltage:
        yield Finding(
            table="Tightening",
            column="voltage",
            rule="follows one tree, and the tree changes",
            mend="use Tightening(loss_weight=...)",
        )
