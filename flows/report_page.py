"""The building blocks of the report: one HTML page that needs nothing but itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any, Final

from pp_p2p.plotting.style import BLUE, FONT, GREEN, GREY, INK, RED

POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data: blob:"
)
"""Content security policy: even a mistake in the page cannot reach the network."""

STYLE: Final = f"""
:root {{ color-scheme: light; }}
* {{ box-sizing: border-box; }}
body {{ margin: 0; background: #F5F7FA; color: {INK}; font: 16px/1.5 {FONT}; }}
main {{ max-width: 1160px; margin: 0 auto; padding: 24px 20px 64px; }}
h1 {{ font-size: 1.7rem; line-height: 1.2; margin: 8px 0; overflow-wrap: anywhere; }}
h2 {{ font-size: 1.25rem; margin: 0 0 8px; }}
h3 {{ font-size: 1rem; margin: 16px 0 4px; }}
p {{ margin: 6px 0 10px; max-width: 80ch; }}
.lead {{ font-size: 1.15rem; }}
.note, figcaption {{ color: #52606D; font-size: 0.875rem; max-width: 90ch; }}
section {{ background: white; border: 1px solid #E4E7EB; border-radius: 8px; padding: 20px;
  margin: 20px 0; }}
.cards {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(215px, 1fr)); gap: 12px;
  margin: 16px 0 20px; }}
.card {{ background: white; border: 1px solid #E4E7EB; border-radius: 8px; padding: 12px 16px; }}
.card dt {{ color: #52606D; font-size: 0.875rem; }}
.card dd {{ margin: 0; }}
.card .value {{ font-size: 1.45rem; font-weight: 600; line-height: 1.3; }}
.card .more {{ color: #52606D; font-size: 0.875rem; }}
.verdict {{ border-left: 6px solid {GREEN}; background: white; border-radius: 4px;
  padding: 10px 16px; margin: 16px 0; max-width: none; }}
.verdict.bad {{ border-left-color: {RED}; background: #FFF4EC; }}
.scroll {{ overflow-x: auto; margin: 8px 0 12px; }}
.scroll:focus-visible {{ outline: 2px solid {BLUE}; }}
table {{ border-collapse: separate; border-spacing: 0; font-size: 0.9rem;
  font-variant-numeric: tabular-nums; }}
caption {{ text-align: left; font-weight: 600; padding: 4px 0; }}
caption span {{ position: sticky; left: 0; display: inline-block; white-space: normal;
  max-width: min(100%, calc(100vw - 64px)); }}
th, td {{ padding: 5px 14px 5px 0; border-bottom: 1px solid #E4E7EB; text-align: left;
  vertical-align: top; white-space: nowrap; }}
thead th {{ border-bottom: 2px solid {GREY}; vertical-align: bottom; }}
tbody th {{ font-weight: 400; }}
tbody th, thead th:first-child {{ position: sticky; left: 0; background: white; }}
th.n, td.n {{ text-align: right; }}
tr.sum td, tr.sum th {{ font-weight: 600; border-top: 2px solid {GREY}; }}
th.long, td.long {{ white-space: normal; overflow-wrap: anywhere; min-width: 15rem;
  max-width: 26rem; }}
figure {{ margin: 8px 0; min-width: 0; break-inside: avoid; }}
.plot {{ min-width: 0; overflow: hidden; }}
.days {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(min(320px, 100%), 1fr));
  gap: 12px 20px; }}
.pair {{ display: flex; flex-wrap: wrap; gap: 12px 28px; align-items: start; }}
.pair > * {{ min-width: 0; max-width: 100%; }} .pair > :last-child {{ flex: 1 1 300px;
  width: 0; }}
details {{ margin: 12px 0; }}
summary {{ cursor: pointer; font-weight: 600; }}
pre {{ overflow-x: auto; background: #F5F7FA; padding: 12px; border-radius: 6px;
  font-size: 0.8rem; line-height: 1.4; }}
noscript p {{ background: #FFF4EC; padding: 8px 12px; }}
@media (max-width: 600px) {{
  main {{ padding: 12px 10px 40px; }} section {{ padding: 14px 12px; }}
  h1 {{ font-size: 1.35rem; }} .lead {{ font-size: 1.05rem; }}
  .cards {{ grid-template-columns: 1fr 1fr; gap: 8px; }} .card {{ padding: 8px 10px; }}
  .card .value {{ font-size: 1.15rem; }}
}}
@media print {{
  body {{ background: white; font-size: 11pt; }} main {{ max-width: none; padding: 0; }}
  section {{ border: 0; padding: 0; }} .card, tr, h2, h3 {{ break-inside: avoid; }}
  h2, h3 {{ break-after: avoid; }}
  .modebar-container {{ display: none !important; }} .scroll {{ overflow: visible; }}
  table {{ font-size: 0.8rem; }} th, td {{ white-space: normal; }} pre {{ white-space: pre-wrap; }}
}}
"""

SCRIPT: Final = """
(function () {
  // Plotly measures when it draws, before the rest of the page is there.
  var watch = new ResizeObserver(function (entries) {
    entries.forEach(function (entry) {
      var plot = entry.target.querySelector('.js-plotly-plot');
      if (plot && entry.contentRect.width > 0 && !printing) {
        var narrow = entry.contentRect.width < 520, steps = [turn, stack];
        if (!narrow) { steps.reverse(); }  // back in the order they came
        steps[0](plot, narrow).then(function () { return steps[1](plot, narrow); }).then(
          function () { Plotly.Plots.resize(plot); });
      }
    });
  });
  var printing = false;
  // A tree that runs to the right runs down where the screen is narrow.
  function turn(plot, narrow) {
    var height = plot.layout.meta && plot.layout.meta.height_turned;
    if (!height || Boolean(plot.turned) === narrow) { return Promise.resolve(); }
    var back = function (v) { return v === null || isNaN(v) ? null : -v; };
    var xs = plot._fullData.map(function (t) {
      return narrow ? Array.from(t.y) : Array.from(t.y, back); });
    var ys = plot._fullData.map(function (t) {
      return narrow ? Array.from(t.x, back) : Array.from(t.x); });
    plot.upright = plot.upright || plot.layout.height;
    plot.turned = narrow;
    plot.parentNode.style.height = (narrow ? height : plot.upright) + 'px';
    return Plotly.update(plot, {x: xs, y: ys}, {height: narrow ? height : plot.upright});
  }
  // A legend below a picture is one column where the screen is narrow: a row would be cut.
  function stack(plot, narrow) {
    var legend = plot.layout.legend;
    if (!legend || legend.yanchor !== 'top' || Boolean(plot.stacked) === narrow) {
      return Promise.resolve();
    }
    plot.stacked = narrow;
    plot.entries = plot.entries || 20 * plot.querySelectorAll('.legend .traces').length;
    var height = plot._fullLayout.height + (narrow ? plot.entries : -plot.entries);
    return new Promise(requestAnimationFrame).then(function () {  // not while sizes are told
      plot.parentNode.style.height = height + 'px';
      return Plotly.relayout(plot, {height: height, 'legend.orientation': narrow ? 'v' : 'h',
        'legend.x': narrow ? 0 : 0.5, 'legend.xanchor': narrow ? 'left' : 'center'});
    });
  }
  document.querySelectorAll('.plot').forEach(function (box) { watch.observe(box); });
  // Plotly draws for the screen's width: on paper the pictures must fit the page instead.
  function fit(width) {
    document.querySelectorAll('.js-plotly-plot').forEach(function (plot) {
      var share = plot.closest('.days, .pair') ? 0.48 : 1;
      Plotly.relayout(plot, width ? {width: width * share, autosize: false}
                                  : {width: null, autosize: true});
    });
  }
  addEventListener('beforeprint', function () { printing = true; fit(690); });
  addEventListener('afterprint', function () { printing = false; fit(0); });
})();
"""


TOOLS: Final = ("zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d")
"""Named one by one: among Plotly's own is one that sends the picture's data to a server."""


def text(value: object) -> str:
    """Return `value` as text that cannot be markup."""
    return escape(str(value), quote=True)


def page(title: str, parts: Iterable[str], *, plotly: bool = True) -> str:
    """Return the page: nothing is loaded; plotly.js stands in it once, where `plotly` says so."""
    library = script = ""
    if plotly:
        from plotly.offline import get_plotlyjs

        library, script = f"<script>{get_plotlyjs()}</script>\n", f"<script>{SCRIPT}</script>\n"
    return "\n".join(
        (
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
            '<link rel="icon" href="data:,">',
            f"<title>{text(title)}</title>\n<style>{STYLE}</style>",
            f"{library}</head>\n<body>\n<main>",
            "<noscript><p>The pictures need JavaScript; the tables do not.</p></noscript>",
            *parts,
            f"</main>\n{script}</body>\n</html>\n",
        )
    )


def section(key: str, title: str, *parts: str) -> str:
    """Return a section with its heading; `key` is its id."""
    body = "\n".join(part for part in parts if part)
    return (
        f'<section id="{key}" aria-labelledby="{key}-title">\n'
        f'<h2 id="{key}-title">{text(title)}</h2>\n{body}\n</section>'
    )


def card(name: str, value: str, more: str = "") -> str:
    """Return one key figure with its name and what else must be known about it."""
    return (
        f'<dl class="card" style="margin:0"><dt>{text(name)}</dt>'
        f'<dd class="value">{text(value)}</dd><dd class="more">{text(more)}</dd></dl>'
    )


def paragraph(words: str, kind: str = "") -> str:
    """Return a paragraph of plain text."""
    return f'<p class="{kind}">{text(words)}</p>' if kind else f"<p>{text(words)}</p>"


def warning(words: str) -> str:
    """Return a paragraph that nobody should miss."""
    return f'<p class="verdict bad">{text(words)}</p>'


def figure(picture: Any, key: str, alt: str, caption: str = "", *, tools: bool = False) -> str:
    """Return a Plotly figure as HTML.

    Parameters
    ----------
    picture : plotly Figure
    key : str
        Id of the figure, the same for the same study.
    alt : str
        What the picture shows, for those who cannot see it.
    caption : str
        Below the picture.
    tools : bool
        Offer zoom and pan, for pictures that may be crowded.
    """
    config = {
        "displayModeBar": "hover" if tools else False,
        "displaylogo": False,
        "responsive": True,
        "modeBarButtons": [TOOLS],
        "plotlyServerURL": "",
    }
    html = picture.to_html(
        full_html=False, include_plotlyjs=False, div_id=f"figure-{key}", config=config
    )
    below = f"\n<figcaption>{text(caption)}</figcaption>" if caption else ""
    return (
        f'<figure>\n<div class="plot" role="img" aria-label="{text(alt)}">\n{html}\n</div>'
        f"{below}\n</figure>"
    )


def table(
    caption: str,
    head: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    n_text: int = 1,
    sums: int = 0,
) -> str:
    """Return a table that scrolls inside itself where it is wider than the page.

    Parameters
    ----------
    caption : str
    head : sequence of str
    rows : iterable of sequence
        Cells, as they are to be read.
    n_text : int
        So many columns from the left are text; the others are numbers and stand to the right.
    sums : int
        So many rows at the end are sums.
    """
    rows = [list(row) for row in rows]

    def cell(column: int, value: object) -> str:
        tag = "th" if column == 0 else "td"
        scope = ' scope="row"' if column == 0 else ""
        return f"<{tag}{scope}{_kind(column >= n_text, value)}>{text(value)}</{tag}>"

    titles = "".join(
        f'<th scope="col"{_kind(k >= n_text, "")}>{text(name)}</th>' for k, name in enumerate(head)
    )
    body = "\n".join(
        ('<tr class="sum">' if k >= len(rows) - sums else "<tr>")
        + "".join(cell(j, value) for j, value in enumerate(row))
        + "</tr>"
        for k, row in enumerate(rows)
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{text(caption)}">\n<table>'
        f"<caption><span>{text(caption)}</span></caption>\n<thead><tr>{titles}</tr></thead>\n"
        f"<tbody>\n{body}\n</tbody></table>\n</div>"
    )


def folded(title: str, content: str) -> str:
    """Return preformatted text that opens on a click."""
    return f"<details><summary>{text(title)}</summary>\n<pre>{text(content)}</pre></details>"


def _kind(number: bool, value: object) -> str:
    if number:
        return ' class="n"'
    return ' class="long"' if len(str(value)) > 40 else ""
