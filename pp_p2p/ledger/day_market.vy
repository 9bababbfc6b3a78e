#pragma version ~=0.4.3
#pragma nonreentrancy on
#pragma optimize codesize
"""
@title Day market
@license BSD-3-Clause
@notice One trading day after another between a few seats: escrow, sealed offers, clearing that is
    proposed by a participant and checked here, metering, dispute, settlement, refund.
@dev Money is in the smallest unit of the chain and stands for micro-EUR; energy in Wh, positive
    taken. Long lists travel as packed bytes in calldata, are checked against a stored hash, and are
    never stored: offers 8 bytes each (value + 2**63, 0 = not offered), region by region, each
    (step, level); schedules and readings 4 bytes each (Wh + 2**31), schedules (step, seat), readings
    (seat, step). A list ends with 32 bytes of padding, so that every entry can be read as a word.
    Every loop is bounded by the three constants below. Payments are pulled.
"""

MAX_SEATS: constant(uint256) = 8
MAX_STEPS: constant(uint256) = 48
MAX_LEVELS: constant(uint256) = 25

PAD: constant(uint256) = 32
MAX_OFFERS: constant(uint256) = MAX_STEPS * MAX_LEVELS * 8 + PAD
MAX_ALL_OFFERS: constant(uint256) = MAX_SEATS * MAX_STEPS * MAX_LEVELS * 8 + PAD
MAX_SCHEDULE: constant(uint256) = MAX_SEATS * MAX_STEPS * 4 + PAD
MAX_READING: constant(uint256) = MAX_STEPS * 4 + PAD
MAX_PRICES: constant(uint256) = MAX_STEPS * 8 + PAD

ZERO_VALUE: constant(int256) = 2**63
ZERO_WH: constant(int256) = 2**31
LARGEST_OFFER: constant(int256) = 10**12
LARGEST_AMOUNT: constant(uint256) = 10**24
WH_PER_MWH: constant(uint256) = 10**6

EQUAL: constant(uint256) = 0
TRADERS: constant(uint256) = 1
WEIGHTS: constant(uint256) = 2

# phases, in their order; IDLE again after the settlement or an abort
IDLE: constant(uint256) = 0
OFFER: constant(uint256) = 1
REVEAL: constant(uint256) = 2
CLEAR: constant(uint256) = 3
DELIVER: constant(uint256) = 4
DISPUTE: constant(uint256) = 5
RESOLVE: constant(uint256) = 6
SETTLE: constant(uint256) = 7

struct Terms:
    agreed: bool  # payments are those all agree on, not those of combined offers
    steps: uint256
    levels: uint256  # odd: -K..K
    level_wh: uint256
    limit: uint256  # most levels over the link in a step
    sharing: uint256
    tolerance_wh: uint256
    collateral: uint256  # for imbalances; beside what offers need
    forfeit: uint256  # lost by who commits and does not reveal; at most the collateral
    bond: uint256  # staked by who disputes
    arbiter: address
    windows: uint256[6]  # seconds of OFFER .. RESOLVE

event DayOpened:
    day: indexed(uint256)
    terms: Terms
    seats: DynArray[address, MAX_SEATS]

event PhaseReached:
    day: indexed(uint256)
    phase: uint256
    deadline: uint256

event Deposited:
    day: indexed(uint256)
    seat: indexed(uint256)
    amount: uint256

event Committed:
    day: indexed(uint256)
    seat: indexed(uint256)
    digest: bytes32

event Revealed:
    day: indexed(uint256)
    seat: indexed(uint256)
    offers: Bytes[MAX_OFFERS]

event Forfeited:
    day: indexed(uint256)
    seat: indexed(uint256)
    amount: uint256

event Proposed:
    day: indexed(uint256)
    by: indexed(address)
    value: uint256
    schedule: Bytes[MAX_SCHEDULE]
    payments: int256[MAX_SEATS]

event Accepted:
    day: indexed(uint256)
    seat: indexed(uint256)

event Metered:
    day: indexed(uint256)
    seat: indexed(uint256)
    reading: Bytes[MAX_READING]
    faults: uint256

event Confirmed:
    day: indexed(uint256)
    seat: indexed(uint256)

event Disputed:
    day: indexed(uint256)
    seat: indexed(uint256)
    by: indexed(address)

event Resolved:
    day: indexed(uint256)
    seat: indexed(uint256)
    upheld: bool
    reading: Bytes[MAX_READING]
    faults: uint256

event Settled:
    day: indexed(uint256)
    payments: int256[MAX_SEATS]
    imbalances: int256[MAX_SEATS]

event Aborted:
    day: indexed(uint256)
    phase: uint256

event Withdrawn:
    who: indexed(address)
    amount: uint256

operator: public(immutable(address))

day: public(uint256)
phase: public(uint256)
deadline: public(uint256)
terms: public(Terms)
prices: Bytes[MAX_PRICES]  # of imbalances, micro-EUR/MWh, 8 bytes each
weights: public(uint256[MAX_SEATS])

seats: public(uint256)
holder: public(address[MAX_SEATS])
meter_of: public(address[MAX_SEATS])
seat_of: public(HashMap[uint256, HashMap[address, uint256]])  # day -> address -> seat + 1

escrow: public(uint256[MAX_SEATS])
commitment: public(bytes32[MAX_SEATS])
offer_hash: public(bytes32[MAX_SEATS])
live: public(uint256)  # bits of the seats that are bound: revealed, or agreed
proposed: public(bool)
value: public(uint256)
exchange: public(uint256)
schedule: public(Bytes[MAX_SCHEDULE])
payment: public(int256[MAX_SEATS])
accepted: public(uint256)  # bits of seats: of the clearing, then of the readings
reading_hash: public(bytes32[MAX_SEATS])
disputed: public(uint256)  # bits of seats whose reading is in dispute
disputer: public(address[MAX_SEATS])
bonds: public(uint256)  # staked at present

claim: public(HashMap[address, uint256])  # free money, to be withdrawn


@deploy
def __init__():
    operator = msg.sender


# ---------------------------------------------------------------- opening

@external
def open_day(
    terms: Terms,
    holders: DynArray[address, MAX_SEATS],
    meters: DynArray[address, MAX_SEATS],
    weights: DynArray[uint256, MAX_SEATS],
    prices: Bytes[MAX_PRICES],
):
    """
    @notice Open the next day; only the operator, and only when the last one is over.
    """
    assert msg.sender == operator, "not the operator"
    assert self.phase == IDLE, "a day is open"
    n: uint256 = len(holders)
    assert n >= 2 and len(meters) == n and len(weights) == n, "seats"
    assert terms.steps >= 1 and terms.steps <= MAX_STEPS, "steps"
    assert terms.levels >= 3 and terms.levels <= MAX_LEVELS and terms.levels % 2 == 1, "levels"
    assert terms.level_wh >= 1 and terms.level_wh <= 10**8, "level energy"
    assert terms.sharing <= WEIGHTS, "sharing"
    assert terms.forfeit <= terms.collateral and terms.collateral <= LARGEST_AMOUNT, "collateral"
    assert terms.bond <= LARGEST_AMOUNT, "bond"
    assert len(prices) == terms.steps * 8 + PAD, "prices"
    assert terms.arbiter != empty(address), "arbiter"
    for w: uint256 in terms.windows:
        assert w >= 1 and w <= 10**9, "windows"
    self.day += 1
    total: uint256 = 0
    for r: uint256 in range(n, bound=MAX_SEATS):
        assert holders[r] != empty(address) and meters[r] != empty(address), "nobody"
        assert self.seat_of[self.day][holders[r]] == 0, "two seats"
        assert weights[r] <= 10**12, "weights"
        total += weights[r]
        self.seat_of[self.day][holders[r]] = r + 1
        self.holder[r] = holders[r]
        self.meter_of[r] = meters[r]
        self.weights[r] = weights[r]
        self.escrow[r] = 0
        self.commitment[r] = empty(bytes32)
        self.offer_hash[r] = empty(bytes32)
        self.payment[r] = 0
        self.reading_hash[r] = empty(bytes32)
        self.disputer[r] = empty(address)
    assert terms.sharing != WEIGHTS or total > 0, "weights"
    self.seats = n
    self.terms = terms
    self.prices = prices
    self.live = 0
    self.proposed = False
    self.value = 0
    self.exchange = 0
    self.schedule = b""
    self.accepted = 0
    self.disputed = 0
    log DayOpened(day=self.day, terms=terms, seats=holders)
    self._enter(OFFER)


# ---------------------------------------------------------------- phases

@internal
def _enter(phase: uint256):
    self.phase = phase
    window: uint256 = 0
    if phase >= OFFER and phase <= RESOLVE:
        window = self.terms.windows[phase - 1]
    self.deadline = block.timestamp + window
    log PhaseReached(day=self.day, phase=phase, deadline=self.deadline)


@internal
def _full() -> uint256:
    return (1 << self.seats) - 1


@internal
def _over() -> bool:
    return block.timestamp > self.deadline


@internal
def _advance():
    """
    @dev Leave every phase that is complete or whose time is over. Each is left once at most.
    """
    if self.phase == OFFER:
        committed: uint256 = 0
        for r: uint256 in range(self.seats, bound=MAX_SEATS):
            if self.commitment[r] != empty(bytes32):
                committed |= 1 << r
        if committed == self._full() or self._over():
            self._close_offers(committed)
    if self.phase == REVEAL:
        waited: bool = False
        for r: uint256 in range(self.seats, bound=MAX_SEATS):
            if self.commitment[r] != empty(bytes32) and self.offer_hash[r] == empty(bytes32):
                waited = True
        if not waited or self._over():
            self._close_reveals()
    if self.phase == CLEAR:
        if self.proposed and (self._over() or self.accepted == self.live):
            self._enter(DELIVER)
        elif self._over():
            self._abort()
    if self.phase == DELIVER:
        missing: bool = False
        for r: uint256 in range(self.seats, bound=MAX_SEATS):
            if (self.live >> r) & 1 == 1 and self.reading_hash[r] == empty(bytes32):
                missing = True
        if not missing or self._over():
            self.accepted = 0
            self._enter(DISPUTE)
    if self.phase == DISPUTE:
        if self._over() or self.accepted == self.live:
            self._enter(RESOLVE if self.disputed != 0 else SETTLE)
    if self.phase == RESOLVE:
        if self.disputed == 0:
            self._enter(SETTLE)
        elif self._over():
            self._drop_disputes()
            self._enter(SETTLE)


@internal
def _close_offers(committed: uint256):
    if self.terms.agreed:
        same: bool = committed == self._full()
        for r: uint256 in range(self.seats, bound=MAX_SEATS):
            if self.commitment[r] != self.commitment[0]:
                same = False
        if same:
            self.live = committed
            self._enter(CLEAR)
        else:
            self._abort()
    elif committed & (committed - 1 if committed > 0 else 0) == 0:  # fewer than two
        self._abort()
    else:
        self._enter(REVEAL)


@internal
def _close_reveals():
    """
    @dev Who committed and did not reveal forfeits to those who did.
    """
    pot: uint256 = 0
    n: uint256 = self.seats
    revealed: uint256 = 0
    first: uint256 = MAX_SEATS
    for r: uint256 in range(n, bound=MAX_SEATS):
        if (self.live >> r) & 1 == 1:
            revealed += 1
            if first == MAX_SEATS:
                first = r
    if revealed > 0:
        for r: uint256 in range(n, bound=MAX_SEATS):
            if self.commitment[r] != empty(bytes32) and (self.live >> r) & 1 == 0:
                self.escrow[r] -= self.terms.forfeit
                pot += self.terms.forfeit
                log Forfeited(day=self.day, seat=r, amount=self.terms.forfeit)
        share: uint256 = pot // revealed
        for r: uint256 in range(n, bound=MAX_SEATS):
            if (self.live >> r) & 1 == 1:
                self.escrow[r] += share
        self.escrow[first] += pot - share * revealed
    if revealed < 2:
        self._abort()
    else:
        self._enter(CLEAR)


@internal
def _drop_disputes():
    """
    @dev The arbiter did not speak: readings stand, stakes go back.
    """
    for r: uint256 in range(self.seats, bound=MAX_SEATS):
        if (self.disputed >> r) & 1 == 1:
            self.claim[self.disputer[r]] += self.terms.bond
            self.bonds -= self.terms.bond
    self.disputed = 0


@internal
def _abort():
    log Aborted(day=self.day, phase=self.phase)
    for r: uint256 in range(self.seats, bound=MAX_SEATS):
        self.claim[self.holder[r]] += self.escrow[r]
        self.escrow[r] = 0
    self._enter(IDLE)


@internal
def _seat() -> uint256:
    seat: uint256 = self.seat_of[self.day][msg.sender]
    assert seat > 0, "no seat"
    return seat - 1


@external
def advance():
    """
    @notice Leave a phase whose time is over; for holders of a seat and the operator.
    """
    assert msg.sender == operator or self.seat_of[self.day][msg.sender] > 0, "no seat"
    self._advance()


# ---------------------------------------------------------------- escrow and offers

@external
@payable
def deposit():
    """
    @notice Register with escrow, or add to it, as long as offers are open.
    """
    self._advance()
    assert self.phase == OFFER or self.phase == REVEAL, "too late"
    r: uint256 = self._seat()
    self.escrow[r] += msg.value
    assert self.escrow[r] >= self.terms.collateral, "collateral"
    assert self.escrow[r] <= LARGEST_AMOUNT, "too much"
    log Deposited(day=self.day, seat=r, amount=msg.value)


@external
def commit(digest: bytes32):
    """
    @notice Commit to offers (`sealed`) or to an agreement (`agreement`); once.
    """
    self._advance()
    assert self.phase == OFFER, "too late"
    r: uint256 = self._seat()
    assert digest != empty(bytes32), "empty"
    assert self.commitment[r] == empty(bytes32), "committed already"
    assert self.escrow[r] >= self.terms.collateral and self.escrow[r] > 0, "no escrow"
    self.commitment[r] = digest
    log Committed(day=self.day, seat=r, digest=digest)
    self._advance()


@internal
@view
def _sealed(who: address, offers: bytes32, nonce: bytes32) -> bytes32:
    return keccak256(abi_encode(chain.id, self, self.day, who, offers, nonce))


@external
@view
def sealed(who: address, offers: bytes32, nonce: bytes32) -> bytes32:
    """
    @notice What `who` commits to, of the hash of its offers without padding.
    """
    return self._sealed(who, offers, nonce)


@internal
@view
def _agreement(schedule: bytes32, payments: DynArray[int256, MAX_SEATS]) -> bytes32:
    return keccak256(abi_encode(chain.id, self, self.day, schedule, payments))


@external
@view
def agreement(schedule: bytes32, payments: DynArray[int256, MAX_SEATS]) -> bytes32:
    """
    @notice What all commit to who agreed on a schedule (hash with padding) and payments.
    """
    return self._agreement(schedule, payments)


@external
def reveal(offers: Bytes[MAX_OFFERS], nonce: bytes32):
    """
    @notice Open the offers that were committed to; the escrow must cover the highest of each step.
    """
    self._advance()
    assert self.phase == REVEAL, "not now"
    r: uint256 = self._seat()
    assert self.commitment[r] != empty(bytes32), "nothing committed"
    assert self.offer_hash[r] == empty(bytes32), "revealed already"
    steps: uint256 = self.terms.steps
    levels: uint256 = self.terms.levels
    size: uint256 = steps * levels * 8
    assert len(offers) == size + PAD, "length"
    digest: bytes32 = keccak256(slice(offers, 0, size))
    assert self._sealed(msg.sender, digest, nonce) == self.commitment[r], "not what was committed"
    need: uint256 = self.terms.collateral
    at: uint256 = 0
    for t: uint256 in range(steps, bound=MAX_STEPS):
        most: int256 = 0
        for k: uint256 in range(levels, bound=MAX_LEVELS):
            word: uint256 = extract32(offers, at, output_type=uint256) >> 192
            at += 8
            if word != 0:
                offer: int256 = convert(word, int256) - ZERO_VALUE
                assert offer <= LARGEST_OFFER and offer >= -LARGEST_OFFER, "too large"
                most = max(most, offer)
                assert k != levels // 2 or offer == 0, "level 0 is worth 0"
            else:
                assert k != levels // 2, "level 0 is worth 0"
        need += convert(most, uint256)
    assert self.escrow[r] >= need, "escrow does not cover the offers"
    self.offer_hash[r] = digest
    self.live |= 1 << r
    log Revealed(day=self.day, seat=r, offers=offers)
    self._advance()


# ---------------------------------------------------------------- clearing

@external
def propose(offers: Bytes[MAX_ALL_OFFERS], schedule: Bytes[MAX_SCHEDULE]):
    """
    @notice Propose a schedule; it stands if it is sound and better than the one that stands.
    @dev Better is: more value; or as much with less exchange; or with lower levels, first
        difference first. So any holder of a seat can bring the optimum about.
    """
    self._advance()
    assert self.phase == CLEAR, "not now"
    assert not self.terms.agreed, "enact"
    assert msg.sender == operator or self.seat_of[self.day][msg.sender] > 0, "no seat"
    n: uint256 = self.seats
    live: uint256 = self.live
    steps: uint256 = self.terms.steps
    levels: uint256 = self.terms.levels
    size: uint256 = steps * levels * 8
    assert len(offers) == n * size + PAD, "length of offers"
    assert len(schedule) == n * steps * 4 + PAD, "length of schedule"
    for r: uint256 in range(n, bound=MAX_SEATS):
        if (live >> r) & 1 == 1:
            assert keccak256(slice(offers, r * size, size)) == self.offer_hash[r], "other offers"
    level_wh: int256 = convert(self.terms.level_wh, int256)
    reach: int256 = convert(levels // 2, int256)
    limit: uint256 = self.terms.limit
    sharing: uint256 = self.terms.sharing
    weight: uint256[MAX_SEATS] = self.weights
    payment: int256[MAX_SEATS] = empty(int256[MAX_SEATS])
    total: uint256 = 0
    moved: uint256 = 0
    for t: uint256 in range(steps, bound=MAX_STEPS):
        balance: int256 = 0
        taken: int256 = 0
        worth: int256 = 0
        sharers: uint256 = 0
        share_of: uint256[MAX_SEATS] = empty(uint256[MAX_SEATS])
        for r: uint256 in range(n, bound=MAX_SEATS):
            energy: int256 = (
                convert(extract32(schedule, 4 * (t * n + r), output_type=uint256) >> 224, int256)
                - ZERO_WH
            )
            if (live >> r) & 1 == 0:
                assert energy == 0, "not revealed"
                continue
            level: int256 = energy // level_wh
            assert level * level_wh == energy, "no level"
            assert level >= -reach and level <= reach, "beyond the levels"
            word: uint256 = (
                extract32(
                    offers,
                    r * size + 8 * (t * levels + convert(level + reach, uint256)),
                    output_type=uint256,
                ) >> 192
            )
            assert word != 0, "not offered"
            offer: int256 = convert(word, int256) - ZERO_VALUE
            payment[r] += offer
            worth += offer
            balance += level
            if level > 0:
                taken += level
            if sharing == WEIGHTS:
                share_of[r] = weight[r]
            elif sharing == EQUAL or level != 0:
                share_of[r] = 1
            sharers += share_of[r]
        assert balance == 0, "not balanced"
        assert convert(taken, uint256) <= limit, "beyond the link"
        assert worth > 0 or taken == 0, "nothing is gained"
        if worth > 0:
            assert sharers > 0, "nobody shares"
            gain: uint256 = convert(worth, uint256)
            left: uint256 = gain
            first: uint256 = MAX_SEATS
            for r: uint256 in range(n, bound=MAX_SEATS):
                if share_of[r] > 0:
                    if first == MAX_SEATS:
                        first = r
                    part: uint256 = gain * share_of[r] // sharers
                    payment[r] -= convert(part, int256)
                    left -= part
            payment[first] -= convert(left, int256)
            total += gain
            moved += 2 * convert(taken, uint256)
    assert self._better(total, moved, schedule, n * steps), "not better"
    self.proposed = True
    self.value = total
    self.exchange = moved
    self.schedule = schedule
    self.payment = payment
    self.accepted = 0
    log Proposed(
        day=self.day, by=msg.sender, value=total, schedule=schedule, payments=payment
    )


@internal
@view
def _better(
    gain: uint256, moved: uint256, schedule: Bytes[MAX_SCHEDULE], entries: uint256
) -> bool:
    if not self.proposed or gain > self.value:
        return True
    if gain < self.value or moved > self.exchange:
        return False
    if moved < self.exchange:
        return True
    old: Bytes[MAX_SCHEDULE] = self.schedule
    for i: uint256 in range(entries, bound=MAX_SEATS * MAX_STEPS):
        one: uint256 = extract32(schedule, 4 * i, output_type=uint256) >> 224
        other: uint256 = extract32(old, 4 * i, output_type=uint256) >> 224
        if one != other:
            return one < other
    return False


@external
def accept(schedule: bytes32):
    """
    @notice Accept the schedule (hash with padding) that stands; when all have, clearing is over.
    """
    self._advance()
    assert self.phase == CLEAR and self.proposed, "not now"
    r: uint256 = self._seat()
    assert (self.live >> r) & 1 == 1, "not revealed"
    assert keccak256(self.schedule) == schedule, "another schedule"
    self.accepted |= 1 << r
    log Accepted(day=self.day, seat=r)
    self._advance()


@external
def enact(schedule: Bytes[MAX_SCHEDULE], payments: DynArray[int256, MAX_SEATS]):
    """
    @notice Put into force what all have agreed on: payments that sum to zero and are covered.
    """
    self._advance()
    assert self.phase == CLEAR and self.terms.agreed and not self.proposed, "not now"
    self._seat()
    n: uint256 = self.seats
    assert len(schedule) == n * self.terms.steps * 4 + PAD and len(payments) == n, "length"
    assert self._agreement(keccak256(schedule), payments) == self.commitment[0], "not agreed"
    total: int256 = 0
    for r: uint256 in range(n, bound=MAX_SEATS):
        most: int256 = convert(self.escrow[r] - self.terms.collateral, int256)
        assert payments[r] <= most, "escrow does not cover the payment"
        assert payments[r] >= -convert(LARGEST_AMOUNT, int256), "too large"
        total += payments[r]
        self.payment[r] = payments[r]
    assert total == 0, "payments do not sum to zero"
    self.schedule = schedule
    self.proposed = True
    self.accepted = self.live
    log Proposed(
        day=self.day, by=msg.sender, value=0, schedule=schedule, payments=self.payment
    )
    self._advance()


# ---------------------------------------------------------------- delivery

@external
def meter(seat: uint256, reading: Bytes[MAX_READING], faults: uint256):
    """
    @notice Report what a seat took, and (bits of `faults`) in which steps its terminal failed.
    """
    self._advance()
    assert self.phase == DELIVER, "not now"
    assert seat < self.seats and (self.live >> seat) & 1 == 1, "no such seat"
    assert msg.sender == self.meter_of[seat], "not its meter"
    assert self.reading_hash[seat] == empty(bytes32), "metered already"
    self.reading_hash[seat] = self._reading(reading, faults)
    log Metered(day=self.day, seat=seat, reading=reading, faults=faults)
    self._advance()


@internal
@view
def _reading(reading: Bytes[MAX_READING], faults: uint256) -> bytes32:
    size: uint256 = self.terms.steps * 4
    assert len(reading) == size + PAD, "length"
    assert faults >> self.terms.steps == 0, "faults"
    return keccak256(abi_encode(keccak256(slice(reading, 0, size)), faults))


@external
def confirm():
    """
    @notice Confirm all readings; when all have, they stand.
    """
    self._advance()
    assert self.phase == DISPUTE, "not now"
    r: uint256 = self._seat()
    assert (self.live >> r) & 1 == 1, "not revealed"
    self.accepted |= 1 << r
    log Confirmed(day=self.day, seat=r)
    self._advance()


@external
@payable
def dispute(seat: uint256):
    """
    @notice Dispute a reading, or that there is none, with a stake; once for each seat.
    """
    self._advance()
    assert self.phase == DISPUTE, "not now"
    assert msg.sender == operator or (self.live >> self._seat()) & 1 == 1, "no seat"
    assert seat < self.seats and (self.live >> seat) & 1 == 1, "no such seat"
    assert self.disputer[seat] == empty(address), "disputed already"
    assert msg.value == self.terms.bond, "stake"
    self.disputed |= 1 << seat
    self.disputer[seat] = msg.sender
    self.bonds += msg.value
    log Disputed(day=self.day, seat=seat, by=msg.sender)


@external
def resolve(seat: uint256, reading: Bytes[MAX_READING], faults: uint256):
    """
    @notice The arbiter's reading. Who disputed rightly gets the stake back, else the seat gets it.
    """
    self._advance()
    assert self.phase == DISPUTE or self.phase == RESOLVE, "not now"
    assert msg.sender == self.terms.arbiter, "not the arbiter"
    assert seat < self.seats and (self.disputed >> seat) & 1 == 1, "not disputed"
    digest: bytes32 = self._reading(reading, faults)
    upheld: bool = digest != self.reading_hash[seat]
    self.reading_hash[seat] = digest
    self.disputed &= ~(1 << seat)
    self.bonds -= self.terms.bond
    if upheld:
        self.claim[self.disputer[seat]] += self.terms.bond
    else:
        self.claim[self.holder[seat]] += self.terms.bond
    log Resolved(day=self.day, seat=seat, upheld=upheld, reading=reading, faults=faults)
    self._advance()


# ---------------------------------------------------------------- settlement

@external
def settle(readings: Bytes[MAX_SCHEDULE], faults: uint256[MAX_SEATS]):
    """
    @notice Settle the day from schedule and readings, and free all escrow.
    @dev In each step, a live seat whose terminal failed and whose energy is off by more than the
        tolerance pays the price of imbalance for it, as far as its collateral goes. It goes to the
        live seats that did not fail and are off as well, in proportion, or to all that did not
        fail. A reading that never came counts as the schedule.
    """
    self._advance()
    assert self.phase == SETTLE, "not now"
    assert msg.sender == operator or self.seat_of[self.day][msg.sender] > 0, "no seat"
    n: uint256 = self.seats
    live: uint256 = self.live
    steps: uint256 = self.terms.steps
    assert len(readings) == n * steps * 4 + PAD, "length"
    read: uint256 = 0
    for r: uint256 in range(n, bound=MAX_SEATS):
        if self.reading_hash[r] != empty(bytes32):
            digest: bytes32 = keccak256(slice(readings, r * steps * 4, steps * 4))
            assert keccak256(abi_encode(digest, faults[r])) == self.reading_hash[r], "other readings"
            read |= 1 << r
        else:
            assert faults[r] == 0, "other readings"
    schedule: Bytes[MAX_SCHEDULE] = self.schedule
    prices: Bytes[MAX_PRICES] = self.prices
    tolerance: uint256 = self.terms.tolerance_wh
    room: uint256[MAX_SEATS] = empty(uint256[MAX_SEATS])
    for r: uint256 in range(n, bound=MAX_SEATS):
        room[r] = self.terms.collateral
    imbalance: int256[MAX_SEATS] = empty(int256[MAX_SEATS])
    for t: uint256 in range(steps, bound=MAX_STEPS):
        failed: bool = False
        for r: uint256 in range(n, bound=MAX_SEATS):
            if (faults[r] >> t) & 1 == 1:
                failed = True
        if not failed:
            continue
        price: uint256 = extract32(prices, 8 * t, output_type=uint256) >> 192
        pot: uint256 = 0
        whole: uint256 = 0
        sound: uint256 = 0
        first: uint256 = MAX_SEATS
        off: uint256[MAX_SEATS] = empty(uint256[MAX_SEATS])
        charge: uint256[MAX_SEATS] = empty(uint256[MAX_SEATS])
        for r: uint256 in range(n, bound=MAX_SEATS):
            if (live >> r) & 1 == 0:
                continue
            if (read >> r) & 1 == 1:
                planned: uint256 = extract32(schedule, 4 * (t * n + r), output_type=uint256) >> 224
                taken: uint256 = extract32(readings, 4 * (r * steps + t), output_type=uint256) >> 224
                off[r] = max(planned, taken) - min(planned, taken)
            if off[r] <= tolerance:
                off[r] = 0
            if (faults[r] >> t) & 1 == 1:
                charge[r] = min(off[r] * price // WH_PER_MWH, room[r])
                pot += charge[r]
            else:
                sound += 1
                whole += off[r]
        if pot == 0 or sound == 0:
            continue
        left: uint256 = pot
        for r: uint256 in range(n, bound=MAX_SEATS):
            if (live >> r) & 1 == 0:
                continue
            if (faults[r] >> t) & 1 == 1:
                room[r] -= charge[r]
                imbalance[r] += convert(charge[r], int256)
            elif whole == 0 or off[r] > 0:
                if first == MAX_SEATS:
                    first = r
                part: uint256 = pot // sound
                if whole > 0:
                    part = pot * off[r] // whole
                imbalance[r] -= convert(part, int256)
                left -= part
        imbalance[first] -= convert(left, int256)
    payment: int256[MAX_SEATS] = self.payment
    for r: uint256 in range(n, bound=MAX_SEATS):
        rest: int256 = convert(self.escrow[r], int256) - payment[r] - imbalance[r]
        self.claim[self.holder[r]] += convert(rest, uint256)
        self.escrow[r] = 0
    log Settled(day=self.day, payments=payment, imbalances=imbalance)
    self._enter(IDLE)


@external
def withdraw():
    """
    @notice Take what is free.
    """
    amount: uint256 = self.claim[msg.sender]
    assert amount > 0, "nothing to withdraw"
    self.claim[msg.sender] = 0
    log Withdrawn(who=msg.sender, amount=amount)
    raw_call(msg.sender, b"", value=amount)
