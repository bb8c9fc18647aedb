"""The fabric's queue against a second implementation: a server that takes one packet after another."""

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simnet.emulation.queues import Link, Train, Way, jitter_of

arrivals = st.lists(st.tuples(st.floats(0, 1), st.integers(40, 1514)), min_size=1, max_size=30).map(
    lambda found: sorted(found, key=lambda arrival: arrival[0])
)


def packet(due: float, size: float) -> Train:
    return Train(b"", size, size, (), 0, due)


def served(found: list[tuple[float, int]], nominal: float, changes: list[tuple[float, float]]) -> list[float]:
    """When each packet leaves a server whose rate changes; one that has begun keeps its rate."""
    free, ends = 0.0, []
    for due, size in found:
        begin, rate = max(free, due), nominal
        for at, other in changes:
            if rate == 0.0:  # it waits for this change
                begin, rate = max(begin, at), other
            elif at < begin:
                rate = other
        free = begin + size / rate
        ends.append(free)
    return ends


@given(arrivals, st.floats(1e3, 1e6))
def test_packets_leave_in_order_at_the_rate(found: list[tuple[float, int]], rate: float) -> None:
    link = Link("l", rate, None)
    trains = [packet(*arrival) for arrival in found]
    assert all(link.admit(train) for train in trains)
    assert [train.finish for train in trains] == pytest.approx(served(found, rate, []))


@given(arrivals, st.floats(1e3, 1e5), st.floats(0, 2), st.sampled_from([0.0, 2e3, 5e5]), st.floats(0.01, 3))
def test_a_change_of_rate_holds_for_all_that_waits(
    found: list[tuple[float, int]], rate: float, at: float, between: float, after: float
) -> None:
    changes = [(at, between), (at + after, rate)]
    link, last = Link("l", rate, None), [packet(*arrival) for arrival in found]
    pending, current = list(changes), {id(train): index for index, train in enumerate(last)}
    for index, train in enumerate(last):
        while pending and pending[0][0] < train.due:
            _change(link, pending.pop(0), last, current)
        link.admit(last[index])
    for change in pending:
        _change(link, change, last, current)
    expected = served(found, rate, changes)
    assert [train.finish for train in last] == pytest.approx(expected, abs=1e-9)


def _change(link: Link, change: tuple[float, float], last: list[Train], current: dict[int, int]) -> None:
    waiting = [train for train in link.waiting if train.start > change[0] and train.ended > change[0]]
    indices = [current[id(train)] for train in waiting]
    again = link.set_rate(change[0], rate=change[1])
    for index, train in zip(indices, again, strict=False):
        last[index] = train
        current[id(train)] = index


def test_a_train_crosses_a_link_behind_a_slow_one_without_keeping_it() -> None:
    """Its packets come at a tenth of the rate; another one passes between them."""
    slow, fast = Link("slow", 1e5, None), Link("fast", 1e6, None)
    train = Train(b"", 10_000, 1_000, (), 0, 0.0)
    slow.admit(train)
    assert train.finish == pytest.approx(0.1)
    onward = train.onward(0.01)
    fast.admit(onward)
    assert onward.finish == pytest.approx(0.1 + 0.001)
    other = packet(0.02, 1_000)
    fast.admit(other)
    assert other.finish == pytest.approx(0.021)


def test_an_acknowledgement_waits_for_nothing_but_takes_its_time() -> None:
    link = Link("l", 1e5, None)
    first, acknowledgement, second = packet(0.0, 1000), packet(0.001, 100), packet(0.002, 1000)
    link.admit(first)
    link.slip_in(acknowledgement)
    link.admit(second)
    assert acknowledgement.finish == pytest.approx(0.002)
    assert second.finish == pytest.approx(0.021)


def test_a_queue_drops_what_does_not_fit() -> None:
    link = Link("l", 1e6, 1.0)
    assert sum(link.admit(packet(0.0, 1000)) for _ in range(2000)) == 1000
    assert link.drops == 1000
    assert link.admit(packet(0.5, 1000))


def test_jitter_never_turns_two_packets_of_a_pair_round() -> None:
    way = Way(0.01, 0.0, jitter_of(["gamma", 0.02, 1.0]), Random(0))
    arrivals_ = [index * 0.001 + way.delay(index * 0.001, b"pair") for index in range(500)]
    assert all(b >= a - 1e-12 for a, b in pairwise(arrivals_))
    assert min(arrivals_) >= 0.01
