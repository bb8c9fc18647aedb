"""The closed forms: numbers worked out by hand, their limits, and how they relate to each other.

That simulated collectives take these times is tested in `tests/runtime/test_collective_forms.py`.
"""

from math import ceil, floor, inf, log2

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simnet.network import analytic

A, B, N = 0.01, 1e6, 8e6
"""Latency (s), bandwidth (bytes/s) and size (bytes): n b = 8 s."""

links = {
    "bytes": st.floats(1, 1e9),
    "bandwidth": st.floats(1e3, 1e9),
    "latency": st.floats(1e-6, 1),
}


@pytest.mark.parametrize(
    ("form", "members", "seconds"),
    [
        (analytic.ring_all_reduce_seconds, 4, 6 * A + 12.0),
        (analytic.ring_gather_seconds, 4, 3 * A + 6.0),
        (analytic.recursive_doubling_seconds, 8, 3 * A + 24.0),
        (analytic.recursive_doubling_seconds, 9, 5 * A + 40.0),  # fold, three rounds, unfold
        (analytic.halving_doubling_seconds, 8, 6 * A + 14.0),
        (analytic.halving_doubling_seconds, 12, 8 * A + 14.0 + 16.0),
        (analytic.tree_all_reduce_seconds, 5, 6 * A + 48.0),
        (analytic.binomial_broadcast_seconds, 8, 3 * A + 24.0),
        (analytic.binomial_broadcast_seconds, 5, 2 * A + 24.0),
        (analytic.scatter_all_gather_broadcast_seconds, 8, 10 * A + 14.0),
        (analytic.scatter_all_gather_broadcast_seconds, 5, 6 * A + 12.8),
        (analytic.pairwise_all_to_all_seconds, 5, 4 * A + 32.0),
        (analytic.all_to_all_at_once_seconds, 5, A + 32.0),
    ],
)
def test_by_hand(form, members, seconds):
    assert form(members, N, B, A) == pytest.approx(seconds, rel=1e-12)
    assert form(1, N, B, A) == 0


def test_simgrids_ring():
    """Four hosts on 25 MB/s links of 15 ms around a switch reduce 200 MB: 12.18 s by SimGrid 3.32."""
    assert analytic.ring_all_reduce_seconds(4, 200e6, 25e6, 2 * 0.015) == pytest.approx(12.18, rel=1e-12)


def test_pipelines_by_hand():
    assert analytic.pipelined_seconds(3, 4, N, B, A) == pytest.approx(3 * A + 12.0)
    assert analytic.textbook_pipelined_seconds(3, 4, N, B, A) == pytest.approx(6 * A + 12.0)
    assert analytic.best_chunks(3, N, B, A) == pytest.approx(40.0)
    assert analytic.best_chunks(3, N, B, 0.0) == inf
    assert analytic.best_chunks(1, N, B, A) == 1.0


def test_servers_by_hand():
    assert analytic.parameter_server_seconds(4, N, B, 2 * B, A, servers=1) == pytest.approx(2 * A + 32.0)
    assert analytic.member_server_seconds(5, 2, N, B, A) == pytest.approx(2 * A + 32.0)
    assert analytic.hierarchical_all_reduce_seconds(2, 4, N, B, A) == pytest.approx(8 * A + 14.0)


@given(members=st.integers(2, 64), **links)
def test_no_all_reduce_beats_the_bandwidth_bound(members, bytes, bandwidth, latency):
    """Each member sends at least 2 (p-1)/p n (Patarasu and Yuan, 2009), in at least log2 p rounds."""
    bound = max(2 * (members - 1) / members * bytes / bandwidth, log2(members) * latency)
    for form in (
        analytic.ring_all_reduce_seconds,
        analytic.halving_doubling_seconds,
        analytic.tree_all_reduce_seconds,
    ):
        assert form(members, bytes, bandwidth, latency) >= bound * (1 - 1e-12)


@given(depth=st.integers(2, 50), **links)
def test_the_best_number_of_chunks_is_the_best(depth, bytes, bandwidth, latency):
    exact = analytic.best_chunks(depth, bytes, bandwidth, latency)

    def seconds(chunks):
        return analytic.textbook_pipelined_seconds(depth, chunks, bytes, bandwidth, latency)

    best = min(seconds(floor(exact)), seconds(ceil(exact)))
    for chunks in (1, floor(exact) // 2, floor(exact) - 1, ceil(exact) + 1, 2 * ceil(exact)):
        assert best <= seconds(max(1, chunks)) * (1 + 1e-12)


@given(rate=st.floats(1e3, 1e9), members=st.integers(1, 20))
def test_an_even_ring_is_a_special_uneven_one(rate, members):
    even = analytic.ring_all_reduce_seconds(members, N, rate, A)
    assert analytic.uneven_ring_all_reduce_seconds(N, [(rate, A)] * members) == pytest.approx(even)
    if members > 1:
        slower = [(rate, A)] * (members - 1) + [(rate / 2, A)]
        assert analytic.uneven_ring_all_reduce_seconds(N, slower) > even


def test_a_hierarchy_of_one_level_is_a_ring():
    ring = analytic.ring_all_reduce_seconds(6, N, B, A)
    assert analytic.hierarchical_all_reduce_seconds(6, 1, N, B, A) == pytest.approx(ring)
    assert analytic.hierarchical_all_reduce_seconds(1, 6, N, B, A) == pytest.approx(ring)
