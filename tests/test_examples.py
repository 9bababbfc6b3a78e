"""The examples run and show what they say."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pp_p2p as p2p

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.mark.slow
def test_trading_areas_keeps_the_orderings_of_its_source(capsys: Any) -> None:
    """Trading helps everyone, response lowers costs, a limit raises them and favours neighbours."""
    example = runpy.run_path(str(EXAMPLES / "trading_areas.py"))
    net, cases = example["compare"]()
    assert (cases["cost_eur"] <= cases["cost_alone_eur"] + 1e-6).all()
    assert set(cases["relaxation"].to_numpy().tolist()) == {"exact"}
    assert set(cases["trade"].to_numpy().tolist()) == {"agreed"}
    for name in ("social_cost_eur", "social_cost_alone_eur"):
        cost = cases[name]
        for prices in ("", "uncertain prices, "):
            base = float(cost.sel(case=prices.removesuffix(", ") or "base"))
            assert base < float(cost.sel(case=f"{prices}no response"))
            assert base < float(cost.sel(case=f"{prices}limited lines"))
    between = cases["peer_purchase_mwh"].sum("participant")
    with_grid = (cases["grid_purchase_mwh"] + cases["grid_sale_mwh"]).sum("participant")
    assert float(between.sel(case="limited lines")) > float(between.sel(case="base"))
    assert float(with_grid.sel(case="limited lines")) < float(with_grid.sel(case="base"))
    alone = cases["grid_purchase_alone_mwh"] + cases["grid_sale_alone_mwh"]
    assert (with_grid < alone.sum("participant")).all()
    example["report"](net, cases)
    shown = capsys.readouterr().out
    assert "uncertain prices, limited lines, no response" in shown
    assert "voltage at the areas" in shown


@pytest.mark.slow
def test_strategic_trading_ends_without_congestion(capsys: Any, tmp_path: Path) -> None:
    """Congested without management; nothing above its limit in `runpp` after it."""
    example = runpy.run_path(str(EXAMPLES / "strategic_trading.py"))
    example["report"](str(tmp_path / "picture.html"))
    shown = capsys.readouterr().out
    assert shown.startswith("equilibrium (price game)")
    assert "above limits in runpp without management: 0\n" not in shown
    assert "above limits in runpp with management: 0" in shown
    assert "Nash bargaining" in shown
    assert (tmp_path / "picture.html").stat().st_size > 10_000


@pytest.mark.slow
def test_ten_years_keeps_its_limits_in_every_stage() -> None:
    """On one typical day instead of four, so that it takes half a minute."""
    pytest.importorskip("simbench", reason="the example's net is SimBench's")
    example = runpy.run_path(str(EXAMPLES / "ten_years.py"))
    plan = example["plan"](*example["network"](), n_days=1)
    assert plan.attrs["status"] == "optimal"
    assert plan.attrs["gap"] <= 0.01
    assert plan.attrs["relaxation"] == "exact"
    assert (plan["eens_mwh_per_year"] <= plan["eens_limit_mwh_per_year"] + 1e-6).all()
    # without ties the last limits cannot hold
    assert (plan["eens_nothing_mwh_per_year"] > plan["eens_limit_mwh_per_year"])[1:].all()
    assert (plan["capex_eur"].sum("candidate") <= plan["budget_eur"] * (1 + 1e-9)).all()


def test_sop_market_gains_from_trading_and_settles() -> None:
    """On feeders of four buses instead of twelve."""
    pytest.importorskip("vyper", reason="the extra 'ledger' is not installed")
    pytest.importorskip("eth_tester", reason="the extra 'ledger' is not installed")
    example = runpy.run_path(str(EXAMPLES / "sop_market.py"))
    net, profiles = example["network"](4)
    day = p2p.trade_day(net, profiles, mechanism=p2p.CombinedOffer(step_mw=0.2, max_level=3))
    assert day.attrs["relaxation"] == "exact"
    table = example["compare"](net, profiles, day)
    trading, nothing = table.loc["with trading"], table.loc["no soft open point"]
    assert trading["cost_eur"] < 0.95 * nothing["cost_eur"]
    assert trading["purchase_mwh"] < 0.95 * nothing["purchase_mwh"]
    assert trading["least_saving_eur"] > 0 > table.loc["for least losses", "least_saving_eur"]
    assert table["loss_mwh"].idxmin() == "for least losses"
    settlement = p2p.ledger.settle_day(net, profiles, day)
    assert settlement.attrs["status"] == "settled"
    assert (settlement["payment_eur"].to_numpy() == day["payment_eur"].to_numpy()).all()
    owed = settlement["deposit_eur"] - settlement["payment_eur"] - settlement["imbalance_eur"]
    np.testing.assert_allclose(settlement["refund_eur"], owed, atol=1e-9)
    assert not settlement["imbalance_eur"].any()
    assert not settlement["escrow_left_eur"].any()
    assert float(settlement["seconds"].sum()) < 60.0
    assert settlement.sizes["transaction"] <= 32
    example["report"](net, day, settlement)


@pytest.mark.slow
def test_switches_lift_the_limit_of_a_feeder_head() -> None:
    """On four steps instead of eight: what the limit curtails can be traded in full."""
    example = runpy.run_path(str(EXAMPLES / "reconfigurable_trading.py"))
    table = example["compare"](*example["weak_feeder"](steps=4))
    fixed, hourly = (table.sel(topology=name, trading=True) for name in ("fixed", "hourly"))
    without, with_switches = example["told"](table)
    assert f"{float(fixed['curtailed_mwh']):.3f} MWh of sun curtailed" in without
    assert "0.000 MWh of sun curtailed" in with_switches
    for case, line in ((fixed, without), (hourly, with_switches)):
        assert f"{float(case['volume_mwh']):.3f} MWh traded" in line
        assert f"{float(case['loss_mwh']):.3f} MWh lost" in line
    assert fixed["curtailed_mwh"] > 0.5
    assert hourly["curtailed_mwh"] == pytest.approx(0.0, abs=1e-4)
    assert hourly["volume_mwh"] > fixed["volume_mwh"] + 0.5
    assert hourly["welfare_eur"] > fixed["welfare_eur"]
    assert hourly["price_spread_eur_per_mwh"] < fixed["price_spread_eur_per_mwh"]
    assert hourly["unsafe_operations"] == 0


@pytest.mark.slow
def test_joint_planning_is_an_equilibrium_that_nobody_leaves() -> None:
    """On one typical day instead of four, so that it takes a quarter of a minute."""
    example = runpy.run_path(str(EXAMPLES / "joint_planning.py"))
    joint, names = example["plan"](n_days=1)
    assert joint.attrs["equilibrium"].startswith("certified")
    assert joint["deviation_gain_eur_per_year"].notnull().all()
    assert joint.attrs["relaxation"] == "exact"
    gain = joint.attrs["gain_eur_per_year"]
    assert gain > joint.attrs["gain_noise_eur_per_year"]
    assert joint.attrs["central_gap"] <= 1e-3
    table = example["side_by_side"](joint, names)
    alone, *together = (table[name].to_numpy() for name in table.columns[:-1])
    for shared in together:
        assert (shared <= alone + 1e-6 * gain / 1e3).all()
        assert shared[-1] == pytest.approx(alone[-1] - gain / 1e3)


@pytest.mark.slow
def test_add_to_net_trades_and_draws(tmp_path: Path) -> None:
    example = runpy.run_path(str(EXAMPLES / "add_to_net.py"))
    traded = example["main"](tmp_path)
    assert traded.attrs["relaxation"] == "exact"
    assert (traded["saving_eur"] >= -1e-6).all()
    assert {path.name for path in tmp_path.iterdir()} == {"day.nc", "noon.html"}


@pytest.mark.slow
def test_pipeline_computes_what_depends_on_the_change(tmp_path: Path) -> None:
    example = runpy.run_path(str(EXAMPLES / "pipeline.py"))
    first, again, changed = example["main"](tmp_path, "plain")
    assert sum("plan the network" in title for title in first) == 2  # the fee changes no plan
    assert [title for title in again if "write files" not in title] == ["compare the cases"]
    work = [title for title in changed if "write files" not in title]
    assert work == [
        "higher fee: plan together",
        "higher fee: trade on every typical day",
        "higher fee: collect results",
        "higher fee: draw the report",
        "compare the cases",
    ]


@pytest.mark.slow
def test_compare_years_puts_scenarios_side_by_side(tmp_path: Path) -> None:
    """Two scenarios of two years, so that it takes seconds."""
    example = runpy.run_path(str(EXAMPLES / "compare_years.py"))
    horizon = "[horizon]\nstage_years = [1, 1]\ndemand_growth_percent_per_year = 1.0\n"
    study = example["write_study"](tmp_path, horizon=horizon, names=("base", "dear energy"))
    text = study.read_text().replace("n_days = 2", "n_days = 1")
    study.write_text(text.replace('extreme_days = ["peak_net_load"]', "extreme_days = []"))
    cases = example["compare"](study, "serial")
    cost = cases["npc_eur"].sel(case=["base", "dear energy"]).to_numpy()
    assert cost[1] > cost[0]
    assert cases.sizes["stage"] == 2
    traded = example["traded_by_hour"](tmp_path / "results" / "ieee33")
    assert dict(traded.sizes) == {"case": 2, "stage": 2, "hour": 24}
    yearly = cases["traded_mwh_per_year"].transpose("case", "stage")
    np.testing.assert_allclose(traded.sum("hour").transpose("case", "stage"), yearly, rtol=1e-6)
