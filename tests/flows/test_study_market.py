"""The market, soft open points and candidates of a study file: what they become, and mistakes."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandapower as pp
import pandapower.networks as pn
import pytest

import pp_p2p as p2p
from flows.study import Study, load_cases, load_study, network_findings
from flows.study_candidate import Candidate
from flows.study_elements import Sop
from flows.study_market import Agreement, Reconfigure, Trade
from flows.study_net import build_net, rows_by_name
from flows.trade_options import trade_options
from flows.trading import switchable_of
from pp_p2p.elements.tables import TABLES
from pp_p2p.errors import InvalidInput

sys.path.insert(0, str(Path(__file__).parent))
from small_study import HEAD, HORIZON, TECHNOLOGIES, write_small, write_text

BARE = HEAD[: HEAD.index("[trade]")]
"""The usual study with a market of the usual kind."""


def study_of(folder: Path, *parts: str) -> Study:
    return load_study(write_text(folder, "\n".join([BARE, *parts])))


def findings_of(folder: Path, *parts: str) -> list[str]:
    with pytest.raises(InvalidInput) as caught:
        load_cases(write_text(folder, "\n".join([BARE, *parts])))
    return [str(one) for one in caught.value.findings]


# What is added to the study, and what its one finding must say.
MISTAKES = {
    "key of a bargain": (
        '[trade]\nmechanism = "stackelberg"\nbargaining_power = "equal"\n',
        "trade.bargaining_power: has no meaning for mechanism 'stackelberg'; remove it; it belongs"
        " to mechanism 'nash_bargaining'",
    ),
    "key of a game": (
        "[trade]\nsubstitution = 0.3\n",
        "trade.substitution: has no meaning for mechanism 'nash_bargaining'; remove it; it belongs"
        " to mechanism 'stackelberg'",
    ),
    "key of regions": (
        "[trade]\nstep_mw = 0.1\n",
        "trade.step_mw: has no meaning for mechanism 'nash_bargaining'",
    ),
    "network model beside a managed market": (
        '[trade]\ncongestion = "pro_rata"\nformulation = "lindistflow"\n',
        "trade.formulation: has no meaning for congestion 'pro_rata'; remove it; it belongs to"
        " congestion 'none'",
    ),
    "fee of regions": (
        '[trade]\nmechanism = "combined_offer"\nnetwork_fee_eur_per_mwh = 1.0\n',
        "trade.network_fee_eur_per_mwh: has no meaning for mechanism 'combined_offer'",
    ),
    "section of another mechanism": (
        '[trade]\nmechanism = "stackelberg"\n[trade.reconfigure]\nmax_operations = 3\n',
        "trade.reconfigure: has no meaning for mechanism 'stackelberg'",
    ),
    "agreement in the centre": (
        "[trade.distributed]\ntolerance = 1e-3\n",
        "trade.distributed: has no meaning for algorithm 'central'",
    ),
    "unknown mechanism": (
        '[trade]\nmechanism = "stackelbreg"\n',
        "trade.mechanism: 'stackelbreg' is not known here; did you mean 'stackelberg'?",
    ),
    "unknown key of the operator": (
        "[trade.reconfigure]\nmax_operation = 3\n",
        "trade.reconfigure.max_operation: unknown key; did you mean 'max_operations'?",
    ),
    "what the library refuses": (
        '[trade]\nmechanism = "stackelberg"\ncompetition = "quantity"\nselection = "replicator"\n',
        "trade.selection: is 'replicator', where sellers take prices and choose no quantities",
    ),
    "fee that sellers cannot know": (
        '[trade]\nmechanism = "stackelberg"\nfee = "nodal_price"\n',
        "trade.fee: is 'nodal_price'; choose one of postage_stamp, electrical_distance",
    ),
    "prices of a network that is not seen": (
        '[trade]\ncongestion = "watch"\nfee = "nodal_price"\n',
        "trade.fee: is 'nodal_price', which a market that is cleared without the network",
    ),
    "devices in a market that cannot move them": (
        '[[sop]]\nname = "S"\nbuses = [1, 3]\nsn_mva = 1.0\n[trade]\nmechanism = "stackelberg"\n',
        "trade.mechanism: is 'stackelberg': a market that cannot move soft open points (S)",
    ),
    "values of terminals": (
        '[[sop]]\nname = "S"\nbuses = [1, 3]\nsn_mva = [1.0, 1.0, 1.0]\n',
        "sop[0].sn_mva: has 3 values for 2 terminals",
    ),
    "rating of nothing": (
        '[[sop]]\nname = "S"\nbuses = [1, 3]\nsn_mva = 0.0\n',
        "sop[0].sn_mva[0]: 0.0 is out of range; it must be above 0 MVA",
    ),
    "one bus twice": (
        '[[sop]]\nname = "S"\nbuses = [3, 3]\nsn_mva = 1.0\n',
        "sop[0].buses: has bus 3 more than once",
    ),
    "built though it is there": (
        '[[sop]]\nname = "S"\nbuses = [1, 3]\nsn_mva = 1.0\nin_service = true\n[[candidate]]\n'
        'name = "S"\ntechnology = "sop"\nsop = "S"\ncapex_eur_per_unit = 1\nlifetime_years = 9\n',
        "sop[0].in_service: is true, but candidate[2] would build it",
    ),
    "device without a name": (
        '[[candidate]]\nname = "S"\ntechnology = "sop"\ncapex_eur_per_unit = 1\n'
        "lifetime_years = 9\n",
        "candidate[2].sop: is missing, and technology 'sop' needs it",
    ),
    "more than one of a line": (
        '[[candidate]]\nname = "R"\ntechnology = "replacement"\nline = 0\nmax_units = 2\n'
        "capex_eur_per_unit = 1\nlifetime_years = 9\n",
        "candidate[2].max_units: 2 is too much for technology 'replacement'",
    ),
    "energy without storage": (
        '[[candidate]]\nname = "E"\ntechnology = "storage_energy"\nbus = 1\nunit_p_mw = 1.0\n'
        "unit_e_mwh = 1.0\ncapex_eur_per_kwh = 1\nlifetime_years = 9\n",
        "candidate[2].unit_p_mw: has no meaning for technology 'storage_energy'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_one_mistake_leads_to_one_finding(tmp_path: Path, mistake: str) -> None:
    text, said = MISTAKES[mistake]
    (found,) = findings_of(tmp_path, text)
    assert said in found
    assert int(found.split(":")[1].split(",")[0]) > BARE.count("\n")


def test_all_violations_come_at_once_and_in_order(tmp_path: Path) -> None:
    found = findings_of(
        tmp_path,
        '[trade]\nmechanism = "stackelberg"\nformulation = "lindistflow"\nstep_mw = "0.1 MW"\n'
        'algorithm = "central"\nprice_corridor = true\n[trade.reconfigure]\nmax_rounds = 0\n',
    )
    keys = ["formulation", "step_mw", "algorithm", "price_corridor", "reconfigure", "max_rounds"]
    assert [text.split(": ")[0].rpartition(".")[2] for text in found] == keys
    assert "is the text '0.1 MW', not a number" in found[1]


def test_emissions_need_to_know_those_of_the_grid(tmp_path: Path) -> None:
    for key in ("emission_price_eur_per_t = 50.0", "emission_cap_t_per_year = 100.0"):
        text = BARE.replace("[planning]", f"[planning]\n{key}")
        with pytest.raises(InvalidInput, match=r"prices\.grid_emission_t_per_mwh is missing; add"):
            load_study(write_text(tmp_path, text))
        given = text.replace("[prices]", "[prices]\ngrid_emission_t_per_mwh = 0.4")
        assert load_study(write_text(tmp_path, given)).prices.grid_emission_t_per_mwh == (0.4,) * 24


def test_planning_together_is_for_one_year(tmp_path: Path) -> None:
    (found,) = findings_of(tmp_path, HORIZON, "[collaboration]\n")
    assert "collaboration: is a plan for one year, and [horizon] has several" in found
    assert 'a scenario does by leave_out = ["collaboration"]' in found
    text = '[collaboration]\n[[scenario]]\nname = "years"\nleave_out = ["collaboration"]\n'
    file = write_text(tmp_path, BARE + text + HORIZON.replace("[horizon]", "[scenario.horizon]"))
    (case,) = load_cases(file)
    assert case.collaboration is None
    assert case.horizon is not None


LEFT_OUT = {
    # class or table -> section, and what of it is no key: the library's own affair, or a place
    p2p.NashBargaining: (Trade, {"risk_weight", "risk_level"}),  # a study has no price scenarios
    p2p.Stackelberg: (Trade, set()),
    p2p.CombinedOffer: (Trade, set()),
    p2p.Distributed: (
        Agreement, {"relaxation", "penalty", "group_size", "executor", "listen"},
    ),
    p2p.Reconfiguration: (
        Reconfigure, {"switchable", "unchanged_rounds", "neighbourhood", "tolerance", "listen"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", LEFT_OUT, ids=lambda kind: kind.__name__)
def test_every_option_of_the_library_is_a_key(kind: Any) -> None:
    section, left_out = LEFT_OUT[kind]
    options = {one.name for one in dataclasses.fields(kind)}
    assert options - set(section.model_fields) == left_out


def test_every_column_of_the_library_is_a_key() -> None:
    assert set(TABLES["candidate"].by_name) - set(Candidate.model_fields) == {"in_service"}
    of_power_flow = {"control_mode_ac", "control_mode_dc", "p_mw", "q_mvar"}
    assert set(TABLES["sop_terminal"].by_name) - set(Sop.model_fields) == of_power_flow | {
        "sop",
        "bus",
    }


def options_of(folder: Path, text: str) -> dict[str, Any]:
    study = study_of(folder, text)
    return trade_options(study.trade, {"S": 4}, {"line": [1], "switch": []})


def test_a_section_becomes_arguments_of_the_library(tmp_path: Path) -> None:
    assert options_of(tmp_path, "") == {
        "mechanism": p2p.NashBargaining(network_fee_eur_per_mwh=0.0),
        "formulation": "branch_flow",
        "algorithm": "central",
    }
    text = '[trade]\nmechanism = "stackelberg"\ncompetition = "quantity"\nsubstitution = 1.0\n'
    assert options_of(tmp_path, text + 'congestion = "least_violation"\n') == {
        "mechanism": p2p.Stackelberg(
            competition="quantity", substitution=1.0, network_fee_eur_per_mwh=0.0
        ),
        "congestion": p2p.CongestionManagement(rule="least_violation"),
    }
    text = '[trade]\nmechanism = "combined_offer"\nstep_mw = 0.2\nsop = "S"\n'
    assert options_of(tmp_path, text) == {
        "mechanism": p2p.CombinedOffer(step_mw=0.2, sop=4),
        "formulation": "branch_flow",
    }
    text = (
        '[trade]\nalgorithm = "distributed"\nbargaining_power = "net_volume"\npair_limit_mw = 0.5\n'
        "[trade.distributed]\ntolerance = 1e-3\n[trade.reconfigure]\nmax_operations = 4\n"
    )
    assert options_of(tmp_path, text) == {
        "mechanism": p2p.NashBargaining(
            network_fee_eur_per_mwh=0.0, bargaining_power="net_volume", pair_limit_mw=0.5
        ),
        "algorithm": p2p.Distributed(tolerance=1e-3),
        "formulation": "branch_flow",
        "reconfigure": p2p.Reconfiguration(
            max_operations=4, switchable={"line": [1], "switch": []}
        ),
    }


def test_a_tie_that_is_not_built_is_not_switched(tmp_path: Path) -> None:
    study = load_study(write_small(tmp_path, "[trade.reconfigure]\n", changes=NO_TRADE))
    net = build_net(study)
    assert switchable_of(study.trade, net, net) == {"line": [0, 1, 2, 3], "switch": []}
    built = build_net(study)
    tie = built.candidate.index[built.candidate.technology == "line"]
    built.candidate.loc[tie, "in_service"] = False  # as write_back does
    pp.create_switch(built, 4, 4, et="l", closed=False)
    assert switchable_of(study.trade, net, built) == {"line": [0, 1, 2, 3, 4], "switch": []}
    assert switchable_of(study.trade, built, built) == {"line": [4], "switch": []}


NO_TRADE = (('[trade]\nformulation = "lindistflow"\n', ""),)


def test_devices_and_candidates_stand_in_the_net(tmp_path: Path) -> None:
    net = build_net(load_study(write_small(tmp_path, TECHNOLOGIES, switch=True)))
    assert net.sop.name.tolist() == ["A-B"]
    assert net.sop.in_service.tolist() == [False]  # what a candidate would build
    assert net.sop_terminal[["bus", "sn_mva", "loss_factor", "grid_forming"]].to_numpy().tolist() \
        == [[2, 0.5, 0.01, True], [4, 0.6, 0.01, False]]  # fmt: skip
    table = net.candidate
    assert table.index.tolist() == list(range(8))
    assert table.technology.tolist() == [
        "pv", "line", "sop", "dispatchable", "storage", "storage_energy", "replacement", "switch",
    ]  # fmt: skip
    assert table.bus.tolist() == [3, 4, 2, 4, 2, 2, 0, 1]  # of the device, the line, the switch
    assert table.sop.tolist()[2] == rows_by_name(net, "sop")["A-B"]
    engine = table.loc[3]
    assert (engine.sizing, engine.unit_sn_mva, engine.fixed_capex_eur) == ("continuous", 0.35, 1e3)
    assert (engine.emission_t_per_mwh, engine.capex_eur_per_unit) == (0.5, 90e3)
    assert (table.std_type[6], table.parallel[6]) == ("NA2XS2Y 1x240 RM/25 12/20 kV", 2)
    assert table.remote_switching_time_h[7] == 0.1


def test_a_device_without_a_candidate_is_there(tmp_path: Path) -> None:
    sop = '[[sop]]\nname = "S"\nbuses = [1, 3]\nsn_mva = 1.0\n'
    net = build_net(load_study(write_small(tmp_path, sop)))
    assert net.sop.in_service.tolist() == [True]
    assert net.sop_terminal.sn_mva.tolist() == [1.0, 1.0]


def test_what_the_library_refuses_of_a_row_is_placed_in_the_file(tmp_path: Path) -> None:
    twice = TECHNOLOGIES.replace("buses = [2, 4]", "buses = [2, 4]\nmin_q_mvar = 2.0")
    with pytest.raises(InvalidInput, match=r"study\.toml:\d+, sop\[0\]\.min_q_mvar: must lie with"):
        build_net(load_study(write_small(tmp_path, twice, switch=True)))
    engine = TECHNOLOGIES[TECHNOLOGIES.index('[[candidate]]\nname = "Engine"') :]
    again = engine[: engine.index("[[candidate]]", 9)].replace('"Engine"', '"Other engine"')
    with pytest.raises(InvalidInput, match=r"study\.toml:\d+, candidate\[8\]\.technology"):
        build_net(load_study(write_small(tmp_path, TECHNOLOGIES, again, switch=True)))


def test_what_the_net_does_not_have(tmp_path: Path) -> None:
    text = TECHNOLOGIES.replace('sop = "A-B"', 'sop = "A-C"').replace("line = 0", "line = 33")
    text = text.replace("buses = [2, 4]", "buses = [2, 99]").replace("12/20 kV", "6/20 kV")
    market = '[trade]\nmechanism = "combined_offer"\nsop = "B-C"\n'
    study = study_of(tmp_path, text, market)
    found = "\n".join(map(str, network_findings(study, pn.case33bw())))
    assert "candidate[2].sop: there is no soft open point 'A-C'; did you mean 'A-B'? add [[sop]]" \
        in found  # fmt: skip
    assert "candidate[6].line: line 33 is out of service or open: nothing is replaced" in found
    assert (
        "candidate[6].std_type: the net has no line type 'NA2XS2Y 1x240 RM/25 6/20 kV'; did"
        in found
    )
    assert "candidate[7].switch: the net has no switch 0" in found
    assert "sop[0].buses: the net has no bus 99" in found
    assert "trade.sop: there is no soft open point 'B-C'" in found
    study = study_of(tmp_path, '[trade]\nmechanism = "combined_offer"\n')
    found = "\n".join(map(str, network_findings(study, pn.case33bw())))
    assert "trade.mechanism: is 'combined_offer', and there is no soft open point" in found
    study = study_of(tmp_path, "[trade.reconfigure]\nlines = [3, 77]\nswitches = [0]\n")
    found = "\n".join(map(str, network_findings(study, pn.case33bw())))
    assert "trade.reconfigure.lines: the net has no line 77" in found
    assert "trade.reconfigure.switches: the net has no switch 0" in found


SOP = '[[sop]]\nname = "A-B"\nbuses = [2, 4]\nsn_mva = 0.5\n'

# What a scenario says, and what its case then is.
OVERRIDES: dict[str, tuple[str, Callable[[Study], bool]]] = {
    "growth of the load": (
        "[scenario.network]\nload_growth_percent = 30.0",
        lambda s: s.network.load_growth_percent == 30.0,
    ),
    "growth by year": (
        "[scenario.horizon]\nstage_years = [2, 2]\ndemand_growth_percent_per_year = 3.0",
        lambda s: s.horizon is not None and s.horizon.demand_growth_percent_per_year == 3.0,
    ),
    "prices": (
        "[scenario.prices]\nbuy_eur_per_mwh = 300.0\nsell_eur_per_mwh = 20.0\n"
        "grid_emission_t_per_mwh = 0.3",
        lambda s: s.prices.buy_by_hour == (300.0,) * 24 and s.prices.sell_by_hour == (20.0,) * 24,
    ),
    "prices of a column": (
        '[scenario.prices]\nbuy_eur_per_mwh = "market"',
        lambda s: s.prices.buy_by_hour == "market",
    ),
    "reliability limit": (
        "[scenario.planning]\neens_limit_mwh_per_year = 2.0",
        lambda s: s.planning.eens_limit_mwh_per_year == 2.0,
    ),
    "rates of failure": (
        "[scenario.network.reliability]\nrepair_time_h = 9.0",
        lambda s: s.network.reliability is not None and s.network.reliability.repair_time_h == 9.0,
    ),
    "candidates": (
        "[scenario.candidate.PV]\nmax_units = 9",
        lambda s: s.candidate[0].max_units == 9,
    ),
    "technology of a candidate": (
        '[scenario.candidate.PV]\ntechnology = "dispatchable"\nemission_t_per_mwh = 0.4',
        lambda s: s.candidate[0].technology == "dispatchable",
    ),
    "soft open point": (
        '[scenario.sop."A-B"]\nsn_mva = [0.8, 0.9]',
        lambda s: s.sop[0].sn_mva == (0.8, 0.9),
    ),
    "new soft open point": (
        '[scenario.sop."C"]\nbuses = [1, 3]\nsn_mva = 0.2',
        lambda s: [one.name for one in s.sop] == ["A-B", "C"],
    ),
    "no soft open point": ('leave_out = ["sop.A-B"]', lambda s: s.sop == ()),
    "mechanism": (
        'leave_out = ["sop.A-B"]\n[scenario.trade]\nmechanism = "stackelberg"\nsubstitution = 0.9',
        lambda s: s.trade.mechanism == "stackelberg" and s.trade.substitution == 0.9,
    ),
    "mechanism of regions": (
        '[scenario.trade]\nmechanism = "combined_offer"\nstep_mw = 0.5',
        lambda s: s.trade.mechanism == "combined_offer" and s.trade.step_mw == 0.5,
    ),
    "congestion management": (
        'leave_out = ["sop.A-B"]\n[scenario.trade]\ncongestion = "pro_rata"',
        lambda s: s.trade.congestion == "pro_rata" and s.trade.bargaining_power == "net_volume",
    ),
    "reconfiguration": (
        "[scenario.trade.reconfigure]\nmax_operations = 2",
        lambda s: s.trade.reconfigure is not None and s.trade.reconfigure.max_operations == 2,
    ),
    "seed": ("[scenario.study]\nseed = 7", lambda s: s.study.seed == 7),
}

BARGAIN = (
    '[trade]\nformulation = "lindistflow"\nbargaining_power = "net_volume"\n'
    "network_fee_eur_per_mwh = 5.0\n"
)


@pytest.mark.parametrize("what", OVERRIDES)
def test_a_scenario_overrides_any_key(tmp_path: Path, what: str) -> None:
    text, holds = OVERRIDES[what]
    scenarios = f'[[scenario]]\nname = "base"\n[[scenario]]\nname = "other"\n{text}\n'
    base, other = load_cases(write_text(tmp_path, "\n".join([BARE, SOP, BARGAIN, scenarios])))
    assert holds(other)
    assert not holds(base)


def test_another_mechanism_drops_keys_of_the_study_but_not_its_own(tmp_path: Path) -> None:
    cases = load_cases(
        write_text(
            tmp_path,
            "\n".join([BARE, BARGAIN]) + '[matrix]\n"trade.mechanism" = '
            '["nash_bargaining", "stackelberg", "combined_offer"]\n',
        )
    )
    assert [one.trade.mechanism for one in cases] == [
        "nash_bargaining", "stackelberg", "combined_offer",
    ]  # fmt: skip
    assert [one.trade.network_fee_eur_per_mwh for one in cases] == [5.0, 5.0, 0.0]
    (found,) = findings_of(
        tmp_path,
        BARGAIN,
        '[[scenario]]\nname = "x"\n[scenario.trade]\nmechanism = "stackelberg"\n'
        'bargaining_power = "equal"\n',
    )
    assert "scenario[0].trade.bargaining_power: has no meaning for mechanism 'stackelberg'" in found
