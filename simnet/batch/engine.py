"""What carries out the runs of a batch, and what it tells meanwhile."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from simnet.batch.runs import BatchRun
    from simnet.batch.work import Ended


@dataclass(frozen=True)
class Standing:
    """Where a run stands."""

    share: float
    """How much of it is behind us, 0 to 1."""
    virtual_seconds: float
    loss: float
    """The last held-out loss; infinite before the first."""
    worker_steps_per_second: float
    """Optimizer steps of all workers per second of real time."""


@dataclass(frozen=True)
class Task:
    """A run that is to be carried out."""

    run: "BatchRun"
    known_failure: int | None
    """See :func:`simnet.batch.work.attempt`."""


Event = tuple[Task, "Standing | Ended | None"]
"""Of a task: None when it begins, where it stands now and then, how it ended at last."""


class Engine(Protocol):
    """Carries out runs."""

    def carry_out(self, tasks: Sequence[Task]) -> Generator[Event]:
        """Tell what happens to each task, until all have ended; closing the generator stops everything.

        No event says ``busy``: such a run is tried again. Crashed processes end their run as failed.
        """
