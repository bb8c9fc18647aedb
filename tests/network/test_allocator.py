from math import inf, isclose, nan

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from simnet.network import Allocator, max_min

RESOURCES = 6

capacity = st.one_of(st.just(0.0), st.floats(1e-3, 1e9), st.integers(1, 5).map(float), st.just(inf))
route = st.lists(st.integers(0, RESOURCES - 1), unique=True, max_size=4).map(tuple)
cap = st.one_of(st.just(inf), st.just(0.0), st.floats(1e-3, 1e9), st.integers(1, 3).map(float))
weight = st.one_of(st.just(1.0), st.floats(0.05, 20.0))
flow = st.tuples(route, cap, weight)
capacities = st.lists(capacity, min_size=RESOURCES, max_size=RESOURCES)


def rates_of(capacities, flows):
    return max_min(
        capacities, [route for route, _, _ in flows], [cap for _, cap, _ in flows], [w for _, _, w in flows]
    )


def close(a, b):
    return isclose(a, b, rel_tol=1e-9, abs_tol=1e-12)


@pytest.mark.parametrize(
    ("capacities", "routes", "expected"),
    [
        ([10.0], [[0]], [10.0]),
        ([10.0], [[0]] * 4, [2.5] * 4),
        # A parking lot: the long flow gets half of each link.
        ([10.0, 10.0, 10.0], [[0, 1, 2], [0], [1], [2]], [5.0, 5.0, 5.0, 5.0]),
        # Bertsekas and Gallager's figure: what one bottleneck leaves goes to the others.
        ([1.0, 2.0], [[0], [0, 1], [1]], [0.5, 0.5, 1.5]),
        ([0.0, 2.0], [[0, 1], [1]], [0.0, 2.0]),
        ([inf], [[0]], [inf]),
        ([5.0], [[], [0]], [inf, 5.0]),
        ([5.0], [], []),
    ],
)
def test_textbook_cases(capacities, routes, expected):
    assert max_min(capacities, routes) == expected


def test_what_a_cap_leaves_is_shared_by_the_others():
    assert max_min([9.0], [[0], [0], [0]], caps=[1.0, inf, inf]) == [1.0, 4.0, 4.0]


def test_a_bottleneck_is_shared_in_proportion_to_weights():
    assert max_min([9.0], [[0], [0]], weights=[1.0, 2.0]) == pytest.approx([3.0, 6.0], rel=1e-12)


@given(capacities, st.lists(flow, max_size=12))
def test_no_resource_is_over_capacity_and_every_flow_has_a_bottleneck(capacities, flows):
    rates = rates_of(capacities, flows)
    used = [
        sum(rate for rate, (route, _, _) in zip(rates, flows, strict=True) if r in route)
        for r in range(RESOURCES)
    ]
    assert all(u <= c * (1 + 1e-9) + 1e-12 for u, c in zip(used, capacities, strict=True))
    for rate, (route, cap, weight) in zip(rates, flows, strict=True):
        assert rate <= cap
        limits = [
            r
            for r in route
            if close(used[r], capacities[r])
            and all(
                other / w <= rate / weight * (1 + 1e-9) + 1e-12
                for other, (way, _, w) in zip(rates, flows, strict=True)
                if r in way
            )
        ]
        assert close(rate, cap) or limits or (rate == inf and all(capacities[r] == inf for r in route))


@given(capacities, st.lists(flow, max_size=10), st.randoms())
def test_the_order_of_flows_does_not_matter(capacities, flows, random):
    order = list(range(len(flows)))
    random.shuffle(order)
    rates, permuted = rates_of(capacities, flows), rates_of(capacities, [flows[i] for i in order])
    assert all(close(permuted[j], rates[i]) for j, i in enumerate(order))


class AllocatorAgreesWithMaxMin(RuleBasedStateMachine):
    """Whatever comes and goes, the rates are those of a computation from scratch."""

    @initialize(capacities=capacities)
    def begin(self, capacities):
        self.allocator = Allocator(capacities)
        self.capacities = list(capacities)
        self.flows = {}
        self.next = 0

    @rule(flow=flow)
    def add(self, flow):
        self.allocator.add(self.next, *flow)
        self.flows[self.next] = flow
        self.next += 1

    @rule(data=st.data())
    def remove(self, data):
        if self.flows:
            gone = data.draw(st.sampled_from(sorted(self.flows)))
            self.allocator.remove(gone)
            del self.flows[gone]

    @rule(resource=st.integers(0, RESOURCES - 1), capacity=capacity)
    def set_capacity(self, resource, capacity):
        self.allocator.set_capacity(resource, capacity)
        self.capacities[resource] = capacity

    @rule()
    def solve(self):
        before = dict(self.allocator.rates)
        changed = self.allocator.solve()
        rates = self.allocator.rates
        assert set(changed) == {flow for flow in self.flows if rates[flow] != before[flow]}
        assert len(changed) == len(set(changed))
        expected = rates_of(self.capacities, list(self.flows.values()))
        assert all(close(rates[flow], rate) for flow, rate in zip(self.flows, expected, strict=True))

    @invariant()
    def knows_its_flows(self):
        if hasattr(self, "flows"):
            assert set(self.allocator.rates) == set(self.flows)


TestAllocatorAgreesWithMaxMin = AllocatorAgreesWithMaxMin.TestCase
TestAllocatorAgreesWithMaxMin.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)


def test_only_the_touched_component_is_solved_again(monkeypatch):
    allocator = Allocator([1.0] * 10)
    for resource in range(10):
        allocator.add(resource, (resource,))
    allocator.solve()
    filled = []
    fill = Allocator._fill
    monkeypatch.setattr(
        Allocator,
        "_fill",
        lambda self, resources, flows, changed: (
            filled.append((list(resources), set(flows))),
            fill(self, resources, flows, changed),
        ),
    )
    allocator.add(10, (4,))
    assert sorted(allocator.solve()) == [4, 10]
    assert filled == [([4], {4, 10})]
    filled.clear()
    allocator.set_cap(10, 0.25)
    assert sorted(allocator.solve()) == [4, 10]
    assert filled == [([4], {4, 10})]
    filled.clear()
    allocator.add(11, (4,))  # a third of the resource is more than the capped flow has
    assert sorted(allocator.solve()) == [4, 11]
    assert filled == [([4], {4, 11})]


@pytest.mark.parametrize(
    ("flow", "message"),
    [
        (((0, 0),), "each resource once"),
        (((7,),), "resources 0 to 1"),
        (((-1,),), "resources 0 to 1"),
        (((0,), -1.0), "a cap is"),
        (((0,), nan), "a cap is"),
        (((0,), 1.0, 0.0), "a weight is"),
        (((0,), 1.0, inf), "a weight is"),
    ],
)
def test_impossible_flows_are_refused(flow, message):
    with pytest.raises(ValueError, match=message):
        Allocator([1.0, 1.0]).add(0, *flow)
    route, *rest = flow
    caps, weights = ([value] for value in (*rest, *(inf, 1.0)[len(rest) :]))
    with pytest.raises(ValueError, match=message):
        max_min([1.0, 1.0], [route], caps, weights)


@pytest.mark.parametrize("capacity", [-1.0, nan])
def test_impossible_capacities_are_refused(capacity):
    allocator = Allocator([1.0])
    with pytest.raises(ValueError, match="a capacity is"):
        Allocator([capacity])
    with pytest.raises(ValueError, match="a capacity is"):
        allocator.set_capacity(0, capacity)
    with pytest.raises(ValueError, match="a capacity is"):
        max_min([capacity], [])


def test_a_flow_is_added_once_and_removed_once():
    allocator = Allocator([1.0])
    allocator.add(3, (0,))
    with pytest.raises(ValueError, match="there already"):
        allocator.add(3, (0,))
    allocator.remove(3)
    with pytest.raises(KeyError):
        allocator.remove(3)
