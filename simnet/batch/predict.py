"""What a run will cost, from a short probe of it.

The run is started, and stopped after a little while. How far it had come by then, and how fast it was going,
says how long the whole of it takes: costs are taken to grow in proportion from there. Memory is the peak of
the process that probed, with the tables as large as they will be at the end.
"""

import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from simnet.batch.pool import Call, Died, Pool, Raised, Returned
from simnet.batch.runs import BatchRun
from simnet.scenario import Scenario, ScenarioError, canonical

PROBE_SECONDS = 0.5
MOST_PROBES = 64

How = Literal["probe", "whole run", "other seed", "other point"]


@dataclass(frozen=True)
class Cost:
    """What a run is predicted to take."""

    seconds: float
    """Real time on one core; of a run that `stop.loss` may end early, the longest it can take."""
    memory_bytes: float
    """Peak of resident memory."""
    disk_bytes: float
    """Size of its folder."""
    how: How
    """``probe``: the first part of this run was run, ``whole run``: all of it; ``other seed``, ``other
    point``: the same method was probed there."""


class _Enough(Exception):
    """The probe has seen what it needs."""


def probe(
    scenario: Scenario, seconds: float = PROBE_SECONDS, tell: Callable[[Any], None] | None = None
) -> Cost:
    """Run a scenario of one algorithm for some seconds. Raises what planning and running it raise."""
    from simnet.experiment import carry_out
    from simnet.plan import plans
    from simnet.results import Recorder
    from simnet.runtime.world import Progress, done_share

    began = time.perf_counter()
    marks: list[tuple[float, float]] = []
    recorder = Recorder()

    def watch(label: str, state: Progress) -> None:
        marks.append((time.perf_counter(), done_share(scenario.stop, state)))
        if marks[-1][1] > marks[0][1] and marks[-1][0] - began > seconds:
            raise _Enough

    (plan,) = plans(scenario)
    try:
        files = carry_out(plan, watch, recorder)
    except Exception as error:
        if not _is_enough(error):
            raise
    else:
        size = sum(map(len, files.values()))
        return Cost(time.perf_counter() - began, _peak_bytes(), size, "whole run")
    (first, first_share), (last, share) = marks[0], marks[-1]
    rest = (last - first) * (1 - share) / (share - first_share)
    table_bytes = sum(table.nbytes for table in recorder.tables().values())
    file_bytes = sum(map(len, recorder.files().values()))
    return Cost(
        last - began + rest, _peak_bytes() + table_bytes * (1 / share - 1), file_bytes / share, "probe"
    )


def _is_enough(error: BaseException | None) -> bool:
    while error is not None and not isinstance(error, _Enough):
        error = error.__cause__
    return error is not None


def _peak_bytes() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak) if sys.platform == "darwin" else 1024.0 * peak


def predict(
    runs: Sequence[BatchRun], jobs: int, most: int = MOST_PROBES
) -> Iterator[tuple[BatchRun, Cost | str]]:
    """The cost of each run, or why it cannot be told, in some order.

    Of runs that differ in their seed alone one is probed; and of all those of a method in a document at most
    so many that there are ``most`` probes in all, spread evenly. The others get the cost of the nearest
    before them.
    """
    groups: dict[tuple[int, str], dict[str, list[BatchRun]]] = {}
    for run in runs:
        without_seed = str(canonical(run.scenario.model_copy(update={"seed": 0})))
        points = groups.setdefault((run.document, run.label), {})
        points.setdefault(without_seed, []).append(run)
    each = max(1, most // max(1, len(groups)))
    calls: list[Call[list[tuple[BatchRun, How]]]] = []
    for points in groups.values():
        alike = list(points.values())
        stride = -(-len(alike) // each)
        for start in range(0, len(alike), stride):
            first, *others = alike[start : start + stride]
            who: list[tuple[BatchRun, How]] = [(run, "other seed") for run in first]
            who += [(run, "other point") for same in others for run in same]
            calls.append(Call(who, probe, (first[0].scenario, PROBE_SECONDS)))
    with Pool(jobs, reused=False) as pool:
        for call, happened in pool.each(calls):
            for index, (run, how) in enumerate(call.key):
                match happened:
                    case Returned(Cost() as cost) if index == 0:
                        yield run, cost
                    case Returned(Cost() as cost):
                        yield run, Cost(cost.seconds, cost.memory_bytes, cost.disk_bytes, how)
                    case Raised(ScenarioError() as error):
                        yield run, str(error)
                    case Raised(error):
                        yield run, f"{type(error).__name__}: {error}"
                    case Died(reason):
                        yield run, reason


def total(costs: Mapping[Path, Cost], jobs: int) -> tuple[float, float]:
    """Real seconds that all runs take on so many processes, and the bytes that they leave on the disk.

    Runs are given out in order, each to the process that is free first.
    """
    free = [0.0] * jobs
    for cost in costs.values():
        soonest = free.index(min(free))
        free[soonest] += cost.seconds
    return max(free), sum(cost.disk_bytes for cost in costs.values())
