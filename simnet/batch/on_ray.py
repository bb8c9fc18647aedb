"""The engine of a Ray cluster: a task per run, retried by Ray where a machine dies."""

import json
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray

from simnet.batch.claim import claimed
from simnet.batch.engine import Event, Standing, Task
from simnet.batch.failure import forget_failure, record_failure
from simnet.batch.predict import Cost
from simnet.batch.work import Ended, attempt, simulate
from simnet.results import ResultsError, write_files
from simnet.scenario import Scenario

DRIVER, SHARED = "driver", "shared"
RETRIES = 3
"""How often Ray tries a run again whose machine or process died."""

POLL_SECONDS = 0.5
AHEAD = 2.0
"""Runs that Ray knows of, as a multiple of those that fit on the cluster."""


class RayEngine:
    """Runs on the cluster at ``address``; without one, on a cluster that Ray starts on this machine.

    ``deliver`` says where results go: ``driver``, they come back and are written here; ``shared``, the task
    writes them into the results folder, which all machines see; else a URL that fsspec knows. ``costs`` are
    predictions by run folder, from which tasks ask for memory. Raises `ConnectionError` where there is no
    cluster.
    """

    def __init__(self, address: str | None, deliver: str, costs: Mapping[Path, Cost]) -> None:
        self._deliver, self._costs = deliver, costs
        self._ours = not ray.is_initialized()
        if self._ours:
            dashboard = False if address is None else None  # an existing cluster has one or not
            ray.init(address=address, log_to_driver=False, include_dashboard=dashboard)

    def carry_out(self, tasks: Sequence[Task]) -> Generator[Event]:
        """See :class:`~simnet.batch.engine.Engine`. Nothing is told between beginning and end."""
        waiting, flying = list(tasks), dict[Any, tuple[Task, ExitStack]]()
        try:
            while waiting or flying:
                busy = []
                while waiting and len(flying) < self._most():
                    task = waiting.pop(0)
                    held = self._claim(task)
                    if held is None:
                        busy.append(task)
                        continue
                    yield task, None
                    if task.run.finished or (self._remote_place and _delivered(self._remote_place, task)):
                        held.close()
                        yield task, Ended("elsewhere")
                        continue
                    flying[self._submit(task)] = task, held
                waiting += busy
                if not flying:
                    time.sleep(POLL_SECONDS if busy else 0.0)
                    continue
                ready, _ = ray.wait(list(flying), num_returns=1, timeout=POLL_SECONDS)
                for reference in ready:
                    task, held = flying.pop(reference)
                    with held:
                        ended = self._ended(task, reference)
                    if ended.status == "busy":
                        waiting.append(task)
                    else:
                        yield task, ended
        finally:
            for reference, (_, held) in flying.items():
                ray.cancel(reference, force=True)
                held.close()
            if self._ours:
                ray.shutdown()

    @property
    def _remote_place(self) -> str:
        return "" if self._deliver in (DRIVER, SHARED) else self._deliver

    def _most(self) -> int:
        return max(4, int(AHEAD * ray.cluster_resources().get("CPU", 1.0)))

    def _claim(self, task: Task) -> ExitStack | None:
        """Our claim to the run, which whoever writes its results has: the task itself if it is `shared`."""
        held = ExitStack()
        if self._deliver != SHARED and not held.enter_context(claimed(task.run.folder)):
            held.close()
            return None
        return held

    def _submit(self, task: Task) -> Any:
        scenario, cost = task.run.scenario, self._costs.get(task.run.folder)
        asked = {
            "num_cpus": scenario.threads or 1,
            "num_gpus": 1 if scenario.device.startswith("cuda") else 0,
            "max_retries": RETRIES,
            "name": f"simnet {task.run.title}",
        }
        if cost is not None:
            asked["memory"] = int(cost.memory_bytes)
        if self._deliver == SHARED:
            return ray.remote(_attempt).options(**asked).remote(task)
        return ray.remote(_simulate).options(**asked).remote(scenario, self._remote_place, place_of(task))

    def _ended(self, task: Task, reference: Any) -> Ended:
        try:
            ended: Ended = ray.get(reference)
        except ray.exceptions.RayError as error:  # after all retries
            ended = Ended("failed", f"{type(error).__name__}: {str(error).strip().splitlines()[-1]}")
            if self._deliver == SHARED:
                record_failure(task.run, ended.message)
        if self._deliver == SHARED:
            return ended
        try:
            if ended.files is not None:
                write_files(task.run.folder, ended.files)
                ended = replace(ended, files=None)
            if ended.status == "failed":
                record_failure(task.run, ended.message, ended.traceback)
            elif ended.status == "done":
                forget_failure(task.run)
        except ResultsError as error:
            return Ended("unwritable", str(error))
        return ended


def place_of(task: Task) -> str:
    """Where the run's folder is below the results folder, or below the URL that stands for it."""
    folder = task.run.folder
    return f"{folder.parent.name}/{folder.name}"


def _delivered(url: str, task: Task) -> bool:
    """Whether the run is complete at ``url``: its manifest, which is written last, is there and says so."""
    import fsspec

    try:
        with fsspec.open(f"{url.rstrip('/')}/{place_of(task)}/manifest.json") as file:
            return bool(json.load(file).get("status") == "complete")
    except (OSError, ValueError):
        return False


def deliver_files(url: str, place: str, files: Mapping[str, bytes]) -> None:
    """Write a run's files below ``url``, the manifest last: a run without one is not there.

    Raises `OSError` and what the file system behind ``url`` raises.
    """
    import fsspec

    last = "manifest.json"
    for name in [*(name for name in files if name != last), last]:
        with fsspec.open(f"{url.rstrip('/')}/{place}/{name}", "wb", auto_mkdir=True) as file:
            file.write(files[name])


def _quiet(standing: Standing) -> None:
    """Nobody listens."""


def _attempt(task: Task) -> Ended:
    return attempt(task.run, task.known_failure, 0.0, _quiet)


def _simulate(scenario: Scenario, url: str, place: str) -> Ended:
    ended = simulate(scenario, _quiet)
    if not url or ended.files is None:
        return ended
    try:
        deliver_files(url, place, ended.files)
    except Exception as error:  # whatever the file system's library raises
        return Ended("unwritable", f"cannot write to {url}: {type(error).__name__}: {error}")
    return replace(ended, files=None)
