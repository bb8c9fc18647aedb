"""Storage that is shared: who is done when."""

import pytest
import simpy
from hypothesis import given
from hypothesis import strategies as st

from simnet.runtime.storage import Storage


def done_at(storage_of, arrivals):
    """When each of (moment, bytes) is done."""
    env = simpy.Environment()
    storage, ends = storage_of(env), {}

    def writing(number, moment, size):
        yield env.timeout(moment)
        yield storage.access(size).done
        ends[number] = env.now

    for number, (moment, size) in enumerate(arrivals):
        env.process(writing(number, moment, size))
    env.run()
    return [ends[number] for number in range(len(arrivals))]


def test_alone_it_is_the_nodes_own_bandwidth():
    assert done_at(lambda env: Storage(env, 10.0, 100.0), [(1.0, 50.0)]) == [6.0]


def test_nodes_do_not_disturb_each_other_without_a_shared_limit():
    assert done_at(lambda env: Storage(env, 10.0), [(0.0, 50.0), (0.0, 20.0), (3.0, 10.0)]) == [5.0, 2.0, 4.0]


def test_two_writers_share_and_the_rest_goes_faster():
    # 10 B/s together: 5 B/s each until the small one has its 20 B at 4 s; then 30 B are left at 10 B/s.
    assert done_at(lambda env: Storage(env, 10.0, 10.0), [(0.0, 50.0), (0.0, 20.0)]) == [7.0, 4.0]


def test_what_is_abandoned_takes_nothing():
    env = simpy.Environment()
    storage = Storage(env, 10.0, 10.0)
    first, second = storage.access(50.0), storage.access(50.0)
    env.run(until=2.0)
    storage.abandon(second)
    env.run()
    assert first.done.triggered
    assert not second.done.triggered
    assert env.now >= 6.0


@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0.1, 100)), min_size=1, max_size=8))
def test_all_that_was_written_took_the_bandwidth_that_there_is(arrivals):
    together, each = 7.0, 3.0
    ends = done_at(lambda env: Storage(env, each, together), arrivals)
    total = sum(size for _, size in arrivals)
    first = min(moment for moment, _ in arrivals)
    assert max(ends) >= first + total / together - 1e-6
    for (moment, size), end in zip(arrivals, ends, strict=True):
        alone = moment + size / each
        assert alone - 1e-6 <= end <= moment + total / together + total / each + 1e-6
    if len(arrivals) == 1:
        assert ends[0] == pytest.approx(arrivals[0][0] + arrivals[0][1] / each)
