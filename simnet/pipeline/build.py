"""From a scenario and a method to its pipelines."""

import dataclasses

from torch import nn

from simnet.compute import CostModel
from simnet.compute.cutting import cut_evenly, cut_model
from simnet.compute.pieces import Piece
from simnet.optim import SGD, Optimizer
from simnet.pipeline.boundary import BoundaryOptions
from simnet.pipeline.method import PipelineMethod
from simnet.runtime.pipeline_world import PipelineWorld
from simnet.scenario import PipelineConfig, Scenario, ScenarioError, nearest, one_of
from simnet.tasks import SyntheticTask, Task
from simnet.tasks.blocks import model_blocks

TIMED = SGD(lr=1.0)
"""Stands where a synthetic task has no optimizer; its steps take no time and change nothing."""


def replicas_of(scenario: Scenario, workers: tuple[str, ...]) -> int:
    """How many pipelines the scenario has side by side. Raises `ScenarioError` where it has none."""
    return len(_hosts(_config(scenario), workers))


def pipeline_task(scenario: Scenario, method: PipelineMethod, task: Task) -> Task:
    """`task`, with the model that the method's codec makes of its own."""
    if isinstance(task, SyntheticTask):
        return task
    config = _config(scenario)
    sizes = [[name for name, _ in piece.blocks] for piece in _cut(config, method, task)]

    def make_model() -> nn.Module:
        return method.boundary.transform(task.make_model(), sizes)

    if type(method.boundary).transform is BoundaryOptions.transform:
        return task
    changed = dataclasses.replace(task, make_model=make_model)
    model_blocks(changed.make_model(), task.batches(0, 0, 1)[0][0])
    return changed


def build_pipeline(
    scenario: Scenario,
    method: PipelineMethod,
    task: Task,
    cost: CostModel,
    optimizer: Optimizer | None,
    workers: tuple[str, ...],
) -> PipelineWorld:
    """The pipelines of a method's run, on hosts among `workers`.

    Raises `ScenarioError` where stages do not fit on the hosts, the model cannot be cut so often, workers'
    batches differ in size, or a larger model is charged without saying how large its activations are.
    """
    config = _config(scenario)
    hosts = _hosts(config, workers)
    if scenario.task.batch_size == "full":
        raise ScenarioError.at(
            ("task", "batch_size"),
            "a pipeline's microbatches have one size",
            given="full",
            expected="a number of samples",
        )
    if scenario.task.charge_as is not None and config.charge_as is None:
        raise ScenarioError.at(
            ("pipeline", "charge_as"),
            "missing key: the size of the activations of the model that `task.charge_as` pretends is unknown",
            expected="{samples: ..., tokens: ..., width: ...}",
        )
    traffic = any(machine.profile.charges_traffic for machine in cost.machines)
    pieces = _cut(config, method, task, traffic=traffic)
    counted = sum(piece.cost.work.gradient.flops for piece in pieces)
    charged = cost.machines[0].gradient_flops
    assert charged is not None, "the first host has a replica's data"
    place = {host: index for index, host in enumerate(workers)}
    return PipelineWorld(
        hosts=hosts,
        machines=tuple(tuple(place[host] for host in row) for row in hosts),
        pieces=pieces,
        codecs=method.boundary,
        recompute=method.recomputes,
        work_ratio=charged / counted if counted > 0 else 1.0,
        charge_as=config.charge_as,
        optimizer=method.optimizer or optimizer or TIMED,
    )


def _cut(
    config: PipelineConfig, method: PipelineMethod, task: Task, *, traffic: bool = False
) -> tuple[Piece, ...]:
    """The pieces of the task's model."""
    count = config.stages * method.chunks
    if isinstance(task, SyntheticTask):
        charge = config.charge_as
        if charge is None:
            raise ScenarioError.at(
                ("pipeline", "charge_as"),
                "missing key: a synthetic task does not say how large its activations are",
                expected="{samples: ..., tokens: ..., width: ...}",
            )
        return cut_evenly(task.parameters, count, (charge.samples, charge.tokens, charge.width))
    return cut_model(task, count, config.blocks, traffic=traffic)


def _config(scenario: Scenario) -> PipelineConfig:
    if scenario.pipeline is None:
        raise ScenarioError.at(
            ("pipeline",), "missing key: an algorithm trains the model in stages", expected="{stages: 4}"
        )
    return scenario.pipeline


def _hosts(config: PipelineConfig, workers: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """The host of each stage of each replica."""
    stages = config.stages
    if not isinstance(config.placement, str):
        for replica, row in enumerate(config.placement):
            for stage, host in enumerate(row):
                if host not in workers:
                    raise ScenarioError.at(
                        ("pipeline", "placement", replica, stage),
                        "no such host",
                        given=host,
                        expected=one_of(workers),
                        suggestion=nearest(host, workers),
                    )
        return config.placement
    replicas = len(workers) // stages if config.replicas is None else config.replicas
    if replicas < 1 or replicas * stages > len(workers):
        raise ScenarioError.at(
            ("pipeline", "stages"),
            f"{max(1, replicas)} x {stages} stages need as many hosts, and there are {len(workers)}",
            given=stages,
            expected="more workers, or fewer stages or replicas",
        )
    if config.placement == "stage-major":
        return tuple(
            tuple(workers[stage * replicas + replica] for stage in range(stages))
            for replica in range(replicas)
        )
    return tuple(workers[replica * stages : (replica + 1) * stages] for replica in range(replicas))
