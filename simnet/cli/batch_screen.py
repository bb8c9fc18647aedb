"""Progress of a batch: one screen for all its runs on a terminal, a line per run elsewhere."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from simnet.batch import Batch, BatchRun, Ended, Standing, Watcher
from simnet.units import format_seconds

MOST_BARS = 24
"""Runs that are shown at once; the others are counted."""


@contextmanager
def watching(batch: Batch) -> Iterator[Watcher]:
    """Something to watch a batch with, on standard error."""
    console = Console(stderr=True)
    if not batch.to_do:
        yield _Lines(console, batch)
    elif console.is_terminal:
        screen = _Screen(console, batch)
        with screen.live:
            yield screen
    else:
        yield _Lines(console, batch)


class _Lines:
    """A line for each run that ends."""

    def __init__(self, console: Console, batch: Batch) -> None:
        self._console = console
        self._total, self._ended = len(batch.to_do), 0
        if batch.to_do:
            finished = f", {len(batch.finished)} finished before" if batch.finished else ""
            failed = f", {len(batch.failed)} failed before (--retry)" if batch.failed else ""
            self._say(f"{self._total} {'run' if self._total == 1 else 'runs'} to do{finished}{failed}")

    def began(self, run: BatchRun) -> None:
        """Nothing is said."""

    def stands(self, run: BatchRun, standing: Standing) -> None:
        """Nothing is said."""

    def ended(self, run: BatchRun, ended: Ended) -> None:
        """Say so."""
        self._ended += 1
        self._say(f"[{self._ended}/{self._total}] {_outcome(run, ended)}")

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)


class _Screen:
    """A bar for the batch and one for each run that is going on; failures are written above."""

    def __init__(self, console: Console, batch: Batch) -> None:
        self._console = console
        self._failed = 0
        self._whole = Progress(
            TextColumn("[bold]batch[/]"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            console=console,
        )
        self._runs = Progress(
            BarColumn(bar_width=14),
            TextColumn(
                "{task.fields[loss]:<12}  {task.fields[virtual]:<9}  {task.fields[speed]:>14}  "
                "{task.description}",
                markup=False,
            ),
            console=console,
        )
        self._began = time.monotonic()
        self._batch_bar = self._whole.add_task("", total=len(batch.to_do), note="")
        self._bars: dict[Path, TaskID] = {}
        self.live = Live(Group(self._whole, self._runs), console=console, refresh_per_second=8)

    def began(self, run: BatchRun) -> None:
        """Show a bar."""
        if len(self._bars) < MOST_BARS:
            self._bars[run.folder] = self._runs.add_task(run.title, total=1.0, loss="", virtual="", speed="")

    def stands(self, run: BatchRun, standing: Standing) -> None:
        """Move its bar."""
        if run.folder in self._bars:
            self._runs.update(
                self._bars[run.folder],
                completed=standing.share,
                loss="" if standing.loss == inf else f"loss {standing.loss:.4f}",
                virtual=format_seconds(standing.virtual_seconds),
                speed=f"{standing.worker_steps_per_second:,.0f} steps/s",
            )

    def ended(self, run: BatchRun, ended: Ended) -> None:
        """Remove its bar; say so if it failed."""
        if run.folder in self._bars:
            self._runs.remove_task(self._bars.pop(run.folder))
        if ended.status == "failed":
            self._failed += 1
            self._console.print(_outcome(run, ended), highlight=False, markup=False)
        self._whole.advance(self._batch_bar)
        task = self._whole.tasks[0]
        rest = (task.total or 0) - task.completed
        left = say_duration((time.monotonic() - self._began) / max(1, task.completed) * rest)
        failed = f"{self._failed} failed, " if self._failed else ""
        self._whole.update(
            self._batch_bar, note=f"{failed}about {left} left" if rest else failed.rstrip(", ")
        )


def _outcome(run: BatchRun, ended: Ended) -> str:
    if ended.status == "failed":
        return f"failed: {run.title}: {ended.message}"
    if ended.status == "elsewhere":
        return f"finished by another batch: {run.title}"
    return f"done: {run.title} ({say_duration(ended.seconds)})"


def say_duration(seconds: float) -> str:
    """Real time for people, such as 0.25 s: to be compared with others below each other."""
    return f"{seconds:.2f} s" if seconds < 600 else format_seconds(seconds)
