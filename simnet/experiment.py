"""From a scenario to its results, and what `import simnet` offers."""

import inspect
import platform
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import numpy
import torch

from simnet.compute import Engine, TimingEngine
from simnet.faults.planned import planned_events
from simnet.plan import Plan, make_engine, plans
from simnet.results import (
    Manifest,
    Recorder,
    Run,
    check_writable,
    read_run,
    run_files,
    run_folder,
    write_files,
)
from simnet.runtime.prices import prices_of
from simnet.runtime.simulated import SimulatedRun
from simnet.runtime.world import Outcome as RunOutcome
from simnet.runtime.world import Progress
from simnet.scenario import (
    Document,
    Scenario,
    ScenarioError,
    dump,
    load_file,
    parse_expectation,
    stated,
)
from simnet.scenario import Outcome as ExpectationOutcome

Watch = Callable[[str, Progress], None]
"""Called with the algorithm's label and where it stands, at least once per evaluation."""


class AlgorithmError(Exception):
    """An algorithm's own code failed; the message says where, the cause is its exception."""


def load(path: str | Path, overrides: Sequence[str] = ()) -> Document:
    """Read a scenario file (or one of the library, by name), with `key.path=value` overrides.

    Raises :class:`~simnet.scenario.ScenarioError` with every problem that the schema can see.
    """
    return load_file(path, overrides)


def run(
    scenario: Document | Scenario | str | Path,
    results: str | Path = "results",
    watch: Watch | None = None,
) -> list[Run]:
    """Run every algorithm of a scenario (at every point of its sweep) and write a folder for each.

    Gives the runs in the order of the file. Raises :class:`~simnet.scenario.ScenarioError` before anything
    has run, :class:`~simnet.results.ResultsError` if a folder cannot be written, :class:`AlgorithmError` and
    `DeadlockError` from a run.
    """
    ready = [plan for point in _points(scenario) for plan in plans(point)]
    for plan in ready:
        check_writable(folder_of(plan, results))
    return [execute(plan, results, watch) for plan in ready]


def folder_of(plan: Plan, results: str | Path) -> Path:
    """Where the run's folder will be."""
    return run_folder(Path(results), plan.scenario.name, plan.label, plan.digest)


def execute(plan: Plan, results: str | Path = "results", watch: Watch | None = None) -> Run:
    """Run one plan and write its folder, whole or not at all."""
    return read_run(write_files(folder_of(plan, results), carry_out(plan, watch)))


def carry_out(plan: Plan, watch: Watch | None = None, recorder: Recorder | None = None) -> dict[str, bytes]:
    """Run one plan; gives what the files of its folder hold, by name.

    What is recorded goes to `recorder`, if one is given. Raises :class:`AlgorithmError`, `DeadlockError` and
    `InvariantError`.
    """
    recorder = recorder or Recorder()
    with _torch_threads(plan.threads):
        started = time.perf_counter()
        engine = make_engine(plan)
        progress = None if watch is None else lambda state: watch(plan.label, state)
        simulated = SimulatedRun(plan.world, plan.method, engine, recorder, progress)
        try:
            outcome = simulated.run()
        except Exception as error:
            raise _blamed(error, plan) from error
        wall_seconds = time.perf_counter() - started
    world, hosts = plan.world, {name: node.host for name, node in simulated.nodes.items()}
    for row in planned_events(world.scenario, world.topology, hosts, outcome.virtual_seconds):
        recorder.fault(*row)
    return files_of(plan, recorder, manifest_of(plan, outcome, engine, wall_seconds))


def manifest_of(
    plan: Plan,
    outcome: RunOutcome,
    engine: Engine | TimingEngine,
    wall_seconds: float,
    *,
    label: str | None = None,
    emulation: Mapping[str, Any] | None = None,
) -> Manifest:
    """The manifest of a run of `plan`; under another label, and emulated, if so said."""
    return Manifest(
        label=label or plan.label,
        algorithm=plan.scenario.algorithms[0].name,
        seed=plan.scenario.seed,
        versions={
            "simnet": version("simnet"),
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": numpy.__version__,
        },
        platform=platform.platform(),
        device=str(plan.device),
        engine=engine.choice,
        engine_settings=engine.settings,
        torch_threads=plan.threads,
        wall_seconds=wall_seconds,
        virtual_seconds=outcome.virtual_seconds,
        steps=outcome.steps,
        worker_steps=outcome.worker_steps,
        bytes_sent=outcome.bytes_sent,
        raw_bytes_sent=outcome.raw_bytes_sent,
        utilization=outcome.utilization,
        final=outcome.final,
        invariants=outcome.invariants,
        status="aborted" if outcome.aborted else "complete",
        reason=outcome.aborted,
        scenario=stated(plan.scenario, plan.files.places),
        emulation=emulation or {},
        prices=prices_of(plan.world, "server" in plan.method.roles()),
    )


def files_of(plan: Plan, recorder: Recorder, manifest: Manifest) -> dict[str, bytes]:
    """What the files of a run's folder hold, by name."""
    text, kept = dump(plan.scenario, plan.files.places), plan.files.by_place
    return run_files(recorder, text, manifest, kept)


@dataclass(frozen=True)
class Verdict:
    """What became of one line of `expect:`, at one point of the sweep."""

    scenario: str
    point: dict[str, object]
    outcome: ExpectationOutcome

    @property
    def held(self) -> bool:
        """Whether it held."""
        return self.outcome.held

    def __str__(self) -> str:
        where = ", ".join(f"{key}={value}" for key, value in self.point.items())
        head = f"{'ok  ' if self.held else 'FAIL'} {self.scenario}{f' [{where}]' if where else ''}: "
        return head + self.outcome.text + "".join(f"\n         {line}" for line in self.outcome.comparisons)


def check(document: Document, results: str | Path = "results", watch: Watch | None = None) -> list[Verdict]:
    """Run a document and hold every line of its `expect:` against what was measured.

    Raises :class:`~simnet.scenario.ScenarioError` where the document expects nothing, and what :func:`run`
    raises.
    """
    if not any(point.scenario.expect for point in document.scenarios):
        raise ScenarioError.at(("expect",), "missing key: nothing to check", expected="a list of comparisons")
    verdicts = []
    for point in document.scenarios:
        measured = _Measured({run.label: run for run in run(point.scenario, results, watch)})
        for index, line in enumerate(point.scenario.expect):
            outcome = parse_expectation(line, measured.runs, ("expect", index)).check(measured)
            verdicts.append(Verdict(point.scenario.name, point.point, outcome))
    return verdicts


@dataclass(frozen=True)
class _Measured:
    """The runs of one point of a sweep, as `expect:` asks about them."""

    runs: dict[str, Run]

    def time_to(self, label: str, metric: str, value: float) -> float:
        return self.runs[label].time_to(metric, value)

    def final(self, label: str, metric: str) -> float:
        return self.runs[label].final(metric)

    def bytes(self, label: str) -> float:
        return self.runs[label].manifest.bytes_sent

    def utilization(self, label: str) -> float:
        return self.runs[label].manifest.utilization

    def time(self, label: str) -> float:
        return self.runs[label].manifest.virtual_seconds

    def goodput(self, label: str) -> float:
        return self.runs[label].goodput

    def wasted(self, label: str) -> float:
        return self.runs[label].wasted_seconds

    def availability(self, label: str) -> float:
        return self.runs[label].mean_availability

    def spent(self, label: str, quantity: str) -> float:
        return self.runs[label].spent(quantity)


def _points(scenario: Document | Scenario | str | Path) -> list[Scenario]:
    if isinstance(scenario, Scenario):
        return [scenario]
    document = scenario if isinstance(scenario, Document) else load(scenario)
    return [point.scenario for point in document.scenarios]


@contextmanager
def _torch_threads(threads: int) -> Iterator[None]:
    """So many CPU threads for torch, for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _blamed(error: Exception, plan: Plan) -> Exception:
    """`error` where simnet explains it itself, else an :class:`AlgorithmError` with the method's line."""
    if type(error).__module__.startswith("simnet."):
        return error
    source = inspect.getfile(type(plan.method))
    while error.__cause__ is not None:  # SimPy raises a copy, with the exception itself as its cause
        error = cast(Exception, error.__cause__)
    lines = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == source]
    place = f" at {lines[-1].filename}:{lines[-1].lineno}: {lines[-1].line}" if lines else ""
    return AlgorithmError(f"{plan.label} failed{place}\n    {type(error).__name__}: {error}")
