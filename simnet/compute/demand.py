"""What a piece of work asks of a machine: arithmetic, memory traffic and operations."""

import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter


@dataclass(frozen=True)
class Demand:
    """Arithmetic, memory traffic and operations of some work; demands add up and scale.

    Convolutions, attention and pooling are kept apart, because on a CPU they cost several times what other
    operations of their size do.
    """

    flops: float = 0.0
    """Floating-point operations; a multiplication and its addition are two."""
    bytes: float = 0.0
    """Bytes that operations read and write, without those of pooling."""
    pooled_bytes: float = 0.0
    """Bytes that pooling reads and writes."""
    operations: float = 0.0
    """Operations that torch starts, views included, without convolutions and attentions."""
    convolutions: float = 0.0
    """Convolutions that torch starts, forward and backward."""
    attentions: float = 0.0
    """Fused attentions that torch starts, forward and backward."""

    def __add__(self, other: "Demand") -> "Demand":
        return Demand(*(getattr(self, name) + getattr(other, name) for name in _NAMES))

    def __mul__(self, times: float) -> "Demand":
        return Demand(*(getattr(self, name) * times for name in _NAMES))

    __rmul__ = __mul__


NOTHING = Demand()
_NAMES = tuple(field.name for field in fields(Demand))


class CountingMode(TorchDispatchMode):
    """Sees every operation of torch while it is active, without loading the compiler of `torch.compile`."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # there is nothing to skip, and saying how would load the compiler, for seconds


class TrafficCounter(CountingMode):
    """While it is active, counts operations, and the bytes of the tensors that go in and come out of them.

    A view (a reshape, a transpose, a slice) is an operation without bytes. What happens inside of an
    operation (the workspace of a convolution, say) is not seen. Backward passes are seen too, since
    autograd's operations pass through here.
    """

    def __init__(self) -> None:
        super().__init__()
        self.demand = Demand()
        """What has been counted so far; it has no FLOPs."""

    def __torch_dispatch__(
        self,
        func: Any,
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run the operation and count it."""
        result = func(*args, **(kwargs or {}))
        written = {argument.name for argument in func._schema.arguments if argument.is_out}
        read = {name: value for name, value in (kwargs or {}).items() if name not in written}
        inputs, outputs = _tensors((args, read)), _tensors(result)
        view = not func._schema.is_mutable and _same_memory(inputs, outputs)
        size = 0.0 if view else float(sum(value.nbytes for value in (*inputs, *outputs)))
        name = func._schema.name
        self.demand += Demand(
            bytes=0.0 if "pool" in name else size,
            pooled_bytes=size if "pool" in name else 0.0,
            operations=0.0 if "convolution" in name or "attention" in name else 1.0,
            convolutions=1.0 if "convolution" in name else 0.0,
            attentions=1.0 if "attention" in name else 0.0,
        )
        return result


def count_traffic(work: Callable[[], object]) -> Demand:
    """Bytes and operations of what `work` does, which is run once; no FLOPs."""
    with TrafficCounter() as counter:
        work()
    return counter.demand


def peak_bytes(work: Callable[[], object]) -> int:
    """Most bytes of tensors that `work` has alive at once beside those from before; it is run once.

    Only tensors that torch's operations make are seen, not an operation's own workspace.
    """
    with _LiveTensors() as live:
        work()
    return live.peak


class _LiveTensors(CountingMode):
    """Follows the storages that operations make, from their making to their end."""

    def __init__(self) -> None:
        super().__init__()
        self.peak = self._now = 0
        self._storages: dict[int, int] = {}

    def __torch_dispatch__(
        self,
        func: Any,
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        known = {value.untyped_storage()._cdata for value in _tensors((args, kwargs))}
        for value in _tensors(result):
            storage = value.untyped_storage()
            if storage._cdata not in known and storage._cdata not in self._storages:
                self._storages[storage._cdata] = storage.nbytes()
                self._now += storage.nbytes()
                weakref.finalize(storage, self._gone, storage._cdata)
        self.peak = max(self.peak, self._now)
        return result

    def _gone(self, storage: int) -> None:
        self._now -= self._storages.pop(storage, 0)


def _tensors(tree: Any) -> list[Tensor]:
    return [value for value in tree_iter(tree) if isinstance(value, Tensor)]


def _same_memory(inputs: list[Tensor], outputs: list[Tensor]) -> bool:
    """Whether everything that comes out lies in the memory of what went in."""
    before = {value.untyped_storage()._cdata for value in inputs}
    return all(value.untyped_storage()._cdata in before for value in outputs)
