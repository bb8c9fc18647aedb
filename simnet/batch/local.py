"""The engine of one machine: some processes, each of which does one run after another."""

import os
from collections.abc import Generator, Sequence

from simnet.batch.claim import claimed
from simnet.batch.engine import Event, Standing, Task
from simnet.batch.failure import record_failure
from simnet.batch.pool import Began, Call, Died, Pool, Raised, Returned, Told
from simnet.batch.work import Ended, attempt
from simnet.results import ResultsError

PATIENCE_SECONDS = 1.0
"""How long a process waits for a run that another batch is at, before it looks for something else."""


def cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class LocalEngine:
    """Runs on ``jobs`` processes of this machine."""

    def __init__(self, jobs: int | None = None) -> None:
        self.jobs = cores() if jobs is None else jobs

    def carry_out(self, tasks: Sequence[Task]) -> Generator[Event]:
        """See :class:`~simnet.batch.engine.Engine`."""
        calls = [Call(task, attempt, (task.run, task.known_failure, 0.0)) for task in tasks]
        begun: set[int] = set()
        with Pool(min(self.jobs, max(1, len(calls)))) as pool:
            for call, happened in pool.each(calls):
                task = call.key
                match happened:
                    case Began():
                        if id(task) not in begun:
                            begun.add(id(task))
                            yield task, None
                    case Told(Standing() as standing):
                        yield task, standing
                    case Returned(Ended(status="busy")):
                        calls.append(Call(task, attempt, (*call.arguments[:2], PATIENCE_SECONDS)))
                    case Returned(Ended() as ended):
                        yield task, ended
                    case Died(reason):
                        yield task, _crashed(task, reason)
                    case Raised(error):
                        yield task, _crashed(task, f"{type(error).__name__}: {error}")
                    case _:
                        raise AssertionError(f"nothing tells {happened}")


def _crashed(task: Task, reason: str) -> Ended:
    """The record of a run whose process could not write one."""
    try:
        with claimed(task.run.folder) as mine:
            if mine:
                record_failure(task.run, reason)
    except (ResultsError, OSError) as error:
        return Ended("unwritable", str(error))
    return Ended("failed", reason)
