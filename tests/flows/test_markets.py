"""Studies of every mechanism and every technology, from the file to the report."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import xarray as xr

import flows
import planning
from flows.comparison_page import comparison_html
from flows.key_figures import built_text
from flows.report import report_html
from flows.summary import caveats, summary_tables

sys.path.insert(0, str(Path(__file__).parent))
from small_study import TECHNOLOGIES, write_small

SUNNY = (("p_mw = 1.5", "p_mw = 4.0"), ('[trade]\nformulation = "lindistflow"\n', "[trade]\n"
         "network_fee_eur_per_mwh = 5.0\n"))  # fmt: skip
"""More sun than the owner needs, and power flow with losses."""

MARKETS = """
[[scenario]]
name = "bargain"

[[scenario]]
name = "grown"
[scenario.planning]
demand_growth_percent = 10.0

[[scenario]]
name = "game"
[scenario.trade]
mechanism = "stackelberg"

[[scenario]]
name = "managed"
[scenario.trade]
congestion = "pro_rata"

[[scenario]]
name = "agreed"
[scenario.trade]
algorithm = "distributed"
[scenario.trade.distributed]
tolerance = 1e-3

[[scenario]]
name = "switched"
[scenario.trade.reconfigure]
max_operations = 2
switching_cost_eur = 0.5
change_every = "day"
max_rounds = 1
compare_joint = false
"""


class Ran(NamedTuple):
    """What became of a study: its cases, the titles of its steps, trees and reports by case."""

    states: list[str]
    titles: list[str]
    trees: dict[str, xr.DataTree]
    reports: dict[str, str]


def ran(file: Path, watch: Callable[[str], Any] | None = None) -> Ran:
    told = flows.run_study(file, engine="plain", watch=watch)
    return Ran(
        [one.state for one in told.cases],
        [],
        {one.case: one.tree for one in told.cases},
        {one.case: one.report.read_text(encoding="utf-8") for one in told.cases},
    )


@pytest.fixture(scope="module")
def markets(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Return the study of all mechanisms of one network."""
    titles: list[str] = []

    def watch(title: str) -> Any:
        titles.append(title)
        return nullcontext()

    file = write_small(tmp_path_factory.mktemp("markets"), MARKETS, changes=SUNNY)
    return ran(file, watch)._replace(titles=titles)


@pytest.fixture(scope="module")
def regions(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Return a study of two feeders that trade across a soft open point."""
    device = '[[sop]]\nname = "A-B"\nbuses = [2, 4]\nsn_mva = 1.0\nloss_factor = 0.01\n'
    market = ('[trade]\nformulation = "lindistflow"\n',
              '[trade]\nmechanism = "combined_offer"\nstep_mw = 0.2\nmax_level = 3\n')  # fmt: skip
    changes = (SUNNY[0], market, ("load_buses = [3]", "load_buses = [3, 4]"))
    file = write_small(tmp_path_factory.mktemp("regions"), device, changes=changes, regions=True)
    return ran(file)


def test_a_scenario_that_changes_the_mechanism_trades_anew_and_nothing_else(
    markets: Ran,
) -> None:
    assert markets.states == ["done"] * 6
    for case in ("game", "managed", "agreed", "switched"):
        mine = [
            title.removeprefix(f"{case}: ") for title in markets.titles if title.startswith(case)
        ]
        assert "choose typical days (kept)" in mine
        assert "plan the network (kept)" in mine
        assert "trade on every typical day" in mine


def test_every_mechanism_is_told_and_keeps_its_own_laws(markets: Ran) -> None:
    for case, tree in markets.trees.items():
        trade = tree["trade"].to_dataset()
        money = trade["payment_eur"].sum("participant") + trade["operator_payment_eur"]
        np.testing.assert_allclose(money, 0.0, atol=1e-4, err_msg=case)
        assert (trade["saving_eur"] >= -1e-3).all(), case
        assert trade["trade_agreed"].to_numpy().tolist() == [1], case
        assert trade.attrs["relaxation"] == "exact", case
    found = markets.trees
    assert found["game"]["trade"].attrs["mechanism"] == "stackelberg"
    assert found["game"]["trade"]["equilibrium"].item() == "equilibrium (price game)"
    assert found["managed"]["trade"].attrs["congestion"] == "pro_rata"
    assert found["managed"]["trade"]["limits_broken"].sum() == 0
    assert abs(found["agreed"]["trade"]["distributed_gap"].item()) < 1e-3
    assert found["switched"]["trade"]["operations"].sum() <= 2
    # within the network or agreed on without a centre, the bargain is the same
    gain = {case: float(tree["trade"]["gain_eur"].sum()) for case, tree in found.items()}
    assert gain["agreed"] == pytest.approx(gain["bargain"], rel=0.02)
    assert gain["game"] <= gain["bargain"] * (1 + 1e-6)  # nobody does better than all together


def test_trade_has_the_demand_of_the_year_of_the_plan(markets: Ran) -> None:
    now, then = (
        markets.trees[case]["indicators"].to_dataset()["load_mwh_per_year"].item()
        for case in ("bargain", "grown")
    )
    assert then == pytest.approx(1.1 * now)
    # who has no plant buys what is missing: at least 10 % more than before
    bought = [
        float(markets.trees[case]["trade"]["cost_alone_eur"].sel(participant=1).sum().item())
        for case in ("bargain", "grown")
    ]
    assert bought[1] > 1.09 * bought[0]


def test_mechanisms_are_compared_by_the_same_numbers(markets: Ran) -> None:
    found = markets.trees
    compared = planning.compare(found)
    names = (
        "saving_eur_per_year",
        "payment_eur_per_year",
        "trade_loss_mwh_per_year",
        "trade_cost_eur_per_year",
        "gain_eur_per_year",
        "operator_saving_eur_per_year",
    )
    for name in names:  # fmt: skip
        assert np.isfinite(compared[name]).all(), name
    for case, tree in found.items():
        trade, hours = tree["trade"].to_dataset(), tree["days"]["weight"]
        lost = float((trade["loss_mw"].sum("hour") * hours).sum())
        assert compared["trade_loss_mwh_per_year"].sel(case=case).item() == pytest.approx(lost)
    cost, saved = compared["trade_cost_eur_per_year"], compared["saving_eur_per_year"]
    assert (saved.sum("participant").sel(case="bargain") > 0).all()
    assert cost.sel(case="bargain").item() < cost.sel(case="game").item() * (1 + 1e-6)
    assert "managed" in comparison_html(compared, found["bargain"]["network"].to_dataset())


def test_regions_trade_across_their_device(regions: Ran) -> None:
    tree, html = regions.trees[""], regions.reports[""]
    trade = tree["trade"].to_dataset()
    assert trade["cleared_level"].to_numpy().any()
    assert trade["cleared_level"].sum("participant").to_numpy().max() == 0
    np.testing.assert_allclose(trade["payment_eur"].sum("participant"), 0.0, atol=1e-6)
    indicators = tree["indicators"].to_dataset()
    assert np.isnan(indicators["operator_saving_eur_per_year"]).all()  # none at the table
    assert float(indicators["trade_loss_mwh_per_year"].item()) > 0
    assert "No operator stands apart here" in html
    assert "combined offers of regions across a soft open point" in html
    assert summary_tables(tree)
    assert "operator" not in [str(k) for k in summary_tables(tree)[2].columns[0].cells]
    compared = planning.compare({"one": tree, "two": tree})
    assert comparison_html(compared, tree["network"].to_dataset())


WORDS = {
    "bargain": ("Trading by Nash bargaining saves", "The network operator"),
    "game": ("sellers that compete and buyers that choose", "equilibrium (price game)", "Regret"),
    "managed": ("the operator limits sales (pro rata)", "Limits broken"),
    "agreed": ("Gap to the central optimum", "distributed"),
    "switched": ("Configurations of the network", "Switching operations"),
}


@pytest.mark.parametrize("case", WORDS)
def test_the_report_speaks_of_the_mechanism(markets: Ran, case: str) -> None:
    tree = markets.trees[case]
    for word in WORDS[case]:
        assert word in markets.reports[case], word
    tables = summary_tables(tree)
    assert any("Trade" in str(table.title) for table in tables)
    assert [line for line in caveats(tree) if line.startswith("trade")] == []


def test_broken_limits_are_told(markets: Ran) -> None:
    tree = markets.trees["game"].copy()
    tree["trade"] = xr.DataTree(
        tree["trade"]
        .to_dataset()
        .assign(
            limits_broken=("day", [3.0]), equilibrium=("day", ["not an equilibrium: someone moves"])
        )
    )
    said = [line for line in caveats(tree) if line.startswith("trade")]
    assert "the market breaks 3 limits of the network" in said[0]
    assert "not an equilibrium: someone moves" in said[1]
    assert "Mind: the market breaks 3 limits" in report_html(tree)


@pytest.mark.parametrize("case", ["switched", ""])
def test_a_browser_draws_the_report(
    markets: Ran, regions: Ran, in_browser: Callable[[str, int], Any], case: str
) -> None:
    seen = in_browser({**markets.reports, **regions.reports}[case], 1280)
    assert seen.pictures >= 7
    assert seen[1:] == (0, 0, [])


def test_a_plan_of_every_technology(tmp_path: Path) -> None:
    changes = (
        ("[prices]\n", "[prices]\ngrid_emission_t_per_mwh = 0.4\n"),
        ('formulation = "lindistflow"\n\n[trade]', "\n[trade]"),  # lines are replaced in cones
        ("[planning]\n", '[planning]\nemission_price_eur_per_t = 60.0\nislands = "schedule"\n'),
    )
    tree = flows.run_study(
        write_small(tmp_path, TECHNOLOGIES, switch=True, changes=changes), engine="plain"
    ).tree
    plan = tree["plan"].to_dataset()
    units = dict(zip(plan["candidate_name"].to_numpy().tolist(), plan["units"].to_numpy(),
                     strict=True))  # fmt: skip
    assert set(units) == {"PV", "Tie", "Link", "Engine", "Battery power", "Battery energy",
                          "Thicker line", "Remote control"}  # fmt: skip
    for name in ("Engine", "Battery power", "Battery energy", "Thicker line", "Remote control"):
        assert units[name] > 0, name
    said = built_text(plan)
    for words in ("of dispatchable power", "MWh of more storage", "1 replaced line",
                  "1 remote-controlled switch"):  # fmt: skip
        assert words in said
    # what is bought and what the engine burns, at their factors
    weight, engine = tree["days"]["weight"], list(units).index("Engine")
    bought, burnt = (
        float((power.sum("hour") * weight).sum().item())
        for power in (plan["p_buy_mw"], plan["candidate_p_mw"].isel(candidate=engine))
    )
    emitted = float(tree["indicators"]["emission_t_per_year"].item())
    assert emitted == pytest.approx(0.4 * bought + 0.5 * burnt, rel=1e-6)
    assert burnt > 0
    assert "remote-controlled switch" in report_html(tree)
