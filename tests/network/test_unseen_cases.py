"""Flow cases that nobody has seen before: against a solver of their own, closed forms, and each other."""

import random
from math import inf

import numpy as np
import pytest
from case_families import MBPS, incast, mesh, ring_all_reduce
from hypothesis import given, settings
from hypothesis import strategies as st

from simnet.network.cases import MODELS, run_case
from simnet.network.cases import FlowCase as Case


def brute_force(case, exponent=None):
    """Finish times by the definition: at each event all rates anew, by rounds over all links.

    Latency last, or with an `exponent` latency first and weights latency^-exponent.
    """
    resources = list(case.resources)
    index = {name: number for number, name in enumerate(resources)}
    capacity = np.array([case.resources[name].bandwidth for name in resources], dtype=float)
    shared = np.array([case.resources[name].policy == "shared" for name in resources])
    routes = [np.array([index[name] for name in case.way(flow)]) for flow in case.flows]
    latency = np.array([case.latency(flow) for flow in case.flows])
    weight = np.ones(len(routes)) if exponent is None else latency**-exponent
    number = {flow.id: i for i, flow in enumerate(case.flows)}
    left = np.array([float(flow.bytes) for flow in case.flows])
    changes = sorted((event.time, event.link, event.bandwidth) for event in case.bandwidth_events)
    finish, begin, now, active = [inf] * len(routes), {}, 0.0, []
    for i, flow in enumerate(case.flows):
        if not flow.after:
            begin[i] = flow.start + (latency[i] if exponent is not None else 0.0)
    told = set()
    while True:
        rates = _rates(active, routes, weight, capacity, shared)
        ends = [now + left[i] / rate if rate > 0 else inf for i, rate in zip(active, rates, strict=True)]
        finished = [time for i, time in enumerate(finish) if time < inf and i not in told]
        upcoming = [min(ends, default=inf), min(begin.values(), default=inf), min(finished, default=inf)]
        upcoming.append(changes[0][0] if changes else inf)
        time = min(upcoming)
        if time == inf:
            return finish
        for i, rate in zip(active, rates, strict=True):
            left[i] -= rate * (time - now)
        now = time
        gone = [i for i, end in zip(active, ends, strict=True) if end <= now + 1e-12]
        for i in gone:
            active.remove(i)
            finish[i] = now + (0.0 if exponent is not None else latency[i])
        active += [i for i, start in begin.items() if start <= now]
        begin = {i: start for i, start in begin.items() if start > now}
        arrived = {i for i, end in enumerate(finish) if end <= now} - told
        told |= arrived
        for i, flow in enumerate(case.flows):
            others = [number[other] for other in flow.after]
            if arrived.intersection(others) and told.issuperset(others):
                begin[i] = now + flow.start + (latency[i] if exponent is not None else 0.0)
        while changes and changes[0][0] <= now:
            _, link, bandwidth = changes.pop(0)
            for name, owner in case.resources.items():
                if owner.id == link:
                    capacity[index[name]] = bandwidth


def _rates(active, routes, weight, capacity, shared):
    """Progressive filling, all flows and links in every round."""
    if not active:
        return []
    owner = np.repeat(np.arange(len(active)), [len(routes[i]) for i in active])
    crossed = np.concatenate([routes[i] for i in active])
    weights = weight[np.array(active)]
    caps = np.full(len(active), inf)
    np.minimum.at(caps, owner[~shared[crossed]], capacity[crossed[~shared[crossed]]])
    owner, crossed = owner[shared[crossed]], crossed[shared[crossed]]
    rates, rising, left = np.zeros(len(active)), np.ones(len(active), bool), capacity.copy()
    while rising.any():
        load = np.bincount(crossed[rising[owner]], weights[owner[rising[owner]]], len(capacity))
        with np.errstate(divide="ignore", invalid="ignore"):
            shares = np.where(load > 0, np.maximum(left, 0) / load, inf)
        level = min(shares.min(), (caps[rising] / weights[rising]).min())
        full = shares <= level * (1 + 1e-12)
        bound = np.zeros(len(active), bool)
        bound[owner[full[crossed]]] = True
        bound |= caps / weights <= level * (1 + 1e-12)
        bound &= rising
        rates[bound] = np.minimum(caps[bound], level * weights[bound])
        taken = bound[owner]
        left -= np.bincount(crossed[taken], rates[owner[taken]], len(capacity))
        rising &= ~bound
    return rates.tolist()


MESHES = [
    ("geometric", 120, 100, 11, 0),
    ("waxman", 60, 120, 12, 4),
    ("scale-free", 120, 150, 13, 3),
    ("geometric", 40, 200, 14, 4),
]


@pytest.mark.parametrize("options", MESHES, ids=lambda options: options[0])
def test_meshes_agree_with_brute_force(options):
    case = Case.model_validate(mesh(*options))
    for model, exponent in (("ideal", None), ("cm02_rtt_weighted", 1.0)):
        expected = pytest.approx(brute_force(case, exponent), rel=1e-9)
        assert run_case(case, MODELS[model], "python")["finish"] == expected
        assert run_case(case, MODELS[model], "numba")["finish"] == expected


@pytest.mark.parametrize(
    ("kind", "nodes", "flows", "seed", "changes"),
    [("geometric", 200, 500, 21, 4), ("waxman", 150, 500, 22, 0), ("scale-free", 200, 500, 23, 4)],
)
def test_the_backends_agree_on_large_meshes(kind, nodes, flows, seed, changes):
    case = Case.model_validate(mesh(kind, nodes, flows, seed, changes))
    for model in ("ideal", "cm02_rtt_weighted"):
        python, numba = (run_case(case, MODELS[model], backend)["finish"] for backend in ("python", "numba"))
        assert python == pytest.approx(numba, rel=1e-11)


@pytest.mark.parametrize("backend", ["python", "numba"])
def test_a_ring_of_64_takes_the_time_of_its_formula(backend):
    size, rate, latency = 6_400_000, 100 * MBPS, 0.02
    case = Case.model_validate(ring_all_reduce(64, size, [rate] * 64, [latency] * 64))
    expected = 2 * 63 * (2 * latency + size / 64 / rate)
    assert run_case(case, MODELS["ideal"], backend)["makespan"] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("backend", ["python", "numba"])
def test_an_uneven_ring_agrees_with_brute_force(backend):
    draw = random.Random(8)
    rates, latencies = (
        [draw.choice([10, 40, 100]) * MBPS for _ in range(12)],
        [draw.uniform(0.001, 0.05) for _ in range(12)],
    )
    case = Case.model_validate(ring_all_reduce(12, 1.2e6, rates, latencies))
    assert run_case(case, MODELS["ideal"], backend)["finish"] == pytest.approx(brute_force(case), rel=1e-9)


rates = st.sampled_from([1.0, 5.0, 10.0, 80.0]).map(lambda rate: rate * MBPS)


@pytest.mark.parametrize("backend", ["python", "numba"])
@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(1_000, 5_000_000), min_size=1, max_size=64),
    rates,
    st.lists(st.tuples(st.floats(0.01, 20), rates), max_size=4, unique_by=lambda change: change[0]),
)
def test_an_incast_is_processor_sharing(backend, sizes, rate, changes):
    """The k-th smallest of n is done when sum(min(size_i, size_k)) bytes have passed; the least of all
    bandwidths is far above what a sender needs, so that senders never limit."""
    changes = sorted(changes)
    case = Case.model_validate(incast(len(sizes), [float(size) for size in sizes], rate, 0.01, changes))
    links = tuple(
        link if link.id == "0-hub" else link.model_copy(update={"bandwidth": 1e12}) for link in case.links
    )
    found = run_case(case.model_copy(update={"links": links}), MODELS["ideal"], backend)["finish"]

    def passed(volume):
        time, capacity = 0.0, rate
        for moment, following in changes:
            if volume <= capacity * (moment - time):
                break
            volume -= capacity * (moment - time)
            time, capacity = moment, following
        return time + volume / capacity

    expected = [passed(float(sum(min(size, other) for other in sizes))) + 0.02 for size in sizes]
    assert found == pytest.approx(expected, rel=1e-9)
