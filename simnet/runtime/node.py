"""What an algorithm sees: the :class:`Node` it runs on, and the base class it extends.

Algorithms are native coroutines written against :class:`Node` alone, so the same code runs under the
simulated clock and over real sockets.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Coroutine, Hashable, Mapping, Sequence
from typing import Any, ClassVar, Literal, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from simnet.runtime.errors import (
    Aborted,
    Cancelled,
    GroupChanged,
    NodeDown,
    NoValuesError,
    PeerLost,
    Timeout,
)
from simnet.runtime.task import Task
from simnet.runtime.values import Encoded, Gradient, Message, View

__all__ = [
    "Aborted",
    "Algorithm",
    "Cancelled",
    "Encoded",
    "Gradient",
    "GroupChanged",
    "Message",
    "NoValuesError",
    "Node",
    "NodeDown",
    "OnLayer",
    "PeerLost",
    "Task",
    "Timeout",
    "View",
]

T = TypeVar("T")


OnLayer = Callable[[slice, Tensor], None]
"""Called with where a layer lies in the flat vector, and with its part of it."""


class Node(ABC):
    """One machine playing one role, as its algorithm sees it.

    Every call that takes time is awaited. Tensors are values: nobody mutates them in place, so what was
    sent is what arrives.
    """

    id: str
    """Unique name; what `send(to=...)` takes."""
    role: str
    rank: int
    """Position among the nodes of the same role, from 0."""
    samples: int
    """Training samples that this node owns (0 for a server)."""
    parameters: float
    """Parameters that the clock charges for: the model's own, or those of `charge_as`."""
    rng: np.random.Generator
    """This node's own luck, keyed by (seed, node) and never by algorithm."""
    layers: tuple[slice, ...]
    """Where each layer of the model lies in a flat vector, first layer first; with `charge_as.layers` so many
    equal ones."""
    version: int
    """Travels with every message; an algorithm that measures staleness counts its updates here. 0 again after
    a crash that lost the node's memory."""
    incarnation: int
    """How often it has come up since the run began: 0 from the start on, 1 for one that joined later or that
    came back after it went down, and so on."""
    kept: dict[str, Any]
    """What the method wants to find again when its coroutine starts anew, such as an outer optimizer's
    momentum: part of every checkpoint, and empty after a crash that lost the node's memory. Put in tensors,
    numbers, text and containers of them; what counts is what is in it when `running` is asked. Values in it
    are not changed in place."""

    @property
    @abstractmethod
    def params(self) -> Tensor:
        """The model's parameters as one flat tensor `[d]`; assign a new one to change them."""

    @params.setter
    @abstractmethod
    def params(self, value: Tensor) -> None: ...

    @property
    @abstractmethod
    def peers(self) -> tuple[str, ...]:
        """The other nodes of this role, in rank order."""

    @property
    @abstractmethod
    def neighbors(self) -> tuple[str, ...]:
        """The peers that the topology reaches without passing through another host."""

    @property
    @abstractmethod
    def view(self) -> View:
        """Among whom collectives without a `group` run: all of this role, until :meth:`regroup`."""

    @property
    @abstractmethod
    def regrouping(self) -> bool:
        """Whether somebody asked for a new view that this node should call :meth:`regroup` for now.

        A newcomer's request counts from the next :attr:`version` on, so that nobody has to break off what
        all are in the middle of.
        """

    @property
    @abstractmethod
    def optimizer_state(self) -> dict[str, Tensor]:
        """The state of the task's optimizer, as a value: what a node needs beside `params` to go on alike.

        Not while :meth:`train` or :meth:`step` is under way.
        """

    @optimizer_state.setter
    @abstractmethod
    def optimizer_state(self, value: dict[str, Tensor]) -> None: ...

    @abstractmethod
    def members(self, role: str) -> tuple[str, ...]:
        """All nodes that play `role`, in rank order; `KeyError` if the method has no such role."""

    @abstractmethod
    def up(self, role: str | None = None) -> tuple[str, ...]:
        """The members of a role (default: its own) that this node does not know to be down, in rank order.

        It is one of them itself. Others that went down a moment ago are still among them.
        """

    @property
    @abstractmethod
    def now(self) -> float:
        """Seconds since the run began."""

    @property
    @abstractmethod
    def running(self) -> bool:
        """False once the scenario's `stop` says that this node has done enough."""

    @abstractmethod
    async def train(
        self,
        steps: int | None = None,
        *,
        until: Task[Any] | None = None,
        on_layer: OnLayer | None = None,
        lr_scale: float = 1.0,
        only: slice | Tensor | None = None,
    ) -> int:
        """Advance `params` by real optimizer steps on this node's data; return how many were taken.

        With `until`, as many whole steps as fit before that task ends. Never more than the scenario's
        step budget leaves. `on_layer` is called during the last of `steps`, at the instant at which the
        backward pass has left a layer, the last layer first, with that layer's new parameters: each layer is
        stepped as soon as its gradient is there. Every step is `lr_scale` times as long as the optimizer's
        own. `only` names the coordinates that are trained (a slice, a bool mask `[d]` or indices); the
        others and their optimizer state stay as they are, and the time is that of whole steps.

        Raises `ValueError` unless exactly one of `steps` (>= 1) and `until` is given, for `on_layer` beside
        `until` or with an optimizer that needs the whole gradient first (`clip_norm`), and where `lr_scale`
        or `only` mean nothing; `RuntimeError` if another task assigned `params` meanwhile (that work would be
        lost; overlap with :meth:`gradient` and :meth:`step` instead).
        """

    @abstractmethod
    async def gradient(self, params: Tensor | None = None, *, on_layer: OnLayer | None = None) -> Gradient:
        """The gradient on this node's next minibatch, at `params` (default: its own, as of now).

        `on_layer` is called at the instant at which the backward pass has left a layer, the last layer
        first, with that layer's gradient. The forward pass takes a third of the time; each layer
        takes a share of the rest that is in proportion to its parameters.
        """

    @abstractmethod
    async def loss(self, params: Tensor | None = None) -> float:
        """The mean loss at `params` (default: its own) on the minibatch that this node would draw next.

        The batch is not used up: several candidates can be compared on the same samples. Takes the time of a
        forward pass.
        """

    async def predictions(self, models: Sequence[Tensor], batches: int = 1) -> tuple[Tensor, Tensor]:
        """Classes `[m, samples]` that `models` give this node's next samples, and the true ones `[samples]`.

        The samples are those of the minibatches that it would draw next; they are not used up. Takes the time
        of a forward pass for each model and minibatch. Raises `ValueError` where a task has no classes, and
        `NotImplementedError` for a node that holds a part of the model only.
        """
        raise NotImplementedError(f"{self.id} cannot tell classes")

    @abstractmethod
    async def step(self, gradient: Tensor) -> None:
        """One step of the task's optimizer with `gradient`, applied to `params` as they are when it ends.

        Counts as one optimizer step. Input and result are of the same instant, so a step never undoes what
        another task did to `params` in between.
        """

    @abstractmethod
    async def compute(
        self,
        function: Callable[..., T],
        *arguments: Any,
        flops: float | None = None,
        seconds: float | None = None,
    ) -> T:
        """Any other work: what `function(*arguments)` returns, for the time that `flops` or `seconds` say.

        Raises `ValueError` unless exactly one of them is given and positive: there is no work without a cost.
        """

    @abstractmethod
    async def send(self, to: str, payload: Any, tag: Hashable = "") -> None:
        """Send; returns when the last byte has left this node. The receiver gets it one latency later.

        Raises :class:`PeerLost` if the receiver goes down before that; to a node that is down already nothing
        is sent, and the error comes once the detection timeout has passed since it went down: at once, if
        that was long ago.
        """

    @abstractmethod
    async def recv(
        self,
        sender: str | None = None,
        tag: Hashable = "",
        *,
        timeout: float | None = None,
        watching: Collection[str] = (),
    ) -> Message:
        """The oldest message with this tag, from `sender` or from anybody.

        Raises :class:`Timeout`, and :class:`PeerLost` if `sender` is given, went down, and left no such
        message, or if one of those in `watching` is lost while none is here.
        """

    @abstractmethod
    async def exchange(self, peer: str, payload: Any, tag: Hashable = "") -> Any:
        """Send and receive at once, both ways; gives the peer's payload. Raises :class:`PeerLost`."""

    @abstractmethod
    async def all_reduce(
        self, tensor: Tensor, op: Literal["mean", "sum"] = "mean", group: Sequence[str] | None = None
    ) -> Tensor:
        """The mean (or sum) of the members' tensors, the same bits at each of them.

        `group` names the members (default: those of the :attr:`view`); every member must call it, with
        tensors of one shape. Which algorithm runs is the scenario's `network.all_reduce`. This and the other
        collectives raise `ValueError` if this node is not in the group, :class:`PeerLost` if a member goes
        down before this node has its result, and :class:`GroupChanged` when a new view was asked for.
        """

    @abstractmethod
    async def all_gather(self, payload: Any, group: Sequence[str] | None = None) -> list[Any]:
        """Every member's payload, in the order of the group; around a ring."""

    @abstractmethod
    async def reduce_scatter(
        self, tensor: Tensor, op: Literal["mean", "sum"] = "mean", group: Sequence[str] | None = None
    ) -> Tensor:
        """This member's share (`tensor_split` by rank in the group) of the members' reduced flat tensor.

        Around a ring; members beyond the number of elements get empty shares.
        """

    @abstractmethod
    async def broadcast(self, payload: Any, root: str, group: Sequence[str] | None = None) -> Any:
        """The root's payload at every member (the others' argument is ignored).

        By the scenario's `network.broadcast`; what is no tensor always travels whole. Raises `ValueError` if
        `root` is not in the group.
        """

    @abstractmethod
    async def all_to_all(self, payloads: Sequence[Any], group: Sequence[str] | None = None) -> list[Any]:
        """What each member had for this one, in the order of the group.

        `payloads` has one entry per member of the group, in its order; a member's own stays with it. By the
        scenario's `network.all_to_all`. Raises `ValueError` for another number of payloads.
        """

    @abstractmethod
    async def barrier(self, group: Sequence[str] | None = None) -> None:
        """Wait until every member is here; costs the latencies of its messages."""

    @abstractmethod
    async def regroup(self, quorum: int = 1, deadline: float | None = None) -> View:
        """Agree with the nodes of this role that are up on a new :attr:`view`, and have it.

        Returns once all of them are here and at least `quorum`, or `deadline` seconds after the first member
        of the old view came, with those who are here by then. Members of the old view that are in a
        collective leave it with :class:`GroupChanged` (see :attr:`regrouping`), so all of them must handle
        that by coming here.
        Whoever is left out, or was down, comes in by calling this. :attr:`version` must be the number of
        updates that the node's state has seen.

        Raises :class:`Timeout` if fewer than `quorum` are here at the deadline, `ValueError` unless `quorum`
        is between 1 and the number of nodes of this role.

        What a runtime needs for it: a coordinator, the lowest rank that is up, that every member can reach;
        each reports its epoch and version to it (16 bytes), it decides, and answers with the view (24 bytes
        and 8 per member). It must know who is down (its failure detector's word is enough), and pass
        requests on to all members. If it goes down, members begin again at the next.
        """

    @abstractmethod
    async def sleep(self, seconds: float) -> None:
        """Let `seconds` pass."""

    @abstractmethod
    def spawn(self, coroutine: Coroutine[Any, Any, T]) -> Task[T]:
        """Run a coroutine beside this one; how overlap of communication and computation is written.

        Its :class:`GroupChanged` (or `PeerLost`) is raised where the task is awaited, and lost if it never
        is.
        """

    @abstractmethod
    def record(self, **columns: float) -> None:
        """Put numbers of the method's own into `metrics.parquet`, with this node, time and step."""

    def judged(self, kept: Mapping[str, bool]) -> None:
        """Say whose inputs a rule let in, by node: recorded as `kept_inputs`, and held against the truth.

        Where the scenario has Byzantine nodes, `kept_honest`, `kept_byzantine`, `detection_precision` and
        `detection_recall` are recorded beside it; the method learns nothing of them.
        """
        self.record(kept_inputs=sum(kept.values()))

    @abstractmethod
    def shared_rng(self, name: str, epoch: int) -> np.random.Generator:
        """A generator that is the same on every node: randomness agreed on without a byte sent."""

    def staleness(self, message: Message) -> int:
        """Updates made here since the version that `message` was computed from.

        Raises `ValueError` if negative: a message cannot come from a version that does not exist yet.
        """
        age = self.version - message.version
        if age < 0:
            raise ValueError(
                f"negative staleness {age}: {message.sender} sent version {message.version}, "
                f"{self.id} is at {self.version}"
            )
        return age


class Algorithm(BaseModel):
    """A training method: its fields are the hyperparameters that YAML may set, its coroutines the method.

    A subclass defines `async def worker(self, node)`; a method with a server also defines
    `async def server(self, node)` and names both in :meth:`roles`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    evaluated_role: ClassVar[str] = "worker"
    """Whose model the method hands over: the mean over this role's nodes is what gets evaluated."""
    step_budget: ClassVar[Literal["each", "mean"]] = "each"
    """What `stop: {steps: N}` means: N steps for each worker, or N on average (asynchronous methods, where
    fast workers take more)."""
    safe_points: ClassVar[Literal["common", "own", "none"]] = "own"
    """What asking whether a node is `running` marks: `common`, the n-th time is the same point of the method
    at every node of the run, so that checkpoints of one number fit together, with no message that somebody
    still needs; `own`, a point of this node's loop; `none`, it is never asked."""
    needs_values: ClassVar[bool] = False
    """Whether what the method does when depends on values (a loss, a norm): it cannot run timing-only."""

    def roles(self) -> Mapping[str, Callable[[Node], Coroutine[Any, Any, None]]]:
        """The coroutine of each role that the method needs."""
        return {"worker": self.worker}

    def check_model(self, classes: int | None, last_layer: Sequence[tuple[int, ...]]) -> None:
        """Raise `ValueError` where the method cannot train a task's model; any will do unless it says so.

        `classes` are those that the model tells apart, None where targets are no classes of whole samples;
        `last_layer` are the shapes of the parameters in the last of :attr:`Node.layers`.
        """

    async def worker(self, node: Node) -> None:
        """What each worker does, from the start of the run to its end."""
        raise TypeError(f"{type(self).__name__} defines no worker()")

    @classmethod
    def summary(cls) -> str:
        """The first line of the docstring, for `simnet list`."""
        return (cls.__doc__ or "").strip().split("\n", 1)[0]
