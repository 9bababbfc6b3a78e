"""A day without a centre: the central optimum, proved, and nothing told but what must be."""

from __future__ import annotations

import dataclasses
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np
import pandapower as pp
import pytest
import xarray as xr

import pp_p2p as p2p
from pp_p2p.algorithms.consensus import Balancing, Stop, run
from pp_p2p.algorithms.exchange import exchange
from pp_p2p.algorithms.pairs import bargained_payments
from pp_p2p.algorithms.two_block import Message, start, stepper
from pp_p2p.errors import InvalidInput, NotConverged, UnsupportedFeature
from pp_p2p.market import agents
from pp_p2p.market.agreement import DistributedClearing
from pp_p2p.market.clearing import ClearingData
from pp_p2p.names import OPERATOR
from pp_p2p.network.formulation import get_formulation
from pp_p2p.solve.report import DEFAULT_CONFIG

BASE_MVA = 10.0
"""``sn_mva`` of case33bw."""


def _laws(ds: xr.Dataset, tolerance: float) -> None:
    """Assert what must hold of every distributed day."""
    net = ds["net_trade_mw"]
    assert abs(net.sum("participant")).max() <= 1e-9
    money = float(ds["payment_eur"].sum()) + float(ds["operator_payment_eur"])
    assert abs(money) <= 1e-9 * ds.attrs["gain_eur"]
    assert ds.attrs["bound_eur"] <= ds.attrs["central_objective_eur"] * (1 + 1e-6)
    assert abs(ds.attrs["distributed_gap"]) <= tolerance
    assert ds.sizes["iteration"] == ds.attrs["iterations"]
    assert (ds["residual_primal"] > 0).all()
    assert (ds["residual_dual"] >= 0).all()
    source = ds["p_source_mw"].sum("ext_grid")
    exchange = ds["p_grid_mw"].sum("participant") + ds["operator_p_grid_mw"]
    np.testing.assert_allclose(exchange, source, atol=1e-6)


def _alike(ds: xr.Dataset, central: xr.Dataset) -> None:
    """Assert the promised distances: positions 1e-3 p.u. of the net, money 1e-3 of the gain."""
    gain = central.attrs["gain_eur"]
    for name in ("payment_eur", "cost_eur", "cost_alone_eur"):
        np.testing.assert_allclose(ds[name], central[name], atol=1e-3 * gain, err_msg=name)
    np.testing.assert_allclose(ds["net_trade_mw"], central["net_trade_mw"], atol=1e-3 * BASE_MVA)
    power = (x["p_grid_mw"] + x["net_trade_mw"] for x in (ds, central))
    np.testing.assert_allclose(next(power), next(power), atol=1e-3 * BASE_MVA)
    price = "price_eur_per_mwh"
    np.testing.assert_allclose(ds[price], central[price], rtol=1e-2)


def _far(ds: xr.Dataset, central: xr.Dataset) -> str:
    """Return how far a distributed day is from the central one, for whoever reads the log."""
    gain = central.attrs["gain_eur"]
    apart = {name: float(abs(ds[name] - central[name]).max()) for name in
             ("net_trade_mw", "payment_eur", "cost_eur", "price_eur_per_mwh")}  # fmt: skip
    return (
        f"{ds.attrs['iterations_alone']} and {ds.attrs['iterations']} iterations, "
        f"objective {ds.attrs['distributed_gap']:.1e}, positions "
        f"{apart['net_trade_mw'] / BASE_MVA:.1e} p.u., payments "
        f"{apart['payment_eur'] / gain:.1e} and savings {apart['cost_eur'] / gain:.1e} of the gain,"
        f" prices {apart['price_eur_per_mwh']:.1e} EUR/MWh"
    )


@pytest.mark.parametrize("n", [3, 10, 30])
def test_meets_the_central_optimum_at_a_voltage_limit(crowd: Any, n: int) -> None:
    """Objective, iterations, positions, payments and nodal prices of a whole day."""
    net, day = crowd(n)
    assert net.sn_mva == BASE_MVA
    scheme = p2p.Distributed(tolerance=1e-5)
    ds = p2p.trade_day(net, day, formulation="lindistflow", algorithm=scheme)
    central = p2p.trade_day(net, day, formulation="lindistflow")
    print(f"{n}: {_far(ds, central)}")
    _laws(ds, 1e-5)
    assert ds.attrs["iterations"] <= 60
    assert ds.attrs["iterations_alone"] <= 60
    assert float(ds["vm_pu"].max()) == pytest.approx(1.004, abs=5e-5)  # the limit binds
    assert float(ds["trade_mw"].sum()) > 1.0
    _alike(ds, central)


@pytest.mark.parametrize("form", ["exchange", "pairs"])
def test_positions_and_payments_are_the_central_ones(crowd: Any, form: Any) -> None:
    net, day = crowd(6, 8)
    scheme = p2p.Distributed(form=form, tolerance=1e-6)
    ds = p2p.trade_day(net, day, formulation="lindistflow", algorithm=scheme)
    _laws(ds, 1e-6)
    _alike(ds, p2p.trade_day(net, day, formulation="lindistflow"))


def test_cone_relaxation_stays_exact(crowd: Any) -> None:
    net, day = crowd(4, 6)
    ds = p2p.trade_day(net, day, algorithm="distributed")
    _laws(ds, 1e-4)
    assert ds.attrs["relaxation"] == ds.attrs["relaxation_alone"] == "exact"
    assert ds.attrs["ac_vm_error_pu"] <= 1e-4
    assert ds.attrs["ac_loss_error_percent"] <= 0.1


@pytest.mark.slow
def test_branch_flow_of_many_participants(crowd: Any) -> None:
    """Savings are the central ones; positions near them, where many can store it matters little who
    does, and payments follow positions."""
    net, day = crowd(100)
    ds = p2p.trade_day(net, day, algorithm=p2p.Distributed(tolerance=1e-5))
    central = p2p.trade_day(net, day)
    print(f"100: {_far(ds, central)}")
    _laws(ds, 1e-5)
    assert ds.attrs["relaxation"] == "exact"
    assert ds.attrs["iterations"] <= 60
    gain = central.attrs["gain_eur"]
    np.testing.assert_allclose(ds["cost_eur"], central["cost_eur"], atol=1e-3 * gain)
    np.testing.assert_allclose(ds["net_trade_mw"], central["net_trade_mw"], atol=1e-3 * BASE_MVA)


def test_fees_by_distance_go_pair_by_pair(crowd: Any) -> None:
    net, day = crowd(4, 4)
    mechanism = p2p.NashBargaining(fee="electrical_distance", network_fee_eur_per_mwh=8.0)
    ds = p2p.trade_day(
        net, day, mechanism=mechanism, formulation="lindistflow", algorithm="distributed"
    )
    _laws(ds, 1e-4)
    with pytest.raises(InvalidInput, match="depend on the pair"):
        p2p.trade_day(net, day, mechanism=mechanism, algorithm=p2p.Distributed(form="exchange"))


@pytest.mark.parametrize("operator", ["inside", "outside"])
def test_operator_inside_and_outside(crowd: Any, operator: Any) -> None:
    net, day = crowd(4, 6)
    mechanism = p2p.NashBargaining(operator=operator, bargaining_power="net_volume")
    ds = p2p.trade_day(net, day, mechanism=mechanism, algorithm="distributed")
    _laws(ds, 1e-4)
    assert ds.attrs["trade"] == "agreed"
    assert (ds["saving_eur"] >= -1e-9).all()
    assert (float(ds["operator_payment_eur"]) == 0.0) == (operator == "outside")


def _with_more(net: Any, day: xr.Dataset) -> tuple[Any, xr.Dataset]:
    """Add devices that the batch does not know: unlike storage, two buses, a link, ranges of q."""
    first = int(net.participant.index[0])
    bus = int(net.participant.bus[first])
    units = [
        pp.create_storage(net, bus, p_mw=0.0, max_e_mwh=0.5, max_p_mw=0.1, min_p_mw=-0.2),
        pp.create_storage(net, bus, p_mw=0.0, max_e_mwh=0.3, max_p_mw=0.2, min_p_mw=-0.1),
        pp.create_storage(net, bus, p_mw=0.0, max_e_mwh=0.4, max_p_mw=0.2, min_p_mw=-0.2),
    ]
    sop = p2p.create_sop(net, buses=[17, 32], sn_mva=0.3, loss_factor=0.02)
    p2p.set_storage(net, units[2], sop=sop)
    p2p.assign(net, first, storage=units)
    net.sgen["controllable"] = True
    net.sgen["min_q_mvar"], net.sgen["max_q_mvar"] = -0.05, 0.05
    net.sgen["max_p_mw"] = 10.0
    return net, day


def test_whatever_participants_own_is_solved(crowd: Any) -> None:
    """Storage of several kinds and on a link, free reactive power, scenarios, risk."""
    net, day = _with_more(*crowd(3, 4))
    ds = p2p.trade_day(net, day, algorithm="distributed")
    _laws(ds, 1e-4)
    factor = xr.DataArray([0.8, 1.3], dims="scenario", coords={"scenario": [0, 1]})
    uncertain = day.assign(
        {k: day[k] * factor for k in ("price_buy_eur_per_mwh", "price_sell_eur_per_mwh")}
    ).assign(probability=("scenario", [0.6, 0.4]))
    mechanism = p2p.NashBargaining(risk_weight=0.3, risk_level=0.5)
    scheme = p2p.Distributed(tolerance=1e-3)
    risky = p2p.trade_day(
        net, uncertain, mechanism=mechanism, formulation="lindistflow", algorithm=scheme
    )
    assert abs(risky.attrs["distributed_gap"]) <= 1e-3
    assert risky["p_grid_mw"].dims == ("participant", "scenario", "time")


def test_batch_and_own_models_agree(crowd: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    net, day = crowd(3, 4)
    scheme = p2p.Distributed(tolerance=1e-5, check_central=False)
    batch = p2p.trade_day(net, day, formulation="lindistflow", algorithm=scheme)
    monkeypatch.setattr(agents, "fits_batch", lambda _data, _owned: False)
    own = p2p.trade_day(net, day, formulation="lindistflow", algorithm=scheme)
    np.testing.assert_allclose(batch["cost_eur"], own["cost_eur"], rtol=1e-4)
    np.testing.assert_allclose(
        batch["residual_primal"][:10], own["residual_primal"][:10], rtol=1e-3
    )


def test_each_participant_in_a_process_of_its_own(crowd: Any) -> None:
    """Also the numbers are the same: nothing depends on who was asked what before."""
    net, day = _with_more(*crowd(3, 4))
    scheme = p2p.Distributed(group_size=1, tolerance=1e-3, check_central=False)
    here = p2p.trade_day(net, day, formulation="lindistflow", algorithm=scheme)
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        away = dataclasses.replace(scheme, executor=pool)
        there = p2p.trade_day(net, day, formulation="lindistflow", algorithm=away)
    there.attrs["seconds"] = here.attrs["seconds"]
    xr.testing.assert_identical(here, there)


@pytest.mark.parametrize("form", ["exchange", "pairs"])
def test_what_leaves_a_participant(crowd: Any, form: Any) -> None:
    net, day = crowd(4, 6)
    told: list[Message] = []
    scheme = p2p.Distributed(form=form, listen=told.append, check_central=False)
    p2p.trade_day(net, day, formulation="lindistflow", algorithm=scheme)
    left = {(m.receiver, m.quantity, m.values.shape) for m in told if m.sender == "agents"}
    trades = {
        "exchange": ("coordinator", "net position", (4, 6)),
        "pairs": ("partners", "trade proposal", (6, 2, 6)),
    }[form]
    assert left == {
        trades,
        ("operator", "boundary power", (4, 6)),
        ("coordinator", "usual power", (1,)),  # mean over all, for the first penalty
        ("coordinator", "sums of costs", (2,)),  # over all participants, to prove the optimum
        ("coordinator", "cost", (4,)),  # what each bargains with
    }
    own = [m for m in told if m.quantity == "cost"]
    assert len(own) == 2  # alone and together, when all is agreed
    assert {m.receiver for m in told if m.sender == "operator"} == {"agents"}


def test_the_operator_knows_no_device_of_a_participant(crowd: Any) -> None:
    net, day = crowd(4, 6)
    data = ClearingData.from_net(net, day, p2p.NashBargaining())
    clearing = DistributedClearing(
        data, get_formulation("lindistflow"), p2p.Distributed(), DEFAULT_CONFIG
    )
    known = clearing.network_data.portfolio
    assert (known.loads.owner == OPERATOR).all()
    assert not len(known.storages.index)
    assert not len(known.flexible.index)
    theirs = known.generators  # all are participants': reactive ranges and nothing else
    assert not theirs.available.any()
    assert not theirs.cost_eur_per_mwh.any()
    assert not theirs.cost_eur_per_mw2h.any()
    theirs_alone = [data.portfolio.storages.e_max, data.portfolio.flexible.max_up]
    theirs_alone += [data.portfolio.generators.available[:, k] for k in range(len(theirs.index))]
    secret = np.concatenate([values[values != 0.0].ravel() for values in theirs_alone])
    assert len(secret) > 20
    assert not np.isin(secret, np.concatenate(_numbers(clearing.network_data))).any()
    assert np.isin(clearing.agents.ports.capacity, _numbers(clearing.network_data.ports)[-1]).all()


def _numbers(data: Any) -> list[np.ndarray]:
    """Return every array that a tree of dataclasses holds."""
    if isinstance(data, np.ndarray):
        return [data.ravel().astype(float)] if data.dtype.kind in "fib" else []
    if dataclasses.is_dataclass(data):
        return [a for f in dataclasses.fields(data) for a in _numbers(getattr(data, f.name))]
    return []


def test_payments_by_the_scheme_are_the_closed_form(crowd: Any) -> None:
    """The second stage, too, needs no centre: what each gains stays with it."""
    net, day = crowd(4, 4)
    scheme = p2p.Distributed(check_central=False)
    mechanism = p2p.NashBargaining(operator="outside")
    ds = p2p.trade_day(net, day, mechanism=mechanism, formulation="lindistflow", algorithm=scheme)
    gain = (ds["cost_alone_eur"] - ds["cost_before_payment_eur"]).to_numpy()
    total = gain.sum()
    rest = run(
        stepper(bargained_payments(gain / total, np.full(4, 0.25)), (exchange(),)),
        start(((4, 1),), 4.0),
        stop=Stop(absolute=1e-9, relative=0.0),
        balancing=Balancing(),
    )
    np.testing.assert_allclose(total * rest.state.z[0][:, 0], ds["payment_eur"], atol=1e-6 * total)


def test_no_rest_is_an_error_with_its_history(crowd: Any) -> None:
    net, day = crowd(3, 4)
    with pytest.raises(NotConverged, match="no rest after 4 iterations") as error:
        p2p.trade_day(
            net, day, formulation="lindistflow", algorithm=p2p.Distributed(max_iterations=4)
        )
    assert len(error.value.history) == 4


def test_one_participant_and_nobody_to_trade_with(crowd: Any) -> None:
    net, day = crowd(1, 4)
    ds = p2p.trade_day(net, day, formulation="lindistflow", algorithm="distributed")
    assert ds.attrs["trade"].startswith("none")
    assert float(ds["payment_eur"].sum()) == 0.0


def test_bad_options(crowd: Any) -> None:
    with pytest.raises(InvalidInput, match=r"(?s)form.*tolerance.*relaxation"):
        p2p.Distributed(form="ring", tolerance=0.0, relaxation=2.0)  # type: ignore[arg-type]
    net, day = crowd(3, 4)
    net.participant["max_trade_mw"] = 0.5
    with pytest.raises(UnsupportedFeature, match="beside pair_limit_mw"):
        p2p.trade_day(
            net,
            day,
            mechanism=p2p.NashBargaining(pair_limit_mw=0.1),
            algorithm="distributed",
        )
