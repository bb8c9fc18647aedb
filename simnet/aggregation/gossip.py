"""What the rules share that tell a node's own vector from its neighbours'."""

from abc import abstractmethod
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor

from simnet.aggregation.rule import NOTHING, Aggregate, Context, GossipRule, gathered, spread


class OwnAndNeighbours(GossipRule):
    """A gossip rule that trusts the node's own vector more than others."""

    batched: ClassVar[bool] = True
    """Whether `_update` takes leading dimensions; if not, it is called for each node."""

    def update(self, own: Tensor, neighbours: Tensor, context: Context = NOTHING) -> Aggregate:
        """The node's next vector from its own `[..., d]` and its neighbours' `[..., m, d]`.

        A neighbour's vector with a value that is not finite is left out, and counts as one of the `f`.
        Raises `ValueError` for too few vectors, or where the context lacks what the rule needs.
        """
        self.check_context(context)
        if own.shape != neighbours.shape[:-2] + neighbours.shape[-1:]:
            raise ValueError(
                f"{self.name} needs own [..., d] and neighbours [..., m, d], got {tuple(own.shape)} and "
                f"{tuple(neighbours.shape)}"
            )
        n, d = neighbours.shape[-2] + 1, neighbours.shape[-1]
        self.check(n)
        if own.is_meta:  # of a timing-only run: shapes without values
            return Aggregate(own, None, None, self.flops(n, d))
        finite = torch.isfinite(neighbours).all(dim=-1)
        if neighbours.ndim > 2 and not (self.batched and bool(finite.all())):
            return self._each(own, neighbours, context)
        if bool(finite.all()):
            return self._update(own, neighbours, context)
        mixing = None if context.mixing is None else context.mixing[finite]
        rule = self.assuming_fewer(int((~finite).sum()))
        result = rule._update(own, neighbours[finite], replace(context, mixing=mixing))
        there = torch.cat([finite.new_ones(1), finite])
        return replace(
            result,
            weights=None if result.weights is None else spread(result.weights, there),
            kept=there if result.kept is None else spread(result.kept, there),
            flops=self.flops(n, d),
        )

    @abstractmethod
    def _update(self, own: Tensor, neighbours: Tensor, context: Context) -> Aggregate:
        """The rule itself, on finite vectors."""

    def _each(self, own: Tensor, neighbours: Tensor, context: Context) -> Aggregate:
        leading = own.shape[:-1]
        d, m = own.shape[-1], neighbours.shape[-2]
        mixing = context.mixing
        rows = None if mixing is None else mixing.expand(*leading, m).reshape(-1, m)
        results = [
            self.update(one, others, replace(context, mixing=None if rows is None else rows[i]))
            for i, (one, others) in enumerate(
                zip(own.reshape(-1, d), neighbours.reshape(-1, m, d), strict=True)
            )
        ]
        return gathered(results, leading)


def with_own(own_weight: Tensor, weights: Tensor) -> Tensor:
    """Weights `[..., 1 + m]` from the node's own `[..., 1]` and its neighbours' `[..., m]`."""
    return torch.cat([own_weight, weights], dim=-1)
