"""From a scenario to runs that are ready to start: every part built and checked."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from pydantic import BaseModel

from simnet.algorithms import Algorithm, algorithm_class, algorithm_names
from simnet.attackable import check_attacks
from simnet.compute import CostModel, Engine, Layout, TimingEngine, check_memory, count_gradient_flops
from simnet.compute.charging import even_layers, named_layers
from simnet.faults import build_faults
from simnet.faults.poisoned import poisoned
from simnet.identity import identity
from simnet.network import Topology, build_topology
from simnet.network.kept_files import KeptFiles, kept_files
from simnet.optim import Optimizer, OptimizerConfig
from simnet.pipeline.build import build_pipeline, pipeline_task, replicas_of
from simnet.pipeline.method import PipelineMethod
from simnet.runtime.prices import check_expected_prices, prices_of
from simnet.runtime.world import World
from simnet.scenario import (
    AlgorithmEntry,
    Problem,
    Scenario,
    ScenarioError,
    load_plugin,
    nearest,
    one_of,
    parse_expectation,
    validated,
)
from simnet.scenario.task import SYNTHETIC
from simnet.tasks import SyntheticTask, Task, build_task

MANY_FLOPS = 1e10
"""FLOPs of one gradient of all workers together from which on torch gets all cores: about 0.1 s on one."""


class _OptimizerSection(BaseModel):
    optimizer: OptimizerConfig


@dataclass(frozen=True)
class Plan:
    """One run that is ready to start: everything has been checked."""

    scenario: Scenario
    """The resolved scenario of this run alone: one algorithm, no sweep, and its number of threads."""
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
        """Identity of the run: see :func:`simnet.identity.identity`."""
        return identity(self.scenario, self.files)


def plans(scenario: Scenario) -> list[Plan]:
    """Everything that the scenario's algorithms need, built and checked, in the order of the file.

    Raises :class:`~simnet.scenario.ScenarioError`, which knows the scenario's file and lines.
    """
    try:
        return _plans(scenario)
    except ScenarioError as error:
        raise ScenarioError(error.problems, error.source or scenario.source) from None


def check_options(scenario: Scenario) -> None:
    """Check the options of algorithms and optimizer, which takes next to no time.

    Raises :class:`~simnet.scenario.ScenarioError`, which knows the scenario's file and lines.
    """
    try:
        _optimizer(scenario)
        _methods(scenario)
    except ScenarioError as error:
        raise ScenarioError(error.problems, error.source or scenario.source) from None


def _methods(scenario: Scenario) -> list[Algorithm]:
    return [_method(scenario, index, entry) for index, entry in enumerate(scenario.algorithms)]


def _plans(scenario: Scenario) -> list[Plan]:
    device = _torch_device(scenario)
    optimizer = _optimizer(scenario)
    methods = _methods(scenario)
    topologies = {
        served: build_topology(scenario, with_server=served) for served in map(_needs_server, methods)
    }
    any_topology = next(iter(topologies.values()))
    shares = [_shares(scenario, method, any_topology) for method in methods]
    tasks = {count: build_task(scenario, device, count) for count in dict.fromkeys(shares)}
    synthetic = any(isinstance(task, SyntheticTask) for task in tasks.values())
    if synthetic:
        _check_timing_only(scenario, methods)
    _check_checkpoints(scenario, methods)
    files = kept_files(scenario)
    made = []
    for index, (entry, method, count) in enumerate(zip(scenario.algorithms, methods, shares, strict=True)):
        alone = scenario.model_copy(update={"algorithms": (entry,), "sweep": {}, "expect": ()})
        topology, task, bound = topologies[_needs_server(method)], tasks[count], optimizer
        faults = build_faults(alone, topology)
        check_attacks(method, faults.byzantine, synthetic, ("algorithms", index))
        if not isinstance(method, PipelineMethod):
            if not synthetic:
                bound = _bound(_given(optimizer), task, ("task", "optimizer"))
                method = _with_bound_optimizers(method, task, index)
                check_memory(scenario, task, bound, served=True in topologies)
                _check_model(alone, method, task, index)
            task = poisoned(task, faults.byzantine, topology.workers, alone)
            cost = CostModel.of(alone, task, bound, topology)
            world = World(alone, topology, task, cost, faults=faults)
        else:  # whose stages bind optimizers to their own parameters
            _check_stages(alone, method, index)
            world = _pipeline_world(alone, method, topology, task, optimizer)
        check_expected_prices(scenario, entry.label, prices_of(world, _needs_server(method)))
        threads = _threads(scenario, world.task)
        alone = alone.model_copy(update={"threads": threads})
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


def _check_model(scenario: Scenario, method: Algorithm, task: Task, index: int) -> None:
    if type(method).check_model is Algorithm.check_model:  # nothing to make a model for
        return
    layout, charge = Layout.of(task.make_model()), scenario.task.charge_as
    if charge is None or charge.layers is None:
        last = named_layers(layout.names, layout.sizes)[-1]
        starts = accumulate(layout.sizes, initial=0)
        placed = zip(starts, layout.shapes, strict=False)  # the last of the starts is the end
        shapes = [tuple(shape) for start, shape in placed if start >= last.start]
    else:
        cut = even_layers(layout.parameters, charge.layers)[-1]
        shapes = [(cut.stop - cut.start,)]
    try:
        method.check_model(task.classes, shapes)
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
        build_faults(scenario, topology),
    )


def _check_checkpoints(scenario: Scenario, methods: Sequence[Algorithm]) -> None:
    """Raises `ScenarioError` for methods that cannot take checkpoints, or not go back to them together."""
    checkpoint = scenario.faults.checkpoint
    if checkpoint is None:
        asked = [index for index, entry in enumerate(scenario.algorithms) if entry.checkpoint is not None]
        if asked:
            raise ScenarioError.at(
                ("algorithms", asked[0], "checkpoint"),
                "there are no checkpoints",
                given=scenario.algorithms[asked[0]].checkpoint,
                expected="`faults.checkpoint`, which says where they go and how often",
            )
        return
    if checkpoint.on_failure == "restart" and scenario.faults.partitions:
        raise ScenarioError.at(
            ("faults", "checkpoint", "on_failure"),
            "nobody is lost in a partition, so there is nobody to wait for",
            given=checkpoint.on_failure,
            expected="on_failure: continue, or no `faults.partitions`",
        )
    problems = []
    for index, method in enumerate(methods):
        name = scenario.algorithms[index].name
        if method.safe_points == "none":
            message = (
                "it never asks whether it is running, so there is no point at which to take a checkpoint"
            )
            problems.append(Problem(("algorithms", index, "name"), message, name, "no `faults.checkpoint`"))
        elif checkpoint.on_failure == "restart" and method.safe_points != "common":
            message = "its nodes have no points in common to which all could go back"
            expected = "`faults.checkpoint.on_failure: continue`, or a method in which all do the same steps"
            problems.append(Problem(("algorithms", index, "name"), message, name, expected))
    if problems:
        raise ScenarioError(problems)


def _needs_server(method: Algorithm) -> bool:
    return "server" in method.roles()


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
