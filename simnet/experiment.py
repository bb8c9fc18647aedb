"""From a scenario to its runs: the assembly of all rooms, and what `import simnet` offers."""

import hashlib
import inspect
import json
import os
import platform
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import cast

import numpy
import torch
from pydantic import BaseModel

from simnet.algorithms import Algorithm, algorithm_class, algorithm_names
from simnet.compute import CostModel, Engine, Layout, TimingEngine, check_memory, count_gradient_flops
from simnet.network import Topology, build_topology
from simnet.network.kept_files import KeptFiles, kept_files
from simnet.optim import Optimizer, OptimizerConfig
from simnet.pipeline.build import build_pipeline, pipeline_task, replicas_of
from simnet.pipeline.method import PipelineMethod
from simnet.results import Manifest, Recorder, Run, check_writable, read_run, run_folder, write_run
from simnet.runtime.simulated import SimulatedRun
from simnet.runtime.world import Progress, World
from simnet.scenario import (
    AlgorithmEntry,
    Document,
    Problem,
    Scenario,
    ScenarioError,
    canonical,
    dump,
    load_file,
    load_plugin,
    nearest,
    one_of,
    parse_expectation,
    validated,
)
from simnet.scenario import Outcome as ExpectationOutcome
from simnet.scenario.schema import SYNTHETIC
from simnet.tasks import SyntheticTask, Task, build_task

MANY_FLOPS = 1e10
"""FLOPs of one gradient of all workers together from which on torch gets all cores: about 0.1 s on one."""

Watch = Callable[[str, Progress], None]
"""Called with the algorithm's label and where it stands, at least once per evaluation."""


class _OptimizerSection(BaseModel):
    optimizer: OptimizerConfig


class AlgorithmError(Exception):
    """An algorithm's own code failed; the message says where, the cause is its exception."""


@dataclass(frozen=True)
class Plan:
    """One run that is ready to start: everything has been checked."""

    scenario: Scenario
    """The resolved scenario of this run alone: one algorithm, no sweep."""
    label: str
    method: Algorithm
    world: World
    optimizer: Optimizer | None
    """None in a timing-only run."""
    device: torch.device
    threads: int
    """CPU threads that torch gets."""
    files: KeptFiles
    """What the network's files said when it was built."""

    @property
    def digest(self) -> str:
        """Identity of the run: hash of the resolved scenario, without what does not change its result.

        What the files of the network say takes the place of their names.
        """
        stated = canonical(self.scenario, self.files.hashes)
        for key in ("name", "description", "expect"):
            stated.pop(key, None)
        text = json.dumps([version("simnet"), stated], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def load(path: str | Path, overrides: Sequence[str] = ()) -> Document:
    """Read a scenario file (or one of the library, by name), with `key.path=value` overrides.

    Raises :class:`~simnet.scenario.ScenarioError` with every problem that the schema can see.
    """
    return load_file(path, overrides)


def plans(scenario: Scenario) -> list[Plan]:
    """Everything that the scenario's algorithms need, built and checked, in the order of the file.

    Raises :class:`~simnet.scenario.ScenarioError`, which knows the scenario's file and lines.
    """
    try:
        return _plans(scenario)
    except ScenarioError as error:
        raise ScenarioError(error.problems, error.source or scenario.source) from None


def _plans(scenario: Scenario) -> list[Plan]:
    device = _torch_device(scenario)
    optimizer = _optimizer(scenario)
    methods = [_method(scenario, index, entry) for index, entry in enumerate(scenario.algorithms)]
    topologies = {
        served: build_topology(scenario, with_server=served) for served in map(_needs_server, methods)
    }
    any_topology = next(iter(topologies.values()))
    shares = [_shares(scenario, method, any_topology) for method in methods]
    tasks = {count: build_task(scenario, device, count) for count in dict.fromkeys(shares)}
    synthetic = any(isinstance(task, SyntheticTask) for task in tasks.values())
    if synthetic:
        _check_timing_only(scenario, methods)
    files = kept_files(scenario)
    made = []
    for index, (entry, method, count) in enumerate(zip(scenario.algorithms, methods, shares, strict=True)):
        alone = scenario.model_copy(update={"algorithms": (entry,), "sweep": {}, "expect": ()})
        topology, task, bound = topologies[_needs_server(method)], tasks[count], optimizer
        if not isinstance(method, PipelineMethod):
            if not synthetic:
                bound = _bound(_given(optimizer), task, ("task", "optimizer"))
                method = _with_bound_optimizers(method, task, index)
                check_memory(scenario, task, bound, served=True in topologies)
            world = World(alone, topology, task, CostModel.of(alone, task, bound, topology))
        else:  # whose stages bind optimizers to their own parameters
            _check_stages(alone, method, index)
            world = _pipeline_world(alone, method, topology, task, optimizer)
        threads = _threads(scenario, world.task)
        made.append(Plan(alone, entry.label, method, world, bound, device, threads, files))
    return made


def _given(optimizer: Optimizer | None) -> Optimizer:
    assert optimizer is not None, "every task but a synthetic one has an optimizer"
    return optimizer


def _shares(scenario: Scenario, method: Algorithm, topology: Topology) -> int:
    """How many shares of the data a method trains on: one per worker, or one per pipeline."""
    if isinstance(method, PipelineMethod):
        return replicas_of(scenario, topology.workers)
    return len(topology.workers)


def _check_stages(scenario: Scenario, method: PipelineMethod, index: int) -> None:
    assert scenario.pipeline is not None, "its replicas were counted"
    try:
        method.check(scenario.pipeline.stages)
    except ValueError as error:
        raise ScenarioError.at(("algorithms", index), str(error)) from None


def _pipeline_world(
    scenario: Scenario, method: PipelineMethod, topology: Topology, task: Task, optimizer: Optimizer | None
) -> World:
    """What the run of a method with stages stands on."""
    task = pipeline_task(scenario, method, task)
    bound = None if optimizer is None else _bound(optimizer, task, ("task", "optimizer"))
    cost = CostModel.of(scenario, task, bound, topology)
    return World(
        scenario,
        topology,
        task,
        cost,
        build_pipeline(scenario, method, task, cost, optimizer, topology.workers),
    )


def _needs_server(method: Algorithm) -> bool:
    return "server" in method.roles()


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
    recorder = Recorder()
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
    manifest = Manifest(
        label=plan.label,
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
        status="complete",
    )
    text, kept = dump(plan.scenario, plan.files.places), plan.files.by_place
    folder = write_run(folder_of(plan, results), recorder, text, manifest, kept)
    return read_run(folder)


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


def _points(scenario: Document | Scenario | str | Path) -> list[Scenario]:
    if isinstance(scenario, Scenario):
        return [scenario]
    document = scenario if isinstance(scenario, Document) else load(scenario)
    return [point.scenario for point in document.scenarios]


def _method(scenario: Scenario, index: int, entry: AlgorithmEntry) -> Algorithm:
    path = ("algorithms", index)
    if ":" in entry.name:
        found = load_plugin(entry.name, scenario.folder, (*path, "name"))
        if not (isinstance(found, type) and issubclass(found, Algorithm)):
            raise ScenarioError.at(
                (*path, "name"),
                "not an algorithm",
                given=entry.name,
                expected="a subclass of simnet.Algorithm",
            )
    else:
        try:
            found = algorithm_class(entry.name)
        except KeyError:
            names = algorithm_names()
            raise ScenarioError.at(
                (*path, "name"),
                "unknown algorithm",
                given=entry.name,
                expected=f"{one_of(names)}, or module:Class",
                suggestion=nearest(entry.name, names),
            ) from None
    options: type[BaseModel] = found
    return validated(options, entry.options, path)  # type: ignore[return-value]


def make_engine(plan: Plan) -> Engine | TimingEngine:
    """The engine that does the plan's work, or counts it."""
    task = plan.world.task
    if isinstance(task, SyntheticTask):
        return TimingEngine(task)
    assert plan.optimizer is not None, "every task but a synthetic one has an optimizer"
    return Engine.of(task, plan.optimizer, plan.device, plan.scenario.engine)


def _check_timing_only(scenario: Scenario, methods: Sequence[Algorithm]) -> None:
    """Raises `ScenarioError` for methods that need values, and expectations of what is not measured."""
    problems = [
        Problem(
            ("algorithms", index, "name"),
            "what it does depends on values, and a synthetic task has none",
            scenario.algorithms[index].name,
            "a method whose timing does not depend on losses or gradients",
        )
        for index, method in enumerate(methods)
        if method.needs_values
    ]
    for index, line in enumerate(scenario.expect):
        unknown = sorted(parse_expectation(line, None).metrics - {"steps", "bytes"})
        if unknown:
            message = f"a synthetic task has no {', '.join(unknown)}"
            expected = "time, bytes, utilization, or the metrics steps and bytes"
            problems.append(Problem(("expect", index), message, line, expected))
    if problems:
        raise ScenarioError(problems)


def _optimizer(scenario: Scenario) -> Optimizer | None:
    entry = scenario.task.optimizer
    if entry is None or scenario.task.name == SYNTHETIC:  # which goes without, and refuses one
        return None
    return validated(
        _OptimizerSection, {"optimizer": {"name": entry.name, **entry.options}}, ("task",)
    ).optimizer


def _with_bound_optimizers(method: Algorithm, task: Task, index: int) -> Algorithm:
    """The method, its own optimizers (an outer one, a server's) bound to the model where they must be."""
    bound = {
        name: _bound(value, task, ("algorithms", index, name))
        for name, value in method
        if isinstance(value, Optimizer) and value.needs_layout
    }
    return method.model_copy(update=bound) if bound else method


def _bound(optimizer: Optimizer, task: Task, path: tuple[str | int, ...]) -> Optimizer:
    if not optimizer.needs_layout:
        return optimizer
    try:
        return optimizer.with_layout(Layout.of(task.make_model()))
    except ValueError as error:
        raise ScenarioError.at(path, str(error), given=optimizer.name) from None


def _torch_device(scenario: Scenario) -> torch.device:
    wanted = scenario.device
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(wanted)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ScenarioError.at(
            ("device",),
            "no such device on this machine",
            given=wanted,
            expected=f"auto or cpu (torch sees {torch.cuda.device_count()} CUDA devices)",
        )
    return device


@contextmanager
def _torch_threads(threads: int) -> Iterator[None]:
    """So many CPU threads for torch, for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _threads(scenario: Scenario, task: Task) -> int:
    """Torch's CPU threads for a run: the scenario's, else one for small models and all cores for large ones.

    Threads wait for each other at every operation: for small ones that gains little on idle cores and costs
    up to tenfold on busy ones. The rule looks at the task alone: the number of threads changes rounding.
    """
    if scenario.threads is not None:
        return scenario.threads
    if isinstance(task, SyntheticTask):
        return 1
    many = count_gradient_flops(task, 0) * task.workers >= MANY_FLOPS
    return (os.cpu_count() or 1) if many else 1


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
