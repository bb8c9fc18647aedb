"""The loop of a stage: what its actions do to messages, held activations, versions and gradients."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from simnet.optim import Optimizer
from simnet.pipeline.schedules import Action, Backward, Forward
from simnet.pipeline.weights import WeightPolicy, WeightStore
from simnet.runtime.node import Encoded
from simnet.runtime.stage_node import Bundle, StageNode

Pass = Forward | Backward


@dataclass(frozen=True, slots=True)
class Held:
    """What a stage keeps of a microbatch between its two passes through a chunk."""

    received: Bundle | None
    version: int


class Stage:
    """One stage at work: it carries out the passes of a schedule, and keeps what they need.

    Metrics that it records at its node: `staleness` of every microbatch at the update that its gradient is
    part of (the version then, minus the version of its forward pass), and each time they rise, the most
    `activation_bytes` and `weight_versions` held at once.

    Args:
        node: The node that it runs on.
        policy: Which weights the passes see.
        recent: Versions that the store always keeps.
        smoothing: Of the store's running mean of updates, for policies that predict.
    """

    def __init__(
        self, node: StageNode, policy: WeightPolicy, *, recent: int = 1, smoothing: float | None = None
    ) -> None:
        self.node = node
        self.weights = WeightStore(
            node.params, recent=recent, smoothing=smoothing, version=node.kept.get("updates", 0)
        )
        self._policy = policy
        self._held: dict[tuple[int, int], Held] = {}
        self._held_bytes = 0.0
        self._peak_bytes = 0.0
        self._peak_versions = 1
        self._gradients: list[Tensor | None] = [None] * node.chunks
        self._versions: list[int] = []

    async def run(self, actions: Iterable[Action], first: int = 0) -> None:
        """Carry out passes, not updates; the schedule's microbatch 0 is the replica's number `first`."""
        for action in actions:
            if isinstance(action, Forward):
                await self.forward(action.microbatch + first, action.chunk)
            elif isinstance(action, Backward):
                await self.backward(action.microbatch + first, action.chunk)

    async def perform(self, action: Pass) -> None:
        """Carry out one pass."""
        await self.run((action,))

    async def forward(self, microbatch: int, chunk: int = 0) -> None:
        """Wait for the microbatch's activations, run them through the chunk, and send on what comes out."""
        node = self.node
        received = None
        if not node.is_first(chunk):
            received = await self._receive("activation", microbatch, chunk)
        version, params = self._policy.forward(self.weights, microbatch)
        self._hold(microbatch, chunk, Held(received, version))
        bundle = await node.forward(microbatch, received, params, chunk, version)
        if bundle is not None:
            following = (node.stage + 1) % node.stages
            self._send(bundle, "activation", following, chunk + (following == 0))

    async def backward(self, microbatch: int, chunk: int = 0) -> None:
        """Wait for the gradient in what was sent, add the weights' gradient up, and send the rest back."""
        node = self.node
        gradient = None
        if not node.is_last(chunk):
            gradient = await self._receive("gradient", microbatch, chunk)
        held = self._held.pop((microbatch, chunk))
        params = self._policy.backward(self.weights, held.version)
        passed = await node.backward(microbatch, held.received, gradient, params, chunk)
        self._held_bytes -= node.activation_bytes(chunk)
        self._add(chunk, passed.gradient)
        if chunk == 0:  # the last of the microbatch's passes here
            self._versions.append(held.version)
        if passed.bundle is not None:
            previous = (node.stage - 1) % node.stages
            self._send(passed.bundle, "gradient", previous, chunk - (node.stage == 0))

    def take_gradient(self) -> Tensor:
        """The mean gradient `[d]` of the stage over the microbatches since the last call.

        Raises `RuntimeError` if there were none.
        """
        if not self._versions:
            raise RuntimeError(f"{self.node.id} has no gradient: no microbatch came back since the last one")
        parts = [part for part in self._gradients if part is not None]
        total = parts[0] if len(parts) == 1 else torch.cat(parts)
        self._gradients = [None] * self.node.chunks
        return total if len(self._versions) == 1 else total / len(self._versions)

    async def update(self, gradient: Tensor, optimizer: Optimizer | None = None) -> None:
        """One optimizer step: the next version. Records the staleness of what is in the gradient."""
        for version in self._versions:
            self.node.record(staleness=self.weights.version - version)
        self._versions = []
        await self.node.update(gradient, optimizer)
        self.node.kept["updates"] = self.weights.advance(self.node.params)
        if self.weights.versions > self._peak_versions:
            self._peak_versions = self.weights.versions
            self.node.record(weight_versions=self._peak_versions)
        await self.node.after_update(self.weights.version)
        if self.node.params is not self.weights.latest:  # a codec moved them, which is no update
            self.weights.patch(self.node.params)

    @property
    def delay(self) -> float:
        """Mean staleness of the gradients that the next update applies, as measured so far; 0 if none."""
        ages = [self.weights.version - version for version in self._versions]
        return sum(ages) / len(ages) if ages else 0.0

    def replace_params(self, params: Tensor) -> None:
        """Put other weights in the latest version's place: an averaging, not an update."""
        self.node.params = params
        self.weights.patch(params)

    # -- the inside -------------------------------------------------------------------------------------

    async def _receive(self, kind: str, microbatch: int, chunk: int) -> Bundle:
        step = -1 if kind == "activation" else 1
        sender = self.node.chain[(self.node.stage + step) % self.node.stages]
        message = await self.node.recv(sender, (kind, chunk, microbatch))
        return cast(Bundle, message.payload.content)

    def _send(self, bundle: Bundle, kind: str, stage: int, chunk: int) -> None:
        payload = Encoded(bundle, bundle.bytes, bundle.charged_bytes)
        self.node.spawn(self.node.send(self.node.chain[stage], payload, (kind, chunk, bundle.microbatch)))

    def _hold(self, microbatch: int, chunk: int, held: Held) -> None:
        self._held[microbatch, chunk] = held
        self._held_bytes += self.node.activation_bytes(chunk)
        if self._held_bytes > self._peak_bytes:
            self._peak_bytes = self._held_bytes
            self.node.record(activation_bytes=self._peak_bytes)

    def _add(self, chunk: int, gradient: Tensor) -> None:
        before = self._gradients[chunk]
        self._gradients[chunk] = gradient if before is None else before + gradient


def global_scale(squares: Sequence[float], clip_norm: float) -> float:
    """What to multiply all stages' gradients by, so that the whole gradient's norm is at most `clip_norm`.

    `squares` are the stages' squared norms; as in `torch.nn.utils.clip_grad_norm_`.
    """
    norm = sum(squares) ** 0.5
    return min(1.0, clip_norm / (norm + 1e-6))
