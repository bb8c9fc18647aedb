"""Whether a model fits the memory of the devices that a scenario trains it on."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import floor

import torch

from simnet.compute.devices import DeviceProfile, resolve_device
from simnet.compute.kept import kept_for_backward
from simnet.optim import Optimizer
from simnet.scenario import Problem, Scenario, ScenarioError, ServerConfig, groups_of_workers
from simnet.tasks.task import Task
from simnet.units import format_bytes


@dataclass(frozen=True)
class Footprint:
    """Bytes that a task takes on the machine that trains it, at the least.

    What a method holds besides (an anchor, a second copy of the model, messages) is not in it.
    """

    weights: float
    optimizer_state: float
    sample: float
    """Activations that the backward pass needs of one sample; 0 with `charge_as`, which does not tell."""
    optimizer: str
    """The optimizer's name."""

    @property
    def gradient(self) -> float:
        """A gradient is as large as the weights."""
        return self.weights

    def training(self, batch_size: int) -> float:
        """Bytes of weights, gradient, optimizer state and the activations of one batch."""
        return self.weights + self.gradient + self.optimizer_state + batch_size * self.sample

    @property
    def serving(self) -> float:
        """Bytes of a server: weights and optimizer state."""
        return self.weights + self.optimizer_state

    @classmethod
    def of(cls, scenario: Scenario, task: Task, optimizer: Optimizer) -> "Footprint":
        """The footprint of a scenario's task; runs one forward pass, unless the task is charged as another.

        With `charge_as`, weights and optimizer state are as many times larger as there are more parameters:
        4 bytes each in fp32, and 4 for each moment.
        """
        model = task.make_model()
        trained = [value for value in model.parameters() if value.requires_grad]
        parameters = sum(value.numel() for value in trained)
        empty = torch.empty(parameters, dtype=trained[0].dtype, device="meta")
        state = sum(value.nbytes for value in optimizer.init(empty).values() if value.dim() > 0)
        charge_as = scenario.task.charge_as
        larger = 1.0 if charge_as is None else charge_as.parameters / parameters
        return cls(
            weights=empty.nbytes * larger,
            optimizer_state=state * larger,
            sample=_activations(task) if charge_as is None else 0.0,
            optimizer=optimizer.name,
        )


def check_memory(
    scenario: Scenario, task: Task, optimizer: Optimizer, *, trained: bool = True, served: bool = False
) -> None:
    """Raise `ScenarioError` at each device that is too small for the scenario's model.

    `trained` says whether some method has every worker train the whole model, `served` whether some method
    has a server. Devices whose memory is not known are not checked.
    """
    footprint = Footprint.of(scenario, task, optimizer)
    problems = list(_too_small(scenario, task, footprint)) if trained else []
    server = scenario.server or ServerConfig()
    profile = resolve_device(server.device, ("server", "device"))
    if served and profile.memory is not None and footprint.serving > profile.memory:
        parts = {"weights": footprint.weights, _state(footprint): footprint.optimizer_state}
        path = ("server", "device") if scenario.server is not None else ("server",)
        problems.append(
            Problem(
                path,
                _message("the server's model", footprint.serving, parts, profile),
                expected=f"a device with at least {format_bytes(footprint.serving)} of memory",
            )
        )
    if problems:
        raise ScenarioError(problems)


def _too_small(scenario: Scenario, task: Task, footprint: Footprint) -> Iterator[Problem]:
    groups = groups_of_workers(scenario.workers, task.workers)
    for index, group in enumerate(scenario.workers):
        path = ("workers", index, "device")
        assert group.device is not None, "every task but a synthetic one names its devices"
        profile = resolve_device(group.device, path)
        sizes = [task.batch_sizes[worker] for worker, of in enumerate(groups[: task.workers]) if of == index]
        if profile.memory is None or not sizes or footprint.training(max(sizes)) <= profile.memory:
            continue
        batch, needed = max(sizes), footprint.training(max(sizes))
        parts = {
            "weights": footprint.weights,
            "gradient": footprint.gradient,
            _state(footprint): footprint.optimizer_state,
            f"activations of a batch of {batch}": batch * footprint.sample,
        }
        enough = f"a device with at least {format_bytes(needed)} of memory"
        yield Problem(
            path,
            _message("the model", needed, parts, profile),
            expected=enough + _ways_out(footprint, profile),
        )


def _state(footprint: Footprint) -> str:
    return f"state of {footprint.optimizer}"


def _message(what: str, needed: float, parts: dict[str, float], profile: DeviceProfile) -> str:
    listed = ", ".join(f"{name} {format_bytes(size)}" for name, size in parts.items() if size > 0)
    available = format_bytes(profile.memory or 0.0)
    name = "this device" if profile.name == "custom" else profile.name
    return f"{what} does not fit: it needs {format_bytes(needed)} ({listed}), and {name} has {available}"


def _ways_out(footprint: Footprint, profile: DeviceProfile) -> str:
    memory = profile.memory or 0.0
    fixed = footprint.training(0)
    if fixed < memory and footprint.sample > 0:
        largest = floor((memory - fixed) / footprint.sample)
        if largest >= 1:
            return f", or a batch_size of at most {largest}"
    if footprint.optimizer_state > 0 and fixed - footprint.optimizer_state <= memory:
        return ", a smaller model, or an optimizer with less state (sgd has none)"
    return ", or a smaller model"


def _activations(task: Task) -> float:
    """Bytes that autograd keeps of one sample between forward and backward, on the plain model."""
    model = task.make_model().train()
    inputs, targets = task.batches(0, 0, 1)
    devices = [inputs.device] if inputs.is_cuda else []
    with torch.random.fork_rng(devices), kept_for_backward(model) as kept:
        loss = task.loss(model(inputs[0]), targets[0]).mean()
    del loss
    return sum(kept.values()) / max(1, inputs.shape[1])
