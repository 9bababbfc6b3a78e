"""The contract, compiled from its Vyper source when it is first used."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from pp_p2p.errors import LedgerUnavailable

SOURCE: Final = Path(__file__).with_name("day_market.vy")

HINT: Final = "python -m pip install 'pp-p2p[ledger]' installs it"


@dataclass(frozen=True, kw_only=True)
class ContractCode:
    """Interface and code of a contract; `compiler` is the version that made it."""

    abi: list[Any]
    bytecode: str
    compiler: str


@cache
def contract_code() -> ContractCode:
    """Return the compiled contract (some seconds, once in a process).

    Raises
    ------
    LedgerUnavailable
        The compiler is not installed.
    """
    try:
        import vyper
    except ImportError as error:
        raise LedgerUnavailable(f"the compiler of the contract is not installed: {HINT}") from error
    made = vyper.compile_code(
        SOURCE.read_text(encoding="utf-8"), output_formats=["abi", "bytecode"]
    )
    return ContractCode(abi=made["abi"], bytecode=made["bytecode"], compiler=vyper.__version__)
