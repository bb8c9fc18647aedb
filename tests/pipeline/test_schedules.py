"""Schedules are complete, ordered, and leave the bubble that theory says."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simnet.pipeline.schedules import (
    SCHEDULES,
    Backward,
    Forward,
    Update,
    continuous,
    gpipe,
    interleaved,
    live_microbatches,
    one_forward_one_backward,
)
from simnet.pipeline.timeline import bubble_fraction, timeline

stage_counts = st.integers(1, 7)


def seconds(forward, backward, chunks=1):
    def of(stage, action):
        if isinstance(action, Update):
            return 0
        return Fraction(forward if isinstance(action, Forward) else backward, chunks)

    return of


@given(stage_counts, st.integers(1, 5), st.integers(1, 3), st.sampled_from(sorted(SCHEDULES)))
def test_each_pass_once_and_forward_first(stages, groups, chunks, name):
    chunks = chunks if name == "interleaved" else 1
    microbatches = groups * stages
    for stage in range(stages):
        actions = SCHEDULES[name](stages, stage, microbatches, chunks)
        passes = [(m, c) for c in range(chunks) for m in range(microbatches)]
        assert sorted((a.microbatch, a.chunk) for a in actions if isinstance(a, Forward)) == sorted(passes)
        assert sorted((a.microbatch, a.chunk) for a in actions if isinstance(a, Backward)) == sorted(passes)
        assert actions[-1] == Update()
        assert actions.count(Update()) == 1
        for m, c in passes:
            assert actions.index(Forward(m, c)) < actions.index(Backward(m, c))


@given(stage_counts, st.integers(1, 5), st.integers(1, 3), st.sampled_from(sorted(SCHEDULES)))
def test_no_schedule_waits_for_ever(stages, groups, chunks, name):
    chunks = chunks if name == "interleaved" else 1
    programs = [SCHEDULES[name](stages, i, groups * stages, chunks) for i in range(stages)]
    timeline(programs, seconds(1, 2), 5, chunks)


@given(stage_counts, st.integers(1, 20))
def test_live_activations(stages, microbatches):
    for stage in range(stages):
        one = one_forward_one_backward(stages, stage, microbatches)
        assert live_microbatches(one) == min(microbatches, stages - stage)
        assert live_microbatches(gpipe(stages, stage, microbatches)) == microbatches


@given(stage_counts, st.integers(1, 20), st.integers(1, 9), st.integers(1, 9))
def test_bubble_of_gpipe_and_1f1b(stages, microbatches, forward, backward):
    """(P-1)/(K+P-1), exactly, whatever the two passes take."""
    for schedule in (gpipe, one_forward_one_backward):
        programs = [schedule(stages, i, microbatches) for i in range(stages)]
        spans = timeline(programs, seconds(forward, backward))
        assert bubble_fraction(spans) == Fraction(stages - 1, microbatches + stages - 1)


@given(stage_counts, st.integers(1, 4), st.integers(1, 4), st.integers(1, 9), st.integers(1, 9))
def test_bubble_of_interleaved(stages, groups, chunks, forward, backward):
    """The fill and the drain are `chunks` times shorter."""
    microbatches = groups * stages
    programs = [interleaved(stages, i, microbatches, chunks) for i in range(stages)]
    spans = timeline(programs, seconds(forward, backward, chunks), chunks=chunks)
    assert bubble_fraction(spans) == Fraction(stages - 1, chunks * microbatches + stages - 1)


def test_interleaved_with_one_chunk_has_the_bubble_of_1f1b():
    for stage in range(4):
        assert live_microbatches(interleaved(4, stage, 8, 1)) >= live_microbatches(
            one_forward_one_backward(4, stage, 8)
        )


@given(stage_counts, st.integers(1, 6), st.integers(1, 4))
def test_continuous_is_1f1b_with_updates_in_between(stages, updates, every):
    microbatches = updates * every
    for stage in range(stages):
        actions = list(continuous(stages, stage, microbatches, every))
        passes = [action for action in actions if not isinstance(action, Update)]
        assert passes == one_forward_one_backward(stages, stage, microbatches)[:-1]
        assert actions.count(Update()) == updates
        assert actions[-1] == Update()


@given(stage_counts, st.integers(0, 30))
def test_continuous_staleness(stages, last):
    """Updates between a microbatch's two passes: the stages after this one, once the pipeline is full."""
    for stage in range(stages):
        version, started = 0, {}
        for action in continuous(stages, stage):
            if isinstance(action, Forward):
                started[action.microbatch] = version
            elif isinstance(action, Backward):
                after = stages - 1 - stage
                assert version - started[action.microbatch] == min(after, action.microbatch)
                if action.microbatch == last:
                    break
            else:
                version += 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gpipe(4, 4, 8), "stage 4 of 4"),
        (lambda: one_forward_one_backward(4, 0, 8, 2), "only the schedule interleaved"),
        (lambda: interleaved(4, 0, 6, 2), "not a multiple"),
        (lambda: list(continuous(4, 0, 6, 4)), "no whole updates"),
    ],
)
def test_impossible_counts(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_programs_that_cannot_end_are_told():
    with pytest.raises(ValueError, match="stage 0 waits for ever"):
        timeline([[Backward(0), Forward(0)], [Forward(0), Backward(0)]], seconds(1, 1))
