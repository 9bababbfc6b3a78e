"""Trading at scale: seconds and memory by participants, and the same day against PyPSA.

`trading_scale` has no peer of another make. "day" is all of `trade_day`, "central" its problem with
trade from model to values, "distributed" all of `trade_day` without a centre, network, stand-alone
day and bounds included, whose peer is "day": the aim is a third of it or better. "scheme" is the
exchange of the same participants without a network until its bounds prove 1e-4, against "central".
Notes give the growth of the cost of an iteration with participants, and how many times the central
day the one without a centre takes. All seconds are of one core; the full table ends within ten
minutes on a quiet machine, and says on the way where it is.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from registry import Outcome, PeerMissing, Row, benchmark, in_own_process, table

import pp_p2p as p2p

BALANCED_GAP = 1e-4
"""Gap between the bounds at which the scheme stops."""


@table(
    "trading_scale",
    peer="day or central",
    full={"participants": (30, 100, 300, 1000), "hours": 24},
    tiny={"participants": (4,), "hours": 3},
)
def trading_scale(*, participants: tuple[int, ...], hours: int) -> list[Row]:
    """Return seconds of the day, central and distributed, and of the scheme, by participants."""
    rows, before = [], None
    for n in participants:
        size = {"participants": n, "hours": hours}
        day = in_own_process(_day, **size)
        seconds, note = day.value
        note = f"{1e3 * seconds / n:.0f} ms each, peak {day.peak_mb:.0f} MB, {note}"
        rows.append(Row(f"{n}, day, s", "", seconds, math.nan, math.nan, note))
        stages = in_own_process(_central, **size).value
        central = stages["build"] + stages["compile"] + stages["solve"] + stages["read"]
        note = ", ".join(f"{name} {value:.2f}" for name, value in stages.items())
        rows.append(Row(f"{n}, central, s", "", central, math.nan, math.nan, note))
        apart = in_own_process(_distributed, **size)
        whole: _Found = apart.value
        note = (
            f"{whole.seconds / seconds:.2f} times the central day; "
            f"{whole.iterations} iterations of {1e3 * whole.each:.0f} ms, alone {whole.alone}, "
            f"gap {whole.gap:.0e}, peak {apart.peak_mb:.0f} MB"
        )
        print(f"... {n} participants: {note}", file=sys.stderr, flush=True)
        if before is not None:
            grown = math.log(whole.each / before[1]) / math.log(n / before[0])
            note += f", an iteration grows as participants^{grown:.2f}"
        before = n, whole.each
        rows.append(
            Row(
                f"{n}, distributed, s", "day", whole.seconds, seconds, seconds / whole.seconds, note
            )
        )
        scheme = in_own_process(_scheme, **size)
        found: _Found = scheme.value
        note = (
            f"{found.iterations} iterations of {1e3 * found.each:.1f} ms"
            f" ({1e6 * found.each / n:.0f} us each), gap {found.gap:.0e}"
        )
        rows.append(
            Row(f"{n}, scheme, s", "central", found.seconds, central, central / found.seconds, note)
        )
    return rows


@benchmark(
    "trading_pypsa",
    peer="PyPSA 1.2.4 with HiGHS",
    full={"participants": 100, "hours": 24},
    tiny={"participants": 3, "hours": 4},
)
def trading_pypsa(*, participants: int, hours: int) -> Outcome:
    """Social cost of a day without losses and voltage limits; ours settles and replays it, too."""
    try:
        import pypsa  # noqa: F401
    except ImportError as missing:
        raise PeerMissing("pypsa") from missing
    size = {"participants": participants, "hours": hours}
    (ours, cost), (theirs, optimum) = (in_own_process(one, **size).value for one in (_ours, _pypsa))
    return Outcome(
        ours=ours,
        theirs=theirs,
        difference=abs(cost / optimum - 1.0),
        limit=1e-6,
        of="social cost, relative",
        note=f"{participants} participants; ours twice (alone, too), payments, AC replay",
    )


def _ours(participants: int, hours: int) -> Callable[[], tuple[float, float]]:
    net, day = _lossless(participants, hours)
    mechanism = p2p.NashBargaining(network_fee_eur_per_mwh=0.0)

    def run() -> float:
        ds = p2p.trade_day(net, day, mechanism=mechanism, formulation="lindistflow")
        return float(ds["cost_eur"].sum()) + float(ds["operator_cost_eur"])

    return _again(run)


def _pypsa(participants: int, hours: int) -> Callable[[], tuple[float, float]]:
    import logging
    import warnings

    from pypsa_peer import pypsa_day, solved_cost

    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    net, day = _lossless(participants, hours)
    return _again(lambda: solved_cost(pypsa_day(net, day)))


def _again(run: Callable[[], float]) -> Callable[[], tuple[float, float]]:
    """Run once for imports; return what times the next run."""
    run()

    def timed() -> tuple[float, float]:
        begun = time.process_time()
        value = run()
        return time.process_time() - begun, value

    return timed


def _lossless(participants: int, hours: int) -> tuple[Any, xr.Dataset]:
    from trading_market import trading_market

    net, day = trading_market(participants, hours, units=True)
    net.bus["min_vm_pu"], net.bus["max_vm_pu"] = 0.1, 3.0
    return net, day


def _day(participants: int, hours: int) -> Callable[[], tuple[float, str]]:
    from trading_market import trading_market

    p2p.trade_day(*trading_market(3, 3))  # imports
    net, day = trading_market(participants, hours)

    def run() -> tuple[float, str]:
        begun = time.process_time()
        ds = p2p.trade_day(net, day)
        seconds = time.process_time() - begun
        word = f"{ds.attrs['status']}, relaxation {ds.attrs['relaxation']}"
        return seconds, f"{word}, gain {ds.attrs['gain_eur']:.0f} EUR"

    return run


def _central(participants: int, hours: int) -> Callable[[], dict[str, float]]:
    from trading_market import trading_market

    from pp_p2p.market.bargaining import NashBargaining
    from pp_p2p.market.clearing import ClearingData, build, evaluate_costs
    from pp_p2p.market.settlement import bargaining_powers, settle
    from pp_p2p.market.trades import read_trades
    from pp_p2p.network.formulation import get_formulation
    from pp_p2p.solve.compiled import compile_model, load_values
    from pp_p2p.solve.run import CompiledSolver

    def stages(n: int, steps: int) -> dict[str, float]:
        data = ClearingData.from_net(*trading_market(n, steps), NashBargaining())
        marks = [time.process_time()]
        model = build(data, get_formulation("branch_flow"), trading=True)
        marks.append(time.process_time())
        problem = compile_model(model)
        marks.append(time.process_time())
        x, report = CompiledSolver(problem).solve()
        marks.append(time.process_time())
        load_values(problem, x)
        trades = read_trades(model.trades) * data.step_mwh
        cost = evaluate_costs(model, data)
        marks.append(time.process_time())
        power = bargaining_powers(data, trades, None)
        settle(data, trades, -cost, power, np.ones((n, steps)))
        marks.append(time.process_time())
        names = ("build", "compile", "solve", "read", "settle")
        seconds = dict(zip(names, np.diff(marks).tolist(), strict=True))
        return seconds | {"solver iterations": float(report.iterations)}

    stages(3, 3)
    return lambda: stages(participants, hours)


@dataclass(frozen=True, kw_only=True)
class _Found:
    seconds: float
    iterations: int
    each: float
    gap: float
    alone: int = 0


def _distributed(participants: int, hours: int) -> Callable[[], _Found]:
    from trading_market import trading_market

    scheme = p2p.Distributed(check_central=False)
    p2p.trade_day(*trading_market(3, 3), algorithm=scheme)  # imports
    net, day = trading_market(participants, hours)

    def run() -> _Found:
        marks: list[float] = []

        def listen(message: Any) -> None:
            if (message.sender, message.quantity) == ("agents", "boundary power"):
                marks.append(time.process_time())

        begun = time.process_time()
        ds = p2p.trade_day(net, day, algorithm=p2p.Distributed(check_central=False, listen=listen))
        seconds = time.process_time() - begun
        iterations = int(ds.attrs["iterations"])
        objective = float(ds["cost_eur"].sum()) + float(ds["operator_cost_eur"])
        return _Found(
            seconds=seconds,
            iterations=iterations,
            each=float(np.median(np.diff(marks[-iterations:]))) if iterations > 1 else seconds,
            gap=abs(objective - ds.attrs["bound_eur"]) / abs(objective),
            alone=int(ds.attrs["iterations_alone"]),
        )

    return run


def _scheme(participants: int, hours: int) -> Callable[[], _Found]:
    from trading_market import trading_market

    from pp_p2p.algorithms.batch_agents import exchange_bounds, scheduled
    from pp_p2p.algorithms.batch_qp import BatchQP
    from pp_p2p.algorithms.consensus import Balancing, Stop, run
    from pp_p2p.algorithms.exchange import exchange
    from pp_p2p.algorithms.two_block import TwoBlockState, start, stepper

    problems = _problems(*trading_market(participants, hours))
    usual = float(np.abs(problems.demand).mean())

    def scheme() -> _Found:
        begun = time.process_time()
        batch = BatchQP(problems)
        step, spent = stepper(scheduled(batch), (exchange(),)), []

        def timed(state: TwoBlockState) -> TwoBlockState:
            before = time.process_time()
            after = step(state)
            spent.append(time.process_time() - before)
            return after

        rest = run(
            timed,
            start((problems.shape,), 140.0 / usual, multipliers=(-130.0,)),
            stop=Stop(absolute=1e-6 * usual, relative=1e-4, loose=50.0, gap=BALANCED_GAP),
            balancing=Balancing(),
            bounds=exchange_bounds(batch),
        )
        low, high = rest.bounds or (math.nan, math.nan)
        return _Found(
            seconds=time.process_time() - begun,
            iterations=rest.iterations,
            each=float(np.median(spent)),
            gap=(high - low) / abs(high),
        )

    return scheme


def _problems(net: Any, day: xr.Dataset) -> Any:
    """Return the participants of `trading_market` as the batch knows them."""
    from pp_p2p.algorithms.batch_data import Boxed, LocalProblems, ShiftData, StorageData

    n, hours = len(net.participant), day.sizes["time"]
    demand = day["load_p_mw"].to_numpy().T
    sun, flexible = np.zeros((n, hours)), np.zeros((n, 1))
    sun[net.sgen.participant] = day["sgen_p_mw"].to_numpy().T
    flexible[net.load.participant.loc[net.flexible_load.load]] = 0.3

    def rated(column: str) -> Any:
        values = np.zeros((n, 1))
        values[net.storage.participant, 0] = net.storage[column].abs()
        return values

    hour = day["time"].to_numpy()
    moved = flexible * demand * ((hour >= 6) & (hour < 22))
    most = 10.0 * demand.max()
    return LocalProblems(
        demand=demand,
        trade=Boxed(lower=-most, upper=most),
        outside=(
            Boxed(lower=0.0, upper=most, cost=day["price_buy_eur_per_mwh"].to_numpy()),
            Boxed(lower=-most, upper=0.0, cost=day["price_sell_eur_per_mwh"].to_numpy()),
        ),
        inside=(Boxed(lower=0.0, upper=sun),),
        storage=StorageData(
            charge_max=rated("max_p_mw"), discharge_max=rated("min_p_mw"),
            energy_max=rated("max_e_mwh"), energy_min=rated("min_e_mwh"),
            charge_efficiency=0.95, discharge_efficiency=0.94, charge_cost=3.0, discharge_cost=3.0,
        ),
        shift=ShiftData(up_max=moved, down_max=moved, up_cost=5.0),
        step_h=float(hour[1] - hour[0]),
    )  # fmt: skip
