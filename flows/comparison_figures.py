"""The pictures of the comparison as PNG files: the numbers are those of the page."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import xarray as xr

from flows.comparison_data import COLOURS, page_data
from flows.key_figures import digits
from planning.comparison import pareto_cases
from pp_p2p.plotting.style import BLUE, GREY, INK, PALE
from pp_p2p.results import whole_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI: Final = 200
MOST_PANELS: Final = 12
"""Pictures with a panel for each case have so many; the first ones, which the title says."""

MARKERS: Final = {"pv": "o", "wind": "^", "storage": "s", "storage_energy": "s", "sop": "h",
                  "dispatchable": "D", "switch": "X"}  # fmt: skip
OTHER_MARKER: Final = "P"
SOP_THERE: Final = "soft open point that is there"

LETTER_INCHES: Final = 0.078
"""Width of a letter in a legend, rather too large than too small."""

Content = Mapping[str, Any]


def write_pictures(
    compared: xr.Dataset, network: xr.Dataset | None, folder: Path, *, base: str | None = None
) -> list[Path]:
    """Write the pictures as PNG files and return their paths.

    Parameters
    ----------
    compared : Dataset
        What `planning.compare` returns.
    network : Dataset, optional
        Group ``network`` of the cases: maps are drawn on it.
    folder : Path
        Made where it is missing; files of the same names are replaced.
    base : str, optional
        Case that is marked; the first one.
    """
    content = page_data(compared, network, base)
    figures: dict[str, Callable[[Content], Figure]] = {
        "costs": costs_figure,
        "cash_flow": cash_flow_figure,
        "indicators": indicators_figure,
        "compromise": compromise_figure,
    }
    if content["participants"]:
        figures["gains"] = gains_figure
    if network is not None:
        figures["map"] = map_figure
    written = []
    for name, draw in figures.items():
        picture = io.BytesIO()
        draw(content).savefig(picture, format="png", dpi=DPI, metadata={"Software": None})
        with whole_file(folder / f"{name}.png") as part:
            part.write_bytes(picture.getvalue())
        written.append(folder / f"{name}.png")
    return written


def costs_figure(content: Content) -> Figure:
    """Return the cost of each case by item, as stacked bars with their sum."""
    parts = [(one["label"], one["total"], one["colour"]) for one in content["items"]]
    return _rows(content, parts, "Cost of each case by item", content["cost_unit"])


def gains_figure(content: Content) -> Figure:
    """Return what each participant gains by trading, means over the years."""
    years = np.array(content["stage_years"], dtype=float)
    parts = []
    for n, one in enumerate(content["participants"]):
        saving = np.array(one["saving"], dtype=float)
        weight = np.where(np.isfinite(saving), years, 0.0)
        sums = np.nansum(saving * weight, axis=1) / np.maximum(weight.sum(axis=1), 1e-9)
        parts.append((one["name"], sums.tolist(), COLOURS[n % len(COLOURS)]))
    return _rows(content, parts, "Gain of trading by participant", "EUR/a")


def cash_flow_figure(content: Content) -> Figure:
    """Return what each case costs by year, one panel a case, all on one scale."""
    figure, panels = _panels(content, "Cash flow by year, k EUR", share_y=True)
    used = [
        one for one in content["items"]
        if np.nan_to_num(np.array(one["by_year"], dtype=float)).any()
    ]  # fmt: skip
    for k, panel in panels:
        first = content["first_year"][k] - 1
        years = np.array(content["years"]) + first
        up, down = np.zeros(len(years)), np.zeros(len(years))
        for item in used:
            value = np.nan_to_num(np.array(item["by_year"][k], dtype=float)) / 1e3
            panel.bar(years, value, 0.75, bottom=np.where(value > 0, up, down), label=item["label"],
                      color=item["colour"])  # fmt: skip
            up, down = up + np.maximum(value, 0), down + np.minimum(value, 0)
        panel.axhline(0, color=GREY, linewidth=0.8)
        panel.grid(axis="y", color=PALE)
        if not content["several"][k]:
            panel.set_xticks(years[:1], ["a year"])
        elif len(years) <= 5:
            panel.set_xticks(years)
        else:
            panel.locator_params(axis="x", integer=True, nbins=5)
    _legend_below(figure, panels[0][1])
    return figure


def indicators_figure(content: Content) -> Figure:
    """Return reliability, losses, voltages and emissions over the stages, one panel a number."""
    metrics, many = content["stage_metrics"], len(content["cases"]) > len(COLOURS)
    labels = content["stage_labels"]
    several = len(labels) > 1
    title = "Indicators by stage; the base is dashed" if several else "Indicators; the base is dark"
    figure, panels = _grid(len(metrics), title)
    for metric, panel in zip(metrics, panels, strict=True):
        for k, name in enumerate(content["cases"]):
            base = k == content["base"]
            colour = INK if base else "#C3CBD4" if many else COLOURS[k % len(COLOURS)]
            values = np.array(metric["values"][k], dtype=float)
            at = labels if several else [k]  # beside each other: none hides another
            panel.plot(at, values, "--" if base else "-", marker="o", markersize=4, label=name,
                       color=colour, linewidth=2, zorder=3 if base else 2)  # fmt: skip
        unit = f", {metric['unit']}" if metric["unit"] else ""
        panel.set_title(f"{metric['label']}{unit}", loc="left", fontsize=10)
        panel.grid(axis="y", color=PALE)
        if not several:
            panel.set_xticks([])
            panel.set_xlim(-0.5, len(content["cases"]) - 0.5)
    if not many:
        _legend_below(figure, panels[0])
    return figure


def compromise_figure(content: Content) -> Figure:
    """Return cost against energy not served; cases that no other beats in both are joined."""
    across, up = (content["metrics"][k] for k in content["pareto"])
    x, y = (np.array(m["values"], dtype=float) * m["scale"] for m in (across, up))
    known = np.isfinite(x) & np.isfinite(y)
    unbeaten = pareto_cases(xr.Dataset({"x": ("case", x), "y": ("case", y)})).to_numpy()
    best = sorted(np.flatnonzero(unbeaten).tolist(), key=lambda k: float(x[k]))
    figure, (panel,) = _grid(1, "Which cases are not beaten in both", size=(8.0, 5.0))
    panel.scatter(x, y, color="#9AA5B1", label="another case is better")
    panel.plot(x[best], y[best], "o--", color=BLUE, label="no case is better in both")
    base = content["base"]
    panel.scatter(
        x[base], y[base], s=90, facecolor="none", edgecolor=INK, linewidth=2, label="base"
    )
    named = range(len(x)) if len(x) <= 25 else [*best, base]
    for (a, b), names in _near({k: (x[k], y[k]) for k in named if known[k]}).items():
        words = ", ".join(content["cases"][k] for k in names)
        panel.annotate(words, (a, b), xytext=(6, 5), fontsize=8, textcoords="offset points",
                       annotation_clip=False)  # fmt: skip
    panel.set_xlabel(f"{across['label']}, {across['unit']}")
    panel.set_ylabel(f"{up['label']}, {up['unit']}")
    panel.grid(color=PALE)
    _legend_below(figure, panel)
    return figure


def _near(points: Mapping[int, tuple[float, float]]) -> dict[tuple[float, float], list[int]]:
    """Return the points, those that are too near to be named apart together."""
    spans = [max(np.ptp(v), 1e-12) for v in zip(*points.values(), strict=True)]
    together: dict[tuple[float, float], list[int]] = {}
    for k, (a, b) in points.items():
        same = (p for p in together
                if abs(p[0] - a) < 0.1 * spans[0] and abs(p[1] - b) < 0.03 * spans[1])  # fmt: skip
        together.setdefault(next(same, (a, b)), []).append(k)
    return together


def map_figure(content: Content) -> Figure:
    """Return what each case builds, on the map; the colour says in which years it is bought."""
    net, stages = content["network"], content["stage_labels"]
    several = len(stages) > 1
    words = "the years of the first purchase" if several else "the owner"
    figure, panels = _panels(content, f"What is bought; the colour tells {words}")
    at = {bus: (net["x"][n], net["y"][n]) for n, bus in enumerate(net["bus"])}
    ends = [(at[a], at[b]) for a, b in zip(net["from"], net["to"], strict=True)]
    step = 0.07 * max(net["top"] - net["bottom"], 0.3 * (net["right"] - net["left"]), 1e-9)
    for k, panel in panels:
        for (a, b), closed in zip(ends, net["closed"], strict=True):
            panel.plot(*zip(a, b, strict=True), "-" if closed else ":", color="#9AA5B1",
                       linewidth=1.2, zorder=1)  # fmt: skip
        _draw_devices(panel, net, at)
        stacked: dict[int, int] = {}
        for n, one in enumerate(content["candidates"]):
            bought = [s for s in range(len(stages)) if (content["bought"][k][s][n] or 0) > 0]
            if not bought:
                continue
            which = bought[0] if several else content["owners"].index(one["owner"])
            colour = COLOURS[which % len(COLOURS)]
            if one["line"] in net["line"]:
                a, b = ends[net["line"].index(one["line"])]
                panel.plot(*zip(a, b, strict=True), "--", color=colour, linewidth=3, zorder=2)
            elif one["bus"] in at:
                stacked[one["bus"]] = up = stacked.get(one["bus"], 0) + 1
                x, y = at[one["bus"]]
                panel.scatter(x, y + up * step, marker=MARKERS.get(one["technology"], OTHER_MARKER),
                              color=colour, s=45, edgecolor="white", zorder=3)  # fmt: skip
        panel.margins(0.04, 0.25)
        panel.set_axis_off()
    first, shown = panels[0][1], {one["technology"] for one in content["candidates"]}
    labels = [f"first bought {label}" for label in stages] if several else content["owners"]
    for s, label in enumerate(labels):
        first.plot([], [], "s", color=COLOURS[s % len(COLOURS)], label=label)
    for technology in sorted(shown & set(MARKERS)):
        name = content["technologies"].get(technology, technology)
        first.plot([], [], MARKERS[technology], color=GREY, label=name)
    if any(one["line"] in net["line"] for one in content["candidates"]):
        first.plot([], [], "--", color=GREY, linewidth=3, label="line or tie built")
    if net["sops"]:
        first.plot([], [], MARKERS["sop"], color=net["sop_colour"], label=SOP_THERE)
    _legend_below(figure, first)
    return figure


def _draw_devices(panel: Axes, net: Content, at: Mapping[int, tuple[float, float]]) -> None:
    """Draw the soft open points that are there, built or not."""
    for one in net["sops"]:
        hub = (one["x"], one["y"])
        for bus in one["buses"]:
            panel.plot(*zip(at[bus], hub, strict=True), color=net["sop_colour"], linewidth=1.2,
                       zorder=1)  # fmt: skip
        panel.scatter(*hub, marker=MARKERS["sop"], color=net["sop_colour"], s=45,
                      edgecolor="white", zorder=3)  # fmt: skip


def _rows(
    content: Content, parts: Sequence[tuple[str, Sequence[Any], str]], title: str, unit: str
) -> Figure:
    """Return stacked bars, one row a case, income to the left of zero, the sum as a mark."""
    cases = content["cases"]
    size = (9.0, 1.8 + (0.3 if len(cases) <= 30 else 0.17) * len(cases))
    figure, (panel,) = _grid(1, f"{title}, k {unit}", size=size)
    rows, up, down = np.arange(len(cases)), np.zeros(len(cases)), np.zeros(len(cases))
    for name, values, colour in parts:
        value = np.nan_to_num(np.array(values, dtype=float)) / 1e3
        if not value.any():
            continue
        left = np.where(value > 0, up, down)
        panel.barh(rows, value, 0.75, left=left, label=name, color=colour)
        up, down = up + np.maximum(value, 0), down + np.minimum(value, 0)
    panel.xaxis.set_major_formatter(lambda v, _: digits(v, 6).replace("-", "−"))
    panel.plot(up + down, rows, "|", color=INK, markersize=10, markeredgewidth=2, label="sum")
    panel.set_yticks(rows, cases, fontsize=9 if len(cases) <= 30 else 6)
    panel.get_yticklabels()[content["base"]].set_fontweight("bold")
    panel.set_ylim(len(cases) - 0.4, -0.6)
    panel.grid(axis="x", color=PALE)
    _legend_below(figure, panel)
    return figure


def _panels(
    content: Content, title: str, *, share_y: bool = False
) -> tuple[Figure, list[tuple[int, Axes]]]:
    """Return a panel for each of the first cases, the base first."""
    base, n = content["base"], len(content["cases"])
    order = [base, *(k for k in range(n) if k != base)][:MOST_PANELS]
    more = f" (the first {MOST_PANELS} of {n} cases)" if n > MOST_PANELS else ""
    figure, axes = _grid(len(order), title + more, share_y=share_y)
    for k, panel in zip(order, axes, strict=True):
        name = content["cases"][k]
        title_of = f"{name} (base)" if k == base and name != "base" else name
        panel.set_title(textwrap.fill(title_of, 46), loc="left", fontsize=10)
    return figure, list(zip(order, axes, strict=True))


def _grid(
    n: int, title: str, *, size: tuple[float, float] | None = None, share_y: bool = False
) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    columns = min(3, n)
    rows = -(-n // columns)
    figure = Figure(figsize=size or (4.0 * columns, 2.6 * rows + 0.9), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharey=share_y).flat
    panels = list(axes)
    for panel in panels[n:]:
        panel.set_axis_off()
    for panel in panels[:n]:
        panel.spines[["top", "right"]].set_visible(False)
        panel.set_axisbelow(True)
        panel.tick_params(labelsize=8, color=PALE)
        panel.ticklabel_format(useOffset=False)
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold", color=INK)
    return figure, panels[:n]


def _legend_below(figure: Figure, panel: Axes) -> None:
    handles, labels = panel.get_legend_handles_labels()
    widest = max(map(len, labels), default=1) * LETTER_INCHES + 0.5
    columns = int(np.clip(figure.get_figwidth() / widest, 1, 5))
    figure.legend(
        handles, labels, loc="outside lower left", ncols=columns, frameon=False, fontsize=9
    )
