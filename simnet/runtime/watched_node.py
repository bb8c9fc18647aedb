"""A node as its method sees it in a run with Byzantine nodes: the same node, and somebody looks on."""

from collections.abc import Callable, Collection, Coroutine, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
from torch import Tensor

from simnet.runtime.node import Encoded, Gradient, Message, Node, OnLayer, Task, View
from simnet.runtime.payload import kind_of
from simnet.runtime.simulated_node import SimulatedNode

if TYPE_CHECKING:
    from simnet.runtime.byzantine_node import Adversary

T = TypeVar("T")


class WatchedNode(Node):
    """An honest node: every call goes to the node itself, and what it sends is seen by the adversary.

    The method's code is the same, and so is everything that happens, unless another node attacks.
    """

    def __init__(self, inner: SimulatedNode, adversary: "Adversary") -> None:
        self._inner = inner
        self._adversary = adversary
        self._turns: dict[Hashable, int] = {}
        self.id, self.role, self.rank = inner.id, inner.role, inner.rank
        self.samples, self.parameters, self.layers = inner.samples, inner.parameters, inner.layers
        self.rng = inner.rng

    # -- plain attributes -----------------------------------------------------------------------------

    @property
    def version(self) -> int:
        return self._inner.version

    @version.setter
    def version(self, value: int) -> None:
        self._inner.version = value

    @property
    def params(self) -> Tensor:
        return self._inner.params

    @params.setter
    def params(self, value: Tensor) -> None:
        self._inner.params = value

    @property
    def peers(self) -> tuple[str, ...]:
        return self._inner.peers

    @property
    def neighbors(self) -> tuple[str, ...]:
        return self._inner.neighbors

    @property
    def view(self) -> View:
        return self._inner.view

    @property
    def regrouping(self) -> bool:
        return self._inner.regrouping

    async def regroup(self, quorum: int = 1, deadline: float | None = None) -> View:
        return await self._inner.regroup(quorum, deadline)

    @property
    def optimizer_state(self) -> dict[str, Tensor]:
        return self._inner.optimizer_state

    @optimizer_state.setter
    def optimizer_state(self, value: dict[str, Tensor]) -> None:
        self._inner.optimizer_state = value

    @property
    def incarnation(self) -> int:
        return self._inner.incarnation

    @incarnation.setter
    def incarnation(self, value: int) -> None:
        self._inner.incarnation = value

    def up(self, role: str | None = None) -> tuple[str, ...]:
        return self._inner.up(role)

    def members(self, role: str) -> tuple[str, ...]:
        return self._inner.members(role)

    @property
    def kept(self) -> dict[str, Any]:  # type: ignore[override]  # the same, which methods write into
        return self._inner.kept

    @property
    def now(self) -> float:
        return self._inner.now

    @property
    def running(self) -> bool:
        return self._inner.running

    # -- computation ----------------------------------------------------------------------------------

    async def train(
        self,
        steps: int | None = None,
        *,
        until: Task[Any] | None = None,
        on_layer: OnLayer | None = None,
        lr_scale: float = 1.0,
        only: slice | Tensor | None = None,
    ) -> int:
        return await self._inner.train(steps, until=until, on_layer=on_layer, lr_scale=lr_scale, only=only)

    async def gradient(self, params: Tensor | None = None, *, on_layer: OnLayer | None = None) -> Gradient:
        return await self._inner.gradient(params, on_layer=on_layer)

    async def loss(self, params: Tensor | None = None) -> float:
        return await self._inner.loss(params)

    async def predictions(self, models: Sequence[Tensor], batches: int = 1) -> tuple[Tensor, Tensor]:
        return await self._inner.predictions(models, batches)

    async def step(self, gradient: Tensor) -> None:
        await self._inner.step(gradient)

    async def compute(
        self,
        function: Callable[..., T],
        *arguments: Any,
        flops: float | None = None,
        seconds: float | None = None,
    ) -> T:
        return await self._inner.compute(function, *arguments, flops=flops, seconds=seconds)

    # -- messages -------------------------------------------------------------------------------------

    async def send(self, to: str, payload: Any, tag: Hashable = "") -> None:
        self._show(kind_of(tag), self._turn(tag), payload, (to,))
        await self._inner.send(to, payload, tag)

    async def recv(
        self,
        sender: str | None = None,
        tag: Hashable = "",
        *,
        timeout: float | None = None,
        watching: Collection[str] = (),
    ) -> Message:
        return await self._inner.recv(sender, tag, timeout=timeout, watching=watching)

    async def exchange(self, peer: str, payload: Any, tag: Hashable = "") -> Any:
        self._show(kind_of(tag), self._turn(tag), payload, (peer,))
        return await self._inner.exchange(peer, payload, tag)

    # -- collectives ----------------------------------------------------------------------------------

    async def all_reduce(
        self, tensor: Tensor, op: Literal["mean", "sum"] = "mean", group: Sequence[str] | None = None
    ) -> Tensor:
        members, kind, turn = self._collective("all_reduce", group)
        self._show(kind, turn, tensor, ())
        result = await self._inner.all_reduce(tensor, op, group)
        return self._adversary.corrected(result, kind, turn, self.id, 1 if op == "sum" else len(members))

    async def all_gather(self, payload: Any, group: Sequence[str] | None = None) -> list[Any]:
        members, kind, turn = self._collective("all_gather", group)
        self._show(kind, turn, payload, members)
        return [unfolded(block, self.id) for block in await self._inner.all_gather(payload, group)]

    async def reduce_scatter(
        self, tensor: Tensor, op: Literal["mean", "sum"] = "mean", group: Sequence[str] | None = None
    ) -> Tensor:
        _, kind, turn = self._collective("reduce_scatter", group)
        self._show(kind, turn, tensor, ())
        return await self._inner.reduce_scatter(tensor, op, group)

    async def broadcast(self, payload: Any, root: str, group: Sequence[str] | None = None) -> Any:
        return await self._inner.broadcast(payload, root, group)

    async def all_to_all(self, payloads: Sequence[Any], group: Sequence[str] | None = None) -> list[Any]:
        members, kind, turn = self._collective("all_to_all", group)
        for member, payload in zip(members, payloads, strict=False):
            self._show(kind, turn, payload, (member,))
        return await self._inner.all_to_all(payloads, group)

    async def barrier(self, group: Sequence[str] | None = None) -> None:
        await self._inner.barrier(group)

    # -- the rest -------------------------------------------------------------------------------------

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)

    def spawn(self, coroutine: Coroutine[Any, Any, T]) -> Task[T]:
        return self._inner.spawn(coroutine)

    def record(self, **columns: float) -> None:
        self._inner.record(**columns)

    def shared_rng(self, name: str, epoch: int) -> np.random.Generator:
        return self._inner.shared_rng(name, epoch)

    def judged(self, kept: Mapping[str, bool]) -> None:
        """Record how many honest and how many attacking nodes' inputs were kept, and how right that was."""
        super().judged(kept)
        lying = {name for name in kept if self._adversary.attacks_now(name)}
        wrong = {name for name, let_in in kept.items() if not let_in}
        self.record(
            kept_honest=sum(let_in for name, let_in in kept.items() if name not in lying),
            kept_byzantine=sum(let_in for name, let_in in kept.items() if name in lying),
        )
        if wrong:
            self.record(detection_precision=len(wrong & lying) / len(wrong))
        if lying:
            self.record(detection_recall=len(wrong & lying) / len(lying))

    # -- for the adversary ----------------------------------------------------------------------------

    def _show(self, kind: Hashable, turn: Hashable, payload: Any, receivers: Sequence[str]) -> None:
        """What this node would send if it is honest is seen by the adversary."""
        vectors = vectors_of(payload)
        if vectors:
            self._adversary.sightings.saw(self.id, kind, turn, vectors, receivers)

    def _turn(self, tag: Hashable) -> Hashable:
        """A message's round: its tag, and the version that it was computed from."""
        return tag, self._inner.version

    def _collective(
        self, name: str, group: Sequence[str] | None
    ) -> tuple[tuple[str, ...], Hashable, Hashable]:
        """Members of a collective, its kind, and the how-manieth call of this kind this is."""
        members = self.view.members if group is None else tuple(group)
        kind = (name, members, self.view.epoch)
        turn = self._turns.get(kind, 0)
        self._turns[kind] = turn + 1
        return members, kind, turn


def vectors_of(payload: Any) -> list[Tensor]:
    """The tensors with numbers in a payload, in order; those of a timing-only run have none."""
    if isinstance(payload, Tensor):
        return [payload] if payload.is_floating_point() and not payload.is_meta else []
    if isinstance(payload, dict):
        return [vector for part in payload.values() for vector in vectors_of(part)]
    if isinstance(payload, list | tuple):
        return [vector for part in payload for vector in vectors_of(part)]
    return []


def with_vectors(payload: Any, vectors: list[Tensor]) -> Any:
    """The payload with other tensors in the places that `vectors_of` found; takes them off the list."""
    if isinstance(payload, Tensor):
        return vectors.pop(0) if payload.is_floating_point() and not payload.is_meta else payload
    if isinstance(payload, dict):
        return {key: with_vectors(part, vectors) for key, part in payload.items()}
    if isinstance(payload, list | tuple):
        return type(payload)(with_vectors(part, vectors) for part in payload)
    return payload


class Faces(dict[str, Any]):
    """A payload that is another one for each receiver."""


def folded(faces: Mapping[str, Any], raw_bytes: float) -> Encoded:
    """One payload that shows each receiver its own face, of the size of one."""
    return Encoded(Faces(faces), raw_bytes)


def unfolded(block: Any, receiver: str) -> Any:
    """What `receiver` sees of a block."""
    if isinstance(block, Encoded) and isinstance(block.content, Faces):
        return block.content[receiver]
    return block
