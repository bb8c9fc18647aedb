"""The cost model: what work and messages are charged, in seconds and bytes."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from simnet.compute.charging import byte_ratio, check_layers
from simnet.compute.demand import NOTHING, Demand
from simnet.compute.devices import NO_DEVICE, DeviceProfile, resolve_device
from simnet.compute.flops import ForwardBackward, count_task
from simnet.compute.optimizer_step import count_optimizer_step
from simnet.optim import Optimizer
from simnet.scenario import ChargeAs, Scenario, ScenarioError, ServerConfig, groups_of_workers
from simnet.tasks.synthetic import SyntheticTask
from simnet.tasks.task import Task

if TYPE_CHECKING:
    from simnet.network import Topology

FORWARD_SHARE = 1 / 3
"""Share of a gradient's FLOPs that is its forward pass, where only the sum is declared: the backward pass has
two products for each of the forward pass (Kaplan et al., 2020)."""


@dataclass(frozen=True)
class Machine:
    """A device at a speed, and what a task's work takes on it."""

    profile: DeviceProfile
    speed: float = 1.0
    """Relative to the profile; 0.5 is half as fast."""
    batch: ForwardBackward | None = None
    """Charged for the two passes over one batch; None where a machine has no batches (a server)."""
    optimizer: Demand = NOTHING
    """Charged for one step of the task's optimizer."""
    step_seconds: float | None = None
    """What a whole training step takes at speed 1, where that is given: the gradient takes all of it."""
    forward_fraction: float = 1 / 3
    """Share of a gradient's time before its backward pass begins, which does twice the arithmetic."""

    @property
    def gradient_flops(self) -> float | None:
        """FLOPs of forward and backward on one batch; None where a machine has no batches."""
        return None if self.batch is None else self.batch.gradient.flops

    def seconds(self, work: float | Demand) -> float:
        """Seconds that some work takes, given as its FLOPs or as all that it asks of the machine.

        None where no device was named (see `NO_DEVICE`).
        """
        demand = work if isinstance(work, Demand) else Demand(flops=work)
        return self.profile.seconds(demand, self.speed)

    def forward_seconds(self) -> float:
        """Seconds of the forward pass over one batch. Raises ValueError on a machine without batches."""
        if self.step_seconds is not None:
            return self.forward_fraction * self.gradient_seconds()
        return self.seconds(self._batch().forward)

    def backward_seconds(self) -> float:
        """Seconds of the backward pass over one batch. Raises ValueError on a machine without batches."""
        if self.step_seconds is not None:
            return (1 - self.forward_fraction) * self.gradient_seconds()
        return self.seconds(self._batch().backward)

    def gradient_seconds(self) -> float:
        """Seconds of forward and backward on one batch. Raises ValueError on a machine without batches."""
        if self.step_seconds is not None:
            return self.step_seconds / self.speed
        return self.seconds(self._batch().gradient)

    def optimizer_seconds(self) -> float:
        """Seconds of one step of the task's optimizer."""
        if self.step_seconds is not None:
            return 0.0
        return self.seconds(self.optimizer)

    def train_seconds(self, steps: int = 1) -> float:
        """Seconds of `steps` training steps, each a gradient and an optimizer step."""
        return steps * (self.gradient_seconds() + self.optimizer_seconds())

    def _batch(self) -> ForwardBackward:
        if self.batch is None:
            raise ValueError("this machine holds no training data, so there is no gradient to compute on it")
        return self.batch


@dataclass(frozen=True)
class CostModel:
    """What the clock and the network charge in one run.

    Work takes `FLOPs / (peak x achieved fraction x speed)`, and on devices whose profile says so the time of
    its memory traffic and of starting its operations besides. With `charge_as`, the task is charged as a
    larger one: 6 FLOPs per parameter and token (Kaplan et al., 2020) for a gradient, the optimizer's work on
    the larger number of parameters, and bytes in proportion to it.
    """

    machines: tuple[Machine, ...]
    """One per worker, in worker order, and then the server's."""
    parameters: int
    """Trainable parameters of the model."""
    charged_parameters: float
    """Parameters that are charged for; equal to `parameters` without `charge_as`."""
    byte_ratio: float = 1.0
    """Charged bytes per byte of a tensor (see :func:`~simnet.compute.charging.byte_ratio`)."""
    layers: int | None = None
    """Layers that a vector counts as; None: those of the model."""

    @classmethod
    def of(
        cls, scenario: Scenario, task: Task, optimizer: Optimizer | None, topology: "Topology"
    ) -> "CostModel":
        """The cost model of a scenario.

        Raises `ScenarioError` for an unknown device, a task without a cost, or more layers than parameters.
        """
        profiles = [
            NO_DEVICE if group.device is None else resolve_device(group.device, ("workers", index, "device"))
            for index, group in enumerate(scenario.workers)
        ]
        server = scenario.server or ServerConfig()
        profiles.append(resolve_device(server.device, ("server", "device")))
        traffic = any(profile.charges_traffic for profile in profiles)
        work = Work.of(task, optimizer, scenario.task.charge_as, traffic=traffic)
        machines = [
            work.on(profiles[group], scenario.workers[group].speed, worker if worker < task.workers else None)
            for worker, group in enumerate(groups_of_workers(scenario.workers, len(topology.workers)))
        ]
        machines.append(work.on(profiles[-1], server.speed))
        layers = check_layers(scenario.task.charge_as, work.parameters)
        return cls(tuple(machines), work.parameters, work.charged_parameters, work.byte_ratio, layers)

    def charged_bytes(self, raw_bytes: float) -> float:
        """Bytes charged for sending `raw_bytes` of parameters, gradients or the like."""
        return raw_bytes * self.byte_ratio


@dataclass(frozen=True)
class Work:
    """What a task's training step asks of a machine, as it is charged."""

    parameters: int
    charged_parameters: float
    batches: tuple[ForwardBackward, ...]
    """The two passes over one batch, per worker."""
    optimizer: Demand
    """One optimizer step."""
    byte_ratio: float = 1.0
    """Charged bytes per byte of a tensor."""
    step_seconds: float | None = None
    """Of a whole training step at speed 1, where the scenario says so."""
    forward_fraction: float = 1 / 3

    @property
    def gradient_flops(self) -> tuple[float, ...]:
        """FLOPs of forward and backward on one batch, per worker."""
        return tuple(batch.gradient.flops for batch in self.batches)

    @property
    def optimizer_flops(self) -> float:
        """FLOPs of one optimizer step."""
        return self.optimizer.flops

    @classmethod
    def of(
        cls,
        task: Task,
        optimizer: Optimizer | None,
        charge_as: ChargeAs | None = None,
        *,
        traffic: bool = False,
    ) -> "Work":
        """Count a task's work, once per batch size; with `traffic`, its bytes and operations too.

        With `charge_as` nothing is known of a larger model's operations: its passes are FLOPs alone. Raises
        `ScenarioError` for a task without a cost.
        """
        if isinstance(task, SyntheticTask):
            return cls(
                parameters=task.parameters,
                charged_parameters=task.parameters,
                batches=(ForwardBackward(NOTHING, NOTHING),) * task.workers,
                optimizer=NOTHING,
                byte_ratio=byte_ratio(task, task.parameters, 0.0, None),
                step_seconds=task.step_seconds,
                forward_fraction=task.forward_fraction,
            )
        assert optimizer is not None, "every task but a synthetic one has an optimizer"
        trained = [value for value in task.make_model().parameters() if value.requires_grad]
        parameters = sum(value.numel() for value in trained)
        charged = float(parameters) if charge_as is None else charge_as.parameters
        by_size = {
            size: _batch_demand(task, worker, size, charge_as, traffic)
            for size, worker in {size: worker for worker, size in enumerate(task.batch_sizes)}.items()
        }
        step = Demand(flops=optimizer.step_flops(charged))
        if traffic:
            counted = count_optimizer_step(optimizer, task.make_model())
            larger = charged / parameters
            step += Demand(bytes=counted.bytes * larger, operations=counted.operations)
        return cls(
            parameters=parameters,
            charged_parameters=charged,
            batches=tuple(by_size[size] for size in task.batch_sizes),
            optimizer=step,
            byte_ratio=byte_ratio(task, parameters, trained[0].element_size(), charge_as),
            step_seconds=None if charge_as is None else charge_as.step_seconds,
        )

    def on(self, profile: DeviceProfile, speed: float = 1.0, worker: int | None = None) -> Machine:
        """The machine of `worker` (None: of the server)."""
        return Machine(
            profile=profile,
            speed=speed,
            batch=None if worker is None else self.batches[worker],
            optimizer=self.optimizer,
            step_seconds=None if worker is None else self.step_seconds,
            forward_fraction=self.forward_fraction,
        )


def _batch_demand(
    task: Task, worker: int, batch_size: int, charge_as: ChargeAs | None, traffic: bool
) -> ForwardBackward:
    if charge_as is not None:
        tokens = charge_as.tokens_per_step
        if tokens is None:
            samples = batch_size if charge_as.samples_per_step is None else charge_as.samples_per_step
            tokens = samples * task.tokens_per_sample
        return _divided(6.0 * charge_as.parameters * tokens)
    if task.flops_per_sample is None:
        counted = count_task(task, worker, traffic=traffic)
    else:
        counted = _divided(task.flops_per_sample * batch_size)
        if traffic:
            seen = count_task(task, worker, traffic=True)
            counted = ForwardBackward(
                replace(seen.forward, flops=counted.forward.flops),
                replace(seen.backward, flops=counted.backward.flops),
            )
    if counted.gradient.flops <= 0:
        raise ScenarioError.at(
            ("task",),
            "a task without a cost: torch counts no FLOPs in its training step, which would take no time",
            given=task.name,
            expected="a model with matrix products or convolutions, a task that declares flops_per_sample, "
            "or `charge_as`",
        )
    return counted


def _divided(flops: float) -> ForwardBackward:
    """FLOPs of a gradient of which only the sum is known, so that the two passes add up to it exactly."""
    forward = flops * FORWARD_SHARE
    return ForwardBackward(Demand(flops=forward), Demand(flops=flops - forward))
