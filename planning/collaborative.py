"""`plan_together`: microgrids and network invest together, by generalised Nash bargaining.

    max prod_i (C_i^0 - C_i(z_i, x_i, e) - pi_i)^alpha_i,   sum_i pi_i = 0                  (1)

over integer units z_i, operation x_i on typical days, trades e and yearly payments pi_i of every
investor i. Utility is transferable: the largest gain is the least social cost, and

    pi_i = S_i - alpha_i / sum(alpha) Delta,   S_i = C_i^0 - C_i,   Delta = sum_i S_i       (2)

shares it. C_i^0 is the investor's stand-alone plan under the same network model
(`planning.disagreement`). Plans are found by alternating optimisation (`planning.alternation`)
from several starts; (2) is computed once, at the end. [ADN-thesis] ch. 3, reconstructed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Any

import numpy as np
import xarray as xr

from planning.fault_graph import Isolators
from planning.joint_case import JointCase
from planning.joint_data import JointData
from planning.joint_options import Algorithm, JointIslands, OwnLimit, joint_findings, own_limits
from planning.joint_own import Lower
from planning.joint_powers import Powers, require_powers, share_gain
from planning.joint_problem import JointProblem
from planning.joint_starts import STARTS, Start, run_starts, trust_regions
from planning.plan_rules import require_convex, require_reachable
from pp_p2p.errors import raise_if_any
from pp_p2p.market.bargaining import Operator
from pp_p2p.market.distributed import Distributed
from pp_p2p.network.formulation import get_formulation
from pp_p2p.network.tightening import PLAIN, Tightening, require_cone
from pp_p2p.operation.provenance import provenance
from pp_p2p.results import input_hash, label
from pp_p2p.solve.report import DEFAULT_CONFIG, SolverConfig


def plan_together(
    net: Any,
    days: xr.Dataset,
    *,
    investors: Sequence[int] | None = None,
    powers: Powers = "equal",
    operator: Operator = "inside",
    operator_power: float = 1.0,
    network_fee_eur_per_mwh: float = 5.0,
    interest_rate_percent: float = 5.0,
    eens_limit_mwh_per_year: float = np.inf,
    saidi_limit_h_per_year: float = np.inf,
    saifi_limit_per_year: float = np.inf,
    asai_limit_percent: float = 0.0,
    value_of_lost_load_eur_per_mwh: float = 0.0,
    budget_eur: OwnLimit = np.inf,
    max_sites: OwnLimit = np.inf,
    islands: JointIslands = "reserve",
    isolators: Isolators = "every_branch",
    starts: Sequence[Start] = STARTS,
    trust_region_mw: Sequence[float] | None = None,
    max_rounds: int = 30,
    benchmark: bool | None = None,
    disagreement: xr.Dataset | None = None,
    formulation: str = "branch_flow",
    algorithm: Algorithm = "central",
    distributed: Distributed | None = None,
    executor: Executor | None = None,
    tightening: Tightening = PLAIN,
    solver: SolverConfig = DEFAULT_CONFIG,
    seed: int = 0,
) -> xr.Dataset:
    """Choose what every investor builds, what they trade, and what they pay each other a year.

    Parameters
    ----------
    net : pandapowerNet
        With ``net.participant``, owned devices, and ``net.candidate`` with owners; not changed.
    days : Dataset
        Typical days with weights (`clustering.typical_days`).
    investors : sequence of int, optional
        Rows of ``net.participant`` that may build, -1 for the operator; all who have candidates
        otherwise. Participants beside them trade.
    powers : {"equal", "net_volume", "energy_map", "marginal", "given"} or mapping
        Bargaining powers, as of `pp_p2p.NashBargaining`: alike; by net traded volume of the year;
        by the exponential map of energy given and received; by what the gain loses where the
        participant stays alone; ``net.participant.bargaining_power``; or account -> power. Those
        by contribution are fixed after the quantities.
    operator : {"inside", "outside"}
        Inside, it bargains; outside, it collects the fee, and bears its cost.
    operator_power : float
        Times the mean power of the participants; 0 holds it harmless.
    network_fee_eur_per_mwh : float
        On every traded MWh, half paid by each side; income of the network, not of a player.
    interest_rate_percent, value_of_lost_load_eur_per_mwh, isolators
        As in `planning.plan_network`; energy not served is the operator's.
    eens_limit_mwh_per_year, saidi_limit_h_per_year, saifi_limit_per_year, asai_limit_percent
        As there: the operator's duty, together and alone.
    budget_eur, max_sites : float or mapping
        Most that an investor may invest, EUR, and candidates of which it may build something,
        together and alone: of the operator, or account -> limit (-1 is the operator).
    islands : {"none", "reserve"}
        As there.
    starts : sequence of {"stand_alone", "relaxed", "fee_free", "over_sized"}
        Where the alternation begins: the stand-alone plans; the central problem without integers,
        rounded; the same without fee; all generation that may be built. The best end is kept.
    trust_region_mw : sequence of float, optional
        How far own plans may move each trade, at the upper level's prices; tried in this order
        after trades as they are. Empty: trades never move. By default the largest investor's
        candidates in all, and the largest single unit.
    max_rounds : int
        Most moves from each start.
    benchmark : bool, optional
        Also solve the central mixed-integer problem and report the gap to it; by default where
        there are at most 12 units in all.
    disagreement : Dataset, optional
        An earlier result for the same net, days and options, whose stand-alone plans are taken.
    formulation : str
        ``"branch_flow"`` or ``"lindistflow"``.
    algorithm : {"central", "distributed"}
        Of the upper level: one problem, or every typical day agreed on by participants and
        operator, who tell each other trades and boundary power alone (ATC and CF-ADMM), while
        nobody tells what it owns. Many times slower on one machine.
    distributed : Distributed, optional
        How they agree.
    executor : concurrent.futures.Executor, optional
        Runs the own plans of all investors side by side; the result is the same.
    tightening : Tightening
        Of the cone relaxation.
    solver : SolverConfig
    seed : int
        Stored with the result; no random number is drawn.

    Returns
    -------
    Dataset
        By ``investor`` (participants, then -1): ``cost_alone_eur_per_year``,
        ``cost_before_payment_eur_per_year``, ``payment_eur_per_year`` (positive pays),
        ``cost_eur_per_year``, ``saving_eur_per_year``; ``deviation_gain_eur_per_year``, the most
        that another plan of its own would save it if nobody else may be worse off (what it draws
        at its bus is agreed on, as trades are), and ``own_account_gain_eur_per_year``, if it need
        not bear what the network then costs more. By candidate: ``units_alone``,
        ``units_together`` (and ``units_central``); ``units`` are those together, which
        `pp_p2p.write_back` builds. By move: who moved, and the social cost. Trades, load flow,
        certificates; attributes ``claim``, ``equilibrium``, ``central_gap``; distributed also
        ``residual_primal``, ``residual_dual`` and ``distributed_gap``.

    Raises
    ------
    InvalidInput, UnsupportedFeature
        Before anything is solved.
    NoSolution
        An investor has no stand-alone plan; it is named.
    """
    options: dict[str, Any] = {
        "starts": list(starts),
        "trust_region_mw": None if trust_region_mw is None else list(trust_region_mw),
        "max_rounds": max_rounds,
        "operator": operator,
        "operator_power": operator_power,
        "network_fee_eur_per_mwh": network_fee_eur_per_mwh,
        "algorithm": algorithm,
        "benchmark": benchmark,
    }
    own = {"budget_eur": budget_eur, "max_sites": max_sites}
    limits: dict[str, Any] = {
        "eens_limit_mwh_per_year": eens_limit_mwh_per_year,
        "saidi_limit_h_per_year": saidi_limit_h_per_year,
        "saifi_limit_per_year": saifi_limit_per_year,
        "asai_limit_percent": asai_limit_percent,
        "value_of_lost_load_eur_per_mwh": value_of_lost_load_eur_per_mwh,
        "islands": islands,
    }
    raise_if_any(joint_findings(options | own, limits, interest_rate_percent, days))
    limited = own_limits(**own)
    physics = get_formulation(formulation)
    require_cone(tightening, physics)
    data = JointData.from_net(
        net,
        days,
        investors=investors,
        fee_eur_per_mwh=network_fee_eur_per_mwh,
        interest_rate=interest_rate_percent / 100.0,
        isolators=isolators,
        own_limits=limited,
        tightening=tightening,
        **limits,
    )
    require_convex(data.year, physics)
    require_powers(powers, operator_power, data.accounts, data.power)
    require_reachable(data.year)
    base = {
        **limits,
        "investors": list(data.investors),
        "interest_rate_percent": interest_rate_percent,
        "isolators": isolators,
        "own_limits": {str(k): dataclasses.asdict(most) for k, most in limited.items()},
        "formulation": formulation,
        "tightening": dataclasses.asdict(tightening),
    }
    case = JointCase(
        net=net,
        days=days,
        data=data,
        physics=physics,
        solver=solver,
        inside=operator == "inside",
        model_hash=input_hash(net, days, base),
        agree=(distributed or Distributed()) if algorithm == "distributed" else None,
    )
    problem, lower = JointProblem(data, physics), Lower(data, physics, solver, executor)
    alone = case.disagreement(problem, lower, disagreement)
    upper = case.upper(problem, alone.operator_weight)
    radii = trust_regions(data, trust_region_mw)
    endings = run_starts(
        data,
        upper,
        lower,
        alone.point,
        starts,
        radii,
        case.noise(alone),
        max_rounds,
    )
    options |= {
        **base,
        "powers": powers if isinstance(powers, str) else {str(k): v for k, v in powers.items()},
        "trust_region_mw": [r * data.year.grid.s_base_mva for r in radii[1:]],
        "solver": dataclasses.asdict(solver),
    }
    if case.agree is not None:
        options["algorithm"] = case.agree.options()
    found = case.outcome(
        alone, upper, lower, endings, benchmark=benchmark, marginal=powers == "marginal"
    )
    attrs = provenance(
        "plan_together",
        found.report,
        found.proof,
        formulation=physics,
        seed=seed,
        options=options,
        digest=input_hash(net, days, options),
    )
    ds = label(found.ds, {**attrs, **found.attrs}, net)
    return share_gain(ds, powers=powers, operator_power=operator_power)
