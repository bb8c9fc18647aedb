"""What one process does with one run: claim it, run it, write it, or record why that went wrong."""

import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from simnet.batch.claim import claimed
from simnet.batch.engine import Standing
from simnet.batch.failure import forget_failure, read_failure, record_failure, when_recorded
from simnet.batch.runs import BatchRun
from simnet.results import ResultsError, write_files
from simnet.scenario import Scenario, ScenarioError

Status = Literal["done", "elsewhere", "failed", "busy", "unwritable"]


@dataclass(frozen=True)
class Ended:
    """How an attempt at a run ended.

    ``done``: it was run. ``elsewhere``: another process had finished it meanwhile. ``failed``: see
    ``message``. ``busy``: another process is at it. ``unwritable``: no results can be written (a full disk, a
    folder that is read-only), so there is no point in going on.
    """

    status: Status
    message: str = ""
    seconds: float = 0.0
    """Real time of all that was done for the run."""
    simulation_seconds: float = 0.0
    """The part of it that was the simulation itself."""
    warnings: tuple[str, ...] = ()
    """What simnet warned of."""
    files: dict[str, bytes] | None = None
    """What the files of its folder hold, where somebody else writes them."""
    traceback: str = ""


def attempt(
    run: BatchRun, known_failure: int | None, patience_seconds: float, tell: Callable[[Standing], None]
) -> Ended:
    """Run ``run`` and write its folder, unless it is finished or somebody else is at it.

    ``known_failure`` is `when_recorded` before the batch began: a later record is that of another batch,
    which tried meanwhile.
    """
    started = time.perf_counter()
    try:
        with claimed(run.folder, patience_seconds) as mine:
            if not mine:
                return Ended("busy")
            if run.finished:
                return Ended("elsewhere")
            if when_recorded(run) not in (None, known_failure):
                failure = read_failure(run)
                return Ended("failed", failure.message if failure else "failed in another batch")
            ended = simulate(run.scenario, tell)
            if ended.files is not None:
                write_files(run.folder, ended.files)
                forget_failure(run)
                ended = replace(ended, files=None)
            elif ended.status == "failed":
                record_failure(run, ended.message, ended.traceback)
            return replace(ended, seconds=time.perf_counter() - started)
    except ResultsError as error:
        return Ended("unwritable", str(error))
    except OSError as error:  # of the lock
        return Ended("unwritable", f"cannot write to {run.folder.parent}: {error.strerror or error}")


def simulate(scenario: Scenario, tell: Callable[[Standing], None]) -> Ended:
    """Run a scenario of one algorithm; gives the run's files, or why it failed. Nothing is written."""
    from simnet.experiment import AlgorithmError, carry_out
    from simnet.plan import plans
    from simnet.runtime.world import Progress, done_share

    started = told = time.perf_counter()

    def watch(label: str, state: Progress) -> None:
        nonlocal told
        now = time.perf_counter()
        if now - told > TELL_SECONDS:
            told = now
            share = done_share(scenario.stop, state)
            tell(Standing(share, state.virtual_seconds, state.loss, state.worker_steps / (now - started)))

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        try:
            (plan,) = plans(scenario)
            planned = time.perf_counter()
            files = carry_out(plan, watch)
            ended = Ended("done", files=files, simulation_seconds=time.perf_counter() - planned)
        except ScenarioError as error:
            ended = Ended("failed", str(error))
        except ResultsError:
            raise
        except MemoryError as error:
            ended = Ended("failed", f"out of memory: {error}", traceback=traceback.format_exc())
        except Exception as error:
            own = isinstance(error, AlgorithmError) or type(error).__module__.startswith("simnet.")
            message = str(error) if own else f"{type(error).__name__}: {error}"
            ended = Ended("failed", message, traceback=traceback.format_exc())
    own_warnings = [str(one.message) for one in caught if one.category.__module__.startswith("simnet.")]
    return replace(ended, warnings=tuple(dict.fromkeys(own_warnings)), seconds=time.perf_counter() - started)


TELL_SECONDS = 0.2
