"""Laws of the indices on random nets, and an answer found by switching fault by fault."""

from __future__ import annotations

import copy
from typing import Any

import networkx as nx
import numpy as np
import pandapower as pp
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from planning import reliability_indices
from planning.interruption_indices import Isolators
from planning.reliability import Faults, energy_not_served
from pp_p2p import set_customers

FEW = settings(max_examples=12, deadline=None, derandomize=True, database=None)
MORE = settings(FEW, max_examples=25)
SEEDS = st.integers(min_value=0, max_value=10**6)
EMPTY = pp.create_empty_network()
KINDS = ("CB", "fuse", "LBS", "DS", None)
SYSTEM = ("saifi_per_year", "saidi_h_per_year", "eens_mwh_per_year", "asai_pu")


def _random_net(seed: int) -> Any:
    """Return a radial net of 1 or 2 sources with devices, ties, dead ends and transformers."""
    rng = np.random.default_rng(seed)
    n_sources, n_more = int(rng.integers(1, 3)), int(rng.integers(2, 12))
    n = n_sources + n_more
    lines, switches, trafos, loads, low = [], [], [], [], []
    for bus in range(n_sources, n):
        parent = int(rng.integers(bus))
        if rng.random() < 0.15:
            switches.append((parent, bus, "b", rng.choice(KINDS), True))
            continue
        switches += [
            (end, len(lines), "l", rng.choice(KINDS), True)
            for end in (parent, bus)
            if rng.random() < 0.4
        ]
        lines.append((parent, bus, float(rng.uniform(0.1, 1.0))))
    for bus in range(n_sources, n):
        at = bus
        if rng.random() < 0.3:
            at = n + len(low)
            if rng.random() < 0.5:
                switches.append((bus, len(trafos), "t", rng.choice(KINDS), True))
            trafos.append((bus, at))
            low.append(0.4)
        if rng.random() < 0.8:
            loads.append((at, float(rng.uniform(0.001, 0.01))))
    loads.append((n_sources, 0.002))
    for _ in range(int(rng.integers(0, 4))):
        a, b = (int(bus) for bus in rng.choice(n, 2, replace=False))
        if rng.random() < 0.4:
            switches.append((a, b, "b", "LBS", False))
            continue
        for bus, closed in ((a, False), (b, bool(rng.random() < 0.5))):
            switches.append((bus, len(lines), "l", rng.choice(KINDS), closed))
        lines.append((a, b, 0.5))
    net = copy.deepcopy(EMPTY)
    pp.create_buses(net, n + len(low), [20.0] * n + low)
    for bus in range(n_sources):
        pp.create_ext_grid(net, bus)
    _fill(net, lines, switches, trafos, loads)
    _set_rates(net, rng)
    set_customers(net, customers=rng.integers(1, 50, len(net.load)).tolist())
    return net


def _fill(net: Any, lines: list, switches: list, trafos: list, loads: list) -> None:
    """Create many rows at once: one by one takes most of the time of a test."""
    if lines:
        a, b, km = zip(*lines, strict=True)
        pp.create_lines_from_parameters(net, a, b, km, 0.2, 0.2, 0.0, 9999.0)
    for high, at in trafos:
        pp.create_transformer(net, high, at, std_type="0.63 MVA 20/0.4 kV")
    if switches:
        bus, element, et, kind, closed = zip(*switches, strict=True)
        pp.create_switches(net, bus, element, et=et, type=kind, closed=closed)
    pp.create_loads(net, [bus for bus, _ in loads], p_mw=[mw for _, mw in loads])


def _tie(net: Any, a: int, b: int) -> None:
    pp.create_switch(net, a, b, et="b", type="LBS", closed=False)


def _set_rates(net: Any, rng: np.random.Generator) -> None:
    for table, column in (("line", "failure_rate_per_km_year"), ("trafo", "failure_rate_per_year")):
        n = len(net[table])
        net[table][column] = rng.uniform(0.01, 0.5, n) * (rng.random(n) < 0.9)
        net[table]["switching_time_h"] = rng.uniform(0.2, 2.0, n)
        net[table]["repair_time_h"] = rng.uniform(0.5, 10.0, n)


def _hours(net: Any, **options: Any) -> np.ndarray:
    return reliability_indices(net, **options)["unavailability_h_per_year"].to_numpy()


class _Operator:
    """Finds out what a fault does by tripping, opening and closing switches one at a time."""

    def __init__(self, net: Any, isolators: Isolators) -> None:
        self.net, self.graph = net, nx.Graph()
        roots = set(net.ext_grid.bus)
        self.links: list[tuple[Any, Any, str, bool]] = []
        for table, ends in (("line", ("from_bus", "to_bus")), ("trafo", ("hv_bus", "lv_bus"))):
            for row in net[table].index:
                for end in ends:
                    bus = int(net[table].at[row, end])
                    here = (net.switch.element == row) & (net.switch.bus == bus)
                    mine = net.switch[here & (net.switch.et == table[0])]
                    kind = "isolator" if isolators == "every_branch" else "solid"
                    if len(mine):
                        kind = {"CB": "protection", "fuse": "protection"}.get(
                            str(mine.type.iloc[0]), "isolator"
                        )
                    if self._busbar(bus, roots):
                        kind = "protection"
                    closed = bool(mine.closed.all())
                    self.links.append((("bus", bus), (table, int(row)), kind, closed))
        for _, s in net.switch[net.switch.et == "b"].iterrows():
            kind = "protection" if s.type in {"CB", "fuse"} else "isolator"
            self.links.append((("bus", s.bus), ("bus", s.element), kind, bool(s.closed)))
        for one, two, *_ in self.links:
            self.graph.add_nodes_from([one, two])
        self.roots = [("bus", int(bus)) for bus in roots]

    def _busbar(self, bus: int, roots: set[int]) -> bool:
        coupled = nx.Graph()
        coupled.add_nodes_from(self.net.bus.index)
        joined = self.net.switch[(self.net.switch.et == "b") & self.net.switch.closed]
        coupled.add_edges_from(zip(joined.bus, joined.element, strict=True))
        fed = set().union(*(nx.node_connected_component(coupled, root) for root in roots))
        behind = set()
        for row in self.net.trafo.index:
            on = self.net.switch.query("et == 't' and element == @row").closed.all()
            if on and int(self.net.trafo.hv_bus[row]) in fed:
                low = int(self.net.trafo.lv_bus[row])
                behind |= nx.node_connected_component(coupled, low)
        return bus in fed | behind

    def _connected(self, start: list[Any], without: set[Any], kinds: set[str], ties: bool) -> set:
        graph = nx.Graph()
        graph.add_nodes_from(self.graph.nodes)
        graph.add_edges_from(
            (one, two)
            for one, two, kind, closed in self.links
            if kind in kinds and (closed or (ties and kind != "solid"))
        )
        graph.remove_nodes_from(without)
        found: set[Any] = set()
        for vertex in start:
            if vertex in graph:
                found |= nx.node_connected_component(graph, vertex)
        return found

    def indices(self) -> tuple[np.ndarray, np.ndarray]:
        """Return interruptions and hours of every load."""
        every = {"solid", "isolator", "protection"}
        at = [("bus", int(bus)) for bus in self.net.load.bus]
        rate, hours = np.zeros(len(at)), np.zeros(len(at))
        normal = self._connected(self.roots, set(), every, False)
        for table in ("line", "trafo"):
            for row, data in self.net[table].iterrows():
                fault = (table, int(row))
                if fault not in normal:
                    continue
                often = (
                    data.failure_rate_per_km_year * data.length_km
                    if table == "line"
                    else data.failure_rate_per_year
                )
                zone = self._connected([fault], set(), {"solid", "isolator"}, False)
                section = self._connected([fault], set(), {"solid"}, False)
                tripped = self._connected(self.roots, zone, every, False)
                switched = self._connected(self.roots, section, every, True)
                for k, bus in enumerate(at):
                    if bus in tripped:
                        continue
                    switching = min(data.switching_time_h, data.repair_time_h)
                    rate[k] += often
                    hours[k] += often * (switching if bus in switched else data.repair_time_h)
        return rate, hours


@pytest.mark.parametrize("isolators", ["switches", "every_branch"])
@MORE
@given(seed=SEEDS)
def test_fault_by_fault(isolators: Isolators, seed: int) -> None:
    net = _random_net(seed)
    if seed % 3 == 0:
        net.switch["closed"] = True  # loops, and sources in parallel
    rate, hours = _Operator(net, isolators).indices()
    ds = reliability_indices(net, isolators=isolators)
    np.testing.assert_allclose(ds["failure_rate_per_year"], rate, atol=1e-12)
    np.testing.assert_allclose(ds["unavailability_h_per_year"], hours, atol=1e-12)


@FEW
@given(seed=SEEDS)
def test_more_devices_never_harm(seed: int) -> None:
    net = _random_net(seed)
    rng = np.random.default_rng(seed + 1)
    before = reliability_indices(net)
    for _ in range(4):
        line = int(rng.choice(net.line.index))
        bus = int(net.line.at[line, str(rng.choice(["from_bus", "to_bus"]))])
        pp.create_switch(net, bus, line, et="l", type=rng.choice(KINDS))
        after = reliability_indices(net)
        for name in ("failure_rate_per_year", "unavailability_h_per_year"):
            assert (after[name] <= before[name] + 1e-12).all()
        before = after


@FEW
@given(seed=SEEDS)
def test_tie_never_harms(seed: int) -> None:
    net = _random_net(seed)
    rng = np.random.default_rng(seed + 2)
    before = reliability_indices(net)
    for _ in range(3):
        _tie(net, *(int(b) for b in rng.choice(net.bus.index, 2, replace=False)))
        after = reliability_indices(net)
        np.testing.assert_array_equal(
            after["failure_rate_per_year"], before["failure_rate_per_year"]
        )
        name = "unavailability_h_per_year"
        assert (after[name] <= before[name] + 1e-12).all()
        before = after


@FEW
@given(seed=SEEDS, factor=st.floats(min_value=0.01, max_value=50.0))
def test_indices_are_linear_in_the_rates(seed: int, factor: float) -> None:
    net = _random_net(seed)
    one = reliability_indices(net)
    net.line["failure_rate_per_km_year"] *= factor
    net.trafo["failure_rate_per_year"] *= factor
    two = reliability_indices(net)
    for name in ("saifi_per_year", "saidi_h_per_year", "eens_mwh_per_year"):
        assert float(two[name]) == pytest.approx(factor * float(one[name]), rel=1e-9)
    assert float(two["asai_pu"]) == pytest.approx(1 - float(two["saidi_h_per_year"]) / 8760)
    for name in ("line", "trafo"):
        column = "failure_rate_per_km_year" if name == "line" else "failure_rate_per_year"
        net[name][column] = 0.0
    none = reliability_indices(net)
    assert float(none["saidi_h_per_year"]) == float(none["saifi_per_year"]) == 0.0
    assert float(none["asai_pu"]) == 1.0


@FEW
@given(seed=SEEDS)
def test_switching_as_long_as_repair_makes_places_equal(seed: int) -> None:
    net = _random_net(seed)
    for table in ("line", "trafo"):
        net[table]["repair_time_h"] = net[table]["switching_time_h"] = 3.0
    ds = reliability_indices(net)
    rate, hours = (ds[n].to_numpy() for n in ("failure_rate_per_year", "unavailability_h_per_year"))
    np.testing.assert_allclose(hours, 3.0 * rate)
    # without inner protection all of a feeder are interrupted alike, wherever they hang
    net.switch.loc[net.switch.type.isin(["CB", "fuse"]), "type"] = "LBS"
    ds = reliability_indices(net)
    for feeder in ds["feeder"].to_numpy():
        if not feeder.startswith("bus"):
            mine = ds["unavailability_h_per_year"].to_numpy()[ds["load_feeder"] == feeder]
            np.testing.assert_allclose(mine, mine[0])


@FEW
@given(seed=SEEDS)
def test_labels_do_not_matter(seed: int) -> None:
    net = _random_net(seed)
    rng = np.random.default_rng(seed + 3)
    other = copy.deepcopy(net)
    bus = {
        int(k): int(v)
        for k, v in zip(net.bus.index, rng.permutation(len(net.bus)) + 50, strict=True)
    }
    pp.toolbox.reindex_buses(other, bus)
    for table in ("line", "trafo", "switch", "load"):
        rows = net[table].index
        new = {int(k): int(v) for k, v in zip(rows, rng.permutation(len(rows)) + 9, strict=True)}
        pp.toolbox.reindex_elements(other, table, lookup=new)
        other[table] = other[table].sample(frac=1, random_state=seed)
    one, two = reliability_indices(net), reliability_indices(other)
    for name in (*SYSTEM, "caidi_h", "aens_kwh_per_year"):
        np.testing.assert_allclose(two[name], one[name], rtol=1e-12)
    for name in ("failure_rate_per_year", "unavailability_h_per_year", "load_eens_mwh_per_year"):
        np.testing.assert_allclose(np.sort(two[name]), np.sort(one[name]), rtol=1e-12, atol=1e-15)


@FEW
@given(seed=SEEDS)
def test_limits_never_help_and_wide_ones_do_not_matter(seed: int) -> None:
    net = _random_net(seed)
    free = _hours(net)
    net.trafo["sn_mva"] = 1e3
    np.testing.assert_allclose(_hours(net, capacity=True), free, atol=1e-12)
    net.line["max_i_ka"] = 2e-4
    net.bus["min_vm_pu"] = 0.95
    assert (_hours(net, capacity=True) >= free - 1e-12).all()


@FEW
@given(seed=SEEDS)
def test_simulation_covers(seed: int) -> None:
    net = _random_net(seed)
    net.line["failure_rate_per_km_year"] *= 0.1  # overlaps are not part of the formulas
    exact = reliability_indices(net)
    ds = reliability_indices(
        net, method="monte_carlo", years=4000, seed=seed, confidence_percent=99.99
    )
    low, high = ds["eens_bound_mwh_per_year"].to_numpy()
    assert low <= float(exact["eens_mwh_per_year"]) <= high


@pytest.mark.parametrize("isolators", ["switches", "every_branch"])
@FEW
@given(seed=SEEDS)
def test_plan_counts_the_same_energy(isolators: Isolators, seed: int) -> None:
    net = _random_net(seed)
    faults = Faults.from_net(net, isolators=isolators)
    demand = faults.demand(net.load.bus.to_numpy(), net.load.p_mw.to_numpy())
    ds = reliability_indices(net, isolators=isolators)
    total = energy_not_served(faults, demand).sum()
    assert total == pytest.approx(float(ds["eens_mwh_per_year"]), rel=1e-9, abs=1e-12)


def _new_tie(net: Any, rng: np.random.Generator) -> tuple[int, tuple[int, int]]:
    """Create a line that a plan may build; return its row and its buses."""
    medium = net.bus.index[net.bus.vn_kv > 1]
    a, b = (int(bus) for bus in rng.choice(medium, 2, replace=False))
    tie = int(pp.create_line_from_parameters(net, a, b, 0.5, 0.2, 0.2, 0.0, 1.0, in_service=False))
    columns = ["failure_rate_per_km_year", "switching_time_h", "repair_time_h"]
    net.line.loc[tie, columns] = 0.3, 1.0, 5.0
    return tie, (a, b)


@pytest.mark.parametrize("isolators", ["switches", "every_branch"])
@FEW
@given(seed=SEEDS)
def test_plan_builds_ties_that_are_worth_what_it_says(isolators: Isolators, seed: int) -> None:
    net = _random_net(seed)
    rng = np.random.default_rng(seed + 4)
    ties = dict(_new_tie(net, rng) for _ in range(2))
    faults = Faults.from_net(net, ties, isolators=isolators)
    demand = faults.demand(net.load.bus.to_numpy(), net.load.p_mw.to_numpy())

    def plan(*lines: int) -> float:
        ends = [ties[line] for line in lines]
        return float(energy_not_served(faults, demand, ends, built_lines=lines).sum())

    def built() -> float:
        ds = reliability_indices(net, isolators=isolators)
        return float(ds["eens_mwh_per_year"])

    assert plan() == pytest.approx(built(), rel=1e-9, abs=1e-12)
    for n, line in enumerate(ties, start=1):
        net.line.loc[line, "in_service"] = True
        pp.create_switch(net, ties[line][0], line, et="l", type="LBS", closed=False)
        if n == 1 and isolators == "every_branch":
            assert plan(line) == pytest.approx(built(), rel=1e-9, abs=1e-12)
        # new lines that help each other are left out of the plan
        assert plan(*list(ties)[:n]) >= built() - 1e-12


def test_random_nets_are_not_all_alike() -> None:
    """The laws above would hold on nets without ties, sections or waiting loads, too."""
    nets = [_random_net(seed) for seed in range(15)]
    assert sum(bool((~net.switch.closed).any()) for net in nets) >= 5
    better = [(_hours(net) < _hours(_without_ties(net)) - 1e-9).any() for net in nets]
    assert sum(better) >= 3
    results = [reliability_indices(net) for net in nets]
    assert sum(len(np.unique(ds["failure_rate_per_year"])) > 1 for ds in results) >= 5
    assert all(isinstance(ds, xr.Dataset) for ds in results)


def _without_ties(net: Any) -> Any:
    other = copy.deepcopy(net)
    bus_bus = (other.switch.et == "b") & ~other.switch.closed
    ties = other.switch.element[(other.switch.et == "l") & ~other.switch.closed]
    keep = ~(bus_bus | ((other.switch.et == "l") & other.switch.element.isin(ties)))
    other.switch = other.switch[keep]
    other.line = other.line.drop(ties.unique())
    return other
