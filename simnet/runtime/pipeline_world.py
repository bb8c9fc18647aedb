"""What a pipeline stands on: where its stages are, which pieces of the model they hold, what passes cost."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from torch import Tensor

from simnet.compression import Packed
from simnet.compute import Machine
from simnet.compute.pieces import Codec, Passage, Piece
from simnet.optim import Optimizer
from simnet.scenario import StageCharge
from simnet.streams import Streams


class StageCodec(Codec, Protocol):
    """A codec, as far as a stage's machine uses it (see `simnet.pipeline.boundary.Boundary`)."""

    token_ids: ClassVar[bool]

    def initial_params(self) -> Tensor:
        """Its own parameters `[q]` at the start."""

    def pack(self, values: Tensor, passage: Passage) -> Packed:
        """What travels of `values`."""

    def unpack(self, packed: Packed, passage: Passage) -> Tensor:
        """What the receiver makes of what travelled."""

    def wire_bytes(self, shape: Sequence[int], backward: bool) -> float:
        """Bytes of a message for activations of a shape."""

    def constrain_gradient(self, gradient: Tensor, params: Tensor) -> Tensor:
        """The gradient that the optimizer gets."""

    def constrain_params(self, params: Tensor) -> Tensor:
        """The parameters after a step."""


class CodecOptions(Protocol):
    """What makes codecs (see `simnet.pipeline.boundary.BoundaryOptions`)."""

    def build(self, piece: Piece, replica: int, streams: Streams) -> StageCodec:
        """The codec of one piece of one replica."""

    def optimizer(self, optimizer: Optimizer, piece: Piece) -> Optimizer:
        """The optimizer of a piece."""


@dataclass(frozen=True)
class PipelineWorld:
    """The pipelines of one run: pure functions of scenario, method and seed."""

    hosts: tuple[tuple[str, ...], ...]
    """The host of each stage of each replica."""
    machines: tuple[tuple[int, ...], ...]
    """The same as indices of the cost model's machines."""
    pieces: tuple[Piece, ...]
    """The model's, in order: stage i holds those whose index is i modulo the stages."""
    codecs: CodecOptions
    recompute: bool
    """Whether stages keep what enters alone, and compute the forward pass again before the backward pass."""
    work_ratio: float
    """Charged work per counted work."""
    charge_as: StageCharge | None
    optimizer: Optimizer
    """The task's."""

    @property
    def stages(self) -> int:
        """Stages of each replica."""
        return len(self.hosts[0])

    @property
    def replicas(self) -> int:
        """Pipelines side by side."""
        return len(self.hosts)

    @property
    def chunks(self) -> int:
        """Pieces that each stage holds."""
        return len(self.pieces) // self.stages

    def pieces_of(self, stage: int) -> tuple[Piece, ...]:
        """The pieces of a stage, chunk by chunk."""
        return self.pieces[stage :: self.stages]

    def forward_seconds(self, piece: Piece, machine: Machine) -> float:
        """Seconds of one microbatch's forward pass through a piece."""
        charge = self.charge_as
        if charge is not None and charge.forward is not None:
            return charge.forward * charge.samples / (self.chunks * machine.speed)
        if machine.step_seconds is not None:
            return machine.forward_fraction * machine.gradient_seconds() / len(self.pieces)
        return machine.seconds(piece.cost.work.forward * self.work_ratio)

    def backward_seconds(self, piece: Piece, machine: Machine) -> float:
        """Seconds of one microbatch's backward pass through a piece, with what it computes again."""
        charge = self.charge_as
        if charge is not None and charge.backward is not None:
            seconds = charge.backward * charge.samples / (self.chunks * machine.speed)
        elif machine.step_seconds is not None:
            seconds = (1 - machine.forward_fraction) * machine.gradient_seconds() / len(self.pieces)
        else:
            seconds = machine.seconds(piece.cost.work.backward * self.work_ratio)
        return seconds + self.forward_seconds(piece, machine) if self.recompute else seconds

    def held_bytes(self, piece: Piece) -> float:
        """Activation memory of one microbatch between the passes through a piece, as it is charged."""
        cost = piece.cost
        kept = cost.input_bytes if self.recompute else cost.kept_bytes
        charged = self.charged_shape(piece)
        if charged is None:
            return kept
        elements = 1
        for size in charged:
            elements *= size
        cut = piece.input_shape if piece.last else piece.output_shape
        return kept * elements / cut.numel()

    def charged_shape(self, piece: Piece) -> tuple[int, ...] | None:
        """The shape of the activations that a message is charged for; None: that of those it carries."""
        charge = self.charge_as
        return None if charge is None else (charge.samples, charge.tokens, charge.width)
