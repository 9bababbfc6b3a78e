"""Write simbench_2016.csv: a year of SimBench profiles as hourly means.

Run with the ``simbench`` extra installed (``python -m pip install ".[simbench]"``)::

    python examples/data/make_simbench_2016.py            # writes the file
    python examples/data/make_simbench_2016.py --check    # exit 1 if the file differs

Source: SimBench, data set ``1-complete_data-mixed-all-0-sw`` of the ``simbench`` wheel, quarter
hours of 2016. The file it writes is a derived database under ODbL 1.0, see NOTICE.md.

The stamps of SimBench are German civil time: 27.03.2016 has no 02:00-02:45 and 30.10.2016 has it
twice. The rows are therefore equidistant on the clock of CET (UTC+01:00) without daylight
saving, and that clock is what this script writes. It refuses other stamps. PV confirms it: its
centre of gravity stays at the same hour all year in row order, while working-day loads move by
one hour on 27.03. as people do.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path

import numpy as np
import pandas as pd

TARGET = Path(__file__).with_name("simbench_2016.csv")
DATA_SET = Path("networks", "1-complete_data-mixed-all-0-sw")
LOADS = ("H0-A", "H0-B", "H0-C", "G0-A", "G3-A", "G4-A", "L0-A")
PV = ("PV3", "PV5", "PV8")
WIND = ("WP4", "WP6", "WP12")
STEPS_PER_HOUR = 4
HOURS = 8784
DECIMALS = 5
HEADER = (
    "# SimBench profiles of 2016, hourly means. Derived database under ODbL 1.0: see NOTICE.md\n"
    "# time: start of the hour in CET (UTC+01:00) all year, no daylight saving; "
    "values: per unit of the nominal power\n"
)


def main() -> int:
    """Write or check the file; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare, do not write")
    check = parser.parse_args().check
    text = as_text(hourly(simbench_folder() / DATA_SET)).encode("ascii")
    if check:
        same = TARGET.read_bytes() == text
        print(f"{TARGET.name} {'is' if same else 'is NOT'} what this script makes")
        return 0 if same else 1
    TARGET.write_bytes(text)
    print(f"{TARGET.name}: {HOURS} hours, {len(text)} bytes")
    return 0


def simbench_folder() -> Path:
    """Return the folder of the installed simbench package, without importing it."""
    spec = importlib.util.find_spec("simbench")
    if spec is None or spec.origin is None:
        sys.exit('simbench is not installed: python -m pip install ".[simbench]"')
    return Path(spec.origin).parent


def hourly(folder: Path) -> pd.DataFrame:
    """Return the hourly means of the chosen profiles, shape (8784, columns), per unit."""
    load_columns = [f"{name}_{kind}" for name in LOADS for kind in ("pload", "qload")]
    loads = pd.read_csv(folder / "LoadProfile.csv", sep=";", usecols=["time", *load_columns])
    feed_in = pd.read_csv(folder / "RESProfile.csv", sep=";", usecols=["time", *PV, *WIND])
    if not (_is_cet(loads["time"]) and _is_cet(feed_in["time"])):
        sys.exit("SimBench's stamps are no longer the quarter hours of 2016 in German civil time")
    columns = pd.concat([loads[load_columns], feed_in[[*PV, *WIND]]], axis=1)
    means = columns.to_numpy().reshape(HOURS, STEPS_PER_HOUR, -1).mean(axis=1)
    frame = pd.DataFrame(means, columns=columns.columns)
    # Interpolation left a few wind values around -1e-5: a turbine's own use is not meant.
    frame[[*PV, *WIND]] = frame[[*PV, *WIND]].clip(lower=0.0)
    frame.index = pd.date_range("2016-01-01", periods=HOURS, freq="h")
    return frame


def as_text(frame: pd.DataFrame) -> str:
    """Return the CSV text; five decimals, no trailing zeros, no zero before the point."""
    lines = [",".join(["time", *frame.columns])]
    for stamp, values in zip(frame.index, frame.to_numpy(), strict=True):
        cells = [f"{stamp:%Y-%m-%d %H:%M}", *map(_number, values)]
        lines.append(",".join(cells))
    return HEADER + "\n".join(lines) + "\n"


def _is_cet(stamps: pd.Series) -> bool:
    clock = pd.date_range(
        "2016-01-01", periods=HOURS * STEPS_PER_HOUR, freq="15min", tz="Etc/GMT-1"
    )
    civil = clock.tz_convert("Europe/Berlin").strftime("%d.%m.%Y %H:%M")
    return bool(np.array_equal(stamps.to_numpy(), civil.to_numpy()))


def _number(value: float) -> str:
    text = f"{value:.{DECIMALS}f}".rstrip("0").rstrip(".")
    return {"-0": "0", "": "0"}.get(text, text.replace("0.", ".", 1) if abs(value) < 1 else text)


if __name__ == "__main__":
    sys.exit(main())
