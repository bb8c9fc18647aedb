"""A stage of a pipeline under the simulated clock."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from simnet.compute.layout import Layout
from simnet.compute.pieces import Passage
from simnet.compute.stages import PieceBackward, PieceForward, PieceStep
from simnet.optim import Optimizer
from simnet.runtime.checkpoints import Memory
from simnet.runtime.pipeline_world import PipelineWorld
from simnet.runtime.placement import Placed
from simnet.runtime.simulated_node import SimulatedNode
from simnet.runtime.stage_node import STAGE, Bundle, PassedBack, StageNode

if TYPE_CHECKING:
    from simnet.runtime.simulated import SimulatedRun


class SimulatedStage(SimulatedNode, StageNode):
    """One stage of one replica, on one host of the simulated network."""

    def __init__(self, run: "SimulatedRun", world: PipelineWorld, placed: Placed, everybody: int) -> None:
        super().__init__(run, placed, everybody)
        replica, stage = divmod(placed.rank, world.stages)
        everywhere = run.members[STAGE]
        self._world = world
        self.stage, self.stages = stage, world.stages
        self.replica, self.replicas = replica, world.replicas
        self.chunks = world.chunks
        self.chain = everywhere[replica * world.stages : (replica + 1) * world.stages]
        self.group = everywhere[stage :: world.stages]
        self.optimizer = world.optimizer
        self.pieces = world.pieces_of(stage)
        self._codecs = self._new_codecs()
        whole = run.engine.initial_params
        parts: list[Tensor] = []
        for piece, codec in zip(self.pieces, self._codecs, strict=True):
            parts.append(whole[piece.start : piece.start + piece.parameters])
            if codec.parameters:
                parts.append(codec.initial_params().to(whole))
        self._params = self._initial = parts[0] if len(parts) == 1 else torch.cat(parts)
        self._timed = not run.engine.has_values
        sizes = [
            piece.parameters + codec.parameters
            for piece, codec in zip(self.pieces, self._codecs, strict=True)
        ]
        self._bounds = [sum(sizes[:chunk]) for chunk in range(len(sizes) + 1)]
        self.parameters = run.cost.charged_parameters * len(self._params) / run.cost.parameters
        self._state: dict[str, Tensor] | None = None
        self._forwards: dict[tuple[int, int], PieceForward] = {}
        self._bound: dict[Optimizer, Optimizer] = {}

    def _new_codecs(self) -> list[Any]:
        return [self._world.codecs.build(piece, self.replica, self._run.streams) for piece in self.pieces]

    def begin_again(self, *, disk: bool, finished: bool = False) -> None:
        self._forwards.clear()
        self._codecs = self._new_codecs()
        super().begin_again(disk=disk, finished=finished)

    @property
    def _memory(self) -> Memory:
        state = self._state, [dict(codec.state) for codec in self._codecs]
        return self._params, state, self.version, dict(self.kept)

    @_memory.setter
    def _memory(self, value: Memory) -> None:
        self._params, (self._state, states), self.version = value[:3]
        self.kept = dict(value[3])
        for codec, state in zip(self._codecs, states, strict=True):
            codec.state = state

    @property
    def _first(self) -> Memory:
        return self._initial, (None, [dict(codec.state) for codec in self._new_codecs()]), 0, {}

    @property
    def budget(self) -> int | None:
        return self._run.scenario.stop.steps

    def is_first(self, chunk: int = 0) -> bool:
        return self.pieces[chunk].first

    def is_last(self, chunk: int = 0) -> bool:
        return self.pieces[chunk].last

    def chunk_of(self, params: Tensor, chunk: int) -> Tensor:
        return params[self._bounds[chunk] : self._bounds[chunk + 1]]

    def activation_bytes(self, chunk: int = 0) -> float:
        return self._world.held_bytes(self.pieces[chunk])

    def model_parts(self) -> list[tuple[int, Tensor]]:
        """Where in the model's flat vector its chunks begin, and their weights."""
        return [
            (piece.start, self.chunk_of(self._params, chunk)[: piece.parameters])
            for chunk, piece in enumerate(self.pieces)
        ]

    def pass_seconds(self) -> float:
        """Of all microbatches of an update."""
        passes = sum(
            self._world.forward_seconds(piece, self.computing.machine)
            + self._world.backward_seconds(piece, self.computing.machine)
            for piece in self.pieces
        )
        return self._run.microbatches * passes

    # -- passes ---------------------------------------------------------------------------------------

    async def forward(
        self, microbatch: int, received: Bundle | None, params: Tensor, chunk: int = 0, version: int = 0
    ) -> Bundle | None:
        piece, codec, samples = self.pieces[chunk], self._codecs[chunk], (self.replica, microbatch)
        alone = self._world.forward_seconds(piece, self.computing.machine)
        with self.computing.turn() as turn:
            await self.wait(turn, "its device")
            seconds = self.computing.clocked.passing(self.now, microbatch, alone)
            if piece.last:  # nobody needs its outputs: the backward pass computes the loss
                await self.computing.work("forward", seconds)
                return None
            job = PieceForward(
                piece,
                self.chunk_of(params, chunk),
                samples,
                self._unpacked(chunk, received, backward=False),
                codec,
                codec.state,
                keep=not self._world.recompute,
            )
            self._forwards[microbatch, chunk] = job
            values: Tensor = await self.computing.finish("forward", self._run.engine.submit(job), seconds)
        return self._bundle(chunk, values, microbatch, version, backward=False)

    async def backward(
        self,
        microbatch: int,
        received: Bundle | None,
        gradient: Bundle | None,
        params: Tensor,
        chunk: int = 0,
    ) -> PassedBack:
        piece, codec, samples = self.pieces[chunk], self._codecs[chunk], (self.replica, microbatch)
        with self.computing.turn() as turn:
            await self.wait(turn, "its device")
            forward = self._forwards.pop((microbatch, chunk), None)
            job = self._run.engine.submit(
                PieceBackward(
                    piece,
                    self.chunk_of(params, chunk),
                    samples,
                    self._unpacked(chunk, received, backward=False) if forward is None else forward.received,
                    self._unpacked(chunk, gradient, backward=True),
                    codec,
                    codec.state if forward is None else forward.state,
                    forward,
                )
            )
            alone = self._world.backward_seconds(piece, self.computing.machine)
            seconds = self.computing.clocked.passing(self.now, microbatch, alone)
            result = await self.computing.finish("backward", job, seconds, gradients=1)
        if result.loss is not None:
            self._run.recorder.metric(self.now, self.id, self.steps, "train_loss", float(result.loss))
        if result.values is None:
            return PassedBack(None, result.vector)
        version = 0 if received is None else received.version
        return PassedBack(
            self._bundle(chunk, result.values, microbatch, version, backward=True), result.vector
        )

    async def update(self, gradient: Tensor, optimizer: Optimizer | None = None) -> None:
        optimizer = optimizer or self.optimizer
        if self.chunks == 1:
            optimizer = self._world.codecs.optimizer(optimizer, self.pieces[0])
        optimizer = self.bound(optimizer)
        flops = 0.0 if self._timed else optimizer.step_flops(self.parameters)
        with self.computing.turn() as turn:
            await self.wait(turn, "its device")
            await self.computing.work(
                "step", self.computing.clocked.other(self.now, self.computing.machine.seconds(flops))
            )
            before = self._params
            state = optimizer.init(before) if self._state is None else self._state
            gradient = self._constrained("gradient", gradient, before)
            job = self._run.engine.submit(PieceStep(optimizer, before, gradient, state))
            result = await self._run.finish(job, self, steps=1)
            self._params = (
                result.params if self._timed else self._constrained("params", result.params, before)
            )
            self._state = result.state

    def bound(self, optimizer: Optimizer) -> Optimizer:
        if not optimizer.needs_layout:
            return optimizer
        if optimizer not in self._bound:
            self._bound[optimizer] = optimizer.with_layout(self._layout())
        return self._bound[optimizer]

    def _layout(self) -> Layout:
        """Of the whole stage: its chunks, each with the parameters of its codec behind it."""
        names: list[str] = []
        shapes: list[torch.Size] = []
        for chunk, piece in enumerate(self.pieces):
            names += piece.layout.names
            shapes += piece.layout.shapes
            own = self._bounds[chunk + 1] - self._bounds[chunk] - piece.parameters
            if own:
                names.append(f"boundary.{piece.index}")
                shapes.append(torch.Size([own]))
        sizes = tuple(shape.numel() for shape in shapes)
        return Layout(tuple(names), tuple(shapes), sizes, self._params.dtype)

    async def after_update(self, update: int) -> None:
        for codec in self._codecs:
            await codec.after_update(self, update)

    def _constrained(self, what: str, vector: Tensor, params: Tensor) -> Tensor:
        if self._timed:
            return vector
        parts: list[Tensor] = []
        for chunk, codec in enumerate(self._codecs):
            part = self.chunk_of(vector, chunk)
            if what == "gradient":
                parts.append(codec.constrain_gradient(part, self.chunk_of(params, chunk)))
            else:
                parts.append(codec.constrain_params(part))
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _bundle(self, chunk: int, values: Tensor, microbatch: int, version: int, *, backward: bool) -> Bundle:
        piece, codec, samples = self.pieces[chunk], self._codecs[chunk], (self.replica, microbatch)
        if self._timed:
            number = codec.wire_bytes(piece.output_shape, backward)
            return Bundle(microbatch, samples, None, version, number, number)
        ids = self._run.task.batches(*samples, 1)[0][0] if codec.token_ids else None
        packed = codec.pack(values, Passage(backward, samples, ids))
        shape = self._world.charged_shape(piece)
        charged = float(packed.bytes) if shape is None else codec.wire_bytes(shape, backward)
        return Bundle(microbatch, samples, packed, version, float(packed.bytes), charged)

    def _unpacked(self, chunk: int, bundle: Bundle | None, *, backward: bool) -> Tensor | None:
        """What the codec of a chunk makes of what came: activations from before it, gradients from behind."""
        if bundle is None or bundle.packed is None:
            return None
        values: Tensor = self._codecs[chunk].unpack(bundle.packed, Passage(backward, bundle.samples))
        return values


class WholeModel:
    """A replica's model, put together from its stages: what is evaluated."""

    def __init__(self, replica: int, stages: list[SimulatedStage], initial: Tensor) -> None:
        self.id = f"replica{replica}"
        self._stages = stages
        self._parts = [stage.params for stage in stages]
        self._whole = initial

    @property
    def steps(self) -> int:
        """Updates that all its stages have made."""
        return min(stage.steps for stage in self._stages)

    @property
    def params(self) -> Tensor:
        """The model's flat parameters `[d]`; the same tensor as long as no stage has changed."""
        parts = [stage.params for stage in self._stages]
        if any(new is not old for new, old in zip(parts, self._parts, strict=True)):
            whole = torch.empty_like(self._whole)
            for stage in self._stages:
                for start, values in stage.model_parts():
                    whole[start : start + len(values)] = values
            self._whole, self._parts = whole, parts
        return self._whole


def whole_models(world: PipelineWorld, nodes: dict[str, Any], initial: Tensor) -> list[WholeModel]:
    """The model of every replica."""
    stages = [node for node in nodes.values() if isinstance(node, SimulatedStage)]
    return [
        WholeModel(replica, [node for node in stages if node.replica == replica], initial)
        for replica in range(world.replicas)
    ]
