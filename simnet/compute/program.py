"""How one task's model runs for many workers at once: stacked, by `vmap`, or one worker after the other."""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from simnet.compute.kept import kept_for_backward
from simnet.compute.layout import Layout
from simnet.scenario import ScenarioError
from simnet.streams import Streams
from simnet.tasks.task import Task

Mode: TypeAlias = Literal["stacked", "vmap", "loop"]

VMAP_WORKERS, VMAP_PARAMETERS, VMAP_ACTIVATION_BYTES = 4, 200_000, 2 * 2**20
"""On a CPU vmap is slower than a loop for fewer workers than this, for models with more parameters, and for
batches that keep more for the backward pass."""

BUFFER = "buffer:"
"""Prefix of the optimizer state's keys under which a worker's buffers (running means and the like) travel."""


@dataclass(frozen=True, eq=False)
class Program:
    """A task's model, and the way in which the engine runs it."""

    task: Task
    model: nn.Module
    layout: Layout
    mode: Mode
    notes: tuple[str, ...]
    initial_params: Tensor
    initial_buffers: dict[str, Tensor]
    """Buffers that training changes, as they are at first, under `BUFFER` + their name."""
    random: bool
    """Whether the model draws random numbers (dropout and the like)."""
    key: int
    """Seed of those draws: it follows from the initial weights, and thereby from the scenario's seed."""
    activation_bytes: int
    """What autograd keeps of one sample between forward and backward."""
    sample_bytes: int
    """Size of one sample's inputs and targets."""
    autocast: bool = False
    """Whether the model computes in bfloat16, where torch thinks that it may; parameters stay as they are."""
    compiled: bool = False
    """Whether torch.compile translates the model."""

    def outputs(self, leaves: list[Tensor], inputs: Tensor) -> Tensor:
        """Outputs `[n, batch, ...]` of n models with parameters `[n, *shape]` on inputs `[n, batch, ...]`."""
        with self._precision():
            outputs = self._joint(self.layout.named(leaves), inputs)
        return outputs.float() if self.autocast else outputs

    def outputs_of_one(self, inputs: Tensor) -> Tensor:
        """Outputs `[batch, ...]` of the model as it was loaded."""
        with self._precision():
            outputs: Tensor = self._single(inputs)
        return outputs.float() if self.autocast else outputs

    @cached_property
    def _joint(self) -> Callable[[dict[str, Tensor], Tensor], Tensor]:
        if self.mode == "stacked":
            forward: Callable[[dict[str, Tensor], Tensor], Tensor] = self.model.stacked_forward  # type: ignore[assignment]
        else:

            def forward(params: dict[str, Tensor], inputs: Tensor) -> Tensor:
                return vmapped_forward(self.model, params, inputs)

        return torch.compile(forward, dynamic=True) if self.compiled else forward

    @cached_property
    def _single(self) -> Callable[[Tensor], Tensor]:
        return torch.compile(self.model) if self.compiled else self.model

    def _precision(self) -> AbstractContextManager[object]:
        device = self.initial_params.device.type
        return torch.autocast(device, torch.bfloat16) if self.autocast else nullcontext()

    def load(self, params: list[Tensor], buffers: dict[str, Tensor]) -> list[nn.Parameter]:
        """Make the model that of one worker, and return its parameters, which then are views of `params`."""
        for parameter, value in zip(self._parameters, params, strict=True):
            parameter.data = value
        named = dict(self.model.named_buffers()) if buffers else {}
        for key, value in buffers.items():
            named[key.removeprefix(BUFFER)].copy_(value)
        return self._parameters

    @cached_property
    def _parameters(self) -> list[nn.Parameter]:
        return [value for value in self.model.parameters() if value.requires_grad]

    def save(self, buffers: dict[str, Tensor]) -> None:
        """Write the model's buffers, as they are now, to one worker's."""
        named = dict(self.model.named_buffers()) if buffers else {}
        for key, value in buffers.items():
            value.copy_(named[key.removeprefix(BUFFER)])

    @contextmanager
    def drawing(self, worker: int, batch: int) -> Iterator[None]:
        """Where the model draws random numbers, let them depend on the worker and the batch alone."""
        if not self.random:
            yield
            return
        device = self.initial_params.device
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(Streams(self.key).torch_seed("layers", worker, batch))
            yield

    def train(self) -> None:
        """Put the model in training mode."""
        if not self.model.training:
            self.model.train()

    def evaluate(self) -> None:
        """Put the model in evaluation mode, but for layers with statistics of their own training.

        A flat vector has no running statistics, so those layers (batch normalisation) use the statistics of
        the held-out batch, as is usual after averaging models.
        """
        self.model.eval()
        changing = {key.removeprefix(BUFFER).rpartition(".")[0] for key in self.initial_buffers}
        for name, module in self.model.named_modules():
            if name in changing:
                module.train()


def vmapped_forward(model: nn.Module, params: dict[str, Tensor], inputs: Tensor) -> Tensor:
    """The same as `Program.outputs` for any module that `torch.func.vmap` can follow."""

    def forward(one: dict[str, Tensor], batch: Tensor) -> Tensor:
        outputs: Tensor = functional_call(model, one, (batch,))
        return outputs

    outputs: Tensor = vmap(forward)(params, inputs)
    return outputs


def build_program(
    task: Task,
    device: torch.device,
    mode: Literal["auto", "stacked", "vmap", "loop"],
    autocast: bool = False,
    compiled: bool = False,
) -> Program:
    """The program for `task`, whose data are on `device`, after a trial on real batches.

    Raises ValueError where `mode` asks for what the model cannot do, and `ScenarioError` where the model's
    `stacked_forward` disagrees with its `forward`, or the model cannot be laid out as one flat vector.
    """
    model = task.make_model().to(device).train()
    try:
        layout = Layout.of(model)
    except ValueError as error:
        raise ScenarioError.at(("task", "model"), str(error)) from error
    initial = layout.flatten(dict(model.named_parameters())).contiguous()
    buffers = {name: value.detach().clone() for name, value in model.named_buffers()}
    trial = _try_plain(task, model, device)
    changed = {
        name: buffers[name]
        for name, value in model.named_buffers()
        if name not in buffers or not torch.equal(buffers[name], value)
    }
    for name, value in model.named_buffers():
        value.copy_(buffers[name])
    chosen, notes = _choose(task, model, layout, mode, sorted(changed), trial, device)
    return Program(
        task=task,
        model=model,
        layout=layout,
        mode=chosen,
        notes=notes,
        initial_params=initial,
        initial_buffers={BUFFER + name: value for name, value in changed.items()},
        random=trial.random,
        key=int.from_bytes(
            hashlib.blake2b(initial.cpu().numpy().tobytes(), digest_size=7).digest(), "little"
        ),
        activation_bytes=trial.activation_bytes,
        sample_bytes=trial.sample_bytes,
        autocast=autocast,
        compiled=compiled,
    )


def _choose(
    task: Task,
    model: nn.Module,
    layout: Layout,
    mode: str,
    changed: list[str],
    trial: "_Trial",
    device: torch.device,
) -> tuple[Mode, tuple[str, ...]]:
    # The first of stacked, vmap, loop that computes what separate modules would, vmap only where it pays.
    # Never a timing: the choice changes rounding, and a run must repeat to the byte.
    obstacle = ""
    if changed:
        obstacle = f"training changes its buffers in place ({', '.join(changed[:3])})"
    elif trial.random:
        obstacle = "it draws random numbers, which must not depend on who else is in the batch"
    elif mode != "loop":
        own = hasattr(model, "stacked_forward")
        if own and mode != "vmap":
            _check_stacked(task, model, layout)
            return "stacked", ()
        if mode == "stacked":
            obstacle = "it has no stacked_forward"
        elif mode == "auto" and not _vmap_pays(task, layout, trial, device):
            return "loop", ()
        else:
            obstacle = _vmap_obstacle(task, model, layout)
            if not obstacle:
                return "vmap", ()
    kind = type(model).__name__
    if mode in ("stacked", "vmap"):
        raise ValueError(f"{kind} cannot run in mode {mode!r}: {obstacle}")
    if obstacle:
        return "loop", (f"{kind} runs one worker after the other, because {obstacle}",)
    return "loop", ()


def _vmap_pays(task: Task, layout: Layout, trial: "_Trial", device: torch.device) -> bool:
    """Whether vmap is faster than a loop, by what `bench/modes.py` measured."""
    if device.type == "cuda":
        return True
    return (
        task.workers >= VMAP_WORKERS
        and layout.parameters <= VMAP_PARAMETERS
        and trial.activation_bytes * max(task.batch_sizes) <= VMAP_ACTIVATION_BYTES
    )


def check_compiler(device: torch.device) -> None:
    """Raises `ScenarioError` where `torch.compile` would find no C++ compiler for a CPU."""
    asked = os.environ.get("CXX")
    if device.type == "cpu" and not any(map(shutil.which, [asked] if asked else ["g++", "clang++"])):
        raise ScenarioError.at(
            ("engine", "compile"),
            f"torch.compile needs a C++ compiler, and there is no {asked or 'g++ or clang++'}",
            given=True,
            expected="false, or a compiler on the PATH or in CXX",
        )


class _Trial(NamedTuple):
    activation_bytes: int
    sample_bytes: int
    random: bool


def _try_plain(task: Task, model: nn.Module, device: torch.device) -> _Trial:
    inputs, targets = task.batches(0, 0, 1)
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        before = _random_state(device)
        with kept_for_backward(model) as kept:
            loss = task.loss(model(inputs[0]), targets[0]).mean()
        random = not torch.equal(before, _random_state(device))
    del loss
    samples = max(1, inputs.shape[1])
    return _Trial(
        activation_bytes=sum(kept.values()) // samples,
        sample_bytes=(inputs.nbytes + targets.nbytes) // samples,
        random=random,
    )


def _random_state(device: torch.device) -> Tensor:
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


def _two_workers(task: Task, model: nn.Module, layout: Layout) -> tuple[list[Tensor], Tensor]:
    """Two different rows of parameters, as views, and two batches."""
    flat = layout.flatten(dict(model.named_parameters()))
    inputs, _ = task.batches(0, 0, 2)
    return layout.views(torch.stack([flat, 0.9 * flat])), inputs


def _check_stacked(task: Task, model: nn.Module, layout: Layout) -> None:
    leaves, inputs = _two_workers(task, model, layout)
    with torch.no_grad():
        stacked = model.stacked_forward(layout.named(leaves), inputs)  # type: ignore[operator]
        for row, batch in enumerate(inputs):
            params = layout.named([leaf[row] for leaf in leaves])
            plain = functional_call(model, params, (batch,))
            if stacked[row].shape != plain.shape or not torch.allclose(stacked[row], plain, 1e-3, 1e-4):
                raise ScenarioError.at(
                    ("task", "model"),
                    f"{type(model).__name__}.stacked_forward disagrees with forward",
                    expected="for each worker what forward gives with that worker's parameters",
                )


def _vmap_obstacle(task: Task, model: nn.Module, layout: Layout) -> str:
    leaves, inputs = _two_workers(task, model, layout)
    leaves = [leaf.detach().requires_grad_() for leaf in leaves]
    try:
        outputs = vmapped_forward(model, layout.named(leaves), inputs)
        torch.autograd.grad(outputs.float().sum(), leaves, allow_unused=True)
    except Exception as error:  # vmap raises whatever the operation it cannot follow raises
        return f"torch.func.vmap cannot follow it ({str(error).splitlines()[0][:160]})"
    return ""
