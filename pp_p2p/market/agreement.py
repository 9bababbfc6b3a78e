"""A day's quantities without a centre: participants and operator agree on copies.

Two blocks of `pp_p2p.algorithms.two_block`: all participants on one side; on the other the operator
with the network, and trades in closed form. They agree on trades and on boundary power:

    min  sum_a C_a(e_a, P_a) + fees(h) + w C_0(T)   s.t.  e = h, P = T, sum_a h_a = 0      (1)

which is (1)-(7) of `pp_p2p.market.clearing` cut into pieces. The multipliers are prices: of a
trade, and of drawing power at a port.

Rest is proved, not guessed. With the multipliers y of any iteration, every participant's best
answer to the prices bounds the least cost from below,

    sum_a min[C_a - y'(e_a, P_a)] + fees(h) + w C_0(T) + y'(h, T)  <=  least cost           (2)

(h and T answer y by the way it is made). From above, the iterate is repaired: trades h that sum to
zero, each participant's schedule around them near T, the network under just that power. The scheme
ends when both bounds meet: within a part of the cost, and of what is gained by trading, which is
all that is split. On the way steps are accelerated (`pp_p2p.algorithms.acceleration`): once the
limits that hold are found, few are left.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from pp_p2p.algorithms.consensus import Balancing, History, Rest, Stop, run
from pp_p2p.algorithms.coupling import boundary
from pp_p2p.algorithms.two_block import (
    Message,
    Penalty,
    Reply,
    TwoBlockState,
    start,
    stepper,
)
from pp_p2p.errors import NotConverged
from pp_p2p.market.agent_answers import Ask, Told
from pp_p2p.market.agents import Agents
from pp_p2p.market.clearing import ALONE_WEIGHT, ClearingData
from pp_p2p.market.distributed import Distributed
from pp_p2p.market.network_side import Hosted, NetworkData, NetworkSide, Served
from pp_p2p.market.trade_forms import TradeForm, is_pairwise, trade_form
from pp_p2p.network.branches import Array
from pp_p2p.network.formulation import Formulation
from pp_p2p.solve.report import SolverConfig

ABSOLUTE: Final = 1e-9
RELATIVE: Final = 1e-7
"""Residuals, p.u. and relative, at which the scheme ends whatever the bounds."""

SPREAD: Final = 0.1
STEEP: Final = 0.6
"""Least spread of prices that a first penalty is made of, relative to the price; and the part of
spread over usual power that it is. Costs are kinked at the prices of the grid: a penalty much
stiffer creeps towards a kink, one much softer jumps over it."""

SMALLEST: Final = 1e-6
"""Least scale of power (p.u.) and of prices (EUR per p.u.)."""

HOPEFUL: Final = 30.0
"""Multiple of the room within which an estimate of the gap makes a repair worth its time."""

ROUNDS: Final = 6
STIFF: Final = 30.0
"""A repair: most rounds, and its penalty relative to the scheme's."""

MARGIN: Final = 2e-6
WIDER: Final = 4.0
"""How far within its limits the network looks for a power that holds (squared voltage, p.u.;
relative for currents), and how much farther with every round."""

DEPTH: Final = 10
"""Points that the acceleration mixes."""

LOOSE: Final = 5e4
"""Multiple of the residuals' limits within which the bounds are looked at."""


@dataclass(frozen=True, kw_only=True)
class Agreed:
    """What all have agreed on, repaired.

    Parameters
    ----------
    trades : (seller, buyer, hour), p.u.
    worth : (participant, hour)
        What a unit is worth to each, EUR per p.u. and step; None where nobody trades.
    told : Told
        Answer of the participants, schedules included.
    hosted : Hosted
        The network under their power.
    network : NetworkSide
    lower, upper : float
        Proven bounds of the least social cost, EUR; `upper` is that of this point.
    history : History
    reason : str
        Which test ended the scheme.
    proved : bool
        Whether the bounds met within the tolerance.
    """

    trades: Array
    worth: Array | None
    told: Told
    hosted: Hosted
    network: NetworkSide
    lower: float
    upper: float
    history: History
    reason: str
    proved: bool


class DistributedClearing:
    """Participants and operator of a day, to be brought to agreement.

    Parameters
    ----------
    data : ClearingData
    formulation : Formulation
    options : Distributed
    config : SolverConfig

    Raises
    ------
    InvalidInput, UnsupportedFeature
        The form does not know the day's fees or limits.
    """

    def __init__(
        self,
        data: ClearingData,
        formulation: Formulation,
        options: Distributed,
        config: SolverConfig,
    ) -> None:
        self._data, self._formulation, self._options = data, formulation, options
        self._config = config
        self._in_pairs = is_pairwise(data, options.form)
        self.agents = Agents.of(
            data, config, group_size=options.group_size, executor=options.executor
        )
        self.network_data = NetworkData.of(data, self.agents.ports)
        self._networks: dict[float, NetworkSide] = {}

    def solve(
        self,
        *,
        trading: bool,
        without: int | None = None,
        operator_weight: float = ALONE_WEIGHT,
        cost_alone: Array | None = None,
    ) -> Agreed:
        """Return what is agreed; other arguments are those of `pp_p2p.market.clearing.build`.

        With `cost_alone` (account,), EUR, the bounds have to meet within a part of the gain, too.

        Raises
        ------
        NoSolution
            A participant without any schedule, or a network that holds under no boundary power.
        NotConverged
            With the history of residuals.
        """
        outside = not trading or self._data.mechanism.operator == "outside"
        weight = operator_weight if outside else 1.0
        reference = np.inf
        if cost_alone is not None:
            reference = float(cost_alone[:-1].sum() + weight * cost_alone[-1])
        form = self._form(trading=trading, without=without)
        room = self._options.room(reference)
        return _Run(
            self._data, self.agents, self._network(weight), form, self._options, room
        ).agreed()

    def _network(self, weight: float) -> NetworkSide:
        if weight not in self._networks:
            self._networks[weight] = NetworkSide(
                self.network_data, self._formulation, weight, self._config
            )
        return self._networks[weight]

    def _form(self, *, trading: bool, without: int | None) -> TradeForm:
        most = self.agents.most_trade * float(trading)
        if without is not None:
            most[without] = 0.0
        return trade_form(self._data, most, in_pairs=self._in_pairs)


class _Run:
    """One way to agreement."""

    def __init__(
        self,
        data: ClearingData,
        agents: Agents,
        network: NetworkSide,
        form: TradeForm,
        options: Distributed,
        room: Callable[[float], float],
    ) -> None:
        self._data, self._agents, self._network = data, agents, network
        self._form, self._options, self._room = form, options, room
        self._trades = form.part()
        self._best: _Repaired | None = None
        self._lower = -np.inf

    def agreed(self) -> Agreed:
        """Iterate until both bounds meet."""
        o = self._options
        parts = tuple(p for p in (self._trades, boundary(self._network.second)) if p is not None)
        step = stepper(
            self._form.proposing(self._local), parts, relaxation=o.relaxation, listen=o.listen
        )
        rest = run(
            step,
            self._start(),
            stop=Stop(
                absolute=ABSOLUTE,
                relative=RELATIVE,
                loose=LOOSE,
                room=self._room,
                max_iterations=o.max_iterations,
            ),
            balancing=Balancing(),
            bounds=self._bounds,
        )
        state = rest.state
        if rest.reason != "bounds":
            self._bounds(state)
        if self._best is None:
            raise NotConverged(
                f"after {rest.iterations} iterations the network does not hold under what the "
                "participants do; use a smaller tolerance",
                history=rest.history.scaled,
                last=state,
            )
        return self._published(rest)

    def _local(
        self, targets: tuple[Array, ...], penalties: tuple[Penalty, ...], memory: Any
    ) -> Reply:
        terms: dict[str, Any] = {
            "boundary_cost": -penalties[-1] * targets[-1],
            "boundary_curvature": penalties[-1],
        }
        if self._trades is None:
            terms["fixed_trade"] = self._form.position(None)
        else:
            terms |= {"trade_cost": -penalties[0] * targets[0], "trade_curvature": penalties[0]}
        told = self._agents.answer(Ask(**terms), memory)
        power = (told.boundary,)
        return Reply(power if self._trades is None else (told.trade, *power), None, told.memory)

    def _start(self) -> TwoBlockState:
        """Return the state at the middle of the prices, with a penalty of their spread."""
        data, agents = self._data, self._agents
        line = data.line
        buy, sell = (
            data.step_mwh * (line.weight @ price.reshape(line.n_days, -1))
            for price in (data.price_buy, data.price_sell)
        )
        penalty = self._options.penalty
        if penalty is None:
            alone = agents.answer(Ask(fixed_trade=np.zeros((agents.n, agents.n_hours))))
            usual = float(np.sqrt(np.mean(alone.boundary**2)))
            spread = max(float((buy - sell).mean()), SPREAD * float(np.abs(buy).mean()), SMALLEST)
            self._tell(0, "usual power", usual)
            penalty = STEEP * spread / max(usual, SMALLEST)
        else:
            penalty *= data.line.step_h * data.grid.s_base_mva**2
        ports = (len(agents.ports.agent), agents.n_steps)
        if self._form.shape is None:
            return start((ports,), penalty, depth=DEPTH)
        middle = -0.5 * (buy + sell)
        shapes = (self._form.shape, ports)
        return start(shapes, penalty, multipliers=(middle, 0.0), depth=DEPTH)

    def _bounds(self, state: TwoBlockState) -> tuple[float, float]:
        """Return (2) and the cost of the best repaired point so far."""
        copies, trade_price = (None, None) if self._trades is None else (state.z[0], state.y[0])
        target, price = state.z[-1], state.y[-1]
        priced, value = self._form.relaxed(copies, trade_price)
        told = self._agents.answer(dataclasses.replace(priced, boundary_cost=-price))
        best_answers = float(
            told.cost.sum() - (price * told.boundary).sum() + (priced.trade_cost * told.trade).sum()
        )
        served: Served = state.memories[-1]
        hosting = served.cost
        lower = best_answers + value + hosting + float((price * target).sum())
        self._lower = max(self._lower, lower)
        position = self._form.position(copies)
        near = self._follow(position, price, target, state.penalty)
        fees, own = self._form.fees(copies), float(near.told.cost.sum())
        self._tell(state.iteration, "sums of costs", best_answers, own)
        total = own + fees + hosting  # of copies that differ by the residual
        hopeful = total - self._lower <= HOPEFUL * self._room(total)
        rounds = ROUNDS if hopeful else 1
        if (found := self._repair(near, state.penalty, rounds=rounds)) is None:
            return self._lower, np.inf if self._best is None else self._best.cost
        ask, told, hosted = found
        cost = float(told.cost.sum()) + fees + hosted.cost
        if self._best is None or cost < self._best.cost:
            worth = None if trade_price is None else self._form.worth(trade_price)
            hosted = hosted._replace(duals=served.duals)
            self._best = _Repaired(ask, hosted, cost, self._form.trades(copies), worth)
        return self._lower, self._best.cost

    def _follow(self, position: Array, price: Array, target: Array, penalty: float) -> _Near:
        """Return the participants' answer near `target`, their trades given."""
        ask = Ask(
            fixed_trade=position,
            boundary_cost=-price - penalty * target,
            boundary_curvature=penalty,
        )
        return _Near(ask, self._agents.answer(ask), price, target)

    def _repair(
        self, near: _Near, penalty: float, *, rounds: int
    ) -> tuple[Ask, Told, Hosted] | None:
        """Return a point that participants and network agree on; None where none is near.

        Where the network does not hold under what participants do, both go on with their trades
        given, a stiffer penalty, and the network a little within its limits.
        """
        stiff = STIFF * penalty
        for k in range(rounds):
            if (hosted := self._network.host(near.told.boundary)) is not None:
                return near.ask, near.told, hosted
            if k + 1 == rounds:
                break
            power = near.told.boundary
            margin = MARGIN * WIDER**k
            target = self._network.inside(power - near.price / stiff, stiff, margin)
            price = near.price + stiff * (target - power)
            position = near.ask.fixed_trade
            assert position is not None
            near = self._follow(position, price, target, stiff)
        return None

    def _published(self, rest: Rest[TwoBlockState]) -> Agreed:
        """Ask for the schedules of the best point."""
        best = self._best
        assert best is not None
        told = self._agents.answer(dataclasses.replace(best.ask, schedule=True))
        if self._options.listen is not None:
            k = rest.iterations
            self._options.listen(Message(k, "agents", "coordinator", "cost", told.cost))
        return Agreed(
            trades=best.trades,
            worth=best.worth,
            told=told,
            hosted=best.hosted,
            network=self._network,
            lower=self._lower,
            upper=best.cost,
            history=rest.history,
            reason=rest.reason,
            proved=best.cost - self._lower <= self._room(best.cost),
        )

    def _tell(self, iteration: int, what: str, *sums: float) -> None:
        if self._options.listen is not None:
            values = np.array(sums)
            self._options.listen(Message(iteration, "agents", "coordinator", what, values))


class _Near(NamedTuple):
    """Participants' answer `told` to `ask`: near `target`, at `price` of boundary power."""

    ask: Ask
    told: Told
    price: Array
    target: Array


@dataclass(frozen=True)
class _Repaired:
    ask: Ask
    hosted: Hosted
    cost: float
    trades: Array
    worth: Array | None
