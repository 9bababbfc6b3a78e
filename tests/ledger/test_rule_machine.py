"""Random sequences of right, wrong, late and hostile calls: money is conserved, nobody is robbed.

The number of sequences is `SEQUENCES`.
"""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from pp_p2p.ledger.ledger_day import NO_LIMIT
from pp_p2p.ledger.packing import PAD, pack_energy, pack_offers, unpack_energy
from pp_p2p.market.combined_offers import NOT_OFFERED, combine

SEQUENCES = 2_000
STEPS = 8
SEATS, COLLATERAL, FORFEIT, BOND = 3, 1_000, 300, 70
EVERY_CALL = (
    "open_day", "deposit", "commit", "reveal", "propose", "accept", "enact", "meter", "confirm",
    "dispute", "resolve", "settle", "withdraw", "advance",
)  # fmt: skip

OFFER = st.integers(-9, 9) | st.just(NOT_OFFERED)
SEAT = st.integers(0, SEATS - 1)
ENERGY = st.sampled_from([0, 100, -100, 103, 60, -2_000_000, 2**31 - 1])


class Market(RuleBasedStateMachine):
    """A market of three seats on a bare machine, and everyone who may call it."""

    bench: Any
    refused: dict[str, int]
    done: dict[str, int]

    def __init__(self) -> None:
        super().__init__()
        self._undone = self.bench.undone()
        self._undone.__enter__()
        self.wealth = {who: self.bench.money(who) for who in self.bench.addresses}
        self.total = sum(self.wealth.values())
        self.bound = dict.fromkeys(range(SEATS), 0)  # most that a seat may have to pay
        self.reading: dict[int, tuple[int, int]] = {}

    def teardown(self) -> None:
        try:
            self._end()
        finally:
            self._undone.__exit__(None, None, None)

    @initialize(
        agreed=st.sampled_from([False, False, True]),
        sharing=st.sampled_from(["equal", "traders", "weights"]),
        offers=st.lists(st.tuples(OFFER, OFFER), min_size=SEATS, max_size=SEATS),
        limit=st.sampled_from([NO_LIMIT, 1]),
        depth=st.integers(0, 7),
    )
    def open(self, agreed: bool, sharing: str, offers: Any, limit: int, depth: int) -> None:
        """A day that goes well for `depth` phases before anything happens."""
        self.agreed, self.sharing, self.limit = agreed, sharing, limit
        self.offers = np.array([[[low, 0, high]] for low, high in offers])
        self.bench.open(
            SEATS, steps=1, levels=3, agreed=agreed, sharing=sharing, limit=limit,
            collateral=COLLATERAL, forfeit=FORFEIT, bond=BOND,
        )  # fmt: skip
        self.schedule = np.array([[100], [-100], [0]])
        self.payments = [5, -7, 2]
        for _ in range(depth):
            self.go_on(set(range(SEATS)))

    # ------------------------------------------------------------ what honest seats do

    def _digest(self, r: int) -> bytes:
        if not self.agreed:
            return self.bench.sealed(r, self.offers[r])
        return self.bench.read("agreement", self._hash(), self.payments)

    def _hash(self) -> bytes:
        from eth_utils import keccak

        return keccak(pack_energy(self.schedule.T) + PAD)

    def _offer(self, r: int) -> None:
        who = self.bench.holders[r]
        self.try_("deposit", who, value=COLLATERAL + 20)
        if self.try_("commit", who, self._digest(r)):
            self.bound[r] = FORFEIT  # lost by who does not reveal in time

    def _reveal(self, r: int) -> None:
        packed = pack_offers(self.offers[r]) + PAD
        if self.try_("reveal", self.bench.holders[r], packed, bytes([r + 1]) * 32):
            self.bound[r] = 0

    def _clear(self) -> None:
        b = self.bench
        if self.agreed:
            packed = pack_energy(self.schedule.T) + PAD
            self.try_("enact", b.holders[0], packed, self.payments)
            return
        live = [r for r in range(SEATS) if b.slot("live") >> r & 1]
        found = combine(
            self.offers[live],
            limit=None if self.limit == NO_LIMIT else self.limit,
            sharing=self.sharing,  # type: ignore[arg-type]
            weights=np.ones(len(live), dtype=np.int64),
        )
        self.schedule = np.zeros((SEATS, 1), dtype=np.int64)
        self.schedule[live] = found.level * 100
        offers = b"".join(pack_offers(each) for each in self.offers) + PAD
        self.try_("propose", b.holders[live[0]], offers, pack_energy(self.schedule.T) + PAD)

    def _settle(self) -> bool:
        packed = [self.reading.get(r, (0, 0)) for r in range(SEATS)]
        readings = pack_energy(np.array([e for e, _ in packed])) + PAD
        faults = [f for _, f in packed] + [0] * (8 - SEATS)
        return self.try_("settle", self.bench.holders[1], readings, faults)

    @rule(seats=st.sets(SEAT, min_size=1) | st.just(set(range(SEATS))))
    def go_on(self, seats: set[int]) -> None:
        """Some do what is due in the phase."""
        phase = self.bench.phase_now
        for r in sorted(seats):
            if phase == "offer":
                self._offer(r)
            elif phase == "reveal":
                self._reveal(r)
            elif phase == "clear" and not self.bench.slot("proposed"):
                self._clear()
            elif phase == "clear":
                self.try_("accept", self.bench.holders[r], self._hash())
            elif phase == "deliver":
                self.read_meter(r, int(self.schedule[r, 0]), 0)
            elif phase == "dispute" and self.bench.phase_now == phase:
                self.try_("confirm", self.bench.holders[r])
            elif phase == "settle":
                self._settle()
            elif phase == "idle":
                self.try_("withdraw", self.bench.holders[r])

    @rule(seat=SEAT, energy=ENERGY, fault=st.integers(0, 1))
    def lie(self, seat: int, energy: int, fault: int) -> None:
        self.read_meter(seat, energy, fault)

    def read_meter(self, seat: int, energy: int, fault: int) -> None:
        """A meter may say anything."""
        reading = pack_energy(np.array([energy])) + PAD
        if self.try_("meter", self.bench.meter, seat, reading, fault):
            self.reading[seat] = (energy, fault)

    @rule(seat=SEAT, by=SEAT)
    def dispute(self, seat: int, by: int) -> None:
        self.try_("dispute", self.bench.holders[by], seat, value=BOND)

    @rule(seat=SEAT, by=SEAT, energy=ENERGY, fault=st.integers(0, 1))
    def arbitrate(self, seat: int, by: int, energy: int, fault: int) -> None:
        reading = pack_energy(np.array([energy])) + PAD
        self.try_("dispute", self.bench.holders[by], seat, value=BOND)
        if self.try_("resolve", self.bench.arbiter, seat, reading, fault):
            self.reading[seat] = (energy, fault)

    @rule(seconds=st.sampled_from([1, 50, 101, 202]))
    def wait(self, seconds: int) -> None:
        self.bench.now += seconds

    # ------------------------------------------------------------ what others try

    @rule(name=st.sampled_from(EVERY_CALL), seat=SEAT, number=st.integers(0, 2**40))
    def stranger(self, name: str, seat: int, number: int) -> None:
        """A stranger is refused whatever it calls."""
        assert not self.try_(name, self.bench.stranger, *self._args(name, seat, number))

    @rule(
        name=st.sampled_from(EVERY_CALL[1:]),
        seat=SEAT,
        other=SEAT,
        number=st.integers(0, 2**40),
        value=st.sampled_from([0, BOND, 1, 10**30]),
    )
    def misuse(self, name: str, seat: int, other: int, number: int, value: int) -> None:
        """A holder calls what it likes, with what it likes, again and again."""
        value = value if name in ("deposit", "dispute") else 0
        self.try_(name, self.bench.holders[seat], *self._args(name, other, number), value=value)

    @precondition(lambda self: self.bench.phase_now == "offer")
    @rule(seat=SEAT, thief=SEAT)
    def copy_commitment(self, seat: int, thief: int) -> None:
        """Another's commitment is of no use to who copies it: it cannot be revealed."""
        digest = self.bench.read("commitment", seat)
        if not self.agreed and seat != thief and any(digest):
            who = self.bench.holders[thief]
            self.try_("deposit", who, value=COLLATERAL + 20)
            if self.try_("commit", who, digest):
                self.bound[thief] = FORFEIT

    def _args(self, name: str, seat: int, number: int) -> tuple[object, ...]:
        word = number.to_bytes(32, "big")
        energy = pack_energy(np.array([number % 1_000])) + PAD
        offers = b"".join(pack_offers(each) for each in self.offers) + PAD
        terms = (False, 1, 3, 100, 1, 0, 5, 1, 1, 1, self.bench.stranger, [1] * 6)
        return {
            "open_day": (terms, self.bench.holders[:2], self.bench.holders[:2], [1, 1],
                         bytes(8) + PAD),
            "commit": (word,),
            "reveal": (pack_offers(self.offers[seat]) + PAD, bytes([seat + 1]) * 32),
            "propose": (offers, pack_energy(np.array([100, -100, 0])) + PAD),
            "accept": (self._hash() if number % 2 else word,),
            "enact": (pack_energy(self.schedule.T) + PAD, [number, -number, 0]),
            "meter": (seat, energy, 1),
            "dispute": (seat,),
            "resolve": (seat, energy, 1),
            "settle": (pack_energy(np.zeros(SEATS, np.int64)) + PAD, [1] * 8),
        }.get(name, ())  # fmt: skip

    def try_(self, name: str, who: str, *args: object, value: int = 0) -> bool:
        if value > self.bench.money(who):
            return False
        due = self._due() if name == "settle" and self.bench.slot("proposed") else None
        try:
            self.bench.send(who, name, *args, value=value)
        except self.bench.refusal:
            self.refused[name] = self.refused.get(name, 0) + 1
            return False
        self.done[name] = self.done.get(name, 0) + 1
        self.bound.update(due or {})
        return True

    def _due(self) -> dict[int, int]:
        """Return what bound seats have to pay: at most what they offered for their level."""
        schedule = unpack_energy(self.bench.read("schedule")[: 4 * SEATS])
        due = {r: self.bench.read("payment", r) for r in range(SEATS)}
        assert sum(due.values()) == 0
        if self.agreed:
            assert list(due.values()) == self.payments
            return due
        bound = [r for r in range(SEATS) if self.bench.slot("live") >> r & 1]
        for r in bound:
            assert due[r] <= self.offers[r, 0, schedule[r] // 100 + 1]
        return {r: due[r] for r in bound}

    # ------------------------------------------------------------ what must hold

    @invariant()
    def money_is_conserved(self) -> None:
        assert sum(self.bench.money(who) for who in self.bench.addresses) + self.bench.money() == (
            self.total
        )
        assert self.bench.owed() == self.bench.money()

    def _end(self) -> None:
        """Whatever happened: time passes, one settles, and everyone has its money out."""
        for _ in range(8):
            if self.bench.phase_now == "idle":
                break
            if self.bench.phase_now != "settle" or not self._settle():
                self.bench.now += 101
                self.try_("advance", self.bench.holders[2])
        assert self.bench.phase_now == "idle"
        for who in self.bench.addresses:
            if self.bench.claim(who):
                assert self.try_("withdraw", who)
        assert self.bench.money() == 0
        for who in (self.bench.stranger, self.bench.operator, self.bench.meter, self.bench.arbiter):
            assert self.bench.money(who) == self.wealth[who]
        for r in range(SEATS):
            lost = self.wealth[self.bench.holders[r]] - self.bench.money(self.bench.holders[r])
            fault = self.reading.get(r, (0, 0))[1]
            most = self.bound[r] + fault * COLLATERAL + BOND * SEATS
            assert lost <= most, (r, lost, most)


def test_random_sequences(one_bench: Any, capsys: Any) -> None:
    Market.bench, Market.refused, Market.done = one_bench, {}, {}
    run_state_machine_as_test(
        Market,
        settings=settings(
            max_examples=SEQUENCES,
            stateful_step_count=STEPS,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
    with capsys.disabled():
        print(f"\n{SEQUENCES} sequences: accepted {Market.done}, refused {Market.refused}")
    assert set(Market.done) == set(EVERY_CALL[1:])
