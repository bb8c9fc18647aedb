"""Adafactor: second moments of matrices kept as one number per row and one per column."""

import math
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from pydantic import Field, PrivateAttr
from torch import Tensor

from simnet.optim.layout import ParameterLayout, check_layout, check_length, unbound
from simnet.optim.optimizer import Optimizer, State


class Adafactor(Optimizer):
    """Adafactor (Shazeer and Stern, 2018, arXiv 1804.04235), in the form of `torch.optim.Adafactor`.

    For a matrix `x` with gradient `g` at step `t`: `b = t^beta2_decay`; `R <- (1 - b) R + b r` and
    `C <- (1 - b) C + b c`, with `r` and `c` the means of `g^2` in each row and in each column;
    `V = R C / mean(R)`; `u = g / sqrt(V)`, scaled down to a root mean square of at most `clip_update`;
    `x <- (1 - lr wd) x - max(eps_scale, rms(x)) min(lr, 1 / sqrt(t)) u`. Vectors keep a whole
    `V <- (1 - b) V + b g^2`. Arrays of more dimensions are matrices along the last two.
    """

    name: ClassVar[str] = "adafactor"
    moments: ClassVar[tuple[str, ...]] = ("row_variance", "column_variance", "variance")
    needs_layout: ClassVar[bool] = True

    lr: float = Field(default=1e-2, gt=0, allow_inf_nan=False, description="Largest relative step size.")
    beta2_decay: float = Field(
        default=-0.8, le=0, allow_inf_nan=False, description="Exponent of the share of a new square."
    )
    eps: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="Floor of the second moment's root; the precision of the parameters' type if not given.",
    )
    eps_scale: float = Field(
        default=1e-3,
        ge=0,
        allow_inf_nan=False,
        description="Least size of a parameter that steps scale with.",
    )
    clip_update: float = Field(
        default=1.0, ge=1, allow_inf_nan=False, description="Largest root mean square of an update."
    )

    _tensors: "_Tensors | None" = PrivateAttr(default=None)

    def with_layout(self, layout: ParameterLayout) -> Self:
        """This optimizer bound to the shapes of a model's parameters."""
        bound = self.model_copy()
        bound._tensors = _Tensors.of(layout)
        return bound

    def state_sizes(self, parameters: int) -> dict[str, int]:
        """Rows and columns of the matrices, and the entries of the vectors. Raises ValueError if unbound."""
        tensors = self._bound()
        check_length(self.name, tensors.parameters, parameters)
        return {
            "row_variance": sum(tensors.row_sizes),
            "column_variance": sum(tensors.column_sizes),
            "variance": sum(tensors.vector_sizes),
        }

    def update_(self, params: Tensor, gradient: Tensor, state: State) -> None:
        """Take one step in place; `gradient` is used as scratch. Raises ValueError if unbound."""
        tensors = self._bound()
        check_length(self.name, tensors.parameters, params.shape[-1])
        rate = self.learning_rate(state["step"], params.dtype)
        self.clip_(gradient)
        state["step"] += 1
        count = state["step"].double().unsqueeze(-1)
        share = (count**self.beta2_decay).to(params.dtype)
        relative = count.rsqrt().clamp(max=rate).to(params.dtype)
        floor = torch.finfo(params.dtype).eps if self.eps is None else self.eps
        rows = iter(state["row_variance"].split(tensors.row_sizes, -1))
        columns = iter(state["column_variance"].split(tensors.column_sizes, -1))
        vectors = iter(state["variance"].split(tensors.vector_sizes, -1))
        sizes = [math.prod(shape) for shape in tensors.shapes]
        pieces = zip(tensors.shapes, params.split(sizes, -1), gradient.split(sizes, -1), strict=True)
        for shape, value, slope in pieces:
            scale = _root_mean_square(value).clamp_(min=self.eps_scale).mul_(relative)
            if self.weight_decay > 0:
                value.mul_(1 - rate * self.weight_decay)
            if len(shape) > 1:
                matrix = slope.unflatten(-1, shape)
                second = _factored(matrix, next(rows), next(columns), share, floor)
            else:
                variance = next(vectors)
                second = variance.lerp_(slope * slope, share).clone()
            update = second.clamp_(min=floor * floor).rsqrt_().flatten(value.dim() - 1).mul_(slope)
            scale.div_((_root_mean_square(update) / self.clip_update).clamp_(min=1.0))
            value.addcmul_(update, scale, value=-1)

    @property
    def flops_per_parameter(self) -> float:
        """The mean over the parameters: 15 in matrices and 13 in vectors. Raises ValueError if unbound.

        2 each for the row's and the column's mean of squares, 2 for their product over its mean, 3 for floor,
        root and product with the gradient, 2 each for the root mean square of update and parameters, 2 for
        the step. A vector has a square and a running mean, 4, in the place of the first 6.
        """
        tensors = self._bound()
        vectors = sum(tensors.vector_sizes) / tensors.parameters
        return 15.0 - 2.0 * vectors + self.common_flops

    def _bound(self) -> "_Tensors":
        if self._tensors is None:
            unbound(self.name)
        return self._tensors


@dataclass(frozen=True)
class _Tensors:
    """Shapes of the parameters, and the entries that each keeps of its second moment."""

    shapes: tuple[tuple[int, ...], ...]
    row_sizes: tuple[int, ...]
    column_sizes: tuple[int, ...]
    vector_sizes: tuple[int, ...]
    parameters: int

    @classmethod
    def of(cls, layout: ParameterLayout) -> "_Tensors":
        check_layout(layout)
        shapes = tuple(tuple(shape) or (1,) for shape in layout.shapes)
        matrices = [shape for shape in shapes if len(shape) > 1]
        return cls(
            shapes=shapes,
            row_sizes=tuple(math.prod(shape[:-1]) for shape in matrices),
            column_sizes=tuple(math.prod(shape[:-2]) * shape[-1] for shape in matrices),
            vector_sizes=tuple(shape[0] for shape in shapes if len(shape) == 1),
            parameters=sum(layout.sizes),
        )


def _factored(gradient: Tensor, rows: Tensor, columns: Tensor, share: Tensor, floor: float) -> Tensor:
    """Update the row and column means of squares in place; a new `[..., *shape]` of what they estimate."""
    inner = gradient.shape[rows.dim() - 1 :]
    row = torch.linalg.vector_norm(gradient, dim=-1).square_().div_(inner[-1])
    column = torch.linalg.vector_norm(gradient, dim=-2).square_().div_(inner[-2])
    rows.lerp_(row.flatten(rows.dim() - 1), share)
    columns.lerp_(column.flatten(columns.dim() - 1), share)
    row = rows.unflatten(-1, inner[:-1])
    row = row / row.mean(dim=-1, keepdim=True).clamp_(min=floor)
    return row.unsqueeze(-1) * columns.unflatten(-1, (*inner[:-2], inner[-1])).unsqueeze(-2)


def _root_mean_square(vectors: Tensor) -> Tensor:
    """`[..., 1]` of `[..., n]`."""
    return torch.linalg.vector_norm(vectors, dim=-1, keepdim=True).div_(math.sqrt(vectors.shape[-1]))
