"""Many cases: how long their page takes to open, and what it costs to open their files."""

from __future__ import annotations

import http.server
import importlib.util
import json
import shutil
import subprocess
import tempfile
import threading
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import registry
import xarray as xr
from registry import PeerMissing, Row, in_own_process, table

STUDY = Path(__file__).parents[1] / "flows" / "data" / "study_layout_1.nc"
AIM_S = 2.0
LOADED = "open and a variable of all"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

TELL = """<script>addEventListener('load', function () {
  requestAnimationFrame(function () { requestAnimationFrame(function () {
    parent.postMessage(JSON.stringify({seconds: performance.now() / 1000,
      pictures: document.querySelectorAll('.plot > svg').length,
      nodes: document.querySelectorAll('*').length}), '*');
  }); });
});</script></body>"""
FRAME = """<!DOCTYPE html><body><script>
onmessage = function (e) { fetch('/said?' + encodeURIComponent(e.data)); };
</script><iframe src="/page.html" style="width: 1280px; height: 900px"></iframe></body>"""


@table("comparison_page", peer="aim of 2 s", full={"cases": 100}, tiny={"cases": 2})
def comparison_page(*, cases: int) -> list[Row]:
    """Write the page of many cases and open it: from the request to the second frame after load."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise PeerMissing("Chromium or Chrome")
    found = in_own_process(_writes_the_page, repeat=3 if cases > 2 else 1, cases=cases)
    page = found.value
    seen = _open(browser, page)
    note = f"{len(page) / 1e6:.2f} MB, {seen['pictures']} pictures, {seen['nodes']} elements"
    return [
        Row(f"{cases} cases, open", "", seen["seconds"], AIM_S, AIM_S / seen["seconds"], note),
        Row(f"{cases} cases, write", "", found.seconds, np.nan, np.nan, "from the dataset"),
    ]


@table("open_cases", peer="xarray.open_mfdataset", full={"cases": 100}, tiny={"cases": 3})
def open_cases(*, cases: int) -> list[Row]:
    """Open as many files along ``case``: all of a group, a day of a case, a number of all."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        files = _many_files(Path(name), cases)
        for what in ("compare", "open", "a day of one", "a variable of all", LOADED):
            ours = in_own_process(_reads, what=what, files=files, ours=True)
            theirs = None if what == "compare" else _theirs(what, files)
            other = theirs.seconds if theirs else np.nan
            note = f"{ours.added_mb:.0f} MB"
            note += f" against {theirs.added_mb:.0f} MB" if theirs else ""
            rows.append(Row(f"{cases} files, {what}", "", ours.seconds, other,
                            other / ours.seconds, note))  # fmt: skip
        least, ours = in_own_process(_least, files=files).seconds, rows[-2].ours
        note = "each file opened once more, the variable read"
        rows.append(Row("", "netCDF4 alone", ours, least, least / ours, note))
    return rows


def _least(*, files: list[Path]) -> Callable[[], float]:
    """Return what reading a variable of files that are not open takes at least."""
    import netCDF4

    def read() -> float:
        total = 0.0
        for file in files:
            with netCDF4.Dataset(file) as opened:
                total += float(opened.groups["trade"].variables["large_mw"][:].mean())
        return total

    return read


def _theirs(what: str, files: list[Path]) -> Any:
    """Return the peer's figure; it keeps files open, which netCDF crashes on in one process."""
    if not registry.OWN_PROCESSES or importlib.util.find_spec("dask") is None:
        return None
    return in_own_process(_reads, what=what, files=files, ours=False)


def _reads(*, what: str, files: list[Path], ours: bool) -> Callable[[], Any]:
    """Return what is measured; opening is part of the preparation where it is not."""
    import planning

    names = {f"case {k}": file for k, file in enumerate(files)}

    load = ["large_mw"] if what == LOADED else []

    def opened() -> xr.Dataset:
        if ours:
            return planning.open_cases(names, group="trade", load=load)
        return xr.open_mfdataset(files, group="trade", combine="nested", concat_dim="case",
                                 join="outer", data_vars="all", coords="minimal",
                                 compat="override")  # fmt: skip

    if what == "compare":
        return lambda: planning.compare(names).load()
    if what == "open":
        return opened
    if what == LOADED:
        return lambda: float(opened()["large_mw"].mean())
    ds = opened()
    part = ds["large_mw"].isel(case=1, day=0) if what == "a day of one" else ds["large_mw"]
    return lambda: float(part.mean())


def _many_files(folder: Path, cases: int) -> list[Path]:
    """Write studies of the first layout with indicators and a large variable of trade."""
    from flows.report import open_study
    from planning import study_indicators
    from pp_p2p.results import to_netcdf

    tree, dice = open_study(STUDY), np.random.default_rng(0)
    tree["indicators"] = xr.DataTree(study_indicators(tree))
    trade = tree["trade"].to_dataset()
    days = trade.sizes["day"]
    trade["large_mw"] = (("day", "hour", "row"), dice.random((days, 24, 5000)))
    tree["trade"] = xr.DataTree(trade)
    first = to_netcdf(tree, folder / "0.nc")
    return [first, *(Path(shutil.copy(first, folder / f"{k}.nc")) for k in range(1, cases))]


def _writes_the_page(*, cases: int) -> Callable[[], str]:
    import planning
    from flows.comparison_page import comparison_html
    from flows.report import open_study

    study, dice = open_study(STUDY), np.random.default_rng(1)
    of, many = planning.study_indicators(study), {}
    for k in range(cases):
        factor = float(dice.uniform(0.8, 1.2))
        varied = {n: v * factor for n, v in of.data_vars.items() if str(n).endswith("_per_year")}
        many[f"growth {k % 10}, budget {k // 10}"] = {"indicators": of.assign(varied)}
    compared, network = planning.compare(many), study["network"].to_dataset()
    return lambda: comparison_html(compared, network)


def _open(browser: str, page: str) -> dict[str, Any]:
    """Return what the page says of itself; the clock is the real one."""
    said: dict[str, Any] = {}
    done = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            content = page.replace("</body>", TELL) if self.path == "/page.html" else FRAME
            if self.path.startswith("/said?"):
                said.update(json.loads(urllib.parse.unquote(self.path.split("?", 1)[1])))
                done.set()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(content.encode())

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        running = subprocess.Popen(
            [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
             "--no-first-run", "--disable-background-networking", "--remote-debugging-port=0",
             f"--user-data-dir={profile}", f"http://127.0.0.1:{server.server_port}/"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            if not done.wait(60):
                raise TimeoutError("the page was not drawn in a minute")
        finally:
            running.terminate()
            running.wait(20)
            server.shutdown()
            server.server_close()
    return said
