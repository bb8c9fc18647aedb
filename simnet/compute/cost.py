"""The cost model: what work and messages are charged, in seconds and bytes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simnet.compute.devices import DeviceProfile, resolve_device
from simnet.compute.flops import count_gradient_flops
from simnet.optim import Optimizer
from simnet.scenario import ChargeAs, Scenario, ScenarioError, ServerConfig, WorkerGroup
from simnet.tasks.task import Task

if TYPE_CHECKING:
    from simnet.network import Topology


@dataclass(frozen=True)
class Machine:
    """A device at a speed, and what a task's work takes on it."""

    profile: DeviceProfile
    speed: float = 1.0
    """Relative to the profile; 0.5 is half as fast."""
    gradient_flops: float | None = None
    """Charged for forward and backward on one batch; None where a machine has no batches (a server)."""
    optimizer_flops: float = 0.0
    """Charged for one step of the task's optimizer."""

    def seconds(self, flops: float) -> float:
        """Seconds that `flops` of work take."""
        return flops / (self.profile.rate * self.speed)

    def gradient_seconds(self) -> float:
        """Seconds of forward and backward on one batch. Raises ValueError on a machine without batches."""
        if self.gradient_flops is None:
            raise ValueError("this machine holds no training data, so there is no gradient to compute on it")
        return self.seconds(self.gradient_flops)

    def optimizer_seconds(self) -> float:
        """Seconds of one step of the task's optimizer."""
        return self.seconds(self.optimizer_flops)

    def train_seconds(self, steps: int = 1) -> float:
        """Seconds of `steps` training steps, each a gradient and an optimizer step."""
        return steps * (self.gradient_seconds() + self.optimizer_seconds())


@dataclass(frozen=True)
class CostModel:
    """What the clock and the network charge in one run.

    Work takes `FLOPs / (peak x achieved fraction x speed)`. With `charge_as`, the task is charged as a larger
    one: 6 FLOPs per parameter and token (Kaplan et al., 2020) for a gradient, the optimizer's arithmetic on
    the larger number of parameters, and bytes in proportion to it. Whether the model would fit a device's
    memory is not checked.
    """

    machines: tuple[Machine, ...]
    """One per worker, in worker order, and then the server's."""
    parameters: int
    """Trainable parameters of the model."""
    charged_parameters: float
    """Parameters that are charged for; equal to `parameters` without `charge_as`."""

    @classmethod
    def of(cls, scenario: Scenario, task: Task, optimizer: Optimizer, topology: "Topology") -> "CostModel":
        """The cost model of a scenario.

        Raises `ScenarioError` for an unknown device or a task without a cost.
        """
        profiles = [
            resolve_device(group.device, ("workers", index, "device"))
            for index, group in enumerate(scenario.workers)
        ]
        work = Work.of(task, optimizer, scenario.task.charge_as)
        machines = [
            work.on(profiles[group], scenario.workers[group].speed, worker if worker < task.workers else None)
            for worker, group in enumerate(_groups_of_workers(scenario.workers, len(topology.workers)))
        ]
        server = scenario.server or ServerConfig()
        machines.append(work.on(resolve_device(server.device, ("server", "device")), server.speed))
        return cls(tuple(machines), work.parameters, work.charged_parameters)

    def charged_bytes(self, raw_bytes: float) -> float:
        """Bytes charged for sending `raw_bytes` of parameters, gradients or the like."""
        return raw_bytes * (self.charged_parameters / self.parameters)


@dataclass(frozen=True)
class Work:
    """The FLOPs of a task's training step, as they are charged."""

    parameters: int
    charged_parameters: float
    gradient_flops: tuple[float, ...]
    """Forward and backward on one batch, per worker."""
    optimizer_flops: float
    """One optimizer step."""

    @classmethod
    def of(cls, task: Task, optimizer: Optimizer, charge_as: ChargeAs | None = None) -> "Work":
        """Count a task's work, once per batch size. Raises `ScenarioError` for a task without a cost."""
        parameters = sum(value.numel() for value in task.make_model().parameters() if value.requires_grad)
        charged = float(parameters) if charge_as is None else charge_as.parameters
        by_size = {
            size: _gradient_flops(task, worker, size, charge_as)
            for size, worker in {size: worker for worker, size in enumerate(task.batch_sizes)}.items()
        }
        return cls(
            parameters=parameters,
            charged_parameters=charged,
            gradient_flops=tuple(by_size[size] for size in task.batch_sizes),
            optimizer_flops=optimizer.step_flops(charged),
        )

    def on(self, profile: DeviceProfile, speed: float = 1.0, worker: int | None = None) -> Machine:
        """The machine of `worker` (None: of the server)."""
        return Machine(
            profile=profile,
            speed=speed,
            gradient_flops=None if worker is None else self.gradient_flops[worker],
            optimizer_flops=self.optimizer_flops,
        )


def _groups_of_workers(groups: Sequence[WorkerGroup], workers: int) -> list[int]:
    """The index of each worker's group: workers are numbered group by group, one group may take the rest."""
    sizes = [group.count if group.nodes is None else len(group.nodes) for group in groups]
    rest = workers - sum(size for size in sizes if size is not None)
    return [index for index, size in enumerate(sizes) for _ in range(rest if size is None else size)]


def _gradient_flops(task: Task, worker: int, batch_size: int, charge_as: ChargeAs | None) -> float:
    if charge_as is not None:
        tokens = charge_as.tokens_per_step
        if tokens is None:
            samples = batch_size if charge_as.samples_per_step is None else charge_as.samples_per_step
            tokens = samples * task.tokens_per_sample
        return 6.0 * charge_as.parameters * tokens
    if task.flops_per_sample is not None:
        flops = task.flops_per_sample * batch_size
    else:
        flops = count_gradient_flops(task, worker)
    if flops <= 0:
        raise ScenarioError.at(
            ("task",),
            "a task without a cost: torch counts no FLOPs in its training step, which would take no time",
            given=task.name,
            expected="a model with matrix products or convolutions, a task that declares flops_per_sample, "
            "or `charge_as`",
        )
    return flops
