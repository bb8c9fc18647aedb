"""What an optimizer that works on matrices must know of a model: where they lie in the flat vector."""

from collections.abc import Sequence
from math import prod
from typing import NoReturn, Protocol

from torch import Tensor


class ParameterLayout(Protocol):
    """Names, shapes and sizes of a model's parameters, in the order in which the flat vector holds them."""

    @property
    def names(self) -> Sequence[str]:
        """Dotted names, as of `named_parameters()`."""
        ...

    @property
    def shapes(self) -> Sequence[Sequence[int]]:
        """Shape of each parameter."""
        ...

    @property
    def sizes(self) -> Sequence[int]:
        """Number of entries of each parameter."""
        ...


def check_layout(layout: ParameterLayout) -> None:
    """Raise ValueError unless every parameter has one name, and a size that is the product of its shape."""
    if not len(layout.names) == len(layout.shapes) == len(layout.sizes):
        raise ValueError("a layout needs as many names as shapes and sizes")
    for name, shape, size in zip(layout.names, layout.shapes, layout.sizes, strict=True):
        if prod(shape) != size:
            raise ValueError(f"the layout gives {name} {size} entries, but the shape {tuple(shape)}")


def unbound(optimizer: str) -> NoReturn:
    """Raise the error of an optimizer that was asked to work before it knows the parameters' shapes."""
    raise ValueError(
        f"{optimizer} must know the shapes of the model's parameters, and a flat vector does not tell them: "
        f"bind it first, with optimizer.with_layout(layout)"
    )


def check_length(optimizer: str, expected: int, parameters: int) -> None:
    """Raise ValueError unless the parameters are as many as the optimizer was bound to."""
    if parameters != expected:
        raise ValueError(
            f"{optimizer} is bound to a model of {expected} parameters, and was given {parameters}"
        )


def per_row(value: float | Tensor, dimensions: int) -> float | Tensor:
    """A number, or `[..., 1]` shaped to meet `[..., *dimensions]`."""
    if isinstance(value, Tensor):
        return value.reshape(*value.shape[:-1], *(1,) * dimensions)
    return value
