"""Subspace Networks (Protocol Models, arXiv 2506.01260): activations that lie in a known subspace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from pydantic import Field, PositiveFloat, PositiveInt, model_validator
from torch import Tensor, nn

from simnet.compression import Packed
from simnet.compute.pieces import Passage, Piece, Rows
from simnet.optim import AdamW, Optimizer
from simnet.pipeline.boundary import Boundary, BoundaryOptions
from simnet.pipeline.constrained import TOKENS, Constraint, announced, constrained_axis, project
from simnet.pipeline.projection import charged_rank
from simnet.pipeline.row_wise import RowWiseAdamW
from simnet.runtime.node import Encoded
from simnet.streams import Streams
from simnet.tasks.models import stacked

if TYPE_CHECKING:
    from simnet.runtime.stage_node import StageNode

Realisation = Literal["projected", "frozen", "factored"]


class Subspace(BoundaryOptions):
    """Subspace Networks: coordinates in a subspace that weights keep activations in (Ramasinghe, 2025).

    Every layer that writes to the residual stream writes into `span(U)`, and the embedding is `E_fixed + E_S`
    with a frozen `E_fixed` that every stage has and `E_S` in the subspace. So `X - E_fixed[t]` lies in it,
    `Z = (X - E_fixed[t]) U` `[b, n, rank]` crosses with the token ids, and `X = Z U^T + E_fixed[t]` is exact.
    The gradient crosses as `G U`. The last stage's layers and the head are free.
    """

    name: ClassVar[str] = "subspace"

    rank: PositiveInt = Field(description="Dimensions of the subspace (k).")
    realisation: Realisation = Field(
        "factored",
        description="factored: train `Z` of `W = U Z`, any optimizer; frozen: train `W`, project it after "
        "each step; projected: train `W` by projected gradients with AdamW whose second moment is shared "
        "along the projected axis, and turn `U` slowly towards the gradients at the last cut.",
    )
    seed: int = Field(1337, ge=0, description="From which everyone draws `U` and `E_fixed`.")
    embedding_std: PositiveFloat = Field(
        1.0,
        description="Standard deviation of `E_fixed`; for a fair comparison, that of the dense embedding.",
    )
    wire: Literal["bfloat16", "float32"] = Field("bfloat16", description="How coordinates travel.")
    refresh: PositiveInt | None = Field(
        None,
        description="projected: updates between two steps of `U`; never if not given (500 in the paper).",
    )
    basis_step: PositiveFloat = Field(
        1.0,
        description="projected: length of a step of `U`, with the gradients' second moment scaled to norm 1.",
    )

    @model_validator(mode="after")
    def _refresh_is_of_projected(self) -> Subspace:
        if self.refresh is not None and self.realisation != "projected":
            raise ValueError(
                f"refresh: only the realisation `projected` turns its basis, not {self.realisation}"
            )
        return self

    def transform(self, model: nn.Module, stages: Sequence[Sequence[str]]) -> nn.Module:
        """The model with its writing layers in the subspace, but for those of the last stage."""
        constraint = Constraint.of(model, self.rank, self.embedding_std, self.seed)
        blocks = [name for stage in stages[:-1] for name in stage]
        if self.realisation == "factored":
            constraint.factor(model, blocks)
        else:
            constraint.constrain(model, blocks)
        constraint.announce(model, stages)
        return model

    def optimizer(self, optimizer: Optimizer, piece: Piece) -> Optimizer:
        """The method's; for `projected`, AdamW with row-wise moments. Raises `ValueError` for others."""
        if self.realisation != "projected" or piece.last:
            return optimizer
        if type(optimizer) is not AdamW:
            raise ValueError(
                f"a projected subspace needs adamw, whose second moments it shares along the projected axis, "
                f"not {optimizer.name}; `factored` takes any optimizer"
            )
        return RowWiseAdamW.sharing(optimizer, _constrained(piece))

    def build(self, piece: Piece, replica: int, streams: Streams) -> Boundary:
        """The codec of one stage."""
        if self.realisation == "factored":
            return _Subspace(piece, replica, streams, self)
        return (_Frozen if self.realisation == "frozen" else _Projected)(piece, replica, streams, self)


class _Subspace(Boundary):
    """The wire of all three: exact for activations in the subspace around the frozen embedding."""

    token_ids = True

    def __init__(self, piece: Piece, replica: int, streams: Streams, options: Subspace) -> None:
        super().__init__(piece, replica, streams)
        self.options = options
        self.number_type = torch.bfloat16 if options.wire == "bfloat16" else torch.float32
        self.id_type = torch.int16
        if piece.blocks:  # there are none where only time passes
            constraint = announced(piece.blocks)
            self.state = {"basis": constraint.basis, "fixed": constraint.fixed}
            # Torch has little for unsigned 16 bits: ids travel as signed ones, with the same bits.
            self.id_type = torch.int16 if len(constraint.fixed) <= 1 << 16 else torch.int32

    def encode(self, activation: Tensor, rows: Rows) -> Tensor:
        return (activation - _embedded(rows)) @ rows.state["basis"].unsqueeze(1)

    def decode(self, values: Tensor, rows: Rows) -> Tensor:
        return values @ rows.state["basis"].unsqueeze(1).mT + _embedded(rows)

    def pack(self, values: Tensor, passage: Passage) -> Packed:
        # Both ways: ids say which samples a message is about. (Here, every stage has drawn them itself.)
        assert passage.token_ids is not None, "a codec with token_ids = True is given them"
        parts = values.to(self.number_type), passage.token_ids.to(self.id_type)
        return Packed(parts, values.shape, values.dtype)

    def wire_bytes(self, shape: Sequence[int], backward: bool) -> float:
        rank = charged_rank(self.options.rank, self.piece, shape)
        return prod(shape[:-1]) * (self.number_type.itemsize * rank + self.id_type.itemsize)

    def projected(self, flat: Tensor, fixed: Tensor | None) -> Tensor:
        """`flat` `[d + q]` with its constrained parameters projected, the embedding around `fixed`."""
        result = flat.clone()
        basis = self.state["basis"]
        views = self.piece.layout.views(result[: self.piece.parameters])
        for name, view in zip(self.piece.layout.names, views, strict=True):
            axis = constrained_axis(name)
            if axis is not None and not self.piece.last:
                if name == TOKENS and fixed is not None:
                    view.copy_(project(view - fixed, basis, axis) + fixed)
                else:
                    view.copy_(project(view, basis, axis))
        return result


class _Frozen(_Subspace):
    """Dense weights, put back into the subspace after each step."""

    def constrain_params(self, params: Tensor) -> Tensor:
        return self.projected(params, self.state["fixed"])


class _Projected(_Subspace):
    """Dense weights that projected gradients keep in the subspace, and a basis that turns slowly."""

    def __init__(self, piece: Piece, replica: int, streams: Streams, options: Subspace) -> None:
        super().__init__(piece, replica, streams, options)
        self._moment = torch.zeros(2 * (len(self.state["basis"]),))

    def constrain_gradient(self, gradient: Tensor, params: Tensor) -> Tensor:
        return self.projected(gradient, None)

    def constrain_params(self, params: Tensor) -> Tensor:
        # Weight decay shrinks the frozen part of the embedding too, which is not to be trained.
        return self.projected(params, self.state["fixed"])

    def decode(self, values: Tensor, rows: Rows) -> Tensor:
        activation = super().decode(values, rows)
        if self.options.refresh is not None and self.piece.last and activation.requires_grad:
            activation.register_hook(self._notice)
        return activation

    def _notice(self, gradient: Tensor) -> None:
        """Add the boundary gradients' second moment, `G^T G` over all tokens of all rows."""
        flat = gradient.detach().flatten(0, -2)
        self._moment = self._moment.to(flat) + flat.mT @ flat

    async def after_update(self, node: StageNode, update: int) -> None:
        """Every `refresh` updates: the last stage turns the basis and tells the others of its replica."""
        if self.options.refresh is None or update % self.options.refresh:
            return
        if self.piece.last:
            moment = await node.all_reduce(self._moment, op="sum", group=node.group)
            basis = turned(self.state["basis"], moment, self.options.basis_step)
            self._moment = torch.zeros_like(self._moment)
        else:
            basis = self.state["basis"]
        # As it is: rounded to the coordinates' type it would not be orthonormal any more.
        payload = Encoded(basis, float(basis.nbytes))
        told = await node.broadcast(payload, root=node.chain[-1], group=node.chain)
        self.state = {**self.state, "basis": told.content}
        node.params = self.projected(node.params, self.state["fixed"])


def turned(basis: Tensor, moment: Tensor, step: float) -> Tensor:
    """`U <- qr(U + step (I - U U^T) S U)`, with `S` the moment `[d, d]` scaled to spectral norm 1.

    One Riemannian step on the Grassmannian towards less of `|G (I - U U^T)|^2`.
    """
    norm = torch.linalg.matrix_norm(moment, 2)
    if norm == 0:
        return basis
    pulled = (moment / norm) @ basis
    orthogonal, triangle = torch.linalg.qr(basis + step * (pulled - basis @ (basis.mT @ pulled)))
    return orthogonal * torch.sign(torch.diagonal(triangle))


def _embedded(rows: Rows) -> Tensor:
    """The frozen embedding of each token, `[n, batch, t, d]`."""
    assert rows.token_ids is not None, "a codec with token_ids = True is given them"
    return stacked.embedding(rows.token_ids, rows.state["fixed"])


def _constrained(piece: Piece) -> Mapping[str, tuple[int, tuple[int, ...], int]]:
    """(start, shape, axis) of each constrained parameter of a piece in its flat vector."""
    found, start = {}, 0
    layout = piece.layout
    for name, shape, size in zip(layout.names, layout.shapes, layout.sizes, strict=True):
        axis = constrained_axis(name)
        if axis is not None:
            found[name] = (start, tuple(shape), axis)
        start += size
    return found
