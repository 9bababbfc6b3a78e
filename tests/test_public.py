"""The public names: what takes a net says so where it is given none."""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pandapower.networks as pn
import pandas as pd
import pytest

import planning
import pp_p2p as p2p
from pp_p2p.errors import InvalidInput


def _take_a_net(package: ModuleType) -> Iterator[Any]:
    for name in dir(package):
        found = getattr(package, name)
        if inspect.isfunction(found) and next(iter(inspect.signature(found).parameters)) == "net":
            yield found


ENTRIES = [*_take_a_net(p2p), *_take_a_net(planning)]


def test_entry_points_are_found() -> None:
    names = {entry.__name__ for entry in ENTRIES}
    assert {"trade_day", "dispatch", "reconfigure", "validate", "plan_network"} <= names


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.__name__)
@pytest.mark.parametrize("wrong", [None, "net.json", {"bus": pd.DataFrame()}])
def test_what_is_no_net_is_one_finding(entry: Any, wrong: object) -> None:
    needed = [p for p in inspect.signature(entry).parameters.values() if p.default is p.empty]
    rest = {p.name: None for p in needed[1:] if p.kind is not p.VAR_KEYWORD}
    for given in (((wrong,), rest), ((), {"net": wrong, **rest})):
        with pytest.raises(InvalidInput) as caught:
            entry(*given[0], **given[1])
        (finding,) = caught.value.findings
        assert (finding.table, finding.column) == (entry.__name__, "net")


def test_a_function_without_its_net_is_pythons_own_error() -> None:
    with pytest.raises(TypeError, match="net"):
        p2p.validate()  # type: ignore[call-arg]


def test_public_functions_are_themselves_and_can_be_sent_to_processes() -> None:
    assert p2p.validate is p2p.validate
    assert pickle.loads(pickle.dumps(p2p.validate)) is p2p.validate
    p2p.validate(pn.case4gs())
