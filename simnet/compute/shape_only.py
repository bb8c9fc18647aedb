"""Vectors that have a shape and no values, for runs in which only time passes."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

_KEEP = frozenset(
    getattr(torch.Tensor, name)
    for name in (
        "add",
        "sub",
        "mul",
        "div",
        "add_",
        "sub_",
        "mul_",
        "div_",
        "neg",
        "detach",
        "clone",
        "__rsub__",
    )
) | {torch.zeros_like, torch.empty_like, torch.clone, torch.neg}
"""What gives a vector of the shape of its first argument, where all vectors in it are that same one."""

_AT = torch.Tensor.__getitem__


class ShapeOnly(Tensor):
    """A tensor on torch's `meta` device. Whoever asks it for a value gets an error, not a made-up number.

    Such tensors differ in nothing but shape and dtype, so one object can stand for all that have the same:
    arithmetic on it gives it back, which takes a microsecond instead of the tens that torch needs to work out
    a shape. Everything else is left to torch.
    """

    _parts: dict[tuple[int | None, int | None, int | None], "ShapeOnly"]
    _known: tuple[torch.Size, int, int]
    """Its shape, elements, and bytes of one, once somebody asked: torch takes microseconds for each."""

    @classmethod
    def of(cls, length: int) -> "ShapeOnly":
        """A flat vector `[length]` of float32."""
        return torch.empty(length, device="meta").as_subclass(cls)

    @property
    def shape(self) -> torch.Size:  # type: ignore[override]
        """As of any tensor."""
        return self._facts()[0]

    def numel(self) -> int:
        """As of any tensor."""
        return self._facts()[1]

    def element_size(self) -> int:
        """As of any tensor."""
        return self._facts()[2]

    def _facts(self) -> tuple[torch.Size, int, int]:
        try:
            return self._known
        except AttributeError:
            with torch._C.DisableTorchFunctionSubclass():
                self._known = super().shape, super().numel(), super().element_size()
            return self._known

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func in _KEEP and (not kwargs or kwargs.keys() == {"alpha"}):
            first = args[0]
            if isinstance(first, ShapeOnly) and all(
                other is first or type(other) in (int, float) for other in args[1:]
            ):
                return first
        elif func is _AT and isinstance(args[1], slice) and isinstance(args[0], ShapeOnly):
            return _part(args[0], args[1])
        return super().__torch_function__(func, types, args, kwargs or {})


def _part(whole: ShapeOnly, where: slice) -> Tensor:
    """A slice of a vector, the same object each time."""
    parts = whole.__dict__.setdefault("_parts", {})
    key = (where.start, where.stop, where.step)
    if key not in parts:
        with torch._C.DisableTorchFunctionSubclass():
            parts[key] = _AT(whole, where).as_subclass(ShapeOnly)
    found: Tensor = parts[key]
    return found
