"""Synchronous data parallelism with a robust rule in place of the mean."""

from typing import Annotated, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from simnet.aggregation import Aggregate, AggregationConfig, Context, Median
from simnet.algorithms.membership import Group, SynchronousMethod, model_and_state
from simnet.runtime.node import Encoded, GroupChanged, Node

CENTRE = "last aggregate"


class RobustAllReduce(SynchronousMethod):
    """Synchronous data parallel: all gather everybody's momentum, each combines them by a robust rule.

    `m_i <- beta m_i + (1 - beta) g_i`; `x <- x - opt(Agg(m_1, ..., m_n))` (Karimireddy, He and Jaggi,
    "Learning from History for Byzantine Robust Optimization", ICML 2021; with `beta` 0 the gradients
    themselves). A rule that is not linear cannot ride an all-reduce: every worker gets every vector. Sends
    `(n - 1) d b` bytes per worker and step around a ring, `n / 2` times as many as an all-reduce, and each
    worker pays for the rule.
    """

    aggregation: AggregationConfig = Field(
        Median(), description="The rule: a name, or a mapping with `name` and options."
    )
    momentum: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="Worker momentum (beta): what is sent is a mean over past gradients."
    )

    @model_validator(mode="after")
    def _needs_no_server(self) -> Self:
        if self.aggregation.needs:
            needed = " and ".join(self.aggregation.needs)
            raise ValueError(f"{self.aggregation.name} needs {needed}, which workers do not agree on")
        return self

    async def worker(self, node: Node) -> None:
        momentum, aggregate = torch.zeros_like(node.params), torch.zeros_like(node.params)
        draws = any(step.needs_rng for step in self.aggregation.before)

        def give() -> Encoded:
            return model_and_state(node.params, {**node.optimizer_state, CENTRE: aggregate})

        def take(state: Encoded) -> None:
            nonlocal aggregate
            node.params, others = state.content
            aggregate = others[CENTRE]
            node.optimizer_state = {name: value for name, value in others.items() if name != CENTRE}

        group = self.group(node, give, take)
        while await group.round():
            gradient = await node.gradient()
            momentum = await self.mixed(node, momentum, gradient.vector)
            try:
                members, vectors = await self.everybodys(node, group, momentum)
            except GroupChanged:  # the others have taken the step without it: it has their model now
                continue
            rng = node.shared_rng("robust-allreduce", node.version) if draws else None
            flops = self.aggregation.flops(len(members), node.parameters)
            context = Context(centre=aggregate, rng=rng)
            answer = await node.compute(self.aggregation.combine, vectors, context, flops=flops)
            judge(node, members, answer)
            aggregate = answer.vector
            await node.step(aggregate)
            node.version += 1

    async def everybodys(self, node: Node, group: Group, own: Tensor) -> tuple[tuple[str, ...], Tensor]:
        """All who take part, and their vectors `[n, d]`. Raises `GroupChanged` as :meth:`Group.mean` does."""
        while True:
            members = node.view.members
            try:
                return members, torch.stack(await node.all_gather(own))
            except GroupChanged as changed:
                await group.agree(changed)

    async def mixed(self, node: Node, momentum: Tensor, gradient: Tensor) -> Tensor:
        """`beta m + (1 - beta) g`."""
        if self.momentum == 0:
            return gradient
        beta = self.momentum
        return await node.compute(
            lambda: beta * momentum + (1 - beta) * gradient, flops=3.0 * node.parameters
        )


def judge(node: Node, members: tuple[str, ...], answer: Aggregate) -> None:
    """Record whose vectors the rule let in, where it chooses between whole vectors."""
    if answer.kept is not None:
        node.judged(dict(zip(members, answer.kept.tolist(), strict=True)))
