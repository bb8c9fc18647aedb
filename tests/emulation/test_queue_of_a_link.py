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


def packet(due: float, size: float, flow: bytes = b"", bare: bool = False) -> Train:
    return Train(b"", size, size, (), 0, due, flow, bare)


def train(due: float, last: float, size: float, segment: float = 1000.0, flow: bytes = b"t") -> Train:
    """Packets of one connection that come evenly from `due` to `last`."""
    made = Train(b"", size, segment, (), 0, due, flow)
    made.last = last
    return made


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
    whole = train(0.0, 0.0, 10_000)
    slow.admit(whole)
    assert whole.finish == pytest.approx(0.1)
    onward = whole.onward(0.01)
    fast.admit(onward)
    assert onward.finish == pytest.approx(0.1 + 0.001)
    other = packet(0.02, 1_000)
    fast.admit(other)
    assert other.finish == pytest.approx(0.021)


def test_a_sparse_packet_waits_for_nothing_but_takes_its_time() -> None:
    link = Link("l", 1e5, None)
    first, sparse, second = packet(0.0, 1000, b"a"), packet(0.001, 100, b"b"), packet(0.002, 1000, b"a")
    link.admit(first)
    assert link.sparse(sparse)
    link.slip_in(sparse)
    link.admit(second)
    assert sparse.finish == pytest.approx(0.002)
    assert second.finish == pytest.approx(0.021)


def test_sparse_packets_go_one_behind_another() -> None:
    link = Link("l", 1e5, None)
    link.admit(packet(0.0, 50_000))
    sparse = [packet(0.001, 1000, bytes([index])) for index in range(5)]
    for one in sparse:
        assert link.sparse(one)
        link.slip_in(one)
    assert [one.finish for one in sparse] == pytest.approx([0.011, 0.021, 0.031, 0.041, 0.051])


def test_who_has_something_queued_is_not_sparse_and_trains_never_are() -> None:
    link = Link("l", 1e5, None)
    link.admit(packet(0.0, 10_000, b"a"))  # until 0.1
    assert not link.sparse(packet(0.05, 100, b"a"))
    assert link.sparse(packet(0.05, 66, b"a", bare=True))
    assert link.sparse(packet(0.05, 100, b"b"))
    assert not link.sparse(train(0.05, 0.05, 3000, flow=b"b"))
    assert link.sparse(packet(0.11, 100, b"a"))
    link.slip_in(packet(0.05, 1000, b"b"))  # until 0.06
    assert not link.sparse(packet(0.055, 100, b"b"))


def test_a_link_forgets_connections_that_have_nothing_there() -> None:
    link = Link("l", 1e6, None)
    for index in range(1000):
        link.admit(packet(index * 0.01, 1000, index.to_bytes(4, "big")))
    assert len(link.last) <= 64


def test_a_packet_goes_between_those_of_a_train() -> None:
    """Ten packets come in 1 to 10 ms and take 1 ms each; half are there, or on their way, at 5.5 ms."""
    link = Link("l", 1e6, None)
    whole, single, following = train(0.001, 0.010, 10_000), packet(0.0055, 100, b"s"), packet(0.011, 1000)
    for one in (whole, single, following):
        link.admit(one)
    assert whole.finish == pytest.approx(0.011)
    assert single.start == pytest.approx(0.0055 + 0.001)  # behind the one that is being served
    assert following.start == pytest.approx(0.0111)  # the train is not late for it: this one is


def test_between_two_trains_that_come_at_once_a_packet_waits_for_what_is_there() -> None:
    """At 5 ms five packets of one and four of the other are there, and five have been served."""
    link = Link("l", 1e6, None)
    link.admit(train(0.0, 0.009, 10_000, flow=b"t"))
    link.admit(train(0.001, 0.010, 10_000, flow=b"u"))
    single = packet(0.005, 100, b"s")
    link.admit(single)
    assert single.start == pytest.approx(0.010, abs=0.0011)


@pytest.mark.parametrize("bare", [False, True])
def test_only_an_acknowledgement_overtakes_its_own_connection(bare: bool) -> None:
    link = Link("l", 1e6, None)
    own, single = train(0.001, 0.010, 10_000), packet(0.004, 66, b"t", bare)
    link.admit(own)
    link.admit(single)
    assert (single.start >= own.finish) is not bare


@st.composite
def traffic(draw: st.DrawFn) -> list[Train]:
    """What a few connections put on a later link: each one's packets and trains in turn, as links keep them,
    and each from a link as fast as this one (1 MB/s)."""
    found = []
    for connection in range(draw(st.integers(1, 4))):
        now = 0.0
        for _ in range(draw(st.integers(1, 8))):
            begin = now + draw(st.sampled_from([0.0, 0.0002, 0.003, 0.02]))
            packets = draw(st.sampled_from([1, 1, 2, 10, 40]))
            size = draw(st.integers(60, 1000)) if packets == 1 else 1000 * packets
            segment = min(size, 1000)
            due = begin + segment / 1e6
            now = begin + size / 1e6
            found.append(train(due, now, size, segment, bytes([connection])))
            if packets == 1:
                found[-1].last = found[-1].due
    return sorted(found, key=lambda one: one.due)


def packetwise(found: list[Train]) -> list[float]:
    """When each train's last packet leaves a queue of packets at 1 MB/s."""
    arrivals_ = []
    for index, one in enumerate(found):
        count = round(one.size / one.segment)
        for number in range(count):
            at = one.due + (number * (one.last - one.due) / (count - 1) if count > 1 else 0.0)
            arrivals_.append((at, index, one.size / count))
    free, ends = 0.0, [0.0] * len(found)
    for at, index, size in sorted(arrivals_):
        free = ends[index] = max(free, at) + size / 1e6
    return ends


@given(traffic())
def test_single_packets_leave_as_from_a_queue_of_packets(found: list[Train]) -> None:
    """To one packet of each train that is coming in; where none of their own connection is before them."""
    link = Link("l", 1e6, None)
    for one in found:
        link.admit(one)
    connections = len({one.flow for one in found})
    for one, expected in zip(found, packetwise(found), strict=True):
        if one.size <= one.segment and not [
            other for other in found if other.flow == one.flow and other.due < one.due
        ]:
            assert one.finish == pytest.approx(expected, abs=connections * 0.001 + 1e-9)


@given(
    traffic(),
    st.lists(st.tuples(st.floats(0, 0.3), st.sampled_from([0.0, 1e5, 1e6, 4e6])), max_size=6),
    st.booleans(),
)
def test_a_connection_keeps_its_order_whatever_happens_to_the_link(
    found: list[Train], changes: list[tuple[float, float]], first: bool
) -> None:
    """On a first link (`first`: sparse packets slip in) and on later ones, as rates change."""
    link = Link("l", 1e6, None)
    pending = sorted([*changes, (1.0, 1e6)])
    now: dict[int, Train] = {}
    for one in found:
        while pending and pending[0][0] <= one.due:
            replace(link, pending.pop(0), now)
        if first:
            one.last = one.due
        now[len(now)] = one
        (link.slip_in if first and link.sparse(one) else link.admit)(one)
    for change in pending:
        replace(link, change, now)
    assert all(one.due <= one.start < one.finish < 100.0 for one in now.values())
    for flow in {one.flow for one in found}:
        own = [one for one in now.values() if one.flow == flow]
        assert all(a.finish <= b.start + 1e-9 for a, b in pairwise(own))


def replace(link: Link, change: tuple[float, float], now: dict[int, Train]) -> None:
    """Have another rate, and know the trains that take the place of others."""
    places = {id(one): index for index, one in now.items()}
    later = [places[id(one)] for one in link.waiting if one.start > change[0] and one.ended > change[0]]
    for index, one in zip(later, link.set_rate(change[0], rate=change[1]), strict=False):
        assert one.due == now[index].due
        assert one.start >= change[0]
        now[index] = one


@pytest.mark.parametrize(
    ("changes", "finish"),
    # When the rate changes 1100 of 7000 bytes are served or under way, until 11 ms.
    [([(0.005, 2e5)], 0.011 + 5900 / 2e5), ([(0.005, 0.0), (0.1, 1e5)], 0.1 + 5900 / 1e5)],
)
def test_what_has_slipped_in_is_paid_for_also_at_another_rate(
    changes: list[tuple[float, float]], finish: float
) -> None:
    link = Link("l", 1e5, None)
    link.admit(packet(0.0, 1000, b"a"))
    link.admit(packet(0.0, 5000, b"a"))
    link.slip_in(packet(0.001, 1000, b"b"))
    for at, rate in changes:
        (last,) = link.set_rate(at, rate=rate)
    assert last.finish == pytest.approx(finish)


def test_a_packet_between_others_does_not_begin_before_a_change_that_concerns_it() -> None:
    link = Link("l", 1e6, None)
    link.admit(train(0.001, 0.010, 10_000))
    single = packet(0.005, 100, b"s")
    link.admit(single)
    assert single.start == pytest.approx(0.006)
    (again,) = link.set_rate(0.0055, rate=1e5)
    assert again.start == pytest.approx(0.0055)
    (held,) = link.set_rate(0.0054, rate=0.0)
    assert held.finish == float("inf")


@given(traffic(), st.floats(0, 0.2))
def test_no_time_is_won_by_overtaking(found: list[Train], at: float) -> None:
    """A link is free when a queue in order would be, also after its rate has changed."""
    free = {}
    for overtaking in (False, True):
        link = Link("l", 1e6, None)
        for one in found:
            again = packet(0.0, one.segment, one.flow)
            (link.slip_in if overtaking and link.sparse(again) else link.admit)(again)
        link.set_rate(at, rate=0.0)
        link.set_rate(at, rate=2e6)
        free[overtaking] = link.free
    # What has begun keeps its rate: of those in order one, of those that slip in one of each connection.
    connections = len({one.flow for one in found})
    assert free[True] == pytest.approx(free[False], abs=0.001 * (connections + 1))


def test_a_queue_drops_what_does_not_fit() -> None:
    link = Link("l", 1e6, 1.0)
    assert sum(link.admit(packet(0.0, 1000)) for _ in range(2000)) == 1000
    assert link.drops == 1000
    assert link.admit(packet(0.5, 1000))


def test_jitter_never_turns_two_packets_of_a_connection_round() -> None:
    way = Way(0.01, 0.0, jitter_of(["gamma", 0.02, 1.0]), Random(0))
    sent = [packet(index * 0.001, 100) for index in range(500)]
    for one in sent:
        one.finish = one.due
    arrivals_ = [one.finish + way.delay(one) for one in sent]
    assert all(b >= a - 1e-12 for a, b in pairwise(arrivals_))
    assert min(arrivals_) >= 0.01


def test_what_is_lost_stays_lost_when_the_rate_changes() -> None:
    """Whether a packet is lost is drawn once: it would be counted twice, or come back."""
    link = Link("l", 1000.0, None)
    served_now, waiting = packet(0.0, 1000.0), packet(0.0, 1000.0)
    waiting.lost = True
    assert link.admit(served_now)
    assert link.admit(waiting)
    (again,) = link.set_rate(0.5, 500.0)
    assert again.lost
    assert (again.start, again.finish) == pytest.approx((1.0, 3.0))
