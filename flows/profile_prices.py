"""Prices and emissions of the grid's energy over the year: by hour, or from the profiles file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from flows.study import Study
from flows.study_text import closest, listed
from pp_p2p.errors import Finding

Array = npt.NDArray[np.float64]

BUY: Final = "price_buy_eur_per_mwh"
SELL: Final = "price_sell_eur_per_mwh"
EMISSION: Final = "grid_emission_t_per_mwh"
KEYS: Final = {BUY: "buy_eur_per_mwh", SELL: "sell_eur_per_mwh", EMISSION: EMISSION}
"""Key of the study file that gives each variable."""


def price_values(frame: pd.DataFrame, study: Study) -> dict[str, Array]:
    """Return the variables of the profiles (time,) that ``[prices]`` gives.

    Parameters
    ----------
    frame : pd.DataFrame
        The profiles file, indexed by stamps.
    study : Study
    """
    hours = pd.DatetimeIndex(frame.index).hour.to_numpy()
    return {
        name: frame[given].to_numpy(dtype=float)
        if isinstance(given, str)
        else np.array(given, dtype=float)[hours]
        for name, given in study.prices.by_hour.items()
    }


def price_findings(frame: pd.DataFrame, path: Path, study: Study) -> Iterator[Finding]:
    """Yield what is wrong with the columns that ``[prices]`` names."""
    text, wrong = study.places, list[Finding]()
    for name, column in study.prices.by_hour.items():
        if not isinstance(column, str):
            continue
        if column not in frame:
            known = [str(one) for one in frame]
            mend = f"{closest(column, known)}it has: {listed(known)}"
            rule = f"{path.name} has no column {column!r}"
            wrong.append(text.finding(("prices", KEYS[name]), rule, mend))
            continue
        numbers = pd.to_numeric(frame[column], errors="coerce").to_numpy(dtype=float)
        if (gaps := ~np.isfinite(numbers)).any():
            rule = f"{gaps.sum()} of {len(gaps)} values are empty or no number"
            wrong.append(_in_file(frame, path, column, gaps, rule, "fill the gaps"))
        elif name == EMISSION and (numbers < 0).any():
            rule = f"{(numbers < 0).sum()} values are below 0"
            wrong.append(_in_file(frame, path, column, numbers < 0, rule, "give at least 0"))
    yield from wrong
    if wrong:
        return
    values = price_values(frame, study)
    if (dear := values[SELL] > values[BUY]).any():
        rule = "the feed-in price is above the purchase price: buying to sell would pay"
        column = next(c for c in map(study.prices.by_hour.get, (SELL, BUY)) if isinstance(c, str))
        yield _in_file(frame, path, column, dear, rule, "lower it to the purchase price or below")


def _in_file(
    frame: pd.DataFrame,
    path: Path,
    column: str,
    wrong: npt.NDArray[np.bool_],
    rule: str,
    mend: str,
) -> Finding:
    rows = tuple(str(stamp) for stamp in frame.index[wrong])
    return Finding(table=path.name, column=column, rows=rows, rule=rule, mend=mend)
