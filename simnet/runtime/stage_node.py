"""What a method for pipelines sees: a node that holds one stage of one replica of the model."""

from abc import abstractmethod
from dataclasses import dataclass

from torch import Tensor

from simnet.compression import Packed
from simnet.optim import Optimizer
from simnet.runtime.node import Node

STAGE = "stage"
"""The role of nodes that are stages."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """What crosses a cut: activations forwards, or their gradient backwards, of one microbatch."""

    microbatch: int
    """Index among the replica's microbatches, counted over all steps."""
    samples: tuple[int, int]
    """(replica, index of the microbatch): names its samples, and their token ids, at every stage."""
    packed: Packed | None
    """What the sender's codec made of them, which the receiver's unpacks; None in a timing-only run."""
    version: int
    """Updates that the sender's weights had seen at the microbatch's forward pass."""
    bytes: float
    """On the wire."""
    charged_bytes: float | None
    """What the network is charged, where a larger model is pretended."""


@dataclass(frozen=True, slots=True)
class PassedBack:
    """What a backward pass gives: a bundle for the stage before, and the gradient of the chunk's weights."""

    bundle: Bundle | None
    """None at the model's first piece."""
    gradient: Tensor
    """`[d]` of the chunk."""


class StageNode(Node):
    """A node that holds one stage, or several chunks of the model if the method's schedule wants so.

    `params` is the stage's part of the model: the flat vectors of its chunks, one after the other.
    """

    stage: int
    """Position in the pipeline, from 0."""
    stages: int
    replica: int
    """Which of the pipelines side by side, from 0."""
    replicas: int
    chunks: int
    """Pieces of the model that it holds."""
    chain: tuple[str, ...]
    """The stages of this replica, in order."""
    group: tuple[str, ...]
    """The nodes that hold this stage, one per replica, in order."""
    optimizer: Optimizer
    """The task's."""

    @property
    @abstractmethod
    def budget(self) -> int | None:
        """Updates that the scenario's `stop.steps` allows each stage; None where it does not say."""

    @abstractmethod
    def is_first(self, chunk: int = 0) -> bool:
        """Whether a chunk is the model's first piece, which takes the samples themselves."""

    @abstractmethod
    def is_last(self, chunk: int = 0) -> bool:
        """Whether a chunk is the model's last piece, where the loss is."""

    @abstractmethod
    def chunk_of(self, params: Tensor, chunk: int) -> Tensor:
        """A chunk's part `[d]` of a vector for the whole stage."""

    @abstractmethod
    def activation_bytes(self, chunk: int = 0) -> float:
        """Memory that one microbatch takes between its two passes through a chunk."""

    @abstractmethod
    async def forward(
        self, microbatch: int, received: Bundle | None, params: Tensor, chunk: int = 0, version: int = 0
    ) -> Bundle | None:
        """The forward pass of a microbatch through a chunk, at `params` of the whole stage.

        `received` is None for the model's first piece; the result is None for its last.
        """

    @abstractmethod
    async def backward(
        self,
        microbatch: int,
        received: Bundle | None,
        gradient: Bundle | None,
        params: Tensor,
        chunk: int = 0,
    ) -> PassedBack:
        """The backward pass of a microbatch through a chunk, at `params` of the whole stage.

        `received` is what its forward pass got; `gradient` came from the piece behind, and is None for the
        model's last piece, which starts from the loss.
        """

    @abstractmethod
    def bound(self, optimizer: Optimizer) -> Optimizer:
        """An optimizer that knows the shapes of the stage's parameters, where it must.

        Raises `ValueError` where it can do nothing with these shapes.
        """

    @abstractmethod
    async def update(self, gradient: Tensor, optimizer: Optimizer | None = None) -> None:
        """One step of `optimizer` (default: the task's) from `params` along `gradient`, both of the stage.

        The optimizer's state stays with the stage, also where another one of the same kind takes over.
        """

    @abstractmethod
    async def after_update(self, update: int) -> None:
        """Let the stage's codecs do what comes after update number `update` (from 1): their side traffic."""
