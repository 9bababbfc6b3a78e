"""Metering, imbalance, dispute and refund; whole days in process, interrupted, on a node."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandapower as pp
import pytest
import xarray as xr

import pp_p2p as p2p
from pp_p2p.errors import InvalidInput, LedgerRefused, LedgerUnreachable
from pp_p2p.ledger.delivery import Delivery
from pp_p2p.ledger.imbalance import imbalances
from pp_p2p.ledger.ledger_day import Book, LedgerDay
from pp_p2p.ledger.packing import PAD, as_bits, pack_energy
from pp_p2p.ledger.settlement import _whole
from pp_p2p.ledger.terms import Terms
from pp_p2p.market.combined_offers import MICRO, combine

pytest.importorskip("vyper", reason="the extra 'ledger' is not installed")
pytest.importorskip("web3", reason="the extra 'ledger' is not installed")

EMPTY = pp.create_empty_network()


def _book(n: int = 3, steps: int = 4, seed: int = 1) -> Book:
    offers = np.random.default_rng(seed).integers(-(10**7), 10**7, (n, steps, 5))
    offers[:, :, 2] = 0
    found = combine(offers)
    return Book(
        offers=offers,
        schedule_wh=found.level * 1_000,
        payment=found.payment.sum(axis=1),
        level_wh=1_000,
        limit=None,
        sharing="equal",
        weights=np.ones(n, dtype=np.int64),
        price=np.full(steps, 200 * MICRO),
    )


def _metered(book: Book, fault: Any = None, off: Any = 0) -> Delivery:
    none = np.zeros(book.schedule_wh.shape)
    fault = none.astype(bool) if fault is None else fault
    return Delivery(
        energy_wh=book.schedule_wh + off, fault=fault, sop_p_mw=none, loss_mw=none.sum(axis=0)
    )


def _assert_settled(day: LedgerDay, book: Book) -> None:
    assert day.phase == "idle"
    assert (day.escrow - day.refund == book.payment).all()
    assert day.chain.balance(day.contract.address) == 0


def test_the_compiler_has_no_warning() -> None:
    import vyper

    from pp_p2p.ledger.contract_code import SOURCE

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        vyper.compile_code(SOURCE.read_text(encoding="utf-8"), output_formats=["layout"])
        code = p2p.ledger.contract_code.contract_code()
    assert len(code.bytecode) // 2 <= 24_576 + 200


def test_imbalances_are_those_of_python(bench: Any) -> None:
    rng = np.random.default_rng(8)
    for _ in range(25):
        n, steps = int(rng.integers(2, 6)), 12
        schedule = rng.integers(-3, 4, (n, steps)) * 100
        metered = schedule + rng.integers(-9, 10, (n, steps)) * rng.integers(0, 12, (n, steps))
        fault = rng.random((n, steps)) < 0.3
        with bench.undone():
            bench.open(n, steps=steps, agreed=True, collateral=150, forfeit=0)
            digest = bench.read("agreement", _keccak(pack_energy(schedule.T) + PAD), [0] * n)
            for who in bench.holders[:n]:
                bench.send(who, "deposit", value=150)
                bench.send(who, "commit", digest)
            bench.send(bench.holders[0], "enact", pack_energy(schedule.T) + PAD, [0] * n)
            for r in range(n):
                reading = pack_energy(metered[r]) + PAD
                bench.send(bench.meter, "meter", r, reading, as_bits(fault[r]))
            for who in bench.holders[:n]:
                bench.send(who, "confirm")
            faults = [as_bits(row) for row in fault] + [0] * (8 - n)
            bench.send(bench.holders[0], "settle", pack_energy(metered) + PAD, faults)
            expected = imbalances(
                schedule, metered, fault, np.full(steps, 2_000_000), tolerance_wh=5, collateral=150
            )
            assert [150 - bench.claim(who) for who in bench.holders[:n]] == expected.tolist()
            assert expected.sum() == 0


def _keccak(data: bytes) -> bytes:
    from eth_utils import keccak

    return keccak(data)


def test_a_meter_that_lies_is_corrected_and_who_disputes_in_vain_loses_its_stake(
    bench: Any,
) -> None:
    schedule = np.array([[100], [-100], [0]])
    bench.open(3, steps=1, agreed=True)
    digest = bench.read("agreement", _keccak(pack_energy(schedule.T) + PAD), [0, 0, 0])
    for who in bench.holders[:3]:
        bench.send(who, "deposit", value=1_000)
        bench.send(who, "commit", digest)
    bench.send(bench.holders[0], "enact", pack_energy(schedule.T) + PAD, [0, 0, 0])
    for r, (energy, fault) in enumerate(((0, 1), (-100, 0), (0, 0))):
        bench.send(bench.meter, "meter", r, pack_energy(np.array([energy])) + PAD, fault)
    bench.send(bench.holders[0], "dispute", 0, value=70)
    bench.send(bench.holders[0], "dispute", 1, value=70)
    with pytest.raises(Exception, match="not the arbiter"):
        bench.send(bench.operator, "resolve", 0, pack_energy(np.array([100])) + PAD, 0)
    bench.send(bench.arbiter, "resolve", 0, pack_energy(np.array([100])) + PAD, 0)
    bench.send(bench.arbiter, "resolve", 1, pack_energy(np.array([-100])) + PAD, 0)
    bench.now += 101
    readings = pack_energy(np.array([100, -100, 0])) + PAD
    bench.send(bench.holders[2], "settle", readings, [0] * 8)
    assert [bench.claim(who) for who in bench.holders[:3]] == [1_070, 1_070, 1_000]


def test_who_is_asked_too_early_too_late_or_twice_refuses(bench: Any) -> None:
    offers = np.array([[-5, 0, 9], [-5, 0, 4]])
    first = bench.holders[0]
    with pytest.raises(Exception, match="too late"):
        bench.send(first, "deposit", value=1)
    bench.open(2, steps=2)
    with pytest.raises(Exception, match="a day is open"):
        bench.open(2, steps=2)
    with pytest.raises(Exception, match="collateral"):
        bench.send(first, "deposit", value=999)
    with pytest.raises(Exception, match="no escrow"):
        bench.send(first, "commit", b"\1" * 32)
    bench.commit(0, offers, deposit=1_018)
    with pytest.raises(Exception, match="committed already"):
        bench.send(first, "commit", b"\2" * 32)
    with pytest.raises(Exception, match="not now"):
        bench.reveal(0, offers)
    bench.now += 101  # the other never comes: too few
    bench.send(first, "advance")
    assert bench.phase == "idle"
    bench.send(first, "withdraw")
    with pytest.raises(Exception, match="nothing to withdraw"):
        bench.send(first, "withdraw")
    assert bench.money() == 0


def test_who_never_reveals_forfeits_to_those_who_do(bench: Any) -> None:
    offers = np.array([[[-5, 0, 9]], [[7, 0, -2]], [[3, 0, 3]]])
    bench.open(3, steps=1)
    for r in range(3):
        bench.commit(r, offers[r], deposit=1_020)
    bench.reveal(0, offers[0])
    with pytest.raises(Exception, match="not what was committed"):
        bench.reveal(1, offers[1] * 2)
    bench.reveal(1, offers[1])
    bench.now += 101
    bench.propose(bench.holders[0], offers, np.array([[100], [-100], [0]]))
    with pytest.raises(Exception, match="not revealed"):
        bench.propose(bench.holders[0], offers, np.array([[0], [-100], [100]]))
    bench.now += 101
    bench.send(bench.operator, "advance")
    bench.now += 101  # and nobody meters: the schedule counts
    bench.send(bench.operator, "advance")
    bench.now += 101
    bench.send(bench.holders[1], "settle", pack_energy(np.zeros(3, np.int64)) + PAD, [0] * 8)
    claims = [bench.claim(who) for who in bench.holders[:3]]
    assert claims == [1_020 + 150 - 1, 1_020 + 150 + 1, 1_020 - 300]


def test_a_day_settles_in_process_and_the_contract_takes_the_next(in_process: Any) -> None:
    book = _book()
    first = LedgerDay(in_process, book, Terms())
    first.run(lambda _: _metered(book))
    _assert_settled(first, book)
    other = _book(seed=2)
    second = LedgerDay(in_process, other, Terms(), contract=first.contract)
    fault = np.zeros((3, 4), dtype=bool)
    fault[1, 2] = True
    second.run(lambda _: _metered(other, fault, np.array([[-30_000], [30_000], [0]])))
    assert second.day == 2
    paid = (second.escrow - second.refund - other.payment).astype(int)
    assert paid.tolist() == [-6 * MICRO, 6 * MICRO, 0]  # 0.03 MWh at 200 EUR/MWh


def test_a_node_that_dies_again_and_again_loses_nothing(
    in_process: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before a transaction is sent, and after it was mined but before anyone knows."""
    book, calls = _book(seed=3), [0]
    day = LedgerDay(in_process, book, Terms())
    submit = in_process._submit

    def unreliable(call: Any, options: Any) -> Any:
        calls[0] += 1
        if calls[0] % 3 == 0:
            raise ConnectionError("gone")
        sent = submit(call, options)
        if calls[0] % 3 == 1 and calls[0] > 1:
            raise ConnectionError("gone after it was sent")
        return sent

    monkeypatch.setattr(in_process, "_submit", unreliable)
    deaths = 0
    for _ in range(60):
        try:
            day.run(lambda _: _metered(book))
            break
        except LedgerUnreachable:
            deaths += 1
    assert deaths > 10
    _assert_settled(day, book)


def test_agreed_payments_of_any_mechanism_are_settled(in_process: Any) -> None:
    day = xr.Dataset(
        {
            "payment_eur": ("participant", [12.3456784, -10.0, -1.3456784]),
            "operator_payment_eur": -1.0,
            "net_trade_mw": (("participant", "time"), [[0.5, 0.0], [-0.5, 0.1], [0.0, -0.1]]),
        },
        coords={"participant": [4, 7, 9], "time": [0.0, 1.0],
                "participant_name": ("participant", ["four", "", "nine"])},
    )  # fmt: skip
    ds = p2p.ledger.settle_agreed(day, chain=in_process)
    assert ds["participant"].to_numpy().tolist() == [4, 7, 9, -1]
    assert ds["participant_name"].to_numpy().tolist() == ["four", "", "nine", "operator"]
    assert np.abs(ds["payment_eur"].to_numpy()[:3] - day["payment_eur"].to_numpy()).max() <= 2e-6
    assert round(float(ds["payment_eur"].sum()) * MICRO) == 0
    assert (ds["deposit_eur"] - ds["refund_eur"] - ds["payment_eur"]).to_numpy().round(9).any() == 0
    with pytest.raises(InvalidInput, match="sum to zero"):
        p2p.ledger.settle_agreed(day.assign(operator_payment_eur=0.0), chain=in_process)


@pytest.fixture
def sunny(feeder: Any) -> tuple[Any, xr.Dataset]:
    """Two with PV, one with load alone; at noon they would lift the voltage over its limit."""
    pv = []
    for k, bus in enumerate((2, 3, 4)):
        who = p2p.create_participant(feeder, bus, name=f"P{k}")
        if k:
            pv.append(pp.create_sgen(feeder, bus, p_mw=4.0 * k))
        p2p.assign(feeder, who, load=[bus - 1], sgen=pv[k - 1 : k] if k else [])
    feeder.bus.loc[1:, "max_vm_pu"] = 1.02
    sun, steps = np.array([0.0, 0.5, 1.0, 0.3]), np.arange(4) * 6.0
    level = np.array([0.4, 0.7, 0.333, 1.0])
    profiles = xr.Dataset(
        {
            "load_p_mw": (("time", "load"), level[:, None] * np.array([1.0, 1.7, 0.4, 0.3])),
            "sgen_p_mw": (("time", "sgen"), sun[:, None] * np.array([4.0, 8.0])),
            "price_buy_eur_per_mwh": ("time", [180.0, 210.0, 190.0, 230.0]),
            "price_sell_eur_per_mwh": ("time", [60.0, 55.0, 50.0, 70.0]),
        },
        coords={"time": steps, "load": feeder.load.index, "sgen": pv},
    )
    return feeder, profiles


@pytest.mark.parametrize(
    ("mechanism", "operator_pays"),
    [
        (p2p.NashBargaining(network_fee_eur_per_mwh=7.0, operator_power=1.0), True),
        (p2p.NashBargaining(operator="outside", bargaining_power="net_volume"), False),
        (p2p.Stackelberg(), False),
    ],
    ids=["inside", "outside", "stackelberg"],
)
def test_a_day_that_was_traded_is_settled(
    sunny: tuple[Any, xr.Dataset], in_process: Any, mechanism: Any, operator_pays: bool
) -> None:
    """Money to the micro-EUR, energy to the Wh, nothing left on the contract."""
    day = p2p.trade_day(*sunny, mechanism=mechanism)
    assert float(day["trade_mw"].sum()) > 0.1
    ds = p2p.ledger.settle_agreed(day, chain=in_process)
    assert ds.attrs["status"] == "settled"
    owed, labels = day["payment_eur"].to_numpy(), day["participant"].to_numpy().tolist()
    if operator_pays:
        owed, labels = np.append(owed, float(day["operator_payment_eur"])), [*labels, -1]
        assert abs(owed[-1]) > 1.0
    assert ds["participant"].to_numpy().tolist() == labels
    assert np.abs(ds["payment_eur"].to_numpy() - owed).max() <= len(labels) / MICRO
    assert round(float(ds["payment_eur"].sum()) * MICRO) == 0
    assert (ds["deposit_eur"] - ds["refund_eur"] - ds["payment_eur"]).to_numpy().round(9).any() == 0
    assert (ds["escrow_left_eur"] == 0.0).all()
    energy = day["net_trade_mw"].to_numpy() * 6.0
    scheduled = ds["scheduled_mwh"].to_numpy()
    assert np.abs(scheduled[: len(energy)] - energy).max() <= len(labels) / MICRO
    np.testing.assert_allclose(scheduled.sum(axis=0), 0.0, atol=1e-9)
    np.testing.assert_array_equal(scheduled, ds["metered_mwh"])


def test_whole_wh_of_thirds_sum_to_zero() -> None:
    wh = np.array([[1.0, 100.4], [1.0, 100.4], [1.0, 100.4], [-3.0, -301.2]]) / 3.0
    whole = _whole(wh)
    assert whole.sum(axis=0).tolist() == [0, 0]
    assert np.abs(whole - wh).max() <= 2.0
    assert (whole[:3] == np.round(wh[:3])).all()


def test_who_has_no_money_is_refused(in_process: Any) -> None:
    book = _book()
    day = LedgerDay(in_process, book, Terms(collateral_eur=1e12))
    day.open()
    with pytest.raises(LedgerRefused):
        day.chain.transact(
            day.contract, "deposit", sender=day.seats[0], value=2 * in_process.balance(day.seats[0])
        )


ATTACKER = """
#pragma version ~=0.4.3
target: address
tries: public(uint256)

@external
@payable
def call(target: address, data: Bytes[20000]):
    self.target = target
    raw_call(target, data, value=msg.value)

@external
@payable
def __default__():
    self.tries += 1
    ok: bool = raw_call(self.target, method_id("withdraw()"), revert_on_failure=False)
    ok = raw_call(self.target, method_id("advance()"), revert_on_failure=False)
"""


def test_who_calls_again_while_it_is_paid_gets_nothing_more(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import vyper
    from eth_abi import encode

    code = vyper.compile_code(ATTACKER, output_formats=["bytecode"])["bytecode"]
    thief = bench.evm.deploy(bench.stranger, bytes.fromhex(code[2:]))
    monkeypatch.setattr(bench, "holders", [thief, *bench.holders[1:]])
    bench.open(2, steps=1)
    send = bench.send

    def through(name: str, *args: object, value: int = 0) -> None:
        """Let the thief's contract call the market."""
        data = _keccak(b"call(address,bytes)")[:4] + encode(
            ["address", "bytes"], [bench.address, bench.encoded(name, args)]
        )
        bench.evm.message_call(bench.stranger, thief, calldata=data, value=value)

    through("deposit", value=1_000)
    send(bench.holders[1], "deposit", value=5_000)
    bench.now += 101
    send(bench.holders[1], "advance")  # nobody offered: all is refunded
    through("withdraw")
    assert bench.money(thief) == 1_000
    assert bench.money() == 5_000
    assert int(bench.evm.storage(thief, 1)) == 1
    send(bench.holders[1], "withdraw")
    assert bench.money() == 0


def test_a_day_that_the_contract_cannot_hold_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(InvalidInput, match="settle_agreed"):
        p2p.ledger.settle_day(EMPTY, xr.Dataset(), xr.Dataset())
    day = xr.Dataset(
        {"offer_eur": (("participant", "time", "level"), np.zeros((9, 49, 27)))},
        attrs={"mechanism": "CombinedOffer", "step_mw": 0.1, "step_h": 1e-6},
    ).assign_coords(participant=np.arange(9), time=np.arange(49.0), level=np.arange(27))
    with pytest.raises(InvalidInput) as error:
        p2p.ledger.settle_day(EMPTY, xr.Dataset(), day)
    assert len(error.value.findings) == 4


def test_bad_terms_are_named() -> None:
    for wrong in ({"collateral_eur": 0.0}, {"forfeit_eur": 1e3}, {"window_s": float("nan")}):
        with pytest.raises(InvalidInput, match=next(iter(wrong))):
            Terms(**wrong)  # type: ignore[arg-type]


def test_no_node_is_a_clear_message() -> None:
    with pytest.raises(LedgerUnreachable, match="does not answer"):
        p2p.ledger.Chain.connect("http://127.0.0.1:9", timeout_s=1.0)


@pytest.fixture(scope="module")
def in_process() -> Any:
    pytest.importorskip("eth_tester", reason="the extra 'ledger' is not installed")
    return p2p.ledger.Chain.in_process()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[tuple[str, Any, Any]]:
    """A Hardhat node, of the folder PP_P2P_HARDHAT into which npm installed it."""
    folder = os.environ.get("PP_P2P_HARDHAT", "")
    program = Path(folder) / "node_modules/hardhat/internal/cli/bootstrap.js"
    if not folder or not program.is_file() or shutil.which("node") is None:
        pytest.skip("no node: npm install --prefix DIR hardhat@2.26, and set PP_P2P_HARDHAT=DIR")
    (tmp_path / "hardhat.config.js").write_text(
        'module.exports = { solidity: "0.8.28", networks: { hardhat: { hardfork: "cancun" } } };'
    )
    (tmp_path / "package.json").write_text("{}")
    (tmp_path / "node_modules").symlink_to(Path(folder) / "node_modules")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def start() -> subprocess.Popen[bytes]:
        command = ["node", str(program), "node", "--port", str(port)]
        started = subprocess.Popen(
            command,
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "HARDHAT_DISABLE_TELEMETRY_PROMPT": "true"},
        )
        for _ in range(300):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return started
            time.sleep(0.1)
        started.kill()
        raise RuntimeError("the node did not start")

    process = start()
    yield f"http://127.0.0.1:{port}", process, start
    process.kill()
    process.wait()


def test_a_real_node_settles_the_same_and_its_absence_is_said(node: Any) -> None:
    url, process, _ = node
    book = _book(4, 24, seed=5)
    chain = p2p.ledger.Chain.connect(url)
    day = LedgerDay(chain, book, Terms())
    day.open()
    day.offer()
    process.send_signal(19)  # it hangs in the middle of the day
    impatient = p2p.ledger.Chain.connect
    with pytest.raises(LedgerUnreachable):
        impatient(url, timeout_s=0.5)
    process.send_signal(18)  # and comes back
    with pytest.raises(LedgerRefused, match="no seat"):
        chain.transact(day.contract, "advance", sender=chain.accounts[9])
    day.run(lambda _: _metered(book))
    _assert_settled(day, book)
    late = LedgerDay(chain, book, Terms(), contract=day.contract)
    late.open()
    chain.pass_time(3601)
    chain.transact(day.contract, "advance", sender=late.seats[0])
    assert late.phase == "idle"
