"""Draining flows: the plain and the compiled ones agree with the definition of max-min fairness, and with
each other."""

import random
from math import inf, isclose

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from simnet.network import InvariantError, max_min
from simnet.network.backends import EARLY, LATE, MANY, chosen_backend, is_time_to_compile
from simnet.network.compiled_flows import CompiledFlows
from simnet.network.flows import OWN_CAP, PythonFlows

RESOURCES = 6
PRIVATE = frozenset({4})
BACKENDS = [PythonFlows, CompiledFlows]

# Up to 1e8 bytes per second, from one byte on: nothing takes as little as the 1e-9 s in which flows end
# together, where one rounding more or less would decide whether two computations agree.
capacity = st.one_of(st.just(0.0), st.floats(1e-3, 1e8), st.integers(1, 5).map(float), st.just(inf))
cap = st.one_of(st.just(inf), st.just(0.0), st.floats(1e-3, 1e8), st.integers(1, 3).map(float))
weight = st.one_of(st.just(1.0), st.floats(0.05, 20.0))
use = st.one_of(st.just(1.0), st.floats(0.1, 3.0))
hops = st.dictionaries(st.integers(0, RESOURCES - 1), use, max_size=4)
flow = st.tuples(hops, cap, weight, st.floats(1.0, 1e9))
capacities = st.lists(capacity, min_size=RESOURCES, max_size=RESOURCES)


def close(a, b):
    return isclose(a, b, rel_tol=1e-9, abs_tol=1e-12)


def expected_rates(capacities, flows):
    """By `max_min`: a private resource is a cap."""
    routes, uses, caps, weights = [], [], [], []
    for hops, cap, weight, _ in flows:
        routes.append([r for r in hops if r not in PRIVATE])
        uses.append([hops[r] for r in routes[-1]])
        caps.append(min([cap, *(capacities[r] / hops[r] for r in hops if r in PRIVATE)]))
        weights.append(weight)
    return max_min(capacities, routes, caps, weights, uses)


class FlowsAgree(RuleBasedStateMachine):
    """Whatever comes, goes and changes: rates are those of a computation from scratch, and both drain
    alike."""

    @initialize(capacities=capacities, compile_at=st.integers(0, 20))
    def begin(self, capacities, compile_at):
        self.both = [backend(capacities, PRIVATE) for backend in BACKENDS]
        self.moving = PythonFlows(capacities, PRIVATE)  # compiled at some solve
        self.capacities, self.flows, self.next, self.now = list(capacities), {}, 0, 0.0
        self.compile_at = compile_at

    def each(self, method, *arguments):
        return [getattr(flows, method)(*arguments) for flows in (*self.both, self.moving)]

    @rule(flow=flow)
    def add(self, flow):
        hops, cap, weight, size = flow
        self.each("add", self.next, tuple(hops), size, self.now, cap, weight, tuple(hops.values()))
        self.flows[self.next] = flow
        self.next += 1

    @rule(data=st.data())
    def remove(self, data):
        if self.flows:
            gone = data.draw(st.sampled_from(sorted(self.flows)))
            left = self.each("remove", gone, self.now)
            assert all(isclose(left[0], other, rel_tol=1e-6, abs_tol=1e-3) for other in left)
            del self.flows[gone]

    @rule(data=st.data(), cap=cap)
    def set_cap(self, data, cap):
        if self.flows:
            which = data.draw(st.sampled_from(sorted(self.flows)))
            self.each("set_cap", which, cap)
            hops, _, weight, size = self.flows[which]
            self.flows[which] = hops, cap, weight, size

    @rule(data=st.data(), weight=weight)
    def set_weight(self, data, weight):
        if self.flows:
            which = data.draw(st.sampled_from(sorted(self.flows)))
            self.each("set_weight", which, weight)
            hops, cap, _, size = self.flows[which]
            self.flows[which] = hops, cap, weight, size

    @rule(resource=st.integers(0, RESOURCES - 1), capacity=capacity)
    def set_capacity(self, resource, capacity):
        self.each("set_capacity", resource, capacity)
        self.capacities[resource] = capacity

    @rule(passed=st.floats(0.0, 1.0))
    def solve(self, passed):
        if self.compile_at == 0:
            self.moving = CompiledFlows.resume(self.moving.snapshot())
        self.compile_at -= 1
        self.each("solve", self.now)
        expected = expected_rates(self.capacities, self.flows.values())
        for flow, rate in zip(self.flows, expected, strict=True):
            assert all(close(found, rate) for found in self.each("rate", flow))
        self.now = min(self.now + passed, *(flows.next_done for flows in (*self.both, self.moving)))
        done = {flow for each in self.each("take_done", self.now) for flow in each}
        for flow in done:
            self.each("remove", flow, self.now)
            del self.flows[flow]
        for resource in zip(*(carried.tolist() for carried in self.each("carried", self.now)), strict=True):
            # A flow may be due just within SAME_INSTANT in one and just after it in another.
            assert all(isclose(resource[0], other, rel_tol=1e-6, abs_tol=20.0) for other in resource)
        for flow in self.flows:
            seconds = [sum(bound.values()) for bound in self.each("bound_seconds", flow, self.now)]
            assert all(isclose(seconds[0], other, rel_tol=1e-9, abs_tol=1e-9) for other in seconds)


TestFlowsAgree = FlowsAgree.TestCase
TestFlowsAgree.settings = settings(
    max_examples=100, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_mesh_with_hundreds_of_flows_stays_max_min_fair(backend):
    draw = random.Random(7)
    capacities = [draw.uniform(1.0, 10.0) for _ in range(60)]
    flows = backend(capacities)
    present = {}
    for step in range(120):
        for _ in range(draw.choice([1, 1, 5])):
            route = tuple(draw.sample(range(60), draw.choice([1, 2, 3, 8])))
            cap, weight = (
                draw.choice([inf, inf, draw.uniform(0.01, 1.0)]),
                draw.choice([1.0, draw.uniform(0.1, 5.0)]),
            )
            flows.add(step * 10 + len(present), route, 1e9, float(step), cap, weight)
            present[step * 10 + len(present)] = route, cap, weight
        if step > 20:
            for flow in draw.sample(sorted(present), draw.choice([0, 1, 4])):
                flows.remove(flow, float(step))
                del present[flow]
        if step % 7 == 0:
            resource = draw.randrange(60)
            capacities[resource] = draw.choice([0.0, draw.uniform(1.0, 10.0)])
            flows.set_capacity(resource, capacities[resource])
        flows.solve(float(step))
        routes, caps, weights = zip(*present.values(), strict=True)
        expected = max_min(capacities, routes, caps, weights)
        assert [flows.rate(flow) for flow in present] == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert len(present) > 100


@pytest.mark.parametrize("backend", BACKENDS)
@given(order=st.permutations(range(12)))
@settings(deadline=None, max_examples=30)
def test_the_order_of_insertion_changes_no_bit(backend, order):
    draw = random.Random(1)
    capacities = [draw.uniform(1.0, 10.0) for _ in range(8)]
    routes = [tuple(draw.sample(range(8), draw.choice([1, 2, 3]))) for _ in order]

    def result(order):
        flows = backend(capacities)
        for flow in order:
            flows.add(flow, routes[flow], 100.0 + flow, 0.0)
        finished = []
        now = 0.0
        flows.solve(now)
        while flows.next_done < inf:
            now = flows.next_done
            for flow in flows.take_done(now):
                finished.append((flow, now))
                flows.remove(flow, now)
            flows.solve(now)
        return sorted(finished), flows.carried(now).tolist()

    finished, carried = result(order)
    in_order, carried_in_order = result(range(12))
    assert finished == in_order
    assert carried == pytest.approx(carried_in_order, rel=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_binds_a_flow_is_noted(backend):
    flows = backend([10.0, 4.0, 100.0], frozenset({2}))
    flows.add(0, (0, 1), 100.0, 0.0)
    flows.add(1, (0,), 100.0, 0.0, cap=3.0)
    flows.add(2, (0, 2), 100.0, 0.0)
    flows.solve(0.0)
    assert [flows.rate(flow) for flow in range(3)] == [3.5, 3.0, 3.5]
    flows.set_capacity(1, 1.0)
    flows.set_capacity(2, 2.0)
    flows.solve(2.0)
    assert [flows.rate(flow) for flow in range(3)] == [1.0, 3.0, 2.0]
    assert flows.bound_seconds(0, 5.0) == {0: 2.0, 1: 3.0}
    assert flows.bound_seconds(1, 5.0) == {OWN_CAP: 5.0}
    assert flows.bound_seconds(2, 5.0) == {0: 2.0, 2: 3.0}
    assert flows.carried(5.0).tolist() == [20.0 + 18.0, 7.0 + 3.0, 7.0 + 6.0]
    assert flows.bytes_gone(5.0, 1) == int(7.0 + 3.0) + int(15.0) + int(7.0 + 6.0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_flow_that_should_have_been_done_before_is_noticed(backend):
    flows = backend([10.0])
    flows.add(0, (0,), 10.0, 0.0)
    flows.solve(0.0)
    assert flows.next_done == 1.0
    with pytest.raises(InvariantError, match="was due at 1"):
        flows.take_done(1.1)


def test_arrays_grow_with_flows_and_longer_routes():
    flows, plain = (backend([100.0] * 40) for backend in (CompiledFlows, PythonFlows))
    for flow in range(3000):
        route = tuple(range(flow % 40, min(40, flow % 40 + 1 + flow // 300)))
        for each in (flows, plain):
            each.add(flow, route, 1e3, 0.0)
        if flow % 500 == 0:
            for each in (flows, plain):
                each.solve(0.0)
    for each in (flows, plain):
        each.solve(0.0)
    found, expected = ([each.rate(flow) for flow in range(3000)] for each in (flows, plain))
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_a_network_goes_on_compiled_when_it_pays(monkeypatch):
    assert not is_time_to_compile("auto", EARLY + 1, MANY - 1)
    assert is_time_to_compile("auto", EARLY + 1, MANY)
    assert is_time_to_compile("auto", LATE + 1, 1)
    assert is_time_to_compile("numba", 0, 0)
    assert not is_time_to_compile("python", LATE + 1, MANY)
    assert chosen_backend("python") == "python"
    monkeypatch.setenv("SIMNET_NETWORK_BACKEND", "numba")
    assert chosen_backend() == "numba"
    monkeypatch.setenv("SIMNET_NETWORK_BACKEND", "fortran")
    with pytest.raises(ValueError, match="one of auto, python, numba, not fortran"):
        chosen_backend()
