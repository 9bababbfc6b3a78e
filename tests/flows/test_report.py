from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest
import xarray as xr

from flows.report import open_study, report_html
from pp_p2p.errors import InvalidInput
from pp_p2p.results import to_netcdf

SECTIONS = ("network", "days", "costs", "voltages", "trade", "certificates", "reading")
N_FIGURES = 1 + 3 + 1 + 2 + 2  # map, days, costs, voltage and loading, matrix and day of trade
LOADING_ATTRIBUTES = {"src", "href", "srcset", "data", "action", "poster", "xlink:href"}


class Page(HTMLParser):
    """What a browser would see of a page: attributes, elements, text outside of scripts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.labels: list[str] = []
        self.words: list[str] = []
        self.open_script = False
        self.feed(html)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.open_script = tag in ("script", "style")
        given = dict(attrs)
        self.loads += [value or "" for key, value in attrs if key in LOADING_ATTRIBUTES]
        if given.get("id"):
            self.ids.append(given["id"] or "")
        if tag == "div" and given.get("role") == "img":
            self.labels.append(given.get("aria-label") or "")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self.open_script = False

    def handle_data(self, data: str) -> None:
        if not self.open_script:
            self.words.append(data)


def test_it_is_whole_and_needs_no_network(study_tree):
    html = report_html(study_tree())
    page = Page(html)
    assert page.loads == ["data:,"]  # the icon, empty: nothing is asked for
    assert page.tags.count("link") == 1
    assert 'http-equiv="Content-Security-Policy" content="default-src \'none\';' in html
    assert html.startswith("<!DOCTYPE html>")
    assert '<html lang="en">' in html
    assert len(re.findall(r"plotly\.js v\d", html)) == 1
    assert "http" not in html.split("</head>")[1]  # no server of Plotly's, no button that uses it
    assert html.count('"modeBarButtons": [["zoom2d", "pan2d", "zoomIn2d"') == N_FIGURES
    for key in SECTIONS:
        assert key in page.ids
        assert f"{key}-title" in page.ids
    assert len(page.ids) == len(set(page.ids))
    assert page.tags.count("h1") == 1
    assert page.tags.count("h2") == len(SECTIONS)
    assert page.tags.count("figure") == N_FIGURES
    assert len(page.labels) == N_FIGURES
    assert all(page.labels)


def test_the_same_study_gives_the_same_page(study_tree):
    assert report_html(study_tree()) == report_html(study_tree())


def test_it_says_the_result_in_one_sentence(study_tree):
    text = Page(report_html(study_tree())).text
    assert (
        "Building 0.2 MW of PV, 0.2 MW / 0.4 MWh of storage and 1 tie line costs 872 k EUR a year "
        "instead of 990 k EUR; energy not served falls from 6.9 to 5.3 MWh/a." in text
    )
    assert "Confirmed by AC power flow." in text
    assert "NOT confirmed" not in text
    assert "2016-01-22 · 1 day · peak net load" in text
    assert "bus 4, 2016-02-01, 00:00" in text  # where the voltage is lowest
    assert "it is held harmless" in text


def test_tables_hold_the_numbers(study_tree):
    text = Page(report_html(study_tree())).text
    assert "Roof PV bus 2 North 2 of 3 0.2 – 180\u202f000".replace("\u202f", " ") in text.replace(
        "\u202f", " "
    )
    assert "Tie 4-5 tie line line 4 operator 1 of 1" in text
    assert "Mill" not in text  # a candidate that is not built
    # 200 days of 0.4 MWh and 165 of 1.2 MWh; 100 EUR for each
    assert "Sum over a year 20 850 278" in text.replace("\u202f", " ")
    assert "South 183 000 176 050 27 800 6 950 278 100" in text.replace("\u202f", " ")
    assert "ab" * 32 in text


def test_names_cannot_become_markup(study_tree):
    evil = "<script>alert(1)</script>"
    tree = study_tree(name=evil, people=(f"<img src=x onerror=a>{evil}", 'B"&', "C"))
    html = report_html(tree)
    page = Page(html)
    assert evil not in html
    assert "<img" not in html.split("</head>")[1]
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert page.loads == ["data:,"]
    assert "# <b>&</b>" in page.text  # the study file, word by word


def test_an_inexact_result_says_so(study_tree):
    page = Page(report_html(study_tree(exact=False)))
    assert "NOT confirmed by AC power flow: plan and trade." in page.text
    assert "Hours without a power flow solution: plan: 4, 7." in page.text
    assert "Confirmed by AC power flow." not in page.text
    assert "infinite p.u." in page.text


def test_only_trade_inexact(study_tree):
    tree = study_tree()
    tree["trade"].attrs["relaxation"] = "inexact"
    assert "NOT confirmed by AC power flow: trade." in Page(report_html(tree)).text


def test_nothing_is_built(study_tree):
    page = Page(report_html(study_tree(built=False)))
    assert "Nothing is built: the network costs 990 k EUR a year as it is" in page.text
    assert page.tags.count("figure") == N_FIGURES


def test_no_trade_is_agreed(study_tree):
    html = report_html(study_tree(agreed=False))
    page = Page(html)
    assert "No trade is agreed on any typical day" in page.text
    assert "no trade" in html
    assert page.tags.count("figure") == N_FIGURES


def test_lines_without_rating_and_days_without_date(study_tree):
    tree = study_tree()
    for name in ("line_loading_percent", "trafo_loading_percent"):
        tree["plan"][name] = tree["plan"][name] * 0.0
    tree["days"]["source_day"] = xr.DataArray(np.array(["", "", ""]), dims="day")
    page = Page(report_html(tree))
    assert "The lines have no rating" in page.text
    assert "Mean day 1 · 200 days" in page.text
    assert "bus 4, mean day 1, 00:00" in page.text
    assert page.tags.count("figure") == N_FIGURES - 1


def test_a_stored_study_opens(study_tree, tmp_path):
    path = to_netcdf(study_tree(), tmp_path / "result.nc")
    assert report_html(open_study(path)) == report_html(study_tree())


def test_other_files_are_refused(study_tree, tmp_path):
    text = tmp_path / "text.nc"
    text.write_text("no netCDF")
    single = to_netcdf(study_tree()["plan"].to_dataset(), tmp_path / "single.nc")
    tree = study_tree()
    del tree["trade"]
    partial = to_netcdf(tree, tmp_path / "partial.nc")
    newer = study_tree()
    newer.attrs["schema_version"] = 99
    later = to_netcdf(newer, tmp_path / "later.nc")
    for path, rule in (
        (tmp_path / "none.nc", "does not exist"),
        (text, "cannot be read as a netCDF file"),
        (single, "is not a study's result"),
        (partial, "lacks the group trade"),
        (later, "has layout 99"),
    ):
        with pytest.raises(InvalidInput, match=rule) as caught:
            open_study(path)
        assert str(path) in str(caught.value)
        assert caught.value.findings[0].mend


def test_a_tree_without_its_groups_is_refused():
    with pytest.raises(InvalidInput, match="lacks the group network"):
        report_html(xr.DataTree())


def test_limits_that_doing_nothing_breaks_are_named(study_tree):
    tree = study_tree()
    assert "Doing nothing and the plan both keep all" in Page(report_html(tree)).text
    tree["network"]["vm_min_pu"] = tree["network"]["vm_min_pu"] * 0.0 + 0.93
    tree["network"]["trafo_max_loading_percent"][:] = 75.0
    tree["plan"]["line_loading_nothing_percent"][1, 2, 3] = 131.0
    said = (
        "Doing nothing would break limits: the voltage of 1 bus is below its limit at times, that "
        "of bus 4 by 0.01 p.u.; 1 line is overloaded at times, line 3 with 131 % (limit 100 %); 1 "
        "transformer is overloaded at times, transformer 0 with 80 % (limit 75 %). The plan keeps "
        "them all."
    )
    text = Page(report_html(tree)).text
    assert text.count(said) == 2  # beside the costs, which it qualifies, and the voltages
    assert (
        "With the plan, the highest is 55 % on line 0; doing nothing, the highest is 131 %" in text
    )
    assert "transformer 0 80 70 75" in text


def test_limits_that_the_plan_breaks_are_named(study_tree):
    tree = study_tree()
    tree["plan"]["trafo_loading_percent"][0, 0, 0] = 104.0
    said = "The plan breaks limits: 1 transformer is overloaded at times, transformer 0 with 104 %"
    assert said in Page(report_html(tree)).text


def test_a_result_of_an_earlier_version_is_drawn(study_tree):
    tree = study_tree()
    tree["network"] = (
        tree["network"]
        .to_dataset()
        .drop_vars(["line_max_loading_percent", "trafo_max_loading_percent"])
    )
    names = [name for name in tree["plan"].data_vars if "nothing" in str(name)]
    tree["plan"] = tree["plan"].to_dataset().drop_vars(names)
    page = Page(report_html(tree))
    assert page.tags.count("figure") == N_FIGURES
    assert "transformer 0 – 70 100" in page.text


def test_lost_load_that_was_not_computed_is_no_zero(study_tree):
    tree = study_tree()
    tree["plan"].attrs["eens_computed"] = 0
    assert "Lost load not computed – –" in Page(report_html(tree)).text


@pytest.mark.parametrize(
    ("attrs", "said"),
    [
        ({}, "Certified gap of the plan 0.2 % no plan of this cone model"),
        (
            {"status": "feasible", "termination": "time limit", "gap": 0.03},
            "Gap of the plan, more than asked for 3 % no plan of this cone model, on these typical "
            "days, is cheaper by more; the search ended on time limit",
        ),
        (
            {"status": "feasible", "termination": "time limit", "gap": np.inf},
            "Gap of the plan not known no bound is proven: a cheaper plan of any size may exist; "
            "the search ended on time limit",
        ),
    ],
)
def test_the_gap_is_no_more_than_what_is_proven(study_tree, attrs, said):
    tree = study_tree()
    tree["plan"].attrs |= attrs
    assert said in Page(report_html(tree)).text


def test_the_banner_says_how_far_voltages_deviate(study_tree):
    tree = study_tree()
    tree["plan"].attrs |= {"relaxation": "inexact", "ac_vm_error_pu": 0.0123}
    text = Page(report_html(tree)).text
    assert "The largest voltage deviation is 0.012 p.u. in plan." in text
    assert "of the largest squared flow (at least 1 p.u.)" in text
    text = Page(report_html(study_tree(exact=False))).text
    assert "voltage deviation is at least 1 p.u. in plan and at least 1 p.u. in trade." in text


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("layout", ["net", "tree"])
def test_a_browser_draws_it_without_errors(study_tree, in_browser, width, layout):
    tree = study_tree()
    tree["network"].attrs["layout"] = layout  # a tree is turned where the page is narrow
    assert in_browser(report_html(tree), width) == (N_FIGURES, 0, 0, [])


def test_planning_together_has_a_section_of_its_own(study_tree):
    page = report_html(study_tree(together=True))
    assert "figure-joint" in page
    assert "shared by equal bargaining powers" in page
    assert "Equilibrium certified: no investor gains." in page
    assert "hour of plan, joint and trade" in page
    assert "figure-joint" not in report_html(study_tree())
    none = report_html(study_tree(together=True, agreed=False))
    assert "nothing is claimed" in none
    assert "joint" in page.split("NOT confirmed")[0]


def test_planning_together_that_is_not_confirmed_says_so(study_tree):
    tree = study_tree(together=True)
    tree["joint"].attrs["relaxation"] = "inexact"
    assert "NOT confirmed by AC power flow: joint" in report_html(tree)


def test_a_bound_that_is_not_there_is_no_number(study_tree):
    tree = study_tree()
    tree["trade"].attrs |= {"gap": np.inf, "bound_eur_per_year": -np.inf}
    text = Page(report_html(tree)).text
    assert "Gap, relative 0.002 no bound" in text
    assert "infinite EUR" not in text


def test_days_of_a_game_are_told_by_how_they_end(study_tree):
    tree = study_tree()
    ends = ["equilibrium (price game)", "nothing is traded", "equilibrium (price game)"]
    trade = tree["trade"].to_dataset()
    tree["trade"] = trade.assign(
        equilibrium=("day", np.array(ends)),
        existence=("day", np.array(["guaranteed"] * 3)),
        unique=("day", np.array(["condition holds"] * 3)),
        regret_eur=("day", [1.8e-15, 0.0, 0.0]),
    )
    text = Page(report_html(tree)).text
    assert "2 days: equilibrium (price game); 1 day: nothing is traded." in text
    assert "by moving alone, 0 EUR on the worst day" in text
    assert "e-15" not in text


def test_what_switching_alone_saves_is_said_to_be_elsewhere(study_tree):
    tree = study_tree()
    trade = tree["trade"].to_dataset()
    daily = 0.0 * trade["weight"]
    tree["trade"] = trade.assign(
        operations=(daily + 1.0).expand_dims(hour=trade["hour"].to_numpy()) / trade.sizes["hour"],
        switching_cost_eur=daily + 10.0,
        open_elements=(("day", "hour"), np.full((3, trade.sizes["hour"]), "line 4")),
    )
    text = Page(report_html(tree)).text.replace("\u202f", " ")
    assert "by 366 switching operations in a year for 3 660 EUR" in text
    assert "is in both costs and not in the gain of trading" in text
