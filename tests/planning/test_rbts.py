"""Bus 2 of the Roy Billinton test system: published indices of six designs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from planning import reliability_indices

CASES = {
    "A": ({"isolators": True, "fuses": True, "ties": True}, 0.248211, 3.612587, 37.7457),
    "B": ({"isolators": False, "fuses": False, "ties": False}, 0.602353, 22.496435, 231.263),
    "C": ({"isolators": False, "fuses": True, "ties": False}, 0.248211, 4.162989, 43.8244),
    "D": ({"isolators": True, "fuses": False, "ties": True}, 0.602353, 6.749831, 67.2861),
    "E": (
        {"isolators": True, "fuses": True, "ties": True, "replaced": True},
        0.248211,
        0.765575,
        8.8438,
    ),
    "F": ({"isolators": True, "fuses": False, "ties": False}, 0.602353, 9.934076, 149.1877),
}
"""Equipment, SAIFI (1/a), SAIDI (h/a) and energy not served (MWh/a) of Allan et al. (1991)."""


@pytest.mark.parametrize("case", CASES)
def test_published_indices(rbts: Callable[..., Any], case: str) -> None:
    equipment, saifi, saidi, ens = CASES[case]
    ds = reliability_indices(rbts(**equipment))
    assert float(ds["saifi_per_year"]) == pytest.approx(saifi, rel=1e-5)
    assert float(ds["saidi_h_per_year"]) == pytest.approx(saidi, rel=1e-5)
    assert float(ds["eens_mwh_per_year"]) == pytest.approx(ens, rel=1e-5)
    assert float(ds["caidi_h"]) == pytest.approx(saidi / saifi, rel=1e-5)
    assert float(ds["asai_pu"]) == pytest.approx(1 - saidi / 8760, rel=1e-9)
    assert float(ds["aens_kwh_per_year"]) == pytest.approx(1e3 * ens / 1908, rel=1e-5)
