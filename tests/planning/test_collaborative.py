"""`plan_together`: enumeration, laws of the bargain, equilibrium, bad input."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pandapower as pp
import pytest
import xarray as xr

from planning import plan_together, share_gain
from planning.joint_data import JointData
from planning.joint_problem import JointProblem, Upper
from pp_p2p import (
    SolverConfig,
    assign,
    create_candidate,
    create_participant,
    create_sop,
    write_back,
)
from pp_p2p.errors import InvalidInput, NoSolution, UnsupportedFeature
from pp_p2p.market.bargaining import nash_payments
from pp_p2p.market.distributed import Distributed
from pp_p2p.network.formulation import get_formulation
from pp_p2p.network.tightening import PLAIN

TIGHT = SolverConfig(rel_gap=1e-7)
PARTS = ("cost_alone", "cost_before_payment", "payment", "cost", "saving")
Toy = tuple[Any, xr.Dataset]
MakeDays = Callable[..., xr.Dataset]


def _pv(net: Any, bus: int, owner: int, units: int, eur: float) -> None:
    create_candidate(net, bus, technology="pv", participant=owner, unit_p_mw=0.5,
                     max_units=units, capex_eur_per_unit=eur)  # fmt: skip


def _storage(net: Any, bus: int, owner: int, units: int, eur: float) -> None:
    create_candidate(net, bus, technology="storage", participant=owner, unit_p_mw=0.4,
                     unit_e_mwh=1.0, max_units=units, capex_eur_per_unit=eur)  # fmt: skip


@pytest.fixture
def two(feeder: Any, make_days: MakeDays) -> Toy:
    """One has a site for PV and little load, the other load: alone neither builds."""
    feeder.load.loc[1, "p_mw"] = 0.05
    site, town = create_participant(feeder, 2, name="site"), create_participant(feeder, 4)
    assign(feeder, site, load=[1])
    assign(feeder, town, load=[3])
    _pv(feeder, 2, site, 3, 1.5e6)
    _storage(feeder, 4, town, 3, 2.5e5)
    return feeder, make_days(feeder, n=1, hours=4)


@pytest.fixture
def three(feeder: Any, make_days: MakeDays) -> Toy:
    """Two who have PV and storage each, a third who trades, and the operator's storage."""
    a, b, c = (create_participant(feeder, bus) for bus in (2, 3, 4))
    for owner, load in ((a, 1), (b, 2), (c, 3)):
        assign(feeder, owner, load=[load])
    _pv(feeder, 2, a, 3, 7e5)
    _storage(feeder, 3, b, 3, 1.6e5)
    _pv(feeder, 4, c, 3, 9e5)
    _storage(feeder, 1, -1, 1, 1.6e5)
    return feeder, make_days(feeder, n=1, hours=4)


def _upper(toy: Toy) -> Upper:
    data = JointData.from_net(
        *toy,
        investors=None,
        fee_eur_per_mwh=5.0,
        interest_rate=0.05,
        eens_limit_mwh_per_year=np.inf,
        value_of_lost_load_eur_per_mwh=0.0,
        tightening=PLAIN,
    )
    problem = JointProblem(data, get_formulation("lindistflow"))
    return Upper(problem, TIGHT, trading=True, operator_weight=1.0)


def _enumerated(toy: Toy) -> dict[Any, float]:
    upper = _upper(toy)
    ranges = [range(int(n) + 1) for n in upper.data.year.candidates.max_units]
    return {plan: upper.cost(plan) for plan in itertools.product(*ranges)}


@pytest.mark.parametrize("name", ["two", "three"])
def test_several_starts_reach_the_enumerated_optimum(
    name: str, request: pytest.FixtureRequest
) -> None:
    toy = request.getfixturevalue(name)
    every = _enumerated(toy)
    best = min(every, key=every.__getitem__)
    ds = plan_together(*toy, formulation="lindistflow", solver=TIGHT)
    assert ds.attrs["social_cost_eur_per_year"] == pytest.approx(every[best], rel=1e-7)
    assert tuple(ds["units_together"].to_numpy()) == best
    names = [*toy[0].participant["name"], "operator"]
    assert ds["investor_name"].to_numpy().tolist() == names
    assert abs(ds.attrs["central_gap"]) <= 1e-7
    assert ds.attrs["central_objective_eur_per_year"] == pytest.approx(every[best], rel=1e-6)


@pytest.mark.parametrize("name", ["two", "three"])
@pytest.mark.parametrize("start", ["stand_alone", "relaxed", "over_sized"])
def test_no_start_ends_below_the_optimum(
    name: str, start: Any, request: pytest.FixtureRequest
) -> None:
    toy = request.getfixturevalue(name)
    ds = plan_together(
        *toy, formulation="lindistflow", starts=[start], trust_region_mw=[], solver=TIGHT
    )
    end = float(ds["start_end_cost_eur_per_year"].min())
    best = ds.attrs["central_objective_eur_per_year"]
    assert end >= best * (1 - 1e-8)


def test_the_stand_alone_start_gets_stuck_and_trades_that_move_free_it(two: Toy) -> None:
    options: dict[str, Any] = {"formulation": "lindistflow", "starts": ["stand_alone"]}
    stuck = plan_together(*two, trust_region_mw=[], solver=TIGHT, **options)
    freed = plan_together(*two, solver=TIGHT, **options)
    assert stuck.attrs["central_gap"] > 1e-3
    assert freed.attrs["central_gap"] <= 1e-7
    assert stuck.attrs["equilibrium"].startswith("certified")  # nobody alone would move
    assert int(freed["move_accepted"].sum()) > 1


def _spent(toy: Toy, plan: tuple[int, ...], account: int) -> tuple[float, int]:
    """Return what `account` invests, and at how many sites."""
    c = toy[0].candidate
    mine = (c.participant == account).to_numpy()
    units = np.array(plan)[mine]
    fixed = c.fixed_capex_eur.to_numpy()[mine] @ (units > 0)
    return float(c.capex_eur_per_unit.to_numpy()[mine] @ units + fixed), int((units > 0).sum())


@pytest.mark.parametrize(
    ("budget", "sites"),
    [({0: 1.5e6}, {}), ({0: 8e5, 1: 2e5}, {}), ({}, {-1: 0, 1: 1}), ({1: 2e5}, {-1: 0.0})],
)
def test_each_investor_keeps_its_own_limits(
    three: Toy, budget: dict[int, float], sites: dict[int, float]
) -> None:
    """The best of all plans within the limits, from some start; alone they hold, too."""
    create_candidate(three[0], 3, technology="pv", participant=1, unit_p_mw=0.3, max_units=2,
                     capex_eur_per_unit=1e5, fixed_capex_eur=5e4)  # fmt: skip

    def within(plan: tuple[int, ...]) -> bool:
        spent = {a: _spent(three, plan, a) for a in (-1, 0, 1, 2)}
        return all(spent[a][0] <= most for a, most in budget.items()) and all(
            spent[a][1] <= most for a, most in sites.items()
        )

    every = _enumerated(three)
    allowed = {plan: cost for plan, cost in every.items() if within(plan)}
    best = min(allowed, key=allowed.__getitem__)
    ds = plan_together(
        *three, budget_eur=budget, max_sites=sites, formulation="lindistflow", solver=TIGHT,
        benchmark=True,
    )  # fmt: skip
    assert min(every.values()) < allowed[best] * (1 - 1e-6)  # the limits bind
    assert ds.attrs["central_objective_eur_per_year"] == pytest.approx(allowed[best], rel=1e-6)
    assert ds.attrs["social_cost_eur_per_year"] == pytest.approx(allowed[best], rel=1e-6)
    for name in ("alone", "together", "central"):
        assert within(tuple(ds[f"units_{name}"].to_numpy().tolist()))
    assert ds.attrs["equilibrium"].startswith("certified")
    assert (ds["saving_eur_per_year"] >= -1e-6 * ds.attrs["gain_eur_per_year"]).all()
    with pytest.raises(InvalidInput, match="another net, days, network model"):
        plan_together(*three, formulation="lindistflow", solver=TIGHT, disagreement=ds)


def test_a_number_limits_the_operator_and_wide_limits_nothing(three: Toy) -> None:
    options: dict[str, Any] = {"formulation": "lindistflow", "solver": TIGHT}
    free = plan_together(*three, **options)
    wide = plan_together(*three, budget_eur=dict.fromkeys((-1, 0, 1, 2), 1e9), **options)
    np.testing.assert_array_equal(free["units"], wide["units"])
    costs = [ds["cost_eur_per_year"].to_numpy() for ds in (free, wide)]
    np.testing.assert_allclose(*costs, rtol=1e-6)
    poor = plan_together(*three, budget_eur=1e5, **options)  # its storage costs 1.6e5
    assert free["units"].to_numpy()[3] == 1
    assert poor["units"].to_numpy()[3] == 0
    assert poor["investment_together_eur"].sel(investor=-1) == 0.0


def test_laws_of_the_bargain(three: Toy) -> None:
    net, days = three
    before = copy.deepcopy(net)
    ds = plan_together(net, days, solver=TIGHT)
    assert pp.toolbox.nets_equal(net, before)
    gain = ds.attrs["gain_eur_per_year"]
    alone, raw, paid, cost, saving = (ds[f"{p}_eur_per_year"].to_numpy() for p in PARTS)
    assert gain > ds.attrs["gain_noise_eur_per_year"]
    assert abs(paid.sum()) <= 1e-6 * gain
    assert (saving >= -1e-6 * gain).all()
    np.testing.assert_allclose(saving, gain / 4, rtol=1e-9)
    np.testing.assert_allclose(cost, raw + paid)
    np.testing.assert_allclose(paid, nash_payments(alone - raw, np.ones(4)))
    np.testing.assert_allclose(ds["net_trade_mw"].sum("participant"), 0.0, atol=1e-9)
    assert ds.attrs["relaxation"] == "exact"
    for start in ds["start"].to_numpy():
        accepted = (ds["move_start"] == start) & (ds["move_accepted"] == 1)
        assert (np.diff(ds["move_cost_eur_per_year"].to_numpy()[accepted.to_numpy()]) < 0).all()


def test_no_investor_gains_by_another_plan(three: Toy) -> None:
    ds = plan_together(*three, formulation="lindistflow", solver=TIGHT)
    invests = ds["deviation_gain_eur_per_year"].notnull()
    off = ds["deviation_gain_eur_per_year"] - ds["deviation_tolerance_eur_per_year"]
    assert invests.to_numpy().all()
    assert (off <= 0).all()
    assert ds.attrs["equilibrium"].startswith("certified")
    # the same by enumeration: every other plan of each, the trades kept
    upper = _upper(three)
    plan, most = tuple(ds["units"].to_numpy().tolist()), ds["max_units"].to_numpy()
    point = upper.at(plan)
    assert point is not None
    for changed, n in itertools.product(range(len(plan)), range(int(most.max()) + 1)):
        if n > most[changed]:
            continue
        other = tuple(n if k == changed else m for k, m in enumerate(plan))
        reached = upper.with_trades(other, point.trade)
        assert reached.objective >= point.objective * (1 - 1e-8)


def test_sites_inverters_and_network_devices_are_planned_together(two: Toy) -> None:
    net, days = two
    create_candidate(net, 3, technology="dispatchable", participant=1, unit_p_mw=0.3,
                     unit_sn_mva=0.4, max_units=2, capex_eur_per_unit=1e5, fixed_capex_eur=2e5,
                     variable_om_eur_per_mwh=40.0)  # fmt: skip
    sop = create_sop(net, buses=[2, 4], sn_mva=0.5, loss_factor=0.02, in_service=False)
    create_candidate(net, 2, technology="sop", sop=sop, capex_eur_per_unit=1e4)
    every = _enumerated(two)
    best = min(every, key=every.__getitem__)
    ds = plan_together(net, days, formulation="lindistflow", solver=TIGHT)
    assert ds.attrs["social_cost_eur_per_year"] == pytest.approx(every[best], rel=1e-6)
    assert ds.attrs["central_objective_eur_per_year"] == pytest.approx(every[best], rel=1e-6)
    assert int(ds["units"].sel(candidate=2)) > 0
    net.candidate.loc[3, "participant"] = 0
    with pytest.raises(InvalidInput, match="which is the operator's"):
        plan_together(net, days)


def test_powers_share_the_same_gain_differently(three: Toy) -> None:
    ds = plan_together(*three, formulation="lindistflow", solver=TIGHT)
    by_volume = share_gain(ds, powers="net_volume")
    volume = ds["net_volume_mwh_per_year"].to_numpy()[:-1]
    np.testing.assert_allclose(by_volume["bargaining_power"][:-1], volume / volume.sum())
    again = plan_together(
        *three, formulation="lindistflow", powers="net_volume", disagreement=ds, solver=TIGHT
    )
    xr.testing.assert_allclose(again["payment_eur_per_year"], by_volume["payment_eur_per_year"])
    given = share_gain(ds, powers={0: 2.0, 1: 1.0, 2: 1.0}, operator_power=0.0)
    saving = given["saving_eur_per_year"].to_numpy()
    np.testing.assert_allclose(saving, ds.attrs["gain_eur_per_year"] * np.array([2, 1, 1, 0]) / 4)
    weighted = (np.abs(ds["net_trade_mw"]) * ds["weight"]).sum(["day", "hour"]) * 6.0
    np.testing.assert_allclose(weighted, volume)


def test_alone_each_minds_its_own_cost(two: Toy) -> None:
    ds = plan_together(*two, formulation="lindistflow", solver=TIGHT)
    assert ds.attrs["stand_alone_found"] == "separate"
    assert int(ds["units_alone"].sum()) < int(ds["units_together"].sum())
    one = plan_together(*two, formulation="lindistflow", investors=[0], solver=TIGHT)
    assert int(one["units_together"][1]) == 0  # the other trades, but does not build
    assert one.attrs["social_cost_eur_per_year"] >= ds.attrs["social_cost_eur_per_year"] - 1e-3


def test_where_the_network_binds_the_stand_alone_plans_are_solved_jointly(two: Toy) -> None:
    net, days = two
    create_candidate(net, 4, technology="pv", participant=1, unit_p_mw=4.0, max_units=1,
                     capex_eur_per_unit=1e6)  # fmt: skip
    net.bus.loc[4, "max_vm_pu"] = 1.005
    ds = plan_together(net, days, formulation="lindistflow", solver=TIGHT)
    assert ds.attrs["stand_alone_found"] == "joint"
    assert (ds["saving_eur_per_year"] >= -1e-6 * ds.attrs["gain_eur_per_year"]).all()


def test_an_operator_outside_takes_no_part(two: Toy) -> None:
    ds = plan_together(*two, formulation="lindistflow", operator="outside", solver=TIGHT)
    assert float(ds["payment_eur_per_year"].sel(investor=-1)) == 0.0
    gain = ds.attrs["gain_eur_per_year"]
    np.testing.assert_allclose(ds["saving_eur_per_year"][:-1], gain / 2)


def test_a_gain_below_the_gap_is_not_claimed(two: Toy) -> None:
    net, days = two
    net.participant["max_trade_mw"] = 0.0
    ds = plan_together(net, days, formulation="lindistflow", solver=TIGHT)
    assert ds.attrs["claim"].startswith("none")
    assert (ds["payment_eur_per_year"] == 0.0).all()
    np.testing.assert_array_equal(ds["units_together"], ds["units_alone"])


def test_a_disagreement_point_of_another_model_is_refused(two: Toy) -> None:
    ds = plan_together(*two, formulation="lindistflow", solver=TIGHT)
    with pytest.raises(InvalidInput, match="another net, days, network model"):
        plan_together(*two, formulation="branch_flow", disagreement=ds)


def test_an_investor_without_a_plan_of_its_own_is_named(two: Toy) -> None:
    net, days = two
    net.participant.loc[1, "max_import_mw"] = 0.1
    with pytest.raises(NoSolution, match="participants 1: none exists"):
        plan_together(net, days, formulation="lindistflow")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"investors": [0, 7]}, "7.*is not a participant"),
        ({"investors": [0, -1]}, "-1.*has no candidates"),
        ({"investors": []}, "is empty"),
        ({"powers": {0: 0.0, 1: 1.0}}, "0.*is not above 0"),
        ({"powers": {0: 1.0, 1: -1.0}}, "1.*is not above 0"),
        ({"powers": {0: 1.0}}, "1.*has no power"),
        ({"powers": "loud"}, "choose one of equal"),
        ({"operator_power": -1.0}, "operator_power"),
        ({"starts": []}, "starts"),
        ({"trust_region_mw": [0.0]}, "trust_region_mw"),
        ({"max_rounds": 0}, "max_rounds"),
        ({"algorithm": "guess"}, "algorithm"),
        ({"islands": "schedule"}, "islands"),
        ({"saidi_limit_h_per_year": -1.0}, "saidi_limit"),
        ({"interest_rate_percent": -1.0}, "interest_rate_percent"),
        ({"budget_eur": {0: -1.0}}, "budget_eur"),
        ({"max_sites": float("nan")}, "max_sites"),
        ({"budget_eur": {7: 1e6}}, "7.*is not a participant"),
    ],
)
def test_bad_options_are_refused(two: Toy, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=f"(?s){message}"):
        plan_together(*two, formulation="lindistflow", **options)


def test_what_there_is_not_is_refused(two: Toy) -> None:
    net, days = two
    net.candidate.loc[0, "sizing"] = "continuous"
    with pytest.raises(UnsupportedFeature, match="whole units"):
        plan_together(net, days)
    net.candidate["in_service"] = False
    with pytest.raises(InvalidInput, match="candidate"):
        plan_together(net, days)


def test_a_plan_that_is_agreed_on_without_a_centre_is_the_central_one(two: Toy) -> None:
    options: dict[str, Any] = {"starts": ["relaxed"], "trust_region_mw": [], "solver": TIGHT}
    central = plan_together(*two, **options)
    ds = plan_together(
        *two, algorithm="distributed", distributed=Distributed(tolerance=5e-5), **options
    )
    assert ds.attrs["distributed_proved"]
    assert abs(ds.attrs["distributed_gap"]) <= 1e-4
    assert (
        ds.attrs["distributed_bound_eur_per_year"]
        <= ds.attrs["central_at_units_eur_per_year"] * (1 + 1e-7)
        <= ds.attrs["distributed_objective_eur_per_year"] * (1 + 2e-7)
    )
    np.testing.assert_array_equal(ds["units_together"], central["units_together"])
    costs = [d["cost_eur_per_year"] for d in (ds, central)]
    scale = central.attrs["social_cost_eur_per_year"]
    np.testing.assert_allclose(*costs, atol=1e-4 * scale)
    assert (ds["residual_primal"].isel(iteration=0) > 0).all()


def test_own_plans_side_by_side_are_the_same(three: Toy) -> None:
    options: dict[str, Any] = {"formulation": "lindistflow", "starts": ["relaxed"]}
    one = plan_together(*three, solver=TIGHT, **options)
    with ThreadPoolExecutor(2) as pool:
        two = plan_together(*three, solver=TIGHT, executor=pool, **options)
    xr.testing.assert_identical(one.drop_attrs(), two.drop_attrs())


def test_a_plan_is_built_in_the_net(two: Toy) -> None:
    net, days = two
    ds = plan_together(net, days, formulation="lindistflow", solver=TIGHT)
    built = write_back(net, ds)
    assert set(built) == set(ds["candidate"].to_numpy()[ds["units"].to_numpy() > 0])
    assert net.sgen.p_mw.sum() == pytest.approx(float(ds["built_p_mw"][0]))


def test_powers_by_contribution(three: Toy) -> None:
    ds = plan_together(*three, formulation="lindistflow", powers="marginal", solver=TIGHT)
    lost = ds.attrs["gain_eur_per_year"] - ds["gain_without_eur_per_year"].to_numpy()[:-1]
    power = ds["bargaining_power"].to_numpy()
    np.testing.assert_allclose(power[:-1], np.maximum(lost, 0.0))
    saving = ds["saving_eur_per_year"].to_numpy()
    np.testing.assert_allclose(saving, ds.attrs["gain_eur_per_year"] * power / power.sum())
    equal = share_gain(ds, powers="equal")
    with pytest.raises(InvalidInput, match="powers='marginal'"):
        share_gain(equal.drop_vars("gain_without_eur_per_year"), powers="marginal")
