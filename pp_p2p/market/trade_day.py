"""`trade_day`: a day of trading between participants, as one labelled result."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from pp_p2p.errors import Finding, InvalidInput, UnsupportedFeature, raise_if_any
from pp_p2p.market.bargaining import NashBargaining, require_mechanism
from pp_p2p.market.clearing import ALONE_WEIGHT, ClearingData, build
from pp_p2p.market.combined_offer import CombinedOffer
from pp_p2p.market.congestion import CongestionManagement, require_congestion
from pp_p2p.market.day_bargain import gain_of, strike
from pp_p2p.market.day_result import (
    Day,
    day_of,
    label_money,
    label_operation,
    label_pairs,
    label_prices,
)
from pp_p2p.market.distributed import Distributed
from pp_p2p.market.distributed_day import DistributedDays, label_residuals
from pp_p2p.market.reconfiguration_options import Reconfiguration, require_reconfiguration
from pp_p2p.market.reconfigured_day import trade_reconfigured
from pp_p2p.market.regional_day import trade_across
from pp_p2p.market.stackelberg import Stackelberg
from pp_p2p.market.strategic_day import managed_trade_day
from pp_p2p.market.trades import read_trades
from pp_p2p.network.branches import Array
from pp_p2p.network.formulation import Formulation, get_formulation
from pp_p2p.network.limits import solve_or_explain
from pp_p2p.network.relaxation import loss_price
from pp_p2p.network.solution import converter_slack, read_flows
from pp_p2p.network.tightening import PLAIN, Tightening, added_value, require_cone
from pp_p2p.operation.powerflow import Certificate, certify, label_proof
from pp_p2p.operation.provenance import provenance
from pp_p2p.results import input_hash, label
from pp_p2p.solve.report import DEFAULT_CONFIG, SolverConfig

Clearing = Callable[..., Day]
"""Solves a day: ``(trading=, without=, operator_weight=)``, as `pp_p2p.market.clearing.build`."""


def trade_day(
    net: Any,
    profiles: xr.Dataset,
    *,
    mechanism: NashBargaining | CombinedOffer | Stackelberg | None = None,
    congestion: CongestionManagement | str | None = None,
    reconfigure: Reconfiguration | None = None,
    formulation: str = "branch_flow",
    algorithm: str | Distributed = "central",
    tightening: Tightening = PLAIN,
    solver: SolverConfig = DEFAULT_CONFIG,
    seed: int = 0,
) -> xr.Dataset:
    """Trade one day between the participants of `net`.

    Parameters
    ----------
    net : pandapowerNet
        With ``net.participant`` and owned devices (`pp_p2p.assign`); is not changed.
    profiles : Dataset
        One day with dim ``time``: loads, available power, prices (see `pp_p2p.names.PROFILE_DIMS`).
        Prices (or anything else) may have a dim ``scenario`` with ``probability(scenario)``, as of
        `clustering.price_scenarios`: trades are then agreed before, everything else is chosen
        after it is known which scenario comes true.
    mechanism : NashBargaining, CombinedOffer or Stackelberg, optional
        Nash bargaining, the default: who bargains over the gain of trading within the network's
        limits. By combined offers, regions trade across a soft open point, centrally, for one
        known day. Or sellers that lead and buyers that follow, where nobody sees the network.
    congestion : CongestionManagement or str, optional
        Clear without the network, and let the operator limit sales until an AC power flow keeps
        all limits (`pp_p2p.market.congestion`); a name is that rule. Without it a bargain keeps
        them by itself, and competing sellers do not: the result counts broken limits. With either,
        voltages and losses are those of the AC power flow; `formulation`, `algorithm` and
        `tightening` stay at their defaults.
    reconfigure : Reconfiguration, optional
        Lets the operator reconfigure the network over the day
        (`pp_p2p.market.reconfigured_day`); by default it stays as it is.
    formulation : str
        ``"branch_flow"`` or ``"lindistflow"``; stand-alone and cooperation use the same.
    algorithm : {"central", "distributed"} or Distributed
        One problem for all; or participants and operator that keep their data to themselves and
        agree on trades and boundary power, stand-alone costs included (`Distributed` has the
        choices). What leaves a participant: its trades and its boundary power; sums of costs over
        all, to prove that the optimum is reached; and in the end its own cost, for the bargain.
    tightening : Tightening
        Of the cone relaxation, of stand-alone and cooperation alike. Costs, gains and payments
        leave its addition to the objective out; nodal prices are those of the tightened problem.
    solver : SolverConfig
    seed : int
        Stored with the result; the clearing itself draws no random number.

    Returns
    -------
    Dataset
        ``trade_mw(seller, buyer, time)``, ``net_trade_mw(participant, time)``, ``payment_eur``,
        ``cost_alone_eur``, ``cost_eur`` (after payments), ``saving_eur`` and ``fee_eur`` by
        participant, ``pair_payment_eur(participant, partner)``, ``p_grid_mw(participant, time)``
        (positive = buys), operation, voltages, loadings, nodal prices, certificates. Of a
        distributed run also ``residual_primal(iteration)`` and ``residual_dual(iteration)``, and
        the attributes ``central_objective_eur`` and ``distributed_gap`` (relative, of the cost
        that is minimised). Where sellers compete, ``seller_price_eur_per_mwh``, ``regret_eur``,
        ``uniqueness_margin``, and the attributes ``equilibrium``, ``existence``, ``unique``; under
        congestion management ``market_capacity_mw``, ``grid_capacity_mw`` and how the rounds went.

    Raises
    ------
    InvalidInput, UnsupportedFeature
        Before anything is solved.
    NoSolution
        The network cannot serve the day even without trading; the limits are named.
    NotConverged
        A distributed run did not come to rest within its iterations, with the history; or best
        prices of competing sellers run in a circle, which is shown.
    """
    mechanism = NashBargaining() if mechanism is None else mechanism
    managed = require_congestion(congestion)
    reconfigure = require_reconfiguration(reconfigure)
    if isinstance(mechanism, CombinedOffer):
        _require_alone(mechanism, congestion=managed, reconfigure=reconfigure)
        return trade_across(
            net,
            profiles,
            mechanism,
            formulation=formulation,
            algorithm=algorithm,
            tightening=tightening,
            solver=solver,
            seed=seed,
        )
    if managed is not None or isinstance(mechanism, Stackelberg):
        if not isinstance(mechanism, Stackelberg):
            require_mechanism(mechanism)
        _require_defaults(formulation, algorithm, tightening)
        _require_alone("a market cleared without the network", reconfigure=reconfigure)
        return managed_trade_day(net, profiles, mechanism, managed, solver=solver, seed=seed)
    require_mechanism(mechanism)
    scheme = _scheme(algorithm)
    if reconfigure is not None:
        return trade_reconfigured(
            net,
            profiles,
            mechanism=mechanism,
            formulation=formulation,
            scheme=scheme,
            tightening=tightening,
            solver=solver,
            seed=seed,
            reconfigure=reconfigure,
        )
    data = ClearingData.from_net(net, profiles, mechanism, tightening)
    physics = get_formulation(formulation)
    require_cone(tightening, physics)
    _require_duals(mechanism, physics)
    central = _central(data, physics, solver)
    clear = central if scheme is None else DistributedDays(data, physics, scheme, solver).solve
    alone, alone_proof, weight = _stand_alone(net, data, physics, clear)
    together = clear(trading=True, operator_weight=weight)
    bargain = strike(
        data,
        alone,
        together,
        lambda: _gains_without(data, clear, alone, weight),
        refused=dataclasses.replace(alone, report=together.report),
        bounds_apart=scheme is not None,
    )
    day, money = bargain.day, bargain.money
    ds = label_operation(day.model, data, physics).merge(label_prices(together, data))
    ds = ds.merge(label_money(data, day, alone.cost, money)).merge(label_pairs(data, day, money))
    proof = _certify(net, data, physics, day)
    ds = ds.merge(label_proof(proof, data.grid, data.portfolio, data.line))
    options = {
        "mechanism": dataclasses.asdict(mechanism),
        "formulation": formulation,
        "algorithm": "central" if scheme is None else scheme.options(),
        "tightening": dataclasses.asdict(tightening),
        "solver": dataclasses.asdict(solver),
    }
    attrs = provenance(
        "trade_day",
        together.report,
        proof,
        formulation=physics,
        seed=seed,
        options=options,
        digest=input_hash(net, profiles, options),
    )
    attrs |= {
        "objective_eur": float(day.cost.sum()),
        "bound_eur": together.report.bound - added_value(together.model),
        "objective_added_eur": added_value(together.model),
        "tightening": options["tightening"],
        "status_alone": alone.report.status.value,
        "relaxation_alone": "exact" if alone_proof.exact else "inexact",
        "relaxation_gap_alone": alone_proof.relaxation_gap,
        "operator_weight": weight,
        **bargain.attrs(),
    }
    if scheme is not None:
        ds = ds.merge(label_residuals(together))
        attrs |= {"iterations_alone": alone.report.iterations}
        if scheme.check_central:
            attrs |= _against(central(trading=True, operator_weight=weight), together)
    return label(ds, attrs, net)


def _require_defaults(
    formulation: str, algorithm: str | Distributed, tightening: Tightening
) -> None:
    """Raise where a choice is made that a market without the network has no use for."""
    raise_if_any(
        Finding(
            table="trade_day",
            column=name,
            rule=f"is {given!r}, but this market is cleared without the network",
            mend="leave it out, or use NashBargaining without congestion management",
        )
        for name, given, default in (
            ("formulation", formulation, "branch_flow"),
            ("algorithm", algorithm, "central"),
            ("tightening", tightening, PLAIN),
        )
        if given != default
    )


def _scheme(algorithm: str | Distributed) -> Distributed | None:
    """Return how to solve without a centre; None is centrally."""
    if isinstance(algorithm, Distributed):
        return algorithm
    if algorithm not in ("central", "distributed"):
        raise InvalidInput(
            Finding(
                table="trade_day",
                column="algorithm",
                rule=f"is {algorithm!r}",
                mend="choose 'central', 'distributed' or pp_p2p.Distributed(...)",
            )
        )
    return Distributed() if algorithm == "distributed" else None


def _central(data: ClearingData, physics: Formulation, solver: SolverConfig) -> Clearing:
    """Return the solution as one problem."""

    def clear(
        *, trading: bool, without: int | None = None, operator_weight: float = ALONE_WEIGHT
    ) -> Day:
        model = build(
            data, physics, trading=trading, without=without, operator_weight=operator_weight
        )
        problem = "trade_day" if trading else "trade_day, before any trade"
        report = solve_or_explain(model, data.grid, data.line, solver, problem)
        return day_of(data, model, report, read_trades(model.trades))

    return clear


def _against(central: Day, found: Day) -> dict[str, object]:
    least = central.report.objective
    gap = (found.report.objective - least) / max(abs(least), 1e-9)
    return {"central_objective_eur": float(central.cost.sum()), "distributed_gap": gap}


def _stand_alone(
    net: Any, data: ClearingData, physics: Formulation, clear: Clearing
) -> tuple[Day, Certificate, float]:
    """Return the day without trades, its certificate, and the weight of the operator's cost."""
    for weight in (ALONE_WEIGHT, 1.0):
        day = clear(trading=False, operator_weight=weight)
        proof = _certify(net, data, physics, day)
        if proof.exact or not physics.has_losses:
            break
    return day, proof, weight


def _certify(net: Any, data: ClearingData, physics: Formulation, day: Day) -> Certificate:
    flows = read_flows(day.model.network, day.model.injection, has_losses=physics.has_losses)
    slack = converter_slack(day.model, data.portfolio) if physics.has_losses else 0.0
    price = loss_price(flows, data.price_buy, data.price_sell)
    if data.mechanism.risk_weight == 1.0:  # what is not among the worst cases is not priced
        price = np.zeros_like(price)
    price = price + data.tightening.loss_weight
    return certify(
        net,
        data.grid,
        flows,
        has_losses=physics.has_losses,
        converter_slack=slack,
        loss_price=price,
    )


def _gains_without(data: ClearingData, clear: Clearing, alone: Day, weight: float) -> Array:
    """Return the gain of all others where one participant stays out of the trades."""
    days = [
        clear(trading=True, without=k, operator_weight=weight)
        for k in range(len(data.participants))
    ]
    return np.array([gain_of(data, alone.cost, day.cost) for day in days])


def _require_duals(mechanism: NashBargaining, physics: Formulation) -> None:
    if mechanism.fee == "nodal_price" and physics.capability == "exact":
        raise UnsupportedFeature(
            f"formulation {physics.name!r}",
            Finding(
                table="NashBargaining",
                column="fee",
                rule="is 'nodal_price', but a problem that is not convex has no such prices here",
                mend="use formulation 'branch_flow' or 'lindistflow'",
            ),
        )


def _require_alone(market: object, **given: object) -> None:
    """Raise where the operator is to do what has no meaning in this market."""
    what = market if isinstance(market, str) else type(market).__name__
    found = [
        Finding(
            table="trade_day",
            column=name,
            rule=f"is given, but {what} does not take it",
            mend="leave it out, or use NashBargaining",
        )
        for name, value in given.items()
        if value is not None
    ]
    if found:
        raise UnsupportedFeature("trade_day", found)
