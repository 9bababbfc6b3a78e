"""Cases side by side: aligned by name, differences, what is not dominated."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr

import planning
from pp_p2p.errors import InvalidInput


def case(
    candidates: list[str], units: list[float], *, years: int = 1, people: tuple[str, ...] = ("A",)
) -> dict[str, xr.Dataset]:
    """Return a study of which only the indicators are there."""
    n = len(candidates)
    ds = xr.Dataset(
        {
            "cash_flow_eur": (("year", "item"), np.ones((years, 2))),
            "present_value_eur": (("year", "item"), np.ones((years, 2))),
            "npc_eur": 5.0,
            "eac_eur_per_year": float(sum(units)),
            "stage_first_year": ("stage", [1]),
            "stage_years": ("stage", [years]),
            "eens_mwh_per_year": ("stage", [3.0]),
            **{
                name: (("stage", "candidate"), np.array([units]))
                for name in ("units_installed", "units_built", "built_p_mw", "built_e_mwh",
                             "capex_eur")
            },
            "technology": ("candidate", np.array(["pv"] * n)),
            "candidate_owner": ("candidate", np.array(["operator"] * n)),
            "candidate_bus": ("candidate", np.arange(n, dtype=float)),
            "candidate_line": ("candidate", np.full(n, -1.0)),
            "saving_eur_per_year": (("stage", "participant"), np.ones((1, len(people)))),
        },
        coords={
            "year": np.arange(1, years + 1),
            "item": ["purchase", "sale"],
            "stage": [1],
            "candidate": candidates,
            "participant": list(people),
        },
        attrs={"exact": 1, "several_years": int(years > 1)},
    )  # fmt: skip
    return {"indicators": ds}


def test_candidates_stand_side_by_side_by_name() -> None:
    both = planning.compare(
        {"one": case(["a", "b"], [1, 2]), "two": case(["c", "b", "a"], [7, 8, 9])}
    )
    units = both["units_installed"].sel(stage=1).to_pandas()
    assert units.loc["one"].to_dict() == {"a": 1.0, "b": 2.0, "c": 0.0}
    assert units.loc["two"].to_dict() == {"a": 9.0, "b": 8.0, "c": 7.0}
    assert both["capex_eur"].notnull().all()
    assert both["case"].to_numpy().tolist() == ["one", "two"]
    assert both["units_installed"].dtype == float
    assert both["npc_eur"].attrs["units"] == "EUR"


def test_participants_and_years_that_a_case_lacks_are_nan() -> None:
    both = planning.compare({
        "one": case(["a"], [1], years=1, people=("A", "B")),
        "two": case(["a"], [1], years=3, people=("B",)),
    })  # fmt: skip
    saving = both["saving_eur_per_year"].sel(case="two", stage=1)
    assert np.isnan(saving.sel(participant="A"))
    assert saving.sel(participant="B") == 1.0
    assert both["cash_flow_eur"].sel(case="one").isnull().sum() == 4  # two years of two items
    assert both["several_years"].to_numpy().tolist() == [0, 1]


def test_one_case_is_itself() -> None:
    one = case(["b", "a"], [1, 2])
    alone = planning.compare({"x": one})
    for name in ("present_value_eur", "units_installed", "eens_mwh_per_year"):
        xr.testing.assert_equal(
            alone[name].sel(case="x", drop=True), one["indicators"][name].astype(float)
        )


def test_the_difference_to_a_case_is_zero_for_itself() -> None:
    both = planning.compare({"one": case(["a"], [1]), "two": case(["a"], [4])})
    less = planning.difference_to(both, "one")
    assert float(less["eac_eur_per_year"].sel(case="two")) == 3.0
    for name in less.data_vars:
        assert not less[name].sel(case="one").to_numpy().any()
    assert "technology" not in less
    with pytest.raises(InvalidInput, match="cases are: 'one', 'two'"):
        planning.difference_to(both, "three")


def test_pareto_against_enumeration() -> None:
    dice = np.random.default_rng(3)
    values = dice.integers(0, 6, (40, 2)).astype(float)
    values[5, 0] = np.nan
    ds = xr.Dataset(
        {"cost": ("case", values[:, 0]), "eens": ("case", values[:, 1])},
        coords={"case": np.arange(40)},
    )
    best = planning.pareto_cases(ds).to_numpy()
    for k in range(40):
        beaten = any(
            (values[j] <= values[k]).all() and (values[j] < values[k]).any() for j in range(40)
        )
        assert best[k] == (k != 5 and not beaten)


@pytest.mark.parametrize("wrong", [{}, {"x": {"plan": xr.Dataset()}}, {"x": "nowhere.nc"}])
def test_what_is_no_study_is_refused(wrong: Any) -> None:
    with pytest.raises(InvalidInput):
        planning.compare(wrong)
