"""The contract on a bare machine: calls without blocks, signatures and a client, and a clock."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from pp_p2p.ledger.contract_code import SOURCE, contract_code
from pp_p2p.ledger.ledger_day import NO_LIMIT
from pp_p2p.ledger.packing import PAD, pack_energy, pack_offers
from pp_p2p.market.combined_offers import SHARINGS

WEALTH = 10**24
PHASES = ("idle", "offer", "reveal", "clear", "deliver", "dispute", "resolve", "settle")


class Refused(Exception):
    """The contract reverted, with its reason."""


class Bench:
    """revm with one contract; money and clock at hand."""

    refusal = Refused

    def __init__(self) -> None:
        import vyper
        from eth_utils import keccak
        from pyrevm import EVM
        from web3 import Web3

        code = contract_code()
        self.evm = EVM(spec_id="CANCUN", gas_limit=2**62)
        self.addresses = [Web3.to_checksum_address(f"0x{k:040x}") for k in range(0xA0, 0xB0)]
        source = SOURCE.read_text(encoding="utf-8")
        self._slots = vyper.compile_code(source, output_formats=["layout"])["layout"][
            "storage_layout"
        ]
        words = (self._slots["claim"]["slot"], *(int(who, 16) for who in self.addresses))
        base, *owners = (word.to_bytes(32, "big") for word in words)
        places = [int.from_bytes(keccak(base + owner), "big") for owner in owners]
        self._claim_slots = dict(zip(self.addresses, places, strict=True))
        calls = [each for each in code.abi if each["type"] == "function"]
        self._inputs = {c["name"]: [_kind(i) for i in c["inputs"]] for c in calls}
        self._outputs = {c["name"]: [_kind(o) for o in c["outputs"]] for c in calls}
        self._selectors = {
            name: keccak(f"{name}({','.join(kinds)})".encode())[:4]
            for name, kinds in self._inputs.items()
        }
        for address in self.addresses:
            self.evm.set_balance(address, WEALTH)
        self.operator, self.arbiter, self.meter, self.stranger = self.addresses[:4]
        self.holders = self.addresses[4:12]
        self.gas = 0
        self.now = 10**9
        self._tick()
        self.address = self.evm.deploy(self.operator, bytes.fromhex(code.bytecode[2:]))

    def _tick(self) -> None:
        from pyrevm import BlockEnv

        self.evm.set_block_env(BlockEnv(timestamp=self.now, gas_limit=2**62))

    def _apply(self, sender: str, data: bytes, value: int) -> bytes:
        self._tick()
        self.evm.reset_transient_storage()
        try:
            output = self.evm.message_call(
                sender, self.address, calldata=data, value=value, gas=30_000_000
            )
        except RuntimeError as error:
            found = re.search("output: 0x([0-9a-f]*)", str(error))
            said = bytes.fromhex(found[1]) if found else b""
            size = int.from_bytes(said[36:68], "big") if len(said) >= 68 else 0
            raise Refused(said[68 : 68 + size].decode() or str(error)) from error
        self.gas = self.evm.result.gas_used
        return bytes(output)

    def send(self, who: str, name: str, *args: object, value: int = 0) -> None:
        self._apply(who, self.encoded(name, args), value)

    def read(self, name: str, *args: object) -> Any:
        from eth_abi import decode

        with self.undone():
            output = self._apply(self.stranger, self.encoded(name, args), 0)
        found = decode(self._outputs[name], output)
        return found[0] if len(found) == 1 else found

    def encoded(self, name: str, args: tuple[object, ...]) -> bytes:
        from eth_abi import encode

        return self._selectors[name] + encode(self._inputs[name], args)

    def money(self, address: str | None = None) -> int:
        return int(self.evm.get_balance(self.address if address is None else address))

    @property
    def phase(self) -> str:
        return PHASES[self.read("phase")]

    @contextmanager
    def undone(self) -> Iterator[None]:
        """Undo what is done within."""
        state, now = self.evm.snapshot(), self.now
        try:
            yield
        finally:
            self.evm.revert(state)
            self.now = now

    def open(
        self,
        n: int = 3,
        *,
        steps: int = 2,
        levels: int = 3,
        agreed: bool = False,
        limit: int = NO_LIMIT,
        sharing: str = "equal",
        weights: Any = None,
        collateral: int = 1_000,
        forfeit: int = 300,
        bond: int = 70,
        tolerance: int = 5,
        price: int = 2_000_000,
        level_wh: int = 100,
    ) -> None:
        """Open a day of `n` seats."""
        terms = (agreed, steps, levels, level_wh, limit, SHARINGS.index(sharing), tolerance,
                 collateral, forfeit, bond, self.arbiter, [100] * 6)  # fmt: skip
        prices = np.full(steps, price).astype(">u8").tobytes() + PAD
        weights = [1] * n if weights is None else [int(w) for w in weights]
        args = (list(self.holders[:n]), [self.meter] * n, weights, prices)
        self.send(self.operator, "open_day", terms, *args)

    def commit(self, r: int, offers: Any, *, deposit: int) -> None:
        """Deposit, and commit to offers (step, level) with a nonce that is the seat."""
        who = self.holders[r]
        self.send(who, "deposit", value=deposit)
        self.send(who, "commit", self.sealed(r, offers))

    def sealed(self, r: int, offers: Any) -> bytes:
        from eth_utils import keccak

        return bytes(self.read("sealed", self.holders[r], keccak(pack_offers(offers)), nonce(r)))

    def reveal(self, r: int, offers: Any) -> None:
        self.send(self.holders[r], "reveal", pack_offers(offers) + PAD, nonce(r))

    def propose(self, who: str, offers: Any, schedule: Any) -> None:
        packed = b"".join(pack_offers(each) for each in offers) + PAD
        self.send(who, "propose", packed, pack_energy(schedule.T) + PAD)

    def slot(self, name: str, position: int = 0) -> int:
        """Return a word of the contract's storage, without a call."""
        return int(self.evm.storage(self.address, self._slots[name]["slot"] + position))

    def claim(self, who: str) -> int:
        return int(self.evm.storage(self.address, self._claim_slots[who]))

    def owed(self) -> int:
        """Return what the contract owes: escrow, stakes and what is free."""
        held = self.slot("bonds") + sum(self.slot("escrow", r) for r in range(8))
        return held + sum(self.claim(address) for address in self.addresses)

    @property
    def phase_now(self) -> str:
        """The stored phase, without a call."""
        return PHASES[self.slot("phase")]


def nonce(r: int) -> bytes:
    return bytes([r + 1]) * 32


def _kind(output: Any) -> str:
    if output["type"].startswith("tuple"):
        inner = ",".join(_kind(each) for each in output["components"])
        return f"({inner}){output['type'][5:]}"
    return str(output["type"])


@pytest.fixture(scope="session")
def one_bench() -> Bench:
    pytest.importorskip("vyper", reason="the extra 'ledger' is not installed")
    pytest.importorskip("pyrevm", reason="the extra 'test' is not installed")
    return Bench()


@pytest.fixture
def bench(one_bench: Bench) -> Iterator[Bench]:
    """A machine on which the contract was just deployed."""
    with one_bench.undone():
        yield one_bench
