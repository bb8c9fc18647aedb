"""Progress of runs: a bar per algorithm on a terminal, plain lines elsewhere; always on standard error."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from simnet.experiment import Watch
from simnet.runtime.world import Progress as State
from simnet.runtime.world import done_share
from simnet.scenario import Document, StopConfig
from simnet.units import format_seconds

REFRESH_SECONDS = 0.1
PLAIN_SECONDS = 15.0


@contextmanager
def watching(document: Document) -> Iterator[Watch]:
    """Something to watch the document's runs with; Ctrl-C ends the command with a word."""
    console = Console(stderr=True)
    stop = document.scenarios[0].scenario.stop
    try:
        if console.is_terminal:
            with _bars(console) as progress:
                yield _on_terminal(progress, stop)
        else:
            yield _in_plain_lines(console, stop)
    except KeyboardInterrupt:
        console.print("interrupted: the unfinished run was not written", highlight=False)
        raise typer.Exit(130) from None


def _bars(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description:<12}"),
        BarColumn(bar_width=30),
        TextColumn(
            "loss {task.fields[loss]:<7}  virtual {task.fields[virtual]:<9}  {task.fields[speed]:>7} steps/s"
        ),
        TimeElapsedColumn(),
        console=console,
        refresh_per_second=10,
    )


def _on_terminal(progress: Progress, stop: StopConfig) -> Watch:
    bars: dict[str, TaskID] = {}
    pace = _Pace()

    def watch(label: str, state: State) -> None:
        new = label not in bars or state.virtual_seconds == 0 == state.worker_steps
        if new:
            bars[label] = progress.add_task(label, total=1.0, loss="", virtual="", speed="")
            pace.begin()
        share = done_share(stop, state)
        if new or share >= 1 or pace.every(REFRESH_SECONDS):
            progress.update(
                bars[label],
                completed=share,
                loss=_loss(state),
                virtual=format_seconds(state.virtual_seconds),
                speed=f"{pace.speed(state):,.0f}",
            )

    return watch


def _in_plain_lines(console: Console, stop: StopConfig) -> Watch:
    pace = _Pace()

    def watch(label: str, state: State) -> None:
        if state.virtual_seconds == 0 == state.worker_steps:
            pace.begin()
            console.print(f"{label}: started", highlight=False)
        elif pace.every(PLAIN_SECONDS):
            console.print(
                f"{label}: {done_share(stop, state):.0%}, loss {_loss(state)}, "
                f"virtual {format_seconds(state.virtual_seconds)}, {pace.speed(state):,.0f} steps/s",
                highlight=False,
            )

    return watch


class _Pace:
    """Wall-clock pace of the run that is going on; never looked at by the run itself."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.begin()

    def begin(self) -> None:
        self._began = self._shown = self._clock()

    def every(self, seconds: float) -> bool:
        """True at most once in so many seconds."""
        now = self._clock()
        if now - self._shown < seconds:
            return False
        self._shown = now
        return True

    def speed(self, state: State) -> float:
        """Optimizer steps of all workers per second of real time."""
        return state.worker_steps / max(self._clock() - self._began, 1e-9)


def _loss(state: State) -> str:
    return "" if state.loss == inf else f"{state.loss:.4f}"
