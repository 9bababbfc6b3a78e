"""A trading day settled on a ledger, as one labelled dataset."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import xarray as xr

from pp_p2p.elements.tables import frame
from pp_p2p.errors import Finding, raise_if_any
from pp_p2p.ledger.chain import Chain
from pp_p2p.ledger.delivery import WH_PER_MWH, Delivery, deliver
from pp_p2p.ledger.ledger_day import Book, LedgerDay
from pp_p2p.ledger.terms import MAX_LEVELS, MAX_SEATS, MAX_STEPS, Terms
from pp_p2p.market.combined_offer import micro_weights
from pp_p2p.market.combined_offers import MICRO, Integers, to_micro
from pp_p2p.names import OPERATOR, PARTICIPANT, TIME
from pp_p2p.network.branches import Array
from pp_p2p.results import label, name_participants, stored_names

TRANSACTION: Final = "transaction"


def settle_day(
    net: Any,
    profiles: xr.Dataset,
    day: xr.Dataset,
    *,
    chain: Chain | None = None,
    terms: Terms | None = None,
    delivery: Delivery | None = None,
) -> xr.Dataset:
    """Settle a day of `pp_p2p.CombinedOffer` on a ledger, from deposit to refund.

    The regions deposit, commit to their offers and reveal them; one of them proposes what
    `CombinedOffer` cleared, the contract checks it; the schedule is carried out in an AC power
    flow, which is the meter; the contract settles from the readings and everyone withdraws.

    Parameters
    ----------
    net : pandapowerNet
        Is not changed.
    profiles : Dataset
    day : Dataset
        Of `pp_p2p.trade_day`.
    chain : Chain, optional
        One in process, where there is none.
    terms : Terms, optional
    delivery : Delivery, optional
        What was metered; `deliver` says it where there is none.

    Returns
    -------
    Dataset
        ``offer_eur(participant, time, level)`` as they were committed to,
        ``scheduled_mwh`` and ``metered_mwh(participant, time)`` taken from the link, ``fault``,
        ``payment_eur``, ``imbalance_eur`` (positive pays), ``deposit_eur``, ``refund_eur`` and
        ``escrow_left_eur`` by participant; ``gas``, ``seconds``, ``call``, ``sender`` and ``hash``
        by transaction. Attributes: address of the contract, id of the chain, the day's number.

    Raises
    ------
    InvalidInput
        A day of another mechanism, more regions, steps or levels than the contract holds.
    LedgerUnavailable, LedgerUnreachable, LedgerRefused
    """
    terms = Terms() if terms is None else terms
    raise_if_any(_offer_findings(day))
    offers = to_micro(day["offer_eur"].transpose(PARTICIPANT, TIME, "level").to_numpy())
    level_wh = round(day.attrs["step_mw"] * day.attrs["step_h"] * WH_PER_MWH)
    power = frame(net, "participant").bargaining_power.loc[day[PARTICIPANT].to_numpy()]
    weights = micro_weights(power.to_numpy(float))
    levels = day["cleared_level"].transpose(PARTICIPANT, TIME).to_numpy()
    book = Book(
        offers=offers,
        schedule_wh=levels.astype(np.int64) * level_wh,
        payment=np.round(day["payment_eur"].to_numpy() * MICRO).astype(np.int64),
        level_wh=level_wh,
        limit=_limit(day),
        sharing=day.attrs["sharing"],
        weights=weights,
        price=_prices(profiles, terms, day.sizes[TIME]),
    )
    metered = delivery or deliver(net, profiles, day)
    ds = _settled(book, terms, chain or Chain.in_process(), lambda _: metered)
    ds = ds.assign_coords({PARTICIPANT: day[PARTICIPANT].to_numpy(), TIME: day[TIME].to_numpy()})
    ds["offer_eur"] = day["offer_eur"]
    return label(ds, ds.attrs, net)


def settle_agreed(
    day: xr.Dataset, *, chain: Chain | None = None, terms: Terms | None = None
) -> xr.Dataset:
    """Settle the payments of any mechanism on the same contract.

    Everyone commits to the same schedule and payments; they are put into force when all have, and
    what is metered is the schedule, in whole Wh that sum to what the trades sum to. An operator
    that takes part in the bargain has a seat of its own, with the label -1. Fees to the network are
    not among the payments.

    Parameters
    ----------
    day : Dataset
        Of `pp_p2p.trade_day`: ``payment_eur``, ``net_trade_mw(participant, time)`` and, where there
        is one, ``operator_payment_eur``.
    chain : Chain, optional
    terms : Terms, optional

    Returns
    -------
    Dataset
        As of `settle_day`, without offers.

    Raises
    ------
    InvalidInput
        Payments that do not sum to zero, more seats or steps than the contract holds.
    LedgerUnavailable, LedgerUnreachable, LedgerRefused
    """
    terms = Terms() if terms is None else terms
    labels = day[PARTICIPANT].to_numpy().tolist()
    paid = day["payment_eur"].to_numpy().astype(float)
    energy = day["net_trade_mw"].transpose(PARTICIPANT, TIME).to_numpy()
    step_h = _step_h(day)
    if abs(float(day.get("operator_payment_eur", 0.0))) > 0.5 / MICRO:
        labels.append(OPERATOR)
        paid = np.append(paid, float(day["operator_payment_eur"]))
        energy = np.vstack([energy, -energy.sum(axis=0)])
    raise_if_any(_agreed_findings(paid, energy.shape[1]))
    payment = np.round(paid * MICRO).astype(np.int64)
    payment[0] -= payment.sum()  # what rounding left
    book = Book(
        offers=None,
        schedule_wh=_whole(energy * step_h * WH_PER_MWH),
        payment=payment,
        level_wh=1,
        limit=None,
        sharing="equal",
        weights=np.ones(len(labels), dtype=np.int64),
        price=np.zeros(energy.shape[1], dtype=np.int64),
    )
    ds = _settled(book, terms, chain or Chain.in_process(), _as_scheduled)
    ds = ds.assign_coords({PARTICIPANT: labels, TIME: day[TIME].to_numpy()})
    return label(name_participants(ds, stored_names(day)), ds.attrs)


def _whole(wh: Array) -> Integers:
    """Return whole Wh (seat, step) of the same sum; who trades most takes what rounding left."""
    whole = np.round(wh).astype(np.int64)
    left = whole.sum(axis=0) - np.round(wh.sum(axis=0)).astype(np.int64)
    whole[np.abs(wh).argmax(axis=0), np.arange(wh.shape[1])] -= left
    return whole


def _settled(
    book: Book, terms: Terms, chain: Chain, delivery: Callable[[Integers], Delivery]
) -> xr.Dataset:
    before = len(chain.transactions)
    on_chain = LedgerDay(chain, book, terms)
    on_chain.run(delivery)
    return label_settlement(on_chain, chain.transactions[before:])


def label_settlement(on_chain: LedgerDay, done: list[Any]) -> xr.Dataset:
    """Return a settled day as a dataset; `done` are its transactions."""
    n = len(on_chain.seats)
    contract, chain = on_chain.contract, on_chain.chain
    payment = np.array([int(chain.read(contract, "payment", r)) for r in range(n)], dtype=object)
    left = [int(chain.read(contract, "escrow", r)) for r in range(n)]
    imbalance = on_chain.escrow - payment - on_chain.refund
    metered = on_chain.metered
    by_seat = {
        "payment_eur": payment,
        "imbalance_eur": imbalance,
        "deposit_eur": on_chain.escrow,
        "refund_eur": on_chain.refund,
        "escrow_left_eur": np.array(left, dtype=object),
    }
    ds = xr.Dataset(
        {
            **{name: (PARTICIPANT, (v / MICRO).astype(float)) for name, v in by_seat.items()},
            "scheduled_mwh": ((PARTICIPANT, TIME), on_chain.schedule() / WH_PER_MWH),
            "metered_mwh": ((PARTICIPANT, TIME), metered.energy_wh / WH_PER_MWH),
            "fault": ((PARTICIPANT, TIME), metered.fault.astype(np.int8)),
            "account": (PARTICIPANT, list(on_chain.seats)),
            "call": (TRANSACTION, [each.name for each in done]),
            "sender": (TRANSACTION, [each.sender for each in done]),
            "hash": (TRANSACTION, [each.hash for each in done]),
            "gas": (TRANSACTION, [each.gas for each in done]),
            "seconds": (TRANSACTION, [each.seconds for each in done], {"units": "s"}),
        }
    )
    return ds.assign_attrs(
        problem="settlement",
        status="settled" if on_chain.phase == "idle" else on_chain.phase,
        contract=str(contract.address),
        chain_id=chain.chain_id,
        day=on_chain.day,
    )


def _as_scheduled(schedule: Integers) -> Delivery:
    none = np.zeros(schedule.shape)
    return Delivery(
        energy_wh=schedule, fault=none.astype(bool), sop_p_mw=none, loss_mw=none.sum(axis=0)
    )


def _limit(day: xr.Dataset) -> int | None:
    most = float(day.attrs["total_limit_mw"])
    return None if np.isinf(most) else int(np.floor(most / day.attrs["step_mw"] + 1e-9))


def _prices(profiles: xr.Dataset, terms: Terms, n_steps: int) -> Integers:
    buy = profiles.get("price_buy_eur_per_mwh")
    values = np.zeros(n_steps) if buy is None else np.maximum(buy.to_numpy().astype(float), 0.0)
    return np.round((values + terms.penalty_eur_per_mwh) * MICRO).astype(np.int64)


def _step_h(day: xr.Dataset) -> float:
    stamps = day[TIME].to_numpy()
    if len(stamps) < 2:
        return 1.0
    step = stamps[1] - stamps[0]
    if np.issubdtype(stamps.dtype, np.datetime64):
        return float(step / np.timedelta64(1, "h"))
    return float(step)


def _size_findings(n_seats: int, n_steps: int) -> Iterator[Finding]:
    for what, found, most in (("seats", n_seats, MAX_SEATS), ("steps", n_steps, MAX_STEPS)):
        if found > most:
            yield Finding(
                table="ledger",
                column=what,
                rule=f"are {found}, and the contract holds {most}",
                mend="settle fewer participants or a shorter day at a time",
            )


def _offer_findings(day: xr.Dataset) -> Iterator[Finding]:
    if day.attrs.get("mechanism") != "CombinedOffer":
        yield Finding(
            table="day",
            column="mechanism",
            rule="is not CombinedOffer",
            mend="settle_agreed settles the payments of other mechanisms",
        )
        return
    yield from _size_findings(day.sizes[PARTICIPANT], day.sizes[TIME])
    if day.sizes["level"] > MAX_LEVELS:
        yield Finding(
            table="CombinedOffer",
            column="max_level",
            rule=f"makes {day.sizes['level']} levels, and the contract holds {MAX_LEVELS}",
            mend=f"use at most {MAX_LEVELS // 2}",
        )
    energy = day.attrs["step_mw"] * day.attrs["step_h"] * WH_PER_MWH
    if abs(energy - round(energy)) > 1e-6 * energy or not 1 <= round(energy) <= 10**8:
        yield Finding(
            table="CombinedOffer",
            column="step_mw",
            rule=f"makes levels of {energy:g} Wh",
            mend="use a step of whole Wh, 1 Wh to 100 MWh",
        )


def _agreed_findings(paid: Array, n_steps: int) -> Iterator[Finding]:
    yield from _size_findings(len(paid), n_steps)
    if len(paid) < 2:
        yield Finding(table="day", rule="has one payer alone", mend="two trade at least")
    if not np.isfinite(paid).all() or abs(paid.sum()) > 1e-6 * max(1.0, np.abs(paid).sum()):
        yield Finding(
            table="day",
            column="payment_eur",
            rule="do not sum to zero",
            mend="pass a day whose payments stay among its participants and its operator",
        )
