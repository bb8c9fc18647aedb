"""When each action of a schedule happens, given how long passes take: the clock of an ideal pipeline.

No network, no machines, no tensors: every message takes the same time, and any number of them travel at once.
Held against the simulator, and good for looking at a schedule.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from simnet.pipeline.schedules import Action, Backward, Forward, Update


@dataclass(frozen=True, slots=True)
class Span:
    """One action of one stage, in seconds."""

    stage: int
    action: Action
    start: float
    end: float


def timeline(
    programs: Sequence[Sequence[Action]],
    seconds: Callable[[int, Action], float],
    transfer: float = 0,
    chunks: int = 1,
) -> list[Span]:
    """What every stage does when, in the order of the programs.

    Args:
        programs: The actions of each stage.
        seconds: How long an action takes at a stage.
        transfer: How long a message travels from one stage to another.
        chunks: Chunks per stage.

    Raises:
        ValueError: The programs wait for each other for ever.
    """
    stages = len(programs)
    pieces = stages * chunks
    ready: dict[tuple[type[Action], int, int], float] = {}
    free: list[float] = [0] * stages  # integers and fractions stay exact
    spans: list[list[Span]] = [[] for _ in programs]
    moved = True
    while moved:
        moved = False
        for stage, program in enumerate(programs):
            while len(spans[stage]) < len(program):
                action = program[len(spans[stage])]
                start = free[stage]
                if not isinstance(action, Update):
                    piece = action.chunk * stages + stage
                    needed = _input(action, piece, pieces)
                    if needed is not None:
                        if needed not in ready:
                            break
                        away = needed[2] % stages != stage
                        start = max(start, ready[needed] + (transfer if away else 0))
                end = start + seconds(stage, action)
                if not isinstance(action, Update):
                    ready[type(action), action.microbatch, piece] = end
                spans[stage].append(Span(stage, action, start, end))
                free[stage] = end
                moved = True
    for stage, program in enumerate(programs):
        if len(spans[stage]) < len(program):
            raise ValueError(f"stage {stage} waits for ever at {program[len(spans[stage])]}")
    return [span for row in spans for span in row]


def bubble_fraction(spans: Sequence[Span]) -> float:
    """The part of the stages' time, from the first start to the last end, in which they do nothing."""
    stages = len({span.stage for span in spans})
    whole = max(span.end for span in spans) - min(span.start for span in spans)
    busy = sum(span.end - span.start for span in spans)
    return 1 - busy / (stages * whole)


def _input(action: Forward | Backward, piece: int, pieces: int) -> tuple[type[Action], int, int] | None:
    """The pass whose result an action needs, as (kind, microbatch, piece); None for a first forward pass."""
    if isinstance(action, Forward):
        return None if piece == 0 else (Forward, action.microbatch, piece - 1)
    if piece == pieces - 1:
        return Forward, action.microbatch, piece
    return Backward, action.microbatch, piece + 1
