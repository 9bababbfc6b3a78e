"""`LedgerDay`: one trading day on a contract, done as far as it is not done yet."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from pp_p2p.errors import LedgerUnavailable
from pp_p2p.ledger.chain import Chain
from pp_p2p.ledger.contract_code import contract_code
from pp_p2p.ledger.delivery import Delivery
from pp_p2p.ledger.packing import PAD, as_bits, pack_energy, pack_offers, unpack_energy
from pp_p2p.ledger.terms import MAX_SEATS, PHASES, Terms
from pp_p2p.market.combined_offers import MICRO, SHARINGS, Combination, Integers, Sharing, combine

NO_LIMIT: Final = 2**64
ROLES: Final = 3
"""Accounts before those of the participants: operator, arbiter, meter."""


@dataclass(frozen=True, kw_only=True)
class Book:
    """What is to be settled; money in micro-EUR, energy in Wh.

    Parameters
    ----------
    offers : (seat, step, level) of int, or None
        Of combined offers; None where payments are agreed.
    schedule_wh : (seat, step) of int
        That is agreed; of combined offers, what clearing is expected to find.
    payment : (seat,) of int
        The same.
    level_wh : int
        Energy of a level over a step.
    limit : int or None
        Most levels over the link.
    sharing : {"equal", "traders", "weights"}
    weights : (seat,) of int
    price : (step,) of int
        Of imbalance, micro-EUR/MWh.
    """

    offers: Integers | None
    schedule_wh: Integers
    payment: Integers
    level_wh: int
    limit: int | None
    sharing: Sharing
    weights: Integers
    price: Integers

    def need(self, seat: int) -> int:
        """Return the escrow that a seat needs beside its collateral."""
        if self.offers is None:
            return max(int(self.payment[seat]), 0)
        return int(np.maximum(self.offers[seat], 0).max(axis=1).sum())


class LedgerDay:
    """One day on a contract.

    `run` looks at the chain before each step and does what is still to be done: after a node was
    away (`LedgerUnreachable`), call it again.

    Parameters
    ----------
    chain : Chain
        Its accounts are operator, arbiter, meter, then the participants.
    book : Book
    terms : Terms
    contract : Any, optional
        One to use again, of an earlier day; without it, one is deployed.

    Attributes
    ----------
    contract : Any
    refund : (seat,) of int
        What each has withdrawn, micro-EUR.
    escrow : (seat,) of int
        What each had deposited.
    """

    def __init__(self, chain: Chain, book: Book, terms: Terms, contract: Any = None) -> None:
        n = len(book.schedule_wh)
        if len(chain.accounts) < n + ROLES:
            raise LedgerUnavailable(
                f"{n} participants need {n + ROLES} accounts, the chain has {len(chain.accounts)}"
            )
        self.chain, self.book, self.terms, self.contract = chain, book, terms, contract
        self.operator, self.arbiter, self.meter = chain.accounts[:ROLES]
        self.seats = chain.accounts[ROLES : ROLES + n]
        self.day = 0
        self.cleared: Combination | None = None
        self.refund = np.zeros(n, dtype=object)
        self.escrow = np.zeros(n, dtype=object)
        self._nonces = [secrets.token_bytes(32) for _ in range(n)]
        self._expected = 0
        self._leaving = [0] * n

    def run(self, delivery: Callable[[Integers], Delivery]) -> None:
        """Do the whole day; `delivery` says what comes of a schedule (seat, step), Wh."""
        self.open()
        self.offer()
        self.reveal()
        self.clear()
        if self.phase != "idle" and "metered" not in self.__dict__:
            self.metered = delivery(self.schedule())
        self.deliver()
        self.settle()
        self.withdraw()

    @property
    def phase(self) -> str:
        """Phase that the contract is in, by its last transaction."""
        return PHASES[int(self._read("phase"))]

    def open(self) -> None:
        """Deploy the contract and open the day."""
        if self.contract is None:
            self.contract = self.chain.deploy(contract_code(), self.operator)
        if self.day:
            return
        self._expected = self._expected or int(self._read("day")) + 1
        if int(self._read("day")) < self._expected:
            n, (t, b) = len(self.seats), (self.terms, self.book)
            levels = 3 if b.offers is None else b.offers.shape[2]
            given = (
                b.offers is None,
                b.schedule_wh.shape[1],
                levels,
                b.level_wh,
                NO_LIMIT if b.limit is None else b.limit,
                SHARINGS.index(b.sharing),
                round(t.tolerance_mwh * MICRO),
                *(round(x * MICRO) for x in (t.collateral_eur, t.forfeit_eur, t.bond_eur)),
                self.arbiter,
                [round(t.window_s)] * 6,
            )
            prices = b.price.astype(">u8").tobytes() + PAD
            weights = [int(w) for w in b.weights]
            self._send(
                self.operator,
                "open_day",
                given,
                list(self.seats),
                [self.meter] * n,
                weights,
                prices,
            )
        self.day = self._expected

    def offer(self) -> None:
        """Deposit and commit, each participant."""
        for r, who in enumerate(self.seats):
            if self.phase != "offer" or any(self._read("commitment", r)):
                continue
            need = round(self.terms.collateral_eur * MICRO) + self.book.need(r)
            if int(self._read("escrow", r)) < need:
                self._send(who, "deposit", value=need - int(self._read("escrow", r)))
            self.escrow[r] = need
            self._send(who, "commit", self.digest(r))

    def digest(self, r: int) -> bytes:
        """Return what a seat commits to."""
        if self.book.offers is None:
            schedule = self._keccak(pack_energy(self.book.schedule_wh.T) + PAD)
            return bytes(self._read("agreement", schedule, self._payments()))
        hidden = self._keccak(pack_offers(self.book.offers[r]))
        return bytes(self._read("sealed", self.seats[r], hidden, self._nonces[r]))

    def reveal(self) -> None:
        """Reveal the offers."""
        for r, who in enumerate(self.seats):
            if self.book.offers is None or self.phase != "reveal":
                return
            if not any(self._read("offer_hash", r)):
                self._send(who, "reveal", pack_offers(self.book.offers[r]) + PAD, self._nonces[r])

    def clear(self) -> None:
        """Propose what the Python mechanism finds of the offers, and accept it."""
        if self.phase != "clear":
            return
        if self.book.offers is None:
            schedule = pack_energy(self.book.schedule_wh.T) + PAD
            self._send(self.seats[0], "enact", schedule, self._payments())
            return
        live = self.live()
        wh = np.zeros_like(self.book.schedule_wh)
        self.cleared = combine(
            self.book.offers[live],
            limit=self.book.limit,
            sharing=self.book.sharing,
            weights=self.book.weights[live],
        )
        wh[live] = self.cleared.level * self.book.level_wh
        schedule = pack_energy(wh.T) + PAD
        if bytes(self._read("schedule")) != schedule:
            offers = b"".join(pack_offers(of) for of in self.book.offers) + PAD
            self._send(self.seats[live[0]], "propose", offers, schedule)
        for r in live:
            if self.phase == "clear" and not int(self._read("accepted")) >> r & 1:
                self._send(self.seats[r], "accept", self._keccak(schedule))

    def live(self) -> list[int]:
        """Return the seats that are bound."""
        bits = int(self._read("live"))
        return [r for r in range(len(self.seats)) if bits >> r & 1]

    def schedule(self) -> Integers:
        """Return the schedule that was cleared (seat, step), Wh taken."""
        packed = bytes(self._read("schedule"))[: -len(PAD)]
        return unpack_energy(packed).reshape(-1, len(self.seats)).T

    def deliver(self) -> None:
        """Report the readings, and confirm them."""
        for r in self.live() if self.phase == "deliver" else []:
            if not any(self._read("reading_hash", r)):
                reading = pack_energy(self.metered.energy_wh[r]) + PAD
                self._send(self.meter, "meter", r, reading, as_bits(self.metered.fault[r]))
        for r in self.live() if self.phase == "dispute" else []:
            if self.phase == "dispute" and not int(self._read("accepted")) >> r & 1:
                self._send(self.seats[r], "confirm")

    def settle(self) -> None:
        """Settle from the readings."""
        if self.phase != "settle":
            return
        faults = [as_bits(row) for row in self.metered.fault]
        faults += [0] * (MAX_SEATS - len(faults))
        self._send(self.seats[0], "settle", pack_energy(self.metered.energy_wh) + PAD, faults)

    def withdraw(self) -> None:
        """Take what is free, each participant."""
        for r, who in enumerate(self.seats):
            free = int(self._read("claim", who))
            if free:
                self._leaving[r] = free
                self._send(who, "withdraw")
            self.refund[r] += self._leaving[r]  # also where the answer to the last try was lost
            self._leaving[r] = 0

    def _payments(self) -> list[int]:
        return [int(p) for p in self.book.payment]

    def _keccak(self, data: bytes) -> bytes:
        return bytes(self.chain.web3.keccak(data))

    def _read(self, name: str, *args: object) -> Any:
        return self.chain.read(self.contract, name, *args)

    def _send(self, who: str, name: str, *args: object, value: int = 0) -> None:
        self.chain.transact(self.contract, name, *args, sender=who, value=value)
