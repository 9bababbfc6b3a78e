"""Groups of many files along ``case``: aligned by label, read where they are used."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import planning
from planning import case_files
from planning.case_stack import stacked
from pp_p2p.errors import InvalidInput
from pp_p2p.results import from_netcdf, to_netcdf

PEOPLE = {"one": ["North", "South"], "two": ["South", "East", "North"], "three": ["North"]}
DAYS = {"one": [0, 1], "two": [0, 1, 2], "three": [1]}
BUSES = 100


def tree(name: str, seed: int) -> xr.DataTree:
    """Return a study's result: trade with large and small variables, a plan with its own cases."""
    dice, people = np.random.default_rng(seed), PEOPLE[name]
    rows, days = np.arange(len(people)), DAYS[name]
    network = xr.Dataset(
        {"participant_name": ("participant", np.array(people))}, coords={"participant": rows}
    )
    trade = xr.Dataset(
        {
            "trade_mw": (("day", "seller", "buyer", "hour"),
                         dice.random((len(days), len(people), len(people), 24))),
            "vm_pu": (("day", "hour", "bus"), dice.random((len(days), 24, BUSES))),
            "agreed": ("day", np.ones(len(days), dtype=int)),
            "gain_eur": ((), float(seed)),
        },
        coords={"day": days, "hour": np.arange(24.0), "seller": rows, "buyer": rows,
                "bus": np.arange(BUSES), "weight": ("day", np.full(len(days), 10.0))},
    )  # fmt: skip
    plan = xr.Dataset(
        {
            "cost_eur_per_year": (("case", "item"), dice.random((2, 3))),
            "units": ("candidate", np.arange(len(people))),
            "candidate_name": ("candidate", np.array([f"PV {who}" for who in people])),
        },
        coords={"case": ["nothing", "plan"], "item": ["a", "b", "c"], "candidate": rows},
    )
    groups = {"/network": network, "/trade": trade, "/plan": plan}
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs={"case": name}), **groups})


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    return {
        name: to_netcdf(tree(name, seed), tmp_path / f"{name}.nc")
        for seed, name in enumerate(PEOPLE)
    }


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What is read from files after they are opened: name of the file and of the variable."""
    found: list[tuple[str, str]] = []
    plainly = case_files.Stored.read

    def spied(self: Any, at: Any) -> Any:
        if self.version is not None:
            found.append((Path(self.version.path).stem, self.name))
        return plainly(self, at)

    monkeypatch.setattr(case_files.Stored, "read", spied)
    return found


def test_every_case_is_there_as_it_is_stored_and_the_rest_is_nan(files: dict[str, Path]) -> None:
    both = planning.open_cases(files, group="trade")
    assert both["case"].to_numpy().tolist() == list(PEOPLE)
    assert both["day"].to_numpy().tolist() == [0, 1, 2]
    assert both["seller"].to_numpy().tolist() == ["North", "South", "East"]
    for name, path in files.items():
        stored: Any = from_netcdf(path)["trade"].to_dataset()
        people = {"seller": PEOPLE[name], "buyer": PEOPLE[name]}
        one = both.sel(case=name, drop=True)
        mine = one["trade_mw"].sel(people | {"day": DAYS[name]})
        np.testing.assert_array_equal(mine, stored["trade_mw"])
        assert int(one["trade_mw"].notnull().sum()) == stored["trade_mw"].size
        np.testing.assert_array_equal(one["vm_pu"].sel(day=DAYS[name]), stored["vm_pu"])
        assert float(one["gain_eur"]) == float(stored["gain_eur"])
        assert float(one["weight"].sum()) == float(stored["weight"].sum())
    assert both["agreed"].dtype == float  # whole numbers where a case lacks a day
    assert both["trade_mw"].attrs["units"] == "MW"


def test_only_what_is_used_is_read(files: dict[str, Path], read: list[tuple[str, str]]) -> None:
    both = planning.open_cases(files.values(), group="trade")
    assert read == []
    assert not both["vm_pu"].variable._in_memory
    assert both["gain_eur"].variable._in_memory
    whole = {k: from_netcdf(v)["trade"]["vm_pu"] for k, v in files.items()}  # type: ignore[index]
    part = both["vm_pu"].sel(case="two", day=[1, 2]).isel(hour=slice(3, 9, 2), bus=[7, 2])
    np.testing.assert_array_equal(
        part, whole["two"].sel(day=[1, 2]).isel(hour=slice(3, 9, 2), bus=[7, 2])
    )
    assert read == [("two", "vm_pu")]
    assert both["vm_pu"].sel(case="three", day=0).isnull().all()  # nothing to read
    assert read == [("two", "vm_pu")]
    np.testing.assert_array_equal(
        both["vm_pu"].sel(case=["three", "one"], day=1)[:, 5],
        np.stack([whole["three"].sel(day=1)[5], whole["one"].sel(day=1)[5]]),
    )
    assert sorted(read[1:]) == [("one", "vm_pu"), ("three", "vm_pu")]


def test_what_is_loaded_is_not_read_again(
    files: dict[str, Path], read: list[tuple[str, str]]
) -> None:
    both = planning.open_cases(files, group="trade", load=["vm_pu"])
    assert both["vm_pu"].variable._in_memory
    lazily = planning.open_cases(files, group="trade")
    xr.testing.assert_identical(both["vm_pu"], lazily["vm_pu"].load())
    assert sorted(read) == [(name, "vm_pu") for name in sorted(files)]
    with pytest.raises(InvalidInput, match="no case has the variable 'vm'"):
        planning.open_cases(files, group="trade", load=["vm_pu", "vm"])


ENCODED = {
    "flag": xr.Variable("row", [True, False]),
    "date": xr.Variable("row", np.array(["2016-02-01", "2016-07-01"], "M8[ns]")),
    "span": xr.Variable("row", np.array([1, 2], "m8[h]").astype("m8[ns]")),
    "packed": xr.Variable(
        "row", [0.5, 1.5], encoding={"scale_factor": 0.5, "dtype": "i2", "_FillValue": -9}
    ),
    "filled": xr.Variable("row", [1.0, np.nan], encoding={"_FillValue": -1, "dtype": "i4"}),
    "letters": xr.Variable("row", np.array(["ab", "c"], "S2")),
    "text": xr.Variable("row", np.array(["ab", "c"])),
    "hours": xr.Variable("row", [1.0, 2.0], {"units": "h"}),
    "number": xr.Variable((), 3.5),
    "name": xr.Variable((), "n"),
}


@pytest.mark.parametrize("name", [*ENCODED, "study"])
def test_a_group_is_what_xarray_decodes(tmp_path: Path, name: str) -> None:
    path = Path(__file__).parents[1] / "flows" / "data" / "study_layout_1.nc"
    if name in ENCODED:
        one = xr.Dataset({name: ENCODED[name]}, {"row": ["p", "q"], "w": ("row", [1.0, 2.0])})
        path = tmp_path / "one.nc"
        xr.DataTree.from_dict({"/g": one.assign(free=("axis", [1, 2, 3]))}).to_netcdf(path)
    with xr.open_datatree(path) as opened:
        tree = opened.load()
    for group in tree.children:
        (found,) = case_files.of_file(path, group, load=list(tree[group].variables))
        assert found is not None
        theirs = case_files.of_dataset(tree[group].to_dataset())
        assert found.coords == theirs.coords
        assert list(found.labels) == list(theirs.labels)
        assert list(found.variables) == list(theirs.variables)
        assert {**tree.attrs, **theirs.attrs} == found.attrs
        for k, mine in found.variables.items():
            his = theirs.variables[k]
            assert (mine.dims, mine.shape, mine.dtype) == (his.dims, his.shape, his.dtype)
            assert mine.attrs == his.attrs
            np.testing.assert_array_equal(mine.whole(), his.whole())
        for k, labels in found.labels.items():
            assert labels.dtype == theirs.labels[k].dtype
            np.testing.assert_array_equal(labels, theirs.labels[k])


def test_a_plans_own_cases_and_candidates_left_out(files: dict[str, Path]) -> None:
    both = planning.open_cases(files, group="plan")
    assert both["plan_case"].to_numpy().tolist() == ["nothing", "plan"]
    assert both["cost_eur_per_year"].dims == ("case", "plan_case", "item")
    units = both["units"].to_pandas()
    assert units.loc["two"].to_dict() == {"PV North": 2.0, "PV South": 0.0, "PV East": 1.0}
    assert np.isnan(units.loc["one", "PV East"])


def test_threads_read_while_others_write(files: dict[str, Path], tmp_path: Path) -> None:
    both = planning.open_cases(files, group="trade")
    expected = both["vm_pu"].mean(["hour", "bus"]).to_numpy()
    fresh = planning.open_cases(files, group="trade")["vm_pu"]

    def use(k: int) -> Any:
        if k % 3 == 2:
            return to_netcdf(tree("one", k), tmp_path / f"written_{k}.nc")
        day, name = k % 3, list(PEOPLE)[k % len(PEOPLE)]
        return name, day, float(fresh.sel(case=name, day=day).mean())

    with ThreadPoolExecutor(4) as pool:
        found = [one for one in pool.map(use, range(24)) if isinstance(one, tuple)]
    for name, day, mean in found:
        np.testing.assert_allclose(mean, expected[list(PEOPLE).index(name), day])


def test_dask_takes_the_cases_apart(files: dict[str, Path], read: list[tuple[str, str]]) -> None:
    pytest.importorskip("dask", reason="Dask is not installed (extra 'dask')")
    chunked = planning.open_cases(files, group="trade").chunk(case=1)
    means = chunked["vm_pu"].mean(["day", "hour", "bus"])
    assert read == []
    plain = planning.open_cases(files, group="trade")["vm_pu"].mean(["day", "hour", "bus"])
    xr.testing.assert_allclose(means.compute(scheduler="threads"), plain)


def test_a_file_that_is_replaced_is_said(files: dict[str, Path]) -> None:
    both = planning.open_cases(files, group="trade")
    to_netcdf(tree("one", 9), files["one"])
    with pytest.raises(InvalidInput, match="was replaced"):
        both["vm_pu"].sel(case="one").load()
    again = planning.open_cases(files, group="trade")
    assert float(again["gain_eur"].sel(case="one")) == 9.0


@pytest.mark.parametrize(
    ("group", "names", "said"),
    [
        ("nothing", None, "has no group 'nothing'"),
        ("trade", [], "there is no case"),
        ("trade", ["nowhere.nc"], "does not exist"),
    ],
)
def test_what_cannot_be_opened_is_said(
    files: dict[str, Path], group: str, names: list[str] | None, said: str
) -> None:
    with pytest.raises(InvalidInput, match=said) as found:
        planning.open_cases(files if names is None else names, group=group)
    assert len(found.value.findings) == (3 if group == "nothing" else 1)


def test_files_without_names_are_named_apart(files: dict[str, Path], tmp_path: Path) -> None:
    twice = [files["one"], to_netcdf(tree("one", 5), tmp_path / "copy.nc")]
    named = planning.open_cases(twice, group="trade")
    assert named["case"].to_numpy().tolist() == ["one", "one (2)"]


def test_what_is_in_memory_is_stacked_as_xarray_does() -> None:
    parts = {
        "a": xr.Dataset({"x": ("k", [1.0, 2.0])}, coords={"k": [1, 2]}),
        "b": xr.Dataset({"x": ("k", [3.0, 4.0]), "y": 5}, coords={"k": [2, 3]}),
    }
    mine = planning.compare(parts)
    theirs = xr.concat(
        list(parts.values()), "case", data_vars="all", join="outer", coords="minimal",
        compat="override",
    )  # fmt: skip
    for name in ("x", "y"):
        np.testing.assert_array_equal(mine[name].transpose(*theirs[name].dims), theirs[name])
    assert stacked({"a": case_files.of_dataset(parts["a"])})["x"].dtype == float
