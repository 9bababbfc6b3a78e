"""What the library finds wrong, told of the key of the study file that stands behind it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from pydantic import BaseModel

from flows.study import Study
from flows.study_candidate import Candidate
from flows.study_elements import Participant
from flows.study_market import Agreement, Collaboration, Reconfigure, Trade
from flows.study_model import Planning, TypicalDays
from flows.study_scenarios import Horizon
from flows.study_text import KeyPath
from pp_p2p.elements.tables import frame
from pp_p2p.errors import Finding, InvalidInput, UnsupportedFeature

Section = tuple[KeyPath, type[BaseModel]]

TRADE: Final[Section] = (("trade",), Trade)
PLANNING: Final[Section] = (("planning",), Planning)
RECONFIGURE: Final[Section] = (("trade", "reconfigure"), Reconfigure)

SECTIONS: Final[Mapping[str, tuple[Section, ...]]] = {
    **dict.fromkeys(("trade_day", "NashBargaining", "Stackelberg", "CombinedOffer"), (TRADE,)),
    "Distributed": ((("trade", "distributed"), Agreement),),
    **dict.fromkeys(("Reconfiguration", "switchable"), (RECONFIGURE,)),
    "plan_network": (PLANNING,),
    "plan_horizon": (PLANNING, (("horizon",), Horizon)),
    "plan_together": ((("collaboration",), Collaboration), PLANNING),
}
"""Sections that hold what the library calls by these names; of several, the first is the home."""

LISTED: Final[Mapping[str, type[BaseModel]]] = {
    "candidate": Candidate,
    "participant": Participant,
}
"""Tables of the net whose rows are elements of the study, by name."""


@contextmanager
def placed(study: Study, net: Any = None) -> Iterator[None]:
    """Give a context in which errors of the library name the keys of the study file.

    Parameters
    ----------
    study : Study
    net : pandapowerNet, optional
        Tells which rows are which elements of the study.
    """
    try:
        yield
    except (InvalidInput, UnsupportedFeature) as error:
        found = [told for one in error.findings for told in _told(study, net, one)]
        if isinstance(error, UnsupportedFeature):
            raise UnsupportedFeature(error.model, found) from error
        raise InvalidInput(found) from error


def _told(study: Study, net: Any, one: Finding) -> Iterator[Finding]:
    paths = list(_paths(study, net, one))
    yield from (study.places.finding(path, one.rule, one.mend) for path in paths)
    if not paths:
        yield one


def _paths(study: Study, net: Any, one: Finding) -> Iterator[KeyPath]:
    column = one.column.partition(",")[0]
    if one.table in TypicalDays.model_fields:
        yield "typical_days", one.table
    elif one.table in SECTIONS:
        homes = SECTIONS[one.table]
        here, model = next((h for h in homes if column in h[1].model_fields), homes[0])
        yield (*here, column) if column in model.model_fields else here
    elif one.table in LISTED and net is not None:
        names = frame(net, one.table)["name"].to_dict()
        mine = [element.name for element in getattr(study, one.table)]
        rows = [str(names.get(row, "")) for row in one.rows]
        if all(name in mine for name in rows):
            key = (column,) if column in LISTED[one.table].model_fields else ()
            yield from ((one.table, mine.index(name), *key) for name in rows)
