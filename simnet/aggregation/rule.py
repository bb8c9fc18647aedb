"""What every rule is: a frozen record of options that turns a stack of vectors into one."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from simnet.aggregation.bucketing import Bucketing
from simnet.aggregation.clipping import AdaptiveRobustClipping, Clipping
from simnet.aggregation.named import ByName, Named
from simnet.aggregation.nnm import NearestNeighbourMixing
from simnet.aggregation.pre_aggregation import PreAggregation

pre_aggregations: dict[str, type[PreAggregation]] = {
    kind.name: kind for kind in (NearestNeighbourMixing, Bucketing, Clipping, AdaptiveRobustClipping)
}
"""Every pre-aggregator that `before` can name. Add your own class under its name."""

PreAggregationConfig = Annotated[PreAggregation, ByName("pre-aggregator", pre_aggregations, brief=True)]
"""Type of a field that holds a pre-aggregator: reads a name, a mapping with `name`, or an instance."""


@dataclass(frozen=True, slots=True, eq=False)
class Aggregate:
    """What a rule answers. With leading dimensions `...` in its input, all but `flops` have them too."""

    vector: Tensor
    """The result, `[..., d]`."""
    weights: Tensor | None
    """Share of each input in the result, `[..., n]`, where the rule weighs whole inputs: `vector` is the sum
    of `weights[i] * inputs[i]` (and of the centre times what is left to 1, for rules that have one). None
    where a rule chooses per coordinate. `update` has the node's own vector first: `[..., 1 + m]`."""
    kept: Tensor | None
    """Which inputs were let in, bool `[..., n]`; None where a rule does not choose between whole inputs."""
    flops: float
    """Operations for one stack, as `flops(n, d)` of the rule estimates them for the `d` of these vectors."""
    loss_evaluations: int = 0
    """Forward passes over a batch that the rule asked for (`ubar` alone), per stack; not in `flops`."""


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """What a rule may know beside the vectors; each rule says in `needs` what it cannot do without."""

    centre: Tensor | None = None
    """Where centred clipping starts, `[..., d]`: the last aggregate. Zeros if not given."""
    trusted: Tensor | None = None
    """The server's own update on data that it trusts, `[..., d]`, for FLTrust."""
    mixing: Tensor | None = None
    """Mixing weight of each neighbour, `[..., m]`, for self-centred clipping; 1 / (m + 1) if not given."""
    loss: Callable[[Tensor], float] | None = None
    """Loss of a vector of parameters `[d]` on a batch of this node's own data, for UBAR."""
    rng: np.random.Generator | None = None
    """Random numbers, for bucketing."""


NOTHING = Context()
"""A context for rules that need none."""


class GossipRule(Named, ABC):
    """Combines a node's own vector with those of its neighbours."""

    needs: ClassVar[tuple[str, ...]] = ()
    """Names of the fields of `Context` that this rule cannot do without."""
    condition: ClassVar[str] = "n >= 1"
    """What must hold between `n` (all vectors, a node's own among them) and `f`."""

    @abstractmethod
    def update(self, own: Tensor, neighbours: Tensor, context: Context = NOTHING) -> Aggregate:
        """The node's next vector from its own `[..., d]` and its neighbours' `[..., m, d]`.

        A neighbour's vector with a value that is not finite is left out, and counts as one of the `f`.
        Raises `ValueError` for too few vectors, or where the context lacks what the rule needs.
        """

    @abstractmethod
    def flops(self, n: int, d: float) -> float:
        """Operations for `n` vectors (a node's own among them) with `d` coordinates."""

    @property
    @abstractmethod
    def fewest(self) -> int:
        """The fewest vectors that it can combine, a node's own among them."""

    def check(self, n: int) -> None:
        """Raise `ValueError` if `n` vectors are too few for the `f` that is assumed."""
        if n < self.fewest:
            f = getattr(self, "f", None)
            assumed = "" if f is None else f" with f = {f}"
            raise ValueError(
                f"{self.name}{assumed} needs at least {self.fewest} vectors ({self.condition}), got {n}"
            )

    def check_context(self, context: Context) -> None:
        """Raise `ValueError` if `context` lacks something that the rule needs."""
        missing = [name for name in self.needs if getattr(context, name) is None]
        if missing:
            raise ValueError(f"{self.name} needs {' and '.join(missing)} in its context")

    def assuming_fewer(self, found: int) -> Self:
        """The same rule when `found` Byzantine vectors are already out: `f` is smaller by as many."""
        f = getattr(self, "f", None)
        return self if f is None else self.model_copy(update={"f": max(0, f - found)})


class Aggregation(GossipRule):
    """A rule in which all vectors are equal: at a server, at the root of a collective, at a gossip node.

    At a gossip node it combines the node's own vector and its neighbours', all alike.
    """

    batched: ClassVar[bool] = True
    """Whether `_combine` takes leading dimensions; if not, it is called for each stack."""
    takes_broken: ClassVar[bool] = False
    """Whether vectors with values that are not finite stay in: the plain mean has no defence."""

    before: tuple[PreAggregationConfig, ...] = Field(
        default=(), description="Pre-aggregators, in order: nnm, bucketing, clipping, arc."
    )

    @model_validator(mode="after")
    def _f_is_known(self) -> Self:
        for step in self.before:
            if step.needs_f and getattr(step, "f", None) is None and not hasattr(self, "f"):
                raise ValueError(
                    f"{step.name} needs f, since {self.name} has none: {{name: {step.name}, f: 1}}"
                )
        return self

    def __call__(self, vectors: Tensor, context: Context = NOTHING) -> Tensor:
        """The combined vector alone."""
        return self.combine(vectors, context).vector

    def combine(self, vectors: Tensor, context: Context = NOTHING) -> Aggregate:
        """Combine `vectors` `[..., n, d]` into one `[..., d]`; leading dimensions are separate stacks.

        A vector with a value that is not finite is left out, and counts as one of the `f` (not so for
        `mean`). Raises `ValueError` for too few vectors, for vectors that are all not finite, or where the
        context lacks what the rule needs.
        """
        if vectors.ndim < 2:
            raise ValueError(f"{self.name} combines a stack [n, d], got shape {tuple(vectors.shape)}")
        self.check_context(context)
        if vectors.is_meta:  # of a timing-only run: shapes without values
            return Aggregate(vectors[..., 0, :], None, None, self.flops(*vectors.shape[-2:]))
        if any(step.needs_rng for step in self.before) and context.rng is None:
            raise ValueError(f"{self.name} has a pre-aggregator that needs rng in its context")
        finite = torch.isfinite(vectors).all(dim=-1)
        broken = not self.takes_broken and not bool(finite.all())
        if vectors.ndim > 2 and (broken or not self.batched):
            return _each(self, vectors, context)
        if broken:
            return self._without(~finite, vectors, context)
        return self._mixed(vectors, context)

    def update(self, own: Tensor, neighbours: Tensor, context: Context = NOTHING) -> Aggregate:
        """Combine a node's own vector `[..., d]` with its neighbours' `[..., m, d]`, all alike, own first."""
        return self.combine(torch.cat([own.unsqueeze(-2), neighbours], dim=-2), context)

    def flops(self, n: int, d: float) -> float:
        """Operations for `n` vectors with `d` coordinates, pre-aggregators included."""
        total = 0.0
        for step in self.before:
            total += step.flops(n, d)
            n = step.outputs(n)
        return max(d, total + self._flops(n, d))  # one vector alone has nothing to sort, but is looked at

    @abstractmethod
    def _combine(self, vectors: Tensor, context: Context) -> Aggregate:
        """The rule itself, on enough finite vectors; its `flops` are those of the rule alone."""

    @abstractmethod
    def _flops(self, n: int, d: float) -> float:
        """Operations of the rule without its pre-aggregators."""

    def _mixed(self, vectors: Tensor, context: Context) -> Aggregate:
        n, d = vectors.shape[-2:]
        mixings = []
        for step in self.before:
            mixture = step.mix(vectors, getattr(self, "f", None), context.rng)
            vectors = mixture.vectors
            mixings.append(mixture.mixing)
        self.check(vectors.shape[-2])
        result = self._combine(vectors, context)
        weights, kept = result.weights, result.kept
        for mixing in reversed(mixings):
            if weights is not None:
                weights = (weights.unsqueeze(-2) @ mixing).squeeze(-2)
            if kept is not None:
                kept = (kept.to(mixing.dtype).unsqueeze(-2) @ mixing).squeeze(-2) > 0
        return replace(result, weights=weights, kept=kept, flops=self.flops(n, d))

    def _without(self, broken: Tensor, vectors: Tensor, context: Context) -> Aggregate:
        found = int(broken.sum())
        if found == len(vectors):
            raise ValueError(f"{self.name} got {found} vectors, and none of them is finite")
        result = self.assuming_fewer(found)._mixed(vectors[~broken], context)
        return replace(
            result,
            weights=None if result.weights is None else spread(result.weights, ~broken),
            kept=~broken if result.kept is None else spread(result.kept, ~broken),
            flops=self.flops(*vectors.shape),
        )


def spread(values: Tensor, where: Tensor) -> Tensor:
    """`values` `[k]` put where the mask `[n]` is true, and zeros elsewhere."""
    out = values.new_zeros(where.shape)
    out[where] = values
    return out


def _each(rule: Aggregation, vectors: Tensor, context: Context) -> Aggregate:
    leading = vectors.shape[:-2]
    flat = vectors.reshape(-1, *vectors.shape[-2:])
    centres, trusted = _rows(context.centre, leading), _rows(context.trusted, leading)
    results = [
        rule.combine(
            stack,
            replace(
                context,
                centre=None if centres is None else centres[i],
                trusted=None if trusted is None else trusted[i],
            ),
        )
        for i, stack in enumerate(flat)
    ]
    return gathered(results, leading)


def _rows(part: Tensor | None, leading: torch.Size) -> Tensor | None:
    return None if part is None else part.expand(*leading, part.shape[-1]).reshape(-1, part.shape[-1])


def gathered(results: list[Aggregate], leading: torch.Size) -> Aggregate:
    """The results of separate stacks as one, with the leading dimensions that the stacks had."""
    n = next((len(r.weights) for r in results if r.weights is not None), None)
    kept = [r.kept for r in results]
    known = next((k for k in kept if k is not None), None)
    if known is not None:  # a stack in which nothing was left out has all its vectors in
        kept = [torch.ones_like(known) if k is None else k for k in kept]
    return Aggregate(
        vector=torch.stack([r.vector for r in results]).unflatten(0, leading),
        weights=None
        if n is None
        else torch.stack([r.weights for r in results if r.weights is not None]).unflatten(0, leading),
        kept=None if known is None else torch.stack([k for k in kept if k is not None]).unflatten(0, leading),
        flops=results[0].flops,
        loss_evaluations=max(r.loss_evaluations for r in results),
    )
