"""The constraint of Subspace Networks: which parameters lie in the subspace, and how."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from simnet.pipeline.projection import random_basis
from simnet.pipeline.reparametrised import Expand, reparametrised
from simnet.streams import Streams

WRITERS = ("attended", "contract")
"""The linear layers of a transformer's block whose outputs are added to the residual stream."""
EMBEDDING = "embedding"
TOKENS = "embedding.tokens.weight"
POSITIONS = "embedding.positions.weight"

Axis = Literal[-1, 0]
"""Along which a parameter lies in the subspace: its rows (a layer's weight), or its last axis (the rest)."""


def constrained_axis(name: str) -> Axis | None:
    """Along which axis of its own shape the parameter `name` has width d, or None where it is free."""
    if name in (TOKENS, POSITIONS):
        return -1
    parts = name.split(".")
    if len(parts) >= 2 and parts[-2] in WRITERS and parts[-1] in ("weight", "bias"):
        return 0 if parts[-1] == "weight" else -1
    return None


def project(value: Tensor, basis: Tensor, axis: Axis) -> Tensor:
    """`U U^T` on one axis of `value`: `[..., d, i]` for axis 0, `[..., d]` for -1."""
    if axis == 0:
        return basis @ (basis.mT @ value)
    return (value @ basis) @ basis.mT


def fixed_embedding(vocabulary: int, width: int, std: float, seed: int) -> Tensor:
    """The frozen part of the embedding, `[vocabulary, width]`: N(0, std^2), the same at every stage."""
    drawn = Streams(seed).generator("fixed embedding", width).standard_normal((vocabulary, width))
    return torch.from_numpy(std * drawn).to(torch.get_default_dtype())


@dataclass(frozen=True, eq=False)
class Constraint:
    """A subspace with a frozen embedding, and how a model is brought under it."""

    basis: Tensor
    """`[d, k]`, orthonormal."""
    fixed: Tensor
    """`[vocabulary, d]`: the part of the embedding outside of the subspace."""

    @classmethod
    def of(cls, model: nn.Module, rank: int, embedding_std: float, seed: int) -> "Constraint":
        """That of a transformer. Raises `ValueError` for a model without a token embedding."""
        tokens = dict(model.named_parameters()).get(TOKENS)
        if tokens is None:
            raise ValueError(
                f"a subspace network needs a transformer with token ids as inputs, such as gpt; "
                f"{type(model).__name__} has no parameter {TOKENS}"
            )
        vocabulary, width = tokens.shape
        basis = random_basis(width, rank, seed)
        return cls(basis.to(tokens), fixed_embedding(vocabulary, width, embedding_std, seed).to(tokens))

    def constrain(self, model: nn.Module, blocks: Sequence[str]) -> None:
        """Project the parameters of these blocks, in place; the embedding becomes fixed plus subspace."""
        with torch.no_grad():
            for name, value in model.named_parameters():
                axis = constrained_axis(name)
                if axis is not None and _is_in(name, blocks):
                    projected = project(value, self.basis, axis)
                    value.copy_(projected + self.fixed if name == TOKENS else projected)

    def factor(self, model: nn.Module, blocks: Sequence[str]) -> None:
        """Replace these blocks by ones that train coordinates in the subspace; in place."""
        for block in blocks:
            module = model.get_submodule(block)
            expand: dict[str, Expand] = {}
            initial: dict[str, Tensor] = {}
            for name, value in module.named_parameters():
                axis = constrained_axis(f"{block}.{name}")
                if axis is None:
                    continue
                fixed = self.fixed if f"{block}.{name}" == TOKENS else None
                expand[name] = _expansion(self.basis, fixed, axis)
                coordinates = self.basis.mT @ value if axis == 0 else value @ self.basis
                initial[name] = coordinates.detach()
            if expand:
                model.set_submodule(block, reparametrised(module, expand, initial))

    def announce(self, model: nn.Module, stages: Sequence[Sequence[str]]) -> None:
        """Leave the basis and the frozen embedding with every stage's first block: all know the seed."""
        for blocks in stages:
            module = model.get_submodule(blocks[0])
            module.register_buffer("subspace_basis", self.basis, persistent=False)
            module.register_buffer("subspace_fixed", self.fixed, persistent=False)


def announced(blocks: Sequence[tuple[str, nn.Module]]) -> Constraint:
    """The constraint that was left with a stage's first block."""
    first = blocks[0][1]
    return Constraint(first.get_buffer("subspace_basis"), first.get_buffer("subspace_fixed"))


def _is_in(name: str, blocks: Sequence[str]) -> bool:
    return any(name.startswith(f"{block}.") for block in blocks)


def _expansion(basis: Tensor, fixed: Tensor | None, axis: Axis) -> Expand:
    def expand(coordinates: Tensor) -> Tensor:
        wide = basis.to(coordinates)
        if axis == 0:
            return wide @ coordinates
        whole = coordinates @ wide.mT
        return whole if fixed is None else whole + fixed.to(coordinates)

    return expand
