"""The comparison of stored studies: dataset, tables, the page in a browser."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import planning
from flows.comparison import (
    compare_files,
    export,
    find_results,
    long_table,
    require_case,
    summary_table,
)
from flows.comparison_data import page_data
from flows.comparison_figures import costs_figure, map_figure, write_pictures
from flows.comparison_page import comparison_html
from flows.report import open_study, report_html
from pp_p2p.errors import InvalidInput
from pp_p2p.results import SCHEMA_VERSION, to_netcdf

LAYOUT_1 = Path(__file__).parent / "data" / "study_layout_1.nc"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def study() -> xr.DataTree:
    return open_study(LAYOUT_1)


def varied(study: xr.DataTree, count: int) -> dict[str, Mapping[str, xr.Dataset]]:
    """Return so many cases like `study`, each with other numbers."""
    of, dice = planning.study_indicators(study), np.random.default_rng(1)
    cases = {}
    for k in range(count):
        factor = float(dice.uniform(0.8, 1.2))
        numbers = {
            n: v * factor
            for n, v in of.data_vars.items()
            if n.endswith("_per_year") or n == "present_value_eur"
        }
        numbers["saving_eur_per_year"] = of["saving_eur_per_year"] + 100.0 * factor
        cases[f"case {k}, budget-{k % 10}"] = {"indicators": of.assign(numbers)}
    return cases


def test_a_file_of_the_first_layout_opens(study: xr.DataTree) -> None:
    assert study.attrs["schema_version"] == 1 < SCHEMA_VERSION
    assert "Annual cost" in report_html(study)
    compared, network = compare_files({"old": LAYOUT_1})
    plan = study["plan"].to_dataset()
    cost = float(plan["cost_eur_per_year"].sel(case="plan").sum())
    assert float(compared["eac_eur_per_year"].sel(case="old")) == pytest.approx(cost)
    assert network is not None
    assert network.sizes["bus"] == 5


def test_cases_of_different_networks_have_no_map(study: xr.DataTree, tmp_path: Path) -> None:
    moved = study.copy(deep=True)
    moved["network"]["x"] = moved["network"]["x"] + 1.0
    files = {}
    for name, one in (("one", study), ("same", study), ("moved", moved)):
        one["indicators"] = xr.DataTree(planning.study_indicators(one))
        files[name] = to_netcdf(one, tmp_path / f"{name}.nc")
    assert compare_files({k: files[k] for k in ("one", "same")})[1] is not None
    compared, network = compare_files(files)
    assert network is None
    assert "There is no map" in comparison_html(compared, network)


def test_cases_without_failure_rates_promise_nothing(study: xr.DataTree) -> None:
    of = planning.study_indicators(study)
    cases = {"known": {"indicators": of},
             "unknown": {"indicators": of.assign_attrs(eens_computed=0)}}  # fmt: skip
    table = summary_table(planning.compare(cases))
    assert np.isfinite(table.loc["known", "eens_mwh_per_year"])
    assert np.isnan(table.loc["unknown", ["eens_mwh_per_year", "saidi_h_per_year"]]).all()


def test_indicators_are_those_of_the_plan_and_the_trade(study: xr.DataTree) -> None:
    of = planning.study_indicators(study)
    plan, trade, days = (study[k].to_dataset() for k in ("plan", "trade", "days"))
    hours = days["weight"] * days.attrs["step_h"]
    bought = float((plan["p_buy_mw"] * hours).sum())
    assert float(of["purchase_mwh_per_year"].sum()) == pytest.approx(bought)
    assert float(of["vm_min_pu"].sum()) == float(plan["vm_pu"].min())
    saving = (trade["saving_eur"] * trade["weight"]).sum("day").to_numpy()
    np.testing.assert_allclose(of["saving_eur_per_year"].sel(stage=1), saving)
    assert of["participant"].to_numpy().tolist() == ["A", "B"]
    assert of["units_installed"].sel(stage=1, candidate="PV") == plan["units"][0]
    sold, bought_by = of["sold_mwh_per_year"].sum(), of["bought_mwh_per_year"].sum()
    assert float(sold) == pytest.approx(float(bought_by))


def test_tables_and_exports(study: xr.DataTree, tmp_path: Path) -> None:
    compared = planning.compare(varied(study, 3))
    table = summary_table(compared)
    assert table.index.tolist() == compared["case"].to_numpy().tolist()
    assert {"eac_eur_per_year", "eens_mwh_per_year", "vm_min_pu"} <= set(table.columns)
    long = long_table(compared)
    one = long[(long.variable == "eens_mwh_per_year") & (long.case == table.index[1])]
    assert one["unit"].item() == "MWh/a"
    assert one["value"].item() == pytest.approx(table["eens_mwh_per_year"].iloc[1])
    back = pd.read_csv(export(compared, tmp_path / "t.csv"))
    assert len(back) == len(long)
    sheet = pd.read_excel(export(compared, tmp_path / "t.xlsx"), index_col=0)
    np.testing.assert_allclose(sheet["eac_eur_per_year"], table["eac_eur_per_year"])
    again = xr.load_dataset(export(compared, tmp_path / "t.nc"))
    xr.testing.assert_identical(again.drop_attrs(), compared.drop_attrs())
    with pytest.raises(InvalidInput, match="unknown ending"):
        export(compared, tmp_path / "t.doc")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["t.csv", "t.nc", "t.xlsx"]


def test_a_missing_writer_is_named_with_the_command_that_brings_it(
    study: xr.DataTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = planning.compare(varied(study, 2))
    for name, packages in (("t.parquet", ["pyarrow"]), ("t.xlsx", ["openpyxl", "xlsxwriter"])):
        for package in packages:
            monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(InvalidInput, match=f"pip install {packages[0]}"):
            export(compared, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_parquet_holds_every_number(study: xr.DataTree, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is not installed (extra 'parquet')")
    compared = planning.compare(varied(study, 3))
    back = pd.read_parquet(export(compared, tmp_path / "t.parquet"))
    pd.testing.assert_frame_equal(back, long_table(compared), check_dtype=False)


def test_pictures_are_written_with_the_numbers_of_the_page(
    study: xr.DataTree, tmp_path: Path
) -> None:
    compared, network = planning.compare(varied(study, 3)), study["network"].to_dataset()
    written = write_pictures(compared, network, tmp_path / "new")
    names = ["compromise", "gains", "costs", "cash_flow", "indicators", "map"]
    assert {path.stem for path in written} == set(names)
    assert {path.read_bytes()[:8] for path in written} == {b"\x89PNG\r\n\x1a\n"}
    again = write_pictures(compared, network, tmp_path / "again")
    assert [p.read_bytes() for p in written] == [p.read_bytes() for p in again]
    bars = costs_figure(page_data(compared, network)).axes[0].patches
    widths = sum(float(bar.get_width()) for bar in bars)  # type: ignore[attr-defined]
    assert widths == pytest.approx(float(compared["present_value_eur"].sum()) / 1e3)
    twenty = planning.compare(varied(study, 20))
    many = map_figure(page_data(twenty, network, str(twenty["case"][3].item())))
    assert len([axes for axes in many.axes if axes.get_title(loc="left")]) == 12


def test_cases_of_one_cost_are_said_to_cost_the_same(study: xr.DataTree) -> None:
    of = planning.study_indicators(study)
    page = comparison_html(planning.compare({k: {"indicators": of} for k in ("base", "same")}))
    assert "All cases cost the same" in page
    assert "The cheapest case" not in page


def test_a_scenario_names_its_only_case(study: xr.DataTree) -> None:
    of = planning.study_indicators(study)
    names = ("base, rate 4", "base, rate 6", "sale, rate 4")
    compared = planning.compare({k: {"indicators": of} for k in names})
    assert require_case(compared, "sale") == "sale, rate 4"
    with pytest.raises(InvalidInput, match="'base, rate 4', 'base, rate 6'"):
        require_case(compared, "base")


def test_emissions_that_nobody_gave_are_no_number(study: xr.DataTree) -> None:
    known = study.copy(deep=True)
    hours = known["days"]["price_buy_eur_per_mwh"] * 0
    known["days"] = known["days"].to_dataset().assign(grid_emission_t_per_mwh=hours)
    unknown = study.copy(deep=True)
    for one in (known, unknown):
        plan = one["plan"].to_dataset()
        zero = plan["eens_mwh_per_year"] * 0.0
        one["plan"] = plan.assign(emission_t_per_year=zero)
    unknown["days"] = unknown["days"].to_dataset().drop_vars(
        "grid_emission_t_per_mwh", errors="ignore")  # fmt: skip
    assert planning.study_indicators(known)["emission_t_per_year"].item() == 0.0
    assert np.isnan(planning.study_indicators(unknown)["emission_t_per_year"].item())


def test_soft_open_points_that_are_there_are_on_the_map(study: xr.DataTree) -> None:
    network = study["network"].to_dataset().drop_dims(["sop", "sop_terminal"], errors="ignore")
    buses = network["bus"].to_numpy()[[0, -1]]
    network = network.assign_coords(sop=[7]).assign(
        sop_name=("sop", np.array(["Link"])),
        terminal_sop=("sop_terminal", [7, 7]),
        terminal_bus=("sop_terminal", buses),
    )
    content = page_data(planning.compare(varied(study, 2)), network)
    (device,) = content["network"]["sops"]
    assert (device["name"], device["buses"]) == ("Link", buses.tolist())
    legend = map_figure(content).legends[0]
    assert "soft open point that is there" in [t.get_text() for t in legend.get_texts()]


def test_results_are_found_and_named_apart(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "base").mkdir(parents=True)
        (tmp_path / name / "base" / "result.nc").write_bytes(LAYOUT_1.read_bytes())
    found = find_results([tmp_path / "one", tmp_path / "two"])
    assert list(found) == ["base", "two: base"]
    assert list(find_results([LAYOUT_1])) == ["study_layout_1"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInput, match="holds no result of a study"):
        find_results([tmp_path / "empty"])


def data_of(page: str) -> Any:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def test_the_page_holds_the_numbers_and_loads_nothing(study: xr.DataTree) -> None:
    cases = varied(study, 2)
    cases['</script><img src="x">'] = cases.pop("case 1, budget-1")
    compared = planning.compare(cases)
    states = [{"case": "lost", "state": "no solution", "message": "why <b>"}]
    page = comparison_html(compared, study["network"].to_dataset(), states=states)
    content = data_of(page)
    assert content["cases"][1] == '</script><img src="x">'
    assert '<img src="x"' not in page
    assert "why &lt;b&gt;" in page
    assert len(page) < 100_000
    assert "default-src 'none'" in page
    assert not re.search(r'(src|href)="(https?:)?//', page)
    cost = next(m for m in content["metrics"] if m["key"] == "eac_eur_per_year")
    np.testing.assert_allclose(cost["values"], compared["eac_eur_per_year"], rtol=1e-6)
    for control in ("filter", "base", "stage", "percent", "differ", "costs-less", "detail", "money",
                    "pareto-x", "pareto-y"):  # fmt: skip
        found = re.search(rf"<label[^>]*>[^<]*<(input|select)[^>]* id=\"{control}\"", page)
        assert found is not None, control


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_draws_in_a_browser(
    in_browser: Callable[..., Any], study: xr.DataTree, width: int
) -> None:
    compared = planning.compare(varied(study, 3))
    seen = in_browser(comparison_html(compared, study["network"].to_dataset()), width)
    assert seen.console == []
    n = len(data_of(comparison_html(compared))["stage_metrics"])
    assert seen.pictures == 3 + 4 + n  # costs, gains, compromise; two cases with map and years
    assert seen.wide_pictures == 0
    assert seen.page_too_wide == 0


def test_the_page_draws_what_there_is(in_browser: Callable[..., Any], study: xr.DataTree) -> None:
    """On a phone: forty cases with long names, without map, without trade."""
    cases = {
        f"{name}, with a long name that no table has room for": {
            "indicators": of["indicators"].drop_vars(
                [k for k in of["indicators"].data_vars if str(k).startswith(("saving", "operator"))]
            )
        }
        for name, of in varied(study, 40).items()
    }
    page = comparison_html(planning.compare(cases))
    seen = in_browser(page, 390)
    assert seen.console == []
    assert seen.pictures == 2 + 2 + len(data_of(page)["stage_metrics"])
    assert (seen.wide_pictures, seen.page_too_wide) == (0, 0)


# Acts as a user would, and tells what is then there.
ACT = """<script>addEventListener('load', function () {
  var of = function (css) { return document.querySelectorAll(css); };
  var set = function (id, value, kind) {
    var field = document.getElementById(id);
    if (field.type === 'checkbox') { field.checked = value; } else { field.value = value; }
    field.dispatchEvent(new Event(kind || 'change'));
  };
  var said = ['drawn before load: ' + performance.getEntriesByName('drawn').length,
    of('#cases tbody tr').length, of('.plot:empty').length + ' empty',
    of('*').length < 20000 ? 'light' : of('*').length + ' nodes'];
  document.getElementById('filter').focus();
  set('filter', 'budget-3', 'input');
  setTimeout(function () {
    said.push(of('#cases tbody tr').length, of('#costs text[data-tip]').length);
    set('base', '13');
    said.push(of('tr.base th')[0].textContent.slice(0, 7));
    set('costs-less', true);
    said.push(Array.from(of('#costs text[font-weight]')).filter(
      function (t) { return t.textContent === '0'; }).length + ' same as the base');
    var sort = of('button[data-sort="0"]')[0];
    sort.click();
    sort = of('button[data-sort="0"]')[0];
    said.push(document.activeElement === sort ? 'focus kept' : 'focus lost');
    said.push(sort.closest('th').getAttribute('aria-sort'));
    of('#costs rect[data-case="23"]')[0].dispatchEvent(new MouseEvent('click', {bubbles: true}));
    said.push(document.getElementById('second-name').textContent.slice(0, 7));
    of('#cases input[type=checkbox]')[0].click();
    said.push(document.getElementById('count').textContent);
    set('percent', true);
    said.push(of('#cases .less')[3].textContent.slice(-1));
    var unnamed = Array.from(of('input, select, button')).filter(
      function (e) { return !(e.labels && e.labels.length) && !e.getAttribute('aria-label')
        && !e.textContent.trim(); });
    said.push(unnamed.length + ' unnamed');
    var saved = [];
    HTMLAnchorElement.prototype.click = function () { saved.push(this.download); };
    of('button[data-save=costs]')[0].click();
    of('button[data-save=second-map]')[0].click();
    document.getElementById('csv').click();
    setTimeout(function () {
      said.push(saved.sort().join());
      document.title = said.join('|');
    }, 1500);
  }, 600);
});</script></body>"""


def test_a_hundred_cases_are_filtered_sorted_and_compared(
    study: xr.DataTree, tmp_path: Path
) -> None:
    """How many seconds that takes is in ``tests/benchmarks/bench_comparison.py``."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    browser = next(filter(None, map(shutil.which, names)), None)
    if browser is None:
        pytest.skip("no Chromium or Chrome on the path: not rendered")
    page = comparison_html(planning.compare(varied(study, 100)), study["network"].to_dataset())
    assert len(page) < 500_000
    (tmp_path / "page.html").write_text(page.replace("</body>", ACT), encoding="utf-8")
    done = subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
         "--no-first-run", "--disable-background-networking", "--disable-component-update",
         f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1280,1000",
         "--virtual-time-budget=10000", "--enable-logging=stderr", "--v=0", "--dump-dom",
         (tmp_path / "page.html").as_uri()],
        capture_output=True, encoding="utf-8", timeout=120, check=True,
    )  # fmt: skip
    title = re.search(r"<title>(.*?)</title>", done.stdout)
    assert title is not None
    assert [line for line in done.stderr.splitlines() if ":CONSOLE" in line] == []
    assert title[1].split("|") == [
        "drawn before load: 1", "100", "0 empty", "light", "10", "10", "case 13",
        "1 same as the base", "focus kept", "ascending", "case 23", "9 of 100 cases are shown",
        "%", "0 unnamed", "comparison.csv,costs.png,second-map.png",
    ]  # fmt: skip


def test_another_ending_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.cli import compare

    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidInput, match="unknown ending"):
        compare([str(tmp_path / "none.nc")], table=[tmp_path / "t.txt"])
    assert list(tmp_path.iterdir()) == []


def test_the_command_compares_stored_files(tmp_path: Path) -> None:
    code = "from flows.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "compare", str(LAYOUT_1), str(LAYOUT_1), "--table", "t.csv"],
        cwd=tmp_path, env={"PYTHONPATH": str(ROOT), "PATH": ""}, capture_output=True, text=True,
        check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "study_layout_1" in done.stdout
    assert sorted(p.name for p in tmp_path.iterdir()) == ["comparison.html", "t.csv"]
