"""Games of sellers and buyers: reference values, uniqueness and regret, cycles, bad input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pp_p2p.algorithms.elasticity import lossless_elasticity, respond
from pp_p2p.algorithms.followers import Followers
from pp_p2p.algorithms.leaders import Sellers, lead
from pp_p2p.algorithms.price_game import PriceGame, search_regret
from pp_p2p.algorithms.quantity_game import QuantityGame
from pp_p2p.algorithms.quantity_leaders import lead_by_quantity
from pp_p2p.algorithms.replicator import imitate
from pp_p2p.errors import InvalidInput, NotConverged

REFERENCE = {
    "intercept": np.array([10.0, 9.0]),
    "slope": np.array([2.0, 2.0]),
    "cross": np.array([[0.0, 0.8], [0.6, 0.0]]),
    "cost": np.array([1.0, 1.5]),
    "cost_slope": np.array([0.1, 0.2]),
    "low": np.zeros(2),
    "high": np.full(2, 10.0),
}


def random_game(seed: int, *, push: float = 1.0) -> PriceGame:
    """Return a game of 2 to 8 sellers; `push` above 1 breaks the uniqueness condition."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 9))
    slope, bend = rng.uniform(0.5, 4.0, n), rng.uniform(0.0, 1.0, n) * rng.integers(0, 2, n)
    binds = bool(rng.integers(0, 2))
    cross = rng.uniform(0.1, 1.0, (n, n))
    np.fill_diagonal(cross, 0.0)
    room = slope if binds else slope * (2 + bend * slope) / (1 + bend * slope)
    part = rng.uniform(0.1, 0.95) if push == 1.0 else push
    cross *= (part * room / cross.sum(axis=1))[:, None]
    return PriceGame(
        intercept=rng.uniform(5.0, 20.0, n),
        slope=slope,
        cross=cross,
        cost=rng.uniform(0.0, 4.0, n),
        cost_slope=bend,
        low=np.zeros(n),
        high=rng.uniform(4.0, 30.0, n),
        capacity=rng.uniform(0.5, 8.0, n) if binds else np.full(n, np.inf),
    )


def stacked(games: list[PriceGame]) -> list[PriceGame]:
    """Return the games of the same number of sellers as one each, with a leading axis."""
    by_size: dict[int, list[PriceGame]] = {}
    for game in games:
        by_size.setdefault(len(game.slope), []).append(game)
    names = (*REFERENCE, "capacity")
    return [
        PriceGame(**{name: np.stack([getattr(g, name) for g in group]) for name in names})
        for group in by_size.values()
    ]


def test_reference_vector_of_the_price_game() -> None:
    game = PriceGame(**REFERENCE)
    for price, _ in (game.solve(), game.gauss_seidel()):
        np.testing.assert_allclose(price, [4.04536862, 3.95793951], atol=1e-8)
        np.testing.assert_allclose(game.demand(price), [5.07561437, 3.51134216], atol=1e-8)
        np.testing.assert_allclose(game.profit(price), [14.169024, 7.397714], atol=1e-6)
        assert game.regret(price).max() < 1e-9
    assert game.margin() > 0


@pytest.mark.parametrize("law", ["linear", "power"])
def test_reference_of_elastic_load(law: Any) -> None:
    load = np.array([10.0, 20.0, 30.0])
    cross = np.array([[0, 0.03, 0.02], [0.04, 0, 0.05], [0.02, 0.06, 0]])
    e = lossless_elasticity(load, cross)
    np.testing.assert_allclose(np.diag(e), [-0.14, -0.105, -0.04], atol=1e-12)
    d = respond(load, e, np.array([1.1, 0.8, 1.3]), np.ones(3), law=law)
    if law == "linear":
        np.testing.assert_allclose(d, [9.86, 20.8, 29.34], atol=1e-12)
        assert d.sum() == pytest.approx(60.0, abs=1e-12)
    else:
        np.testing.assert_allclose(d, [9.86, 20.8, 29.34], rtol=0.03)


def test_limits_of_elastic_load_keep_its_energy() -> None:
    load = np.array([10.0, 20.0, 30.0])
    e = lossless_elasticity(load, np.full((3, 3), 0.4))
    price = np.array([4.0, 0.5, 1.0])  # the first hour would go below 0
    free = load * (1 + e @ (price - 1))
    assert free.min() < 0
    d = respond(load, e, price, np.ones(3), most=np.full(3, 45.0))
    assert d.min() >= 0
    assert d.max() <= 45.0
    assert d.sum() == pytest.approx(60.0, abs=1e-9)


def test_single_leader_has_its_closed_form() -> None:
    """(u - p) / theta from every buyer: p* = (sum u/theta + b sum 1/theta) / (2 sum 1/theta)."""
    rng = np.random.default_rng(3)
    theta, worth, cost = rng.uniform(1, 3, 6), rng.uniform(9, 11, 6), 4.0
    buyers = Followers(
        worth=worth[None, :, None], own=theta[None], shared=np.zeros((1, 6)),
        need=np.full((1, 6), 100.0),
    )  # fmt: skip
    one = np.ones((1, 1))
    sellers = Sellers(
        cost=cost * one, cost_slope=0 * one, low=0 * one, high=20 * one, capacity=1e3 * one,
        spare=0 * one, spare_cost=0 * one,
    )  # fmt: skip
    expected = ((worth / theta).sum() + cost * (1 / theta).sum()) / (2 * (1 / theta).sum())
    assert lead(sellers, buyers).price[0, 0] == pytest.approx(expected, abs=1e-9)


def test_two_hundred_games_that_meet_the_condition_have_no_regret() -> None:
    tried = 0
    for game in stacked([random_game(seed) for seed in range(200)]):
        tried += len(game.slope)
        assert (game.margin() > 0).all()
        direct, _ = game.solve()
        swept, _ = game.gauss_seidel()
        np.testing.assert_allclose(direct, swept, atol=1e-7)
        other, _ = game.gauss_seidel(game.high)
        np.testing.assert_allclose(other, swept, atol=1e-7)
        turnover = (direct * game.demand(direct)).sum(axis=1)
        assert (turnover > 0).all()
        assert (game.regret(direct).max(axis=1) <= 1e-6 * turnover).all()
    assert tried == 200


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), push=st.floats(1.02, 3.0))
def test_games_that_break_the_condition_are_told(seed: int, push: float) -> None:
    assert random_game(seed, push=push).margin() < 0


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_regret_finds_whoever_could_do_better(seed: int) -> None:
    game = random_game(seed)
    price, _ = game.solve()
    moved = price + 0.05 * (game.high - price)
    worse = game.best_response(moved)
    at = np.argmax(np.abs(worse - moved))
    known = moved.copy()
    known[at] = worse[at]
    gain = game.profit(known)[at] - game.profit(moved)[at]
    assert game.regret(moved)[at] >= gain - 1e-6 * abs(gain)


def test_a_game_that_cycles_shows_its_cycle() -> None:
    """One follows the other, who runs away: no rest for large cross effects of unlike sign."""
    game = PriceGame(
        intercept=np.array([10.0, 10.0]),
        slope=np.ones(2),
        cross=np.array([[0.0, 30.0], [-30.0, 0.0]]),
        cost=np.zeros(2),
        cost_slope=np.zeros(2),
        low=np.zeros(2),
        high=np.full(2, 1.0),
    )
    assert game.margin() < 0
    with pytest.raises(NotConverged, match=r"circle of \d points: \(") as caught:
        PriceGame(
            **{
                **{k: getattr(game, k) for k in REFERENCE},
                "cross": np.array([[0.0, 1.9], [-8.0, 0.0]]),
                "intercept": np.array([0.0, 9.0]),
                "high": np.full(2, 10.0),
            }
        ).gauss_seidel()
    assert caught.value.last.shape[0] >= 2


def test_leaders_without_an_equilibrium_show_their_cycle() -> None:
    """Fees that differ much between pairs: it pays in turn to let buyers go and to win them."""
    with pytest.raises(NotConverged, match=r"step 0 runs in a circle of \d points") as caught:
        lead(*random_market(4, hours=1, fee=40.0))
    assert "quantities" in str(caught.value)
    assert lead_by_quantity(*random_market(4, hours=1, fee=40.0)).seller_regret.max() < 1e-9


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"slope": np.array([-1.0, 2.0])}, "rises with the seller's own price"),
        ({"low": np.array([11.0, 0.0])}, "price limits cross"),
        ({"cross": np.eye(2)}, "diagonal"),
        ({"cost": np.array([np.nan, 0.0])}, "finite"),
    ],
)
def test_bad_games_are_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        PriceGame(**{**REFERENCE, **change})


@pytest.mark.parametrize(
    ("e", "price", "says"),
    [
        (np.diag([0.1, -0.1]), [1.0, 1.0], "rises with its own price"),
        (np.array([[-0.1, 0.5], [0.0, -0.1]]), [1.0, 1.0], "creates energy"),
        (np.array([[-0.1, -0.5], [0.0, -0.1]]), [1.0, 1.0], "negative off the diagonal"),
        (np.diag([-0.1, -0.1]), [0.0, 1.0], "not above 0"),
        (np.diag([-0.1]), [1.0, 1.0], "shape"),
    ],
)
def test_bad_elasticities_are_refused(e: Any, price: list[float], says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        respond(np.ones(2), e, np.array(price), np.ones(2))


def random_market(
    seed: int, hours: int = 3, buyers: int = 4, sellers: int = 3, *, fee: float = 4.0
) -> tuple[Sellers, Followers]:
    """Return a market in which a need never binds, as `pp_p2p.market.stackelberg` makes it."""
    rng = np.random.default_rng(seed)
    shape, like = (hours, sellers), rng.uniform(0.0, 0.9)
    need = rng.uniform(0.01, 0.1, (hours, buyers))
    sale = np.repeat(rng.uniform(40, 80, hours)[:, None], sellers, axis=1)
    worth = (sale[:, :1] + 100.0)[..., None] - rng.uniform(0, fee, (hours, buyers, sellers))
    theta = (worth.max(-1) - sale[:, :1]) * sellers / (need * (1 + (sellers - 1) * like))
    return (
        Sellers(
            cost=sale,
            cost_slope=np.zeros(shape),
            low=sale,
            high=sale + 100.0,
            capacity=rng.uniform(0.2, 1.5, shape) * buyers / sellers * 0.05,
            spare=np.zeros(shape),
            spare_cost=np.zeros(shape),
        ),
        Followers(worth=worth, own=theta * (1 - like), shared=theta * like, need=need),
    )


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.booleans())
def test_buyers_choose_best_and_sales_are_linear(seed: int, bound: bool) -> None:
    rng = np.random.default_rng(seed)
    _, buyers = random_market(seed)
    if bound:  # some needs bind
        buyers = Followers(worth=buyers.worth, own=buyers.own, shared=buyers.shared,
                           need=buyers.need * rng.uniform(0, 0.5, buyers.need.shape))  # fmt: skip
    price = buyers.worth.min(axis=1) - rng.uniform(-5, 60, (3, 3))
    amount, _ = buyers.respond(price)
    assert (amount >= 0).all()
    assert (amount.sum(-1) <= buyers.need * (1 + 1e-9)).all()
    assert buyers.regret(amount, price).max() < 1e-9
    for _ in range(5):  # no other choice is better
        other = amount * rng.uniform(0, 1, amount.shape)
        assert (buyers.utility(other, price) <= buyers.utility(amount, price) + 1e-12).all()
    a, b, g = buyers.linear_demand(price)
    linear = a - b * price + np.einsum("hik,hk->hi", g, price)
    np.testing.assert_allclose(linear, amount.sum(axis=1), atol=1e-9)
    tried = price[..., None] + rng.uniform(-40, 40, (3, 3, 2))
    found = buyers.demand_if(price, tried)
    for i in range(3):
        for k in range(2):
            moved = price.copy()
            moved[:, i] = tried[:, i, k]
            np.testing.assert_allclose(found[:, i, k], buyers.demand(moved)[:, i], atol=1e-9)
    assert (buyers.demand_bound(price, tried) >= found - 1e-9).all()


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6))
def test_leaders_and_followers_have_no_regret(seed: int) -> None:
    sellers, buyers = random_market(seed)
    led = lead(sellers, buyers)
    turnover = led.turnover.sum()
    assert led.seller_regret.max() <= 1e-6 * turnover
    assert led.buyer_regret.max() <= 1e-6 * turnover
    assert (led.margin > 0).all()
    assert (led.amount.sum(axis=1) <= sellers.capacity * (1 + 1e-6)).all()

    def earned(price: Any) -> Any:  # the regret test once more, buyers answering anew
        out = np.empty(price.shape)
        for i in range(price.shape[1]):
            for k in range(price.shape[2]):
                moved = led.price.copy()
                moved[:, i] = price[:, i, k]
                sold = buyers.demand(moved)[:, i, None, None]
                own = sellers.hours(np.arange(3))
                full = np.broadcast_to(sold, (3, price.shape[1], 1))
                out[:, i, k] = own.profit(price[:, :, [k]], full)[:, i, 0]
        return out

    again = search_regret(earned, led.price, sellers.low, sellers.high, rounds=3, grid=9)
    assert again.max() <= 1e-6 * turnover


def test_quantities_are_the_top_of_their_potential() -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(1, 6))
        root = rng.normal(size=(n, n))
        game = QuantityGame(
            choke=rng.uniform(5, 10, n), steep=root @ root.T + 0.1 * np.eye(n),
            cost=rng.uniform(0, 3, n), cost_slope=rng.uniform(0, 1, n),
            capacity=rng.uniform(0.1, 3, n),
        )  # fmt: skip
        q, _ = game.solve()
        assert game.regret(q).max() < 1e-9
        bend = game.steep + np.diag(np.diag(game.steep)) + np.diag(game.cost_slope)

        def top(x: Any, game: QuantityGame = game, bend: Any = bend) -> float:
            return float((game.choke - game.cost) @ x - 0.5 * x @ bend @ x)

        for _ in range(50):
            assert top(rng.uniform(0, game.capacity)) <= top(q) + 1e-12


def test_quantity_competition_has_an_equilibrium_where_energy_is_nearly_alike() -> None:
    sellers, buyers = random_market(5, fee=0.0)
    theta = buyers.own + buyers.shared
    alike = Followers(worth=buyers.worth, own=theta * 1e-3, shared=theta * 0.999, need=buyers.need)
    led = lead_by_quantity(sellers, alike)
    assert led.seller_regret.max() <= 1e-6 * led.turnover.sum()
    by_price = lead(sellers, buyers)
    assert led.price.mean() > sellers.low.mean()  # capacities keep prices above the grid's
    assert by_price.turnover.sum() > 0


def test_replicator_dynamics_come_to_the_buyers_best_choice() -> None:
    for seed in range(3):
        sellers, buyers = random_market(seed)
        led = imitate(sellers, buyers)
        assert led.seller_regret.max() <= 1e-3 * led.turnover.min()
        chosen, _ = buyers.respond(led.price)
        np.testing.assert_allclose(led.amount, chosen, atol=0.02 * buyers.need.max())


@pytest.mark.slow
def test_a_hundred_sellers_and_a_thousand_buyers_clear() -> None:
    sellers, buyers = random_market(0, hours=24, buyers=1000, sellers=100)
    led = lead(sellers, buyers)
    assert led.seller_regret.max() <= 1e-6 * led.turnover.sum()
    assert led.buyer_regret.max() <= 1e-6 * led.turnover.sum()
