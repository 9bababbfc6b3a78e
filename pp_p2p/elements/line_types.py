"""Lines of another type: what a replacement changes in ``net.line``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pp_p2p.errors import Finding, InvalidInput

if TYPE_CHECKING:
    from pandapower import pandapowerNet

_OF_TYPE: Final = ("r_ohm_per_km", "x_ohm_per_km", "c_nf_per_km", "g_us_per_km", "max_i_ka")


def replace_line(net: pandapowerNet, line: int, *, std_type: str = "", parallel: int = 1) -> None:
    """Give a line another type of the net's library, and other parallel systems, in place.

    Parameters
    ----------
    net : pandapowerNet
    line : int
        Row of ``net.line``; keeps its length, its limit of loading and its reliability.
    std_type : str
        Key of ``net.std_types["line"]``; empty keeps the values of the row.
    parallel : int
        Parallel systems of the new line.

    Raises
    ------
    InvalidInput
        A type that the library does not have.
    """
    if std_type:
        library: Any = net.std_types["line"]
        if std_type not in library:
            raise InvalidInput(
                Finding(
                    table="candidate",
                    column="std_type",
                    rule=f"is {std_type!r}, which net.std_types['line'] does not have",
                    mend="create it with pandapower.create_std_type, or name another one",
                )
            )
        for name in _OF_TYPE:
            if name in library[std_type] and name in net.line:
                net.line.loc[line, name] = float(library[std_type][name])
        net.line.loc[line, "std_type"] = std_type
    net.line.loc[line, "parallel"] = int(parallel)
