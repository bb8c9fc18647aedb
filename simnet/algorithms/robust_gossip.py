"""Gossip with neighbours of which some may lie."""

from collections.abc import Callable
from typing import Annotated

import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from simnet.aggregation import Aggregate, Context, GossipRuleConfig, SelfCentredClipping
from simnet.algorithms.edges import Edges
from simnet.algorithms.overlay import Graph, metropolis_weights, overlay, tell_degrees
from simnet.runtime.node import Algorithm, Node


class RobustGossip(Algorithm):
    """Gossip SGD in which each node combines its neighbours' models by a robust rule (He et al., 2022).

    `x_i <- x_i - opt(m_i)` with `m_i <- beta m_i + (1 - beta) g_i`, then `x_i <- Agg(x_i, {x_j})` over the
    neighbours j (ClippedGossip, arXiv:2202.01545, for self-centred clipping; BRIDGE, UBAR and MoNNA by their
    rules). With the rule `mean` on a complete graph this is gossip averaging. Sends `degree d b` bytes per
    round; rules that look at losses pay a forward pass for each.
    """

    rule: GossipRuleConfig = Field(
        SelfCentredClipping(), description="The rule: a gossip rule, or one for equal vectors."
    )
    graph: Graph = Field(
        "neighbors",
        description="Who averages with whom: the topology's own neighbours (on a star: everybody), or an "
        "overlay by rank.",
    )
    local_steps: PositiveInt = Field(1, description="Optimizer steps between two averagings.")
    momentum: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="Worker momentum (beta) on gradients, before the task's optimizer."
    )

    async def worker(self, node: Node) -> None:
        neighbours = overlay(self.graph, node)
        edges = Edges(node, neighbours, hello=len(neighbours))
        await edges.begin()
        if node.incarnation == 0:
            await tell_degrees(node, edges, neighbours)
        momentum = torch.zeros_like(node.params)
        while node.running:
            momentum = await self.descend(node, momentum)
            own = node.params
            exchanges = {peer: edges.exchange(peer, own, "mix") for peer in neighbours}
            found = {peer: await exchange for peer, exchange in exchanges.items()}
            received = {peer: theirs for peer, theirs in found.items() if theirs is not None}
            weights = metropolis_weights(node, len(neighbours), edges.hellos)
            answer = await self.combined(node, own, received, weights)
            if answer.kept is not None:
                kept = answer.kept.tolist()
                node.judged(dict(zip((node.id, *received), kept, strict=True)))
            node.params = answer.vector
            node.version += 1
        edges.end()

    async def descend(self, node: Node, momentum: Tensor) -> Tensor:
        """The local steps; gives the new momentum."""
        if self.momentum == 0:
            await node.train(self.local_steps)
            return momentum
        for _ in range(self.local_steps):
            gradient = await node.gradient()
            momentum = self.momentum * momentum + (1 - self.momentum) * gradient.vector
            await node.step(momentum)
        return momentum

    async def combined(
        self, node: Node, own: Tensor, received: dict[str, Tensor], weights: dict[str, float]
    ) -> Aggregate:
        """What the rule makes of the node's own model and of those that came; of few, its own alone."""
        others = torch.stack(list(received.values())) if received else own.new_zeros(0, len(own))
        if 1 + len(received) < self.rule.fewest:
            node.record(too_few_answers=len(received))
            return Aggregate(own, None, None, 0.0)
        mixing = own.new_tensor([weights[peer] for peer in received])
        context = Context(mixing=mixing, rng=node.shared_rng("robust-gossip", node.version), centre=own)
        flops = self.rule.flops(1 + len(received), node.parameters)
        if "loss" in self.rule.needs:
            return await with_losses(node, lambda known: self.rule.update(own, others, known), context, flops)
        return await node.compute(self.rule.update, own, others, context, flops=max(flops, 1.0))


class _Unknown(Exception):
    """A rule asks for a loss that has not been computed yet."""

    def __init__(self, params: Tensor) -> None:
        super().__init__()
        self.params = params


async def with_losses(
    node: Node, update: Callable[[Context], Aggregate], context: Context, flops: float
) -> Aggregate:
    """What a rule answers that asks for losses of models on this node's own next batch.

    A rule is a function and losses take time. So it is called until every loss that it asks for is known;
    each costs a forward pass, and the rule itself its FLOPs once.
    """
    known: list[tuple[Tensor, float]] = []

    def loss(params: Tensor) -> float:
        for candidate, value in known:
            if torch.equal(candidate, params):
                return value
        raise _Unknown(params)

    asking = Context(
        centre=context.centre, trusted=context.trusted, mixing=context.mixing, loss=loss, rng=context.rng
    )
    while True:
        try:
            update(asking)
            break
        except _Unknown as unknown:
            known.append((unknown.params, await node.loss(unknown.params)))
    return await node.compute(update, asking, flops=max(flops, 1.0))
