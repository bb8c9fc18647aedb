"""Pipeline schedules: which stage works on which microbatch when, as lists of actions.

A schedule knows counts alone: stages, microbatches, chunks. It never looks into a tensor, and it does not
know how long anything takes: a stage carries out its actions in order and waits where an input is not there
yet. Stages, microbatches and chunks are counted from 0.

A stage with `chunks` > 1 holds several pieces of the model (virtual stages): chunk c of stage i is piece
`c * stages + i` of `chunks * stages`, so that a microbatch goes round the stages `chunks` times.

A new schedule is a function with the arguments of `gpipe`, entered in :data:`SCHEDULES`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Forward:
    """The forward pass of a microbatch through one chunk of a stage."""

    microbatch: int
    chunk: int = 0


@dataclass(frozen=True, slots=True)
class Backward:
    """The backward pass of a microbatch through one chunk of a stage."""

    microbatch: int
    chunk: int = 0


@dataclass(frozen=True, slots=True)
class Update:
    """An optimizer step along the gradients of all backward passes since the last one."""


Action: TypeAlias = Forward | Backward | Update
Schedule: TypeAlias = Callable[[int, int, int, int], list[Action]]
"""The actions of one step, given (stages, stage, microbatches, chunks); the last one is an update."""


def gpipe(stages: int, stage: int, microbatches: int, chunks: int = 1) -> list[Action]:
    """All forward passes, then all backward passes (Huang et al., 2019, "GPipe").

    Every stage holds the activations of all microbatches. Raises `ValueError` for more than one chunk.
    """
    _check(stages, stage, microbatches, chunks, most_chunks=1)
    every = range(microbatches)
    return [*(Forward(m) for m in every), *(Backward(m) for m in every), Update()]


def one_forward_one_backward(stages: int, stage: int, microbatches: int, chunks: int = 1) -> list[Action]:
    """Backward passes as early as they can be: "1F1B" (Narayanan et al., 2019, 2021).

    `stages - 1 - stage` forward passes fill the pipeline, then each further one is followed by a backward
    pass, and the rest of the backward passes drain it. A stage holds at most `stages - stage` microbatches.
    Raises `ValueError` for more than one chunk.
    """
    _check(stages, stage, microbatches, chunks, most_chunks=1)
    passes = _alternate(
        [Forward(m) for m in range(microbatches)],
        [Backward(m) for m in range(microbatches)],
        fill=stages - 1 - stage,
    )
    return [*passes, Update()]


def interleaved(stages: int, stage: int, microbatches: int, chunks: int = 2) -> list[Action]:
    """1F1B over `chunks` virtual stages at each stage (Narayanan et al., 2021, section 2.2).

    Microbatches go in groups of `stages`, each group through one chunk after the other. The bubble is
    `chunks` times smaller, and so many times as many messages are sent. Raises `ValueError` unless the
    microbatches are a multiple of the stages.
    """
    _check(stages, stage, microbatches, chunks)
    if microbatches % stages:
        raise ValueError(
            f"interleaved needs microbatches in groups of the stages: {microbatches} is not a multiple of "
            f"{stages}"
        )
    order = [
        (group + place, chunk)
        for group in range(0, microbatches, stages)
        for chunk in range(chunks)
        for place in range(stages)
    ]
    forwards = [Forward(m, chunk) for m, chunk in order]
    backwards = [Backward(m, chunks - 1 - chunk) for m, chunk in order]
    fill = 2 * (stages - 1 - stage) + (chunks - 1) * stages
    return [*_alternate(forwards, backwards, fill), Update()]


def continuous(
    stages: int, stage: int, microbatches: int | None = None, update_every: int = 1
) -> Iterator[Action]:
    """1F1B without an end or a flush: an update after every `update_every` microbatches (PipeDream).

    At stage i (from 0) a microbatch's backward pass comes `stages - 1 - i` microbatches after its forward
    pass, so with an update after each one the weights have moved so many times in between.

    Args:
        stages: Stages of the pipeline.
        stage: This one.
        microbatches: After so many the pipeline drains and the actions end; None: they never do.
        update_every: Microbatches per update; whole updates alone, so it divides `microbatches`.
    """
    _check(stages, stage, microbatches or 1, 1)
    if update_every < 1 or (microbatches or 0) % update_every:
        raise ValueError(f"{microbatches} microbatches make no whole updates of {update_every}")
    fill = stages - 1 - stage
    for done in count() if microbatches is None else range(microbatches):
        ahead = range(fill + 1) if done == 0 else range(done + fill, done + fill + 1)
        for microbatch in ahead:
            if microbatches is None or microbatch < microbatches:
                yield Forward(microbatch)
        yield Backward(done)
        if (done + 1) % update_every == 0:
            yield Update()


SCHEDULES: dict[str, Schedule] = {
    "gpipe": gpipe,
    "1f1b": one_forward_one_backward,
    "interleaved": interleaved,
}
"""The synchronous schedules by name."""


def live_microbatches(actions: Sequence[Action]) -> int:
    """The most forward passes whose activations are held at once, over all chunks of the stage."""
    held = most = 0
    for action in actions:
        held += isinstance(action, Forward) - isinstance(action, Backward)
        most = max(most, held)
    return most


def _alternate(forwards: Sequence[Action], backwards: Sequence[Action], fill: int) -> list[Action]:
    """`fill` forward passes, then one forward and one backward pass in turn, then what is left."""
    fill = min(fill, len(forwards))
    passes = list(forwards[:fill])
    for forward, backward in zip(forwards[fill:], backwards, strict=False):
        passes += [forward, backward]
    return passes + list(backwards[len(forwards) - fill :])


def _check(stages: int, stage: int, microbatches: int, chunks: int, most_chunks: int | None = None) -> None:
    if not 0 <= stage < stages:
        raise ValueError(f"stage {stage} of {stages}")
    if microbatches < 1 or chunks < 1:
        raise ValueError(f"{microbatches} microbatches, {chunks} chunks: both are 1 or more")
    if most_chunks is not None and chunks > most_chunks:
        raise ValueError(f"{chunks} chunks per stage: only the schedule interleaved takes more than one")
