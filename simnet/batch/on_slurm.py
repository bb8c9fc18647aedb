"""The engine of a Slurm cluster, by submitit: an array of jobs, one per run.

Every job writes its own results: the results folder is one that all machines see.
"""

import time
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import submitit

from simnet.batch.engine import Event, Standing, Task
from simnet.batch.failure import read_failure, record_failure
from simnet.batch.predict import Cost
from simnet.batch.work import Ended, attempt

LOGS = ".slurm"
POLL_SECONDS = 1.0
LEAST_MINUTES = 30
TIMES_AS_LONG = 4.0
"""A job's limit of time, as a multiple of what it is predicted to take."""

SPARE_MEMORY = 1.5


class SlurmEngine:
    """Jobs of Slurm (or of another ``cluster`` that submitit knows), at most ``jobs`` at a time.

    ``options`` go to sbatch as they are. Memory and time are asked for after ``costs``, the predictions by
    run folder, where there are some; ``time`` (minutes) among the options overrides that.
    """

    def __init__(
        self,
        results: Path,
        jobs: int,
        options: Mapping[str, str],
        costs: Mapping[Path, Cost],
        cluster: str = "slurm",
    ) -> None:
        self._jobs, self._costs = jobs, costs
        self._executor = submitit.AutoExecutor(folder=results / LOGS, cluster=cluster)
        self._options = dict(options)

    def carry_out(self, tasks: Sequence[Task]) -> Generator[Event]:
        """See :class:`~simnet.batch.engine.Engine`. Nothing is told between beginning and end."""
        self._executor.update_parameters(**self._asked(tasks))
        waiting = list(tasks)
        flying: dict[Any, Task] = {}
        begun: set[Path] = set()
        try:
            while waiting or flying:
                if waiting:
                    jobs = self._executor.map_array(_attempt, waiting)
                    flying.update(zip(jobs, waiting, strict=True))
                    waiting = []
                for job in [job for job in flying if job.done()]:
                    task = flying.pop(job)
                    ended = self._ended(task, job)
                    if ended.status == "busy":
                        waiting.append(task)
                        continue
                    if task.run.folder not in begun:
                        begun.add(task.run.folder)
                        yield task, None
                    yield task, ended
                for job, task in flying.items():
                    if task.run.folder not in begun and job.state == "RUNNING":
                        begun.add(task.run.folder)
                        yield task, None
                if flying or waiting:
                    time.sleep(POLL_SECONDS)
        finally:
            for job in flying:
                job.cancel()

    def _asked(self, tasks: Sequence[Task]) -> dict[str, Any]:
        known = [self._costs[task.run.folder] for task in tasks if task.run.folder in self._costs]
        minutes = max([LEAST_MINUTES, *(int(TIMES_AS_LONG * cost.seconds / 60) for cost in known)])
        asked: dict[str, Any] = {
            "name": "simnet",
            "timeout_min": int(self._options.pop("time", minutes)),
            "cpus_per_task": max(task.run.scenario.threads or 1 for task in tasks),
            "slurm_array_parallelism": self._jobs,
        }
        if known:
            asked["mem_gb"] = max(1, round(SPARE_MEMORY * max(cost.memory_bytes for cost in known) / 1e9))
        if any(task.run.scenario.device.startswith("cuda") for task in tasks):
            asked["gpus_per_node"] = 1
        if self._options:
            asked["slurm_additional_parameters"] = self._options
        return asked

    def _ended(self, task: Task, job: Any) -> Ended:
        try:
            ended: Ended = job.result()
            return ended
        except Exception as error:  # submitit's own, of jobs that died or could not start
            failure = read_failure(task.run)
            message = failure.message if failure else f"job {job.job_id}: {_last_line(error)}"
            record_failure(task.run, message)
            return Ended("failed", message)


def _last_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[-1] if lines else ''}"


def _quiet(standing: Standing) -> None:
    """Nobody listens."""


def _attempt(task: Task) -> Ended:
    return attempt(task.run, task.known_failure, 0.0, _quiet)
