"""Everything that is wrong with our tables in a net, found at once."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import pandas as pd

from pp_p2p.elements.magnitudes import doubtful_magnitudes, wrong_magnitudes
from pp_p2p.elements.rules import ROW_RULES, Net, dangling, declared_rules, incomplete
from pp_p2p.elements.tables import EXTENSIONS, SCHEMA_VERSION, SCHEMA_VERSION_KEY, TABLES
from pp_p2p.errors import DoubtfulInput, Finding, raise_if_any

if TYPE_CHECKING:
    from pandapower import pandapowerNet

OR_DROP: Final = ", or let pp_p2p.drop_orphans(net) remove what points nowhere"
"""Second mend of what pandapower's own functions left behind."""


def validate(net: pandapowerNet) -> None:
    """Check our tables and columns in `net`, and the magnitude of what it holds.

    Parameters
    ----------
    net : pandapowerNet
        Is not changed. A net without any of our tables is valid.

    Raises
    ------
    InvalidInput
        With every finding.

    Warns
    -----
    DoubtfulInput
        What is probably in another unit: `pp_p2p.elements.magnitudes`.
    """
    raise_if_any([*findings(net), *wrong_magnitudes(net)])
    if doubtful := doubtful_magnitudes(net):
        warnings.warn("\n".join(map(str, doubtful)), DoubtfulInput, stacklevel=2)


def findings(net: pandapowerNet) -> tuple[Finding, ...]:
    """Return everything that is wrong with our tables and columns in `net`, in a fixed order."""
    found = list(_version_findings(net))
    for name in TABLES:
        if name in net:
            found += table_findings(net, name, or_else=OR_DROP)
    for name in EXTENSIONS:
        if name in net:
            found += extension_findings(net, name, or_else=OR_DROP)
    return tuple(found)


def table_findings(net: Net, name: str, *, or_else: str = "") -> Iterator[Finding]:
    """Yield what is wrong with our table `name`: columns, values, references, row rules.

    The text `or_else` adds a mend to what is said of references.
    """
    table, frame = TABLES[name], net[name]
    if not isinstance(frame, pd.DataFrame):
        yield table.not_a_frame(frame)
        return
    yield from table.findings(frame)
    for column in table.columns:
        if column.references and column.name in frame.columns:
            yield from dangling(net, name, column, frame[column.name], or_else=or_else)
    yield from incomplete(net, name, or_else=or_else)
    if set(table.names) <= set(frame.columns):
        typed = table.read(frame)
        yield from declared_rules(table, typed)
        if name in ROW_RULES:
            yield from ROW_RULES[name](net, typed)


def extension_findings(net: Net, name: str, *, or_else: str = "") -> Iterator[Finding]:
    """Yield what is wrong with our columns in pandapower's table `name`; see `table_findings`."""
    declared, frame = EXTENSIONS[name], net[name]
    yield from declared.findings(frame)
    for column in declared.columns:
        if column.references and column.name in frame.columns:
            yield from dangling(net, name, column, frame[column.name], or_else=or_else)


def _version_findings(net: Net) -> Iterator[Finding]:
    version = net.get(SCHEMA_VERSION_KEY, SCHEMA_VERSION)
    if str(version) != SCHEMA_VERSION:
        yield Finding(
            table=SCHEMA_VERSION_KEY,
            rule=f"is {version!r}, but this release reads {SCHEMA_VERSION!r}",
            mend="open the net with the release of pp-p2p that wrote it, or make the tables anew",
        )
