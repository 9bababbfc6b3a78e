"""Laws of `trade_day` on random small markets: money, energy, bargaining, physics, invariances."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pandapower as pp
import pytest
import xarray as xr
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import pp_p2p as p2p
from pp_p2p.elements.tables import frame
from pp_p2p.market.bargaining import POWERS

MakeMarket = Callable[..., tuple[Any, xr.Dataset]]

FEW = settings(
    max_examples=4,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],  # a smaller seed is no simpler market
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
SEEDS = st.integers(min_value=0, max_value=10**6)

SAME = 2e-6
"""Difference of two optima, relative to all cost, that the solver may leave between them."""


def _scale(ds: xr.Dataset) -> float:
    """Return the sum of all cost alone, EUR: what the solver's tolerance is relative to."""
    return 1.0 + float(abs(ds["cost_alone_eur"]).sum() + abs(ds["operator_cost_alone_eur"]))


def _step_h(ds: xr.Dataset) -> float:
    return float(np.diff(ds["time"])[0])


@st.composite
def mechanisms(draw: Any) -> p2p.NashBargaining:
    return p2p.NashBargaining(
        network_fee_eur_per_mwh=draw(st.sampled_from([0.0, 5.0, 30.0])),
        fee=draw(st.sampled_from(["postage_stamp", "electrical_distance"])),
        bargaining_power=draw(st.sampled_from(POWERS)),
        operator=draw(st.sampled_from(["inside", "outside"])),
        operator_power=draw(st.sampled_from([0.0, 0.5])),
        pair_limit_mw=draw(st.sampled_from([0.1, float("inf")])),
        price_corridor=draw(st.booleans()),
    )


# ---- money and energy -----------------------------------------------------------------------


@settings(FEW, max_examples=16)
@given(seed=SEEDS, mechanism=mechanisms())
def test_trades_are_mutual_and_money_is_kept(
    make_market: MakeMarket, seed: int, mechanism: p2p.NashBargaining
) -> None:
    ds = p2p.trade_day(*make_market(seed), mechanism=mechanism)
    gain, scale = ds.attrs["gain_eur"], _scale(ds)
    assert abs(ds["net_trade_mw"].sum("participant")).max() <= 1e-9  # e_nm + e_mn = 0
    assert (ds["trade_mw"] >= 0.0).all()
    paid = float(ds["payment_eur"].sum() + ds["operator_payment_eur"])
    assert abs(paid) <= 1e-9 * max(gain, 0.0)
    pair = ds["pair_payment_eur"].sel(partner=ds["participant"].to_numpy()).to_numpy()
    np.testing.assert_allclose(pair, -pair.T, atol=1e-9 * scale)
    np.testing.assert_allclose(
        ds["pair_payment_eur"].sum("partner"), ds["payment_eur"], atol=1e-9 * scale
    )
    # individual rationality, and the whole gain is split among those who bargain
    assert (ds["saving_eur"] >= -1e-9 * scale).all()
    saved = float(ds["saving_eur"].sum())
    if mechanism.operator == "inside":
        assert float(ds["operator_saving_eur"]) >= -1e-9 * scale
        saved += float(ds["operator_saving_eur"])
    if ds.attrs["trade"] == "agreed":
        assert saved == pytest.approx(gain, abs=1e-9 * scale)
        assert ds.attrs["split"] == "certain"
    else:
        assert saved == 0.0


def _own_costs(net: Any, day: xr.Dataset, ds: xr.Dataset) -> tuple[np.ndarray, float]:
    """Return each participant's cost before payments, and the operator's, from the result alone."""
    h = _step_h(ds)

    def purchases(p_mw: xr.DataArray) -> xr.DataArray:
        bought, sold = p_mw.clip(min=0.0), (-p_mw).clip(min=0.0)
        buy, sell = day["price_buy_eur_per_mwh"], day["price_sell_eur_per_mwh"]
        return h * (buy * bought - sell * sold).sum("time")

    cost = (purchases(ds["p_grid_mw"]) + ds["fee_eur"]).to_numpy().copy()
    at = {label: k for k, label in enumerate(ds["participant"].to_numpy().tolist())}
    for row in net.storage.itertuples():
        moved = float(abs(ds["storage_p_mw"].sel(storage=row.Index)).sum())
        cost[at[row.participant]] += h * row.degradation_eur_per_mwh * moved
    for row in net.poly_cost.itertuples():
        p = ds["sgen_p_mw"].sel(sgen=row.element)
        euro = float((row.cp1_eur_per_mw * p + row.cp2_eur_per_mw2 * p**2).sum())
        cost[at[net.sgen.participant[row.element]]] += h * euro
    for row in frame(net, "flexible_load").itertuples():
        mine = {"flexible_load": row.Index}
        up = float(ds["load_shift_mw"].sel(mine).clip(min=0.0).sum())
        forgone = float(ds["load_curtailed_mw"].sel(mine).sum())
        euro = row.shift_cost_eur_per_mwh * up + row.curtail_cost_eur_per_mwh * forgone
        cost[at[net.load.participant[row.load]]] += h * euro
    return cost, float(purchases(ds["operator_p_grid_mw"]))


@settings(FEW, max_examples=10)
@given(seed=SEEDS)
def test_cash_of_all_is_what_leaves_the_market(make_market: MakeMarket, seed: int) -> None:
    """Recomputed from the result: purchases outside, fees and wear; nothing else is lost."""
    net, day = make_market(seed)
    ds = p2p.trade_day(net, day)
    own, of_operator = _own_costs(net, day, ds)
    near = 1e-5 * _scale(ds)
    np.testing.assert_allclose(ds["cost_before_payment_eur"], own, atol=near)
    assert float(ds["operator_cost_before_payment_eur"]) == pytest.approx(of_operator, abs=near)
    cash = -float(ds["cost_eur"].sum() + ds["operator_cost_eur"])
    assert cash == pytest.approx(-(own.sum() + of_operator), abs=near)
    exchange = ds["p_grid_mw"].sum("participant") + ds["operator_p_grid_mw"]
    np.testing.assert_allclose(exchange, ds["p_source_mw"].sum("ext_grid"), atol=1e-6)


# ---- bargaining -----------------------------------------------------------------------------


def _given(**more: Any) -> p2p.NashBargaining:
    return p2p.NashBargaining(bargaining_power="given", **more)


@FEW
@given(seed=SEEDS)
def test_powers_divide_the_gain(make_market: MakeMarket, seed: int) -> None:
    net, day = make_market(seed)
    ds = p2p.trade_day(net, day, mechanism=_given())
    power, gain = net.participant.bargaining_power.to_numpy(), ds.attrs["gain_eur"]
    near = 1e-9 * _scale(ds)
    np.testing.assert_allclose(ds["saving_eur"], power / power.sum() * gain, atol=near)
    net.participant["bargaining_power"] = 1.0
    even, equal = p2p.trade_day(net, day, mechanism=_given()), p2p.trade_day(net, day)
    np.testing.assert_allclose(even["saving_eur"], equal["saving_eur"], atol=near)
    net.participant.loc[0, "bargaining_power"] = 0.0
    harmless = p2p.trade_day(net, day, mechanism=_given())
    assert abs(float(harmless["saving_eur"][0])) <= near
    others = harmless["saving_eur"][1:]
    np.testing.assert_allclose(others, gain / len(others), atol=SAME * _scale(ds))


@FEW
@given(seed=SEEDS, k=st.sampled_from([0.1, 7.0]))
def test_money_has_no_unit(make_market: MakeMarket, seed: int, k: float) -> None:
    net, day = make_market(seed)
    before = p2p.trade_day(net, day, mechanism=_given(network_fee_eur_per_mwh=4.0))
    for table in {"storage", "flexible_load", "poly_cost"} & set(net):
        money = [c for c in net[table] if "eur_per_m" in c]
        net[table][money] *= k
    for name in ("price_buy_eur_per_mwh", "price_sell_eur_per_mwh"):
        day[name] = day[name] * k
    after = p2p.trade_day(net, day, mechanism=_given(network_fee_eur_per_mwh=4.0 * k))
    for name in ("cost_alone_eur", "cost_eur", "saving_eur"):
        np.testing.assert_allclose(after[name], k * before[name], atol=k * SAME * _scale(before))


@FEW
@given(seed=SEEDS)
def test_alternatives_that_were_not_chosen_do_not_matter(
    make_market: MakeMarket, seed: int
) -> None:
    """Nobody may trade or exchange more than it does anyway: the same agreement."""
    net, day = make_market(seed)
    free = p2p.trade_day(net, day)
    traded = abs(free["net_trade_mw"]).max("time").to_numpy()
    net.participant["max_trade_mw"] = 1.02 * traded + 1e-3
    alone = day["load_p_mw"].max("time").to_numpy().sum()
    net.participant["max_import_mw"] = 2.0 * alone + 1.0
    bound = p2p.trade_day(net, day)
    np.testing.assert_allclose(bound["saving_eur"], free["saving_eur"], atol=SAME * _scale(free))


@FEW
@given(seed=SEEDS)
def test_marginal_contributions_cover_the_gain(make_market: MakeMarket, seed: int) -> None:
    """A market without losses has a core: powers by contribution are never all 0."""
    net, day = make_market(seed)
    mechanism = p2p.NashBargaining(bargaining_power="marginal")
    ds = p2p.trade_day(net, day, mechanism=mechanism, formulation="lindistflow")
    gain = ds.attrs["gain_eur"]
    assert float(ds["bargaining_power"].sum()) >= gain - SAME * _scale(ds)
    assert (ds["bargaining_power"] <= gain + SAME * _scale(ds)).all()


@FEW
@given(seed=SEEDS)
def test_fee_above_every_gain_ends_trade(make_market: MakeMarket, seed: int) -> None:
    for operator in ("inside", "outside"):  # inside, schedules that lower the losses are a gain
        mechanism = p2p.NashBargaining(network_fee_eur_per_mwh=1e4, operator=operator)
        ds = p2p.trade_day(*make_market(seed), mechanism=mechanism)
        assert float(ds["trade_mw"].sum()) == 0.0
    assert ds.attrs["trade"] == "none: no trade lowers the cost"
    assert not ds["payment_eur"].any()
    xr.testing.assert_equal(ds["cost_eur"], ds["cost_alone_eur"].rename("cost_eur"))


# ---- physics --------------------------------------------------------------------------------


@FEW
@given(seed=SEEDS)
def test_cone_is_the_load_flow_of_pandapower(make_market: MakeMarket, seed: int) -> None:
    net, day = make_market(seed)
    ds = p2p.trade_day(net, day)
    assert ds.attrs["relaxation"] == "exact"
    assert ds.attrs["relaxation_gap"] <= 1e-6
    hour = int(ds["loss_mw"].to_numpy().argmax())
    now = ds.isel(time=hour)
    net.load["p_mw"] = day["load_p_mw"].isel(time=hour).to_numpy()
    net.load["q_mvar"] = day["load_q_mvar"].isel(time=hour).to_numpy()
    for name, sign in (("load_shift_mw", 1.0), ("load_curtailed_mw", -1.0)):
        if name in now:
            rows = frame(net, "flexible_load").load.loc[now["flexible_load"].to_numpy()]
            net.load.loc[rows, "p_mw"] += sign * now[name].to_numpy()
    net.sgen["p_mw"] = now["sgen_p_mw"].sel(sgen=net.sgen.index).to_numpy()
    if len(net.storage):
        net.storage["p_mw"] = now["storage_p_mw"].sel(storage=net.storage.index).to_numpy()
    pp.runpp(net, numba=False, tolerance_mva=1e-9)
    assert float(now["loss_mw"]) == pytest.approx(net.res_line.pl_mw.sum(), rel=1e-3, abs=1e-6)
    vm = net.res_bus.vm_pu.loc[ds["bus"].to_numpy()]
    np.testing.assert_allclose(now["vm_pu"], vm, rtol=0, atol=1e-4)


@pytest.mark.filterwarnings("ignore::pp_p2p.errors.InexactRelaxation")  # losses cost nothing
@FEW
@given(seed=SEEDS)
def test_lossless_limit_is_lindistflow(make_market: MakeMarket, seed: int) -> None:
    net, day = make_market(seed)
    net.line[["r_ohm_per_km", "x_ohm_per_km"]] *= 1e-3
    cone, linear = (p2p.trade_day(net, day, formulation=f) for f in ("branch_flow", "lindistflow"))
    near = 1e-4 * _scale(cone)  # losses are a share of about 1e-5
    np.testing.assert_allclose(cone["cost_eur"], linear["cost_eur"], atol=near)
    np.testing.assert_allclose(cone["saving_eur"], linear["saving_eur"], atol=near)
    np.testing.assert_allclose(cone["vm_pu"], linear["vm_pu"], rtol=0, atol=1e-7)


@FEW
@given(seed=SEEDS)
def test_linear_voltages_are_above_without_generation(make_market: MakeMarket, seed: int) -> None:
    net, day = make_market(seed, generation=False, responsive=False)
    cone, linear = (p2p.trade_day(net, day, formulation=f) for f in ("branch_flow", "lindistflow"))
    assert (linear["vm_pu"] >= cone["vm_pu"] - 1e-8).all()
    for ds in (cone, linear):  # nobody has anything to sell
        assert ds.attrs["trade"].startswith("none")


# ---- response of load -----------------------------------------------------------------------


@FEW
@given(seed=SEEDS, start=st.integers(0, 23), length=st.integers(6, 18))
def test_shifted_energy_stays_in_its_window(
    make_market: MakeMarket, seed: int, start: int, length: int
) -> None:
    net, day = make_market(seed, responsive=False)
    end = float((start + length) % 24) or 24.0
    p2p.create_flexible_load(
        net, 1, max_up_percent=40.0, max_down_percent=40.0, window_start_h=start, window_end_h=end
    )
    ds = p2p.trade_day(net, day)
    shift, hour = ds["load_shift_mw"].isel(flexible_load=0), ds["time"]
    inside = (hour >= start) & (hour < end) if start < end else (hour >= start) | (hour < end)
    assert abs(float(shift.sum())) <= 1e-6
    assert abs(shift.where(~inside, 0.0)).max() <= 1e-6
    assert (abs(shift) <= 0.4 * day["load_p_mw"].sel(load=1) + 1e-6).all()


@FEW
@given(seed=SEEDS)
def test_no_elasticity_is_no_response(make_market: MakeMarket, seed: int) -> None:
    net, day = make_market(seed, responsive=False)
    without = p2p.trade_day(net, day)
    p2p.create_flexible_load(net, 1, price_elasticity=0.0)
    with_ = p2p.trade_day(net, day)
    for name in ("load_shift_mw", "load_curtailed_mw", "load_response_mw"):
        assert abs(with_[name]).max() <= 1e-8
    near = SAME * _scale(without)
    np.testing.assert_allclose(with_["cost_eur"], without["cost_eur"], atol=near)


@FEW
@given(seed=SEEDS)
def test_response_never_costs_more(make_market: MakeMarket, seed: int) -> None:
    net, day = make_market(seed)
    able = p2p.trade_day(net, day).attrs["objective_eur"]
    for table in {"flexible_load", "storage"} & set(net):
        net[table]["in_service"] = False
    unable = p2p.trade_day(net, day)
    assert able <= unable.attrs["objective_eur"] + SAME * _scale(unable)


# ---- invariances ----------------------------------------------------------------------------


@FEW
@given(seed=SEEDS)
def test_names_of_buses_and_participants_do_not_matter(make_market: MakeMarket, seed: int) -> None:
    net, day = make_market(seed)
    before = p2p.trade_day(net, day, mechanism=_given())
    rng = np.random.default_rng(seed + 1)
    new = {
        table: dict(zip(net[table].index.tolist(), rng.permutation(5000).tolist(), strict=False))
        for table in ("bus", "participant")
    }
    p2p.toolbox.reindex_buses(net, new["bus"])
    p2p.toolbox.reindex_elements(net, "participant", lookup=new["participant"])
    net.participant = net.participant.sample(frac=1.0, random_state=seed % 1000)
    after = p2p.trade_day(net, day, mechanism=_given())
    order = [new["participant"][int(k)] for k in before["participant"]]
    near = SAME * _scale(before)
    for name in ("cost_alone_eur", "cost_eur", "saving_eur"):
        np.testing.assert_allclose(after[name].sel(participant=order), before[name], atol=near)


@FEW
@given(seed=SEEDS, part=st.floats(0.1, 0.9))
def test_a_load_in_two_rows_is_one_load(make_market: MakeMarket, seed: int, part: float) -> None:
    net, day = make_market(seed)
    before = p2p.trade_day(net, day)
    whole = next(k for k in net.load.index if k not in set(frame(net, "flexible_load").load) | {0})
    twin = pp.create_load(net, net.load.bus[whole], p_mw=0.0)
    p2p.assign(net, int(net.load.participant[whole]), load=[twin])
    rest = day.sel(load=[whole])[["load_p_mw", "load_q_mvar"]].assign_coords(load=[twin])
    share = xr.where(day["load"] == whole, part, 1.0)
    loads = day[["load_p_mw", "load_q_mvar"]] * share
    split = day.drop_dims("load").merge(xr.concat([loads, rest * (1.0 - part)], dim="load"))
    after = p2p.trade_day(net, split)
    for name in ("cost_alone_eur", "cost_eur", "saving_eur"):
        np.testing.assert_allclose(after[name], before[name], atol=SAME * _scale(before))


@FEW
@given(seed=SEEDS, sn_mva=st.sampled_from([1e-2, 100.0]))
def test_the_base_of_the_net_does_not_matter(
    make_market: MakeMarket, seed: int, sn_mva: float
) -> None:
    net, day = make_market(seed)
    before = p2p.trade_day(net, day)
    net.sn_mva = sn_mva
    after = p2p.trade_day(net, day)
    for name in ("cost_alone_eur", "cost_eur", "saving_eur"):
        np.testing.assert_allclose(after[name], before[name], atol=SAME * _scale(before))


@FEW
@given(seed=SEEDS, power=st.sampled_from(["net_volume", "energy_map", "marginal"]))
def test_who_brings_nothing_takes_nothing(make_market: MakeMarket, seed: int, power: Any) -> None:
    """Powers by contribution; with equal or given ones everyone at the table gets a share."""
    net, day = make_market(seed)
    mechanism = p2p.NashBargaining(bargaining_power=power)
    before = p2p.trade_day(net, day, mechanism=mechanism)
    crowd = copy.deepcopy(net)
    idle = p2p.create_participant(crowd, int(crowd.bus.index[1]), name="idle")
    after = p2p.trade_day(crowd, day, mechanism=mechanism)
    # quantities, and so contributions, are known up to the solver's tolerance
    near = 1e-4 * _scale(before)
    assert abs(float(after["saving_eur"].sel(participant=idle))) <= near
    assert after.attrs["gain_eur"] == pytest.approx(before.attrs["gain_eur"], abs=near)
