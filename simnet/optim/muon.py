"""Muon: matrices step along their orthogonalised momentum, everything else by AdamW."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import ClassVar, Literal, Self

import torch
from pydantic import Field, PositiveInt, PrivateAttr
from torch import Tensor

from simnet.optim.adam import Decay, add_adam_step_
from simnet.optim.layout import ParameterLayout, check_layout, check_length, per_row, unbound
from simnet.optim.optimizer import Optimizer, State, add_scaled_


class Muon(Optimizer):
    """Muon (Jordan et al., 2024) for matrices, AdamW for the rest.

    `m <- mu m + (1 - mu) g`, `u = (1 - mu) g + mu m` (Nesterov; else `u = m`), then `ns_steps` Newton-Schulz
    steps `X <- a X + (b X X' + c (X X')^2) X` from `X = u / |u|_F`, which bring the singular values near 1,
    and `x <- (1 - lr wd) x - lr s X`. The scale `s` of an `m x n` matrix is `sqrt(max(1, m / n))` (original)
    or `0.2 sqrt(max(m, n))` (match_rms_adamw: Liu et al., "Muon is scalable for LLM training", 2025, with
    which AdamW's learning rate and decay carry over). Arrays of more dimensions (kernels of convolutions) are
    matrices of their first dimension by all others. Vectors, and what `adamw_for` names, go by AdamW, under
    the same schedule.
    """

    name: ClassVar[str] = "muon"
    moments: ClassVar[tuple[str, ...]] = ("momentum", "first_moment", "second_moment")
    needs_layout: ClassVar[bool] = True

    lr: float = Field(default=0.02, gt=0, allow_inf_nan=False, description="Learning rate of the matrices.")
    momentum: float = Field(default=0.95, ge=0, lt=1, description="Share of the last momentum that is kept.")
    nesterov: bool = Field(default=True, description="Look ahead along the momentum.")
    ns_steps: PositiveInt = Field(default=5, lt=100, description="Newton-Schulz steps.")
    ns_coefficients: tuple[float, float, float] = Field(
        default=(3.4445, -4.7750, 2.0315), description="a, b and c of a Newton-Schulz step."
    )
    eps: float = Field(
        default=1e-7, gt=0, allow_inf_nan=False, description="Floor of the norm that X starts with."
    )
    scale: Literal["original", "match_rms_adamw"] = Field(
        default="original", description="How an update's size follows from its matrix's shape."
    )
    precision: Literal["parameters", "bf16"] = Field(
        default="parameters", description="Type in which the Newton-Schulz steps compute."
    )
    adamw_for: tuple[str, ...] = Field(
        default=("tokens", "positions", "output", "*embed*", "head", "*_head", "classifier"),
        description="Matrices left to AdamW: those with a part of their dotted name like one of these.",
    )
    adamw_lr: float = Field(default=3e-4, gt=0, allow_inf_nan=False, description="Learning rate of AdamW.")
    adamw_betas: tuple[Decay, Decay] = Field(
        default=(0.9, 0.95), description="Decay of the two moments of AdamW."
    )
    adamw_eps: float = Field(default=1e-8, gt=0, allow_inf_nan=False, description="The eps of AdamW.")
    adamw_weight_decay: float = Field(
        default=0.0, ge=0, allow_inf_nan=False, description="Decoupled decay of AdamW, times its rate."
    )

    _shares: "_Shares | None" = PrivateAttr(default=None)

    def with_layout(self, layout: ParameterLayout) -> Self:
        """This optimizer bound to the shapes of a model's parameters.

        Raises ValueError where no parameter is a matrix that Muon may have.
        """
        bound = self.model_copy()
        bound._shares = _Shares.of(layout, self.adamw_for)
        if not bound._shares.matrices:
            raise ValueError(
                f"muon finds no matrix: the model's parameters are {', '.join(layout.names)}, and what is no "
                f"matrix or has a part of its name like {', '.join(self.adamw_for)} is left to AdamW"
            )
        return bound

    def state_sizes(self, parameters: int) -> dict[str, int]:
        """The momentum of the matrices, and two moments of the rest. Raises ValueError if unbound."""
        shares = self._bound()
        check_length(self.name, shares.parameters, parameters)
        rest = parameters - shares.matrix_entries
        return {"momentum": shares.matrix_entries, "first_moment": rest, "second_moment": rest}

    def update_(self, params: Tensor, gradient: Tensor, state: State) -> None:
        """Take one step in place; `gradient` is used as scratch. Raises ValueError if unbound."""
        shares = self._bound()
        check_length(self.name, shares.parameters, params.shape[-1])
        rate = self.learning_rate(state["step"], params.dtype)
        self.clip_(gradient)
        values, slopes = params.split(shares.sizes, -1), gradient.split(shares.sizes, -1)
        self._step_matrices(_chosen(values, shares.matrices), _chosen(slopes, shares.matrices), state, rate)
        self._step_rest(_chosen(values, shares.rest), _chosen(slopes, shares.rest), state, rate)

    def _step_matrices(
        self, values: list[Tensor], slopes: list[Tensor], state: State, rate: float | Tensor
    ) -> None:
        shares, momentum = self._bound(), state["momentum"]
        update = torch.cat(slopes, -1)
        momentum.lerp_(update, 1 - self.momentum)
        update = update.lerp_(momentum, self.momentum) if self.nesterov else momentum
        updates = update.split([value.shape[-1] for value in values], -1)
        rate = per_row(rate, 2)
        for (rows, columns), members in shares.groups.items():
            # All matrices of a shape, of all workers, in one batch of products.
            stacked = torch.stack([updates[member].unflatten(-1, (rows, columns)) for member in members], -3)
            stacked = self._orthogonalised(stacked)
            scale = self._scale(rows, columns)
            for member, direction in zip(members, stacked.unbind(-3), strict=True):
                value = values[member].unflatten(-1, (rows, columns))
                if self.weight_decay > 0:
                    value.mul_(1 - rate * self.weight_decay)
                add_scaled_(value, direction, -rate * scale)

    def _step_rest(
        self, values: list[Tensor], slopes: list[Tensor], state: State, rate: float | Tensor
    ) -> None:
        if not values:
            state["step"] += 1
            return
        rate = rate * (self.adamw_lr / self.lr)
        # Vectors are many and small: one copy of them all is cheaper than a pass for each.
        joined = torch.cat(values, -1)
        if self.adamw_weight_decay > 0:
            joined.mul_(1 - rate * self.adamw_weight_decay)
        add_adam_step_(joined, torch.cat(slopes, -1), state, rate, self.adamw_betas, self.adamw_eps)
        for value, new in zip(values, joined.split([value.shape[-1] for value in values], -1), strict=True):
            value.copy_(new)

    def _orthogonalised(self, matrices: Tensor) -> Tensor:
        dtype = torch.bfloat16 if self.precision == "bf16" else matrices.dtype
        flat = matrices.flatten(0, -3).to(dtype)
        return (
            orthogonalised(flat, self.ns_steps, self.ns_coefficients, self.eps).to(matrices).view_as(matrices)
        )

    def _scale(self, rows: int, columns: int) -> float:
        if self.scale == "original":
            return math.sqrt(max(1.0, rows / columns))
        return 0.2 * math.sqrt(max(rows, columns))

    @property
    def flops_per_parameter(self) -> float:
        """The mean over the parameters of this model: see `step_flops`. Raises ValueError if unbound."""
        parameters = self._bound().parameters
        return self.step_flops(parameters) / parameters

    def step_flops(self, parameters: float) -> float:
        """Operations of one step. Raises ValueError if unbound.

        A Newton-Schulz step on an `m x n` matrix, m the shorter side, has three products: `4 m^2 n + 2 m^3`
        operations (what it adds up besides, `3 m^2 + 2 m n`, is counted too). Beside that, 3 each for the
        momentum, the look-ahead and the norm, 2 for the step; and AdamW's 12 for each of the rest. Where
        `charge_as` makes the model larger, it is taken to have as many matrices, each as many times taller
        as wider: the products grow with the power 3/2 of the number of parameters.
        """
        shares = self._bound()
        products = elements = 0.0
        for (rows, columns), members in shares.groups.items():
            short, long = sorted((rows, columns))
            products += len(members) * self.ns_steps * (4.0 * short**2 * long + 2.0 * short**3)
            elements += len(members) * self.ns_steps * (3.0 * short**2 + 2.0 * short * long)
        per_matrix_entry = 8.0 + 3.0 * self.nesterov + 2.0 * (self.weight_decay > 0)
        elements += shares.matrix_entries * per_matrix_entry
        rest = shares.parameters - shares.matrix_entries
        elements += rest * (12.0 + 2.0 * (self.adamw_weight_decay > 0))
        elements += shares.parameters * self.clipping_flops
        growth = parameters / shares.parameters
        return products * growth**1.5 + elements * growth

    def _bound(self) -> "_Shares":
        if self._shares is None:
            unbound(self.name)
        return self._shares


def orthogonalised(
    matrices: Tensor,
    steps: int = 5,
    coefficients: tuple[float, float, float] = (3.4445, -4.7750, 2.0315),
    eps: float = 1e-7,
) -> Tensor:
    """`U T V'` of each matrix `U S V'` of a batch `[k, m, n]`, with T near 1 (0.7 to 1.2 after 5 steps).

    By `steps` quintic Newton-Schulz steps in the smaller orientation (Jordan et al., 2024). A new tensor.
    """
    a, b, c = coefficients
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / torch.linalg.vector_norm(x, dim=(-2, -1), keepdim=True).clamp_(min=eps)
    for _ in range(steps):
        gram = torch.bmm(x, x.mT)
        polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.baddbmm(x, polynomial, x, beta=a)
    return x.mT if tall else x


@dataclass(frozen=True)
class _Shares:
    """Which parameters are whose, by their position in the layout."""

    sizes: tuple[int, ...]
    matrices: tuple[int, ...]
    rest: tuple[int, ...]
    groups: dict[tuple[int, int], list[int]]
    """Positions among the matrices, by (rows, columns)."""

    @classmethod
    def of(cls, layout: ParameterLayout, adamw_for: Iterable[str]) -> "_Shares":
        check_layout(layout)
        patterns = tuple(adamw_for)
        matrices: list[int] = []
        rest: list[int] = []
        groups: dict[tuple[int, int], list[int]] = {}
        for index, (name, shape) in enumerate(zip(layout.names, layout.shapes, strict=True)):
            if len(shape) < 2 or _named_like(name, patterns):
                rest.append(index)
                continue
            groups.setdefault((shape[0], math.prod(shape[1:])), []).append(len(matrices))
            matrices.append(index)
        return cls(tuple(layout.sizes), tuple(matrices), tuple(rest), groups)

    @property
    def parameters(self) -> int:
        return sum(self.sizes)

    @property
    def matrix_entries(self) -> int:
        return sum(self.sizes[index] for index in self.matrices)


def _named_like(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(part, pattern) for part in name.split(".") for pattern in patterns)


def _chosen(pieces: tuple[Tensor, ...], indices: tuple[int, ...]) -> list[Tensor]:
    return [pieces[index] for index in indices]
