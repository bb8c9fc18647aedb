"""What federated methods share: the client's loop, and the mean of updates."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Literal

import torch
from torch import Tensor

from simnet.aggregation import Aggregation, Context, Mean
from simnet.runtime.node import Message, Node, PeerLost

Weighting = Literal["samples", "uniform"]


async def serve_updates(node: Node, local_steps: int) -> None:
    """A client: take the model, train `local_steps` on it, send the drift and its sample count back.

    One that comes back after a crash says so (an update of nothing). While the server is down it waits; an
    update that the server is not there to take is lost.
    """
    (server,) = node.members("server")
    if node.incarnation > 0:
        await send_if_up(node, server, None)
    while node.running:
        model = await next_model(node, server)
        node.params, node.version = model.payload, model.version
        await node.train(local_steps)
        await send_if_up(node, server, (node.params - model.payload, node.samples))


async def send_if_up(node: Node, server: str, update: tuple[Tensor, int] | None) -> None:
    """Send an update to the server, if it does not go down meanwhile."""
    with suppress(PeerLost):
        await node.send(server, update, "update")


async def next_model(node: Node, server: str) -> Message:
    """The next model of the server, or of what it is when it is back."""
    try:
        return await node.recv(server, "model")
    except PeerLost:
        return await node.recv(tag="model")


def mean_update(updates: Sequence[Message], weighting: Weighting) -> Tensor:
    """The mean drift `[d]` of the clients' `(drift, samples)` messages, weighted by samples or uniformly.

    Added up in the order of the senders' names, so that it does not depend on who came first.
    """
    ordered = sorted(updates, key=lambda update: update.sender)
    weights = [float(update.payload[1]) if weighting == "samples" else 1.0 for update in ordered]
    total = sum(weights)
    mean = torch.zeros_like(ordered[0].payload[0])
    for update, weight in zip(ordered, weights, strict=True):
        mean += update.payload[0] * (weight / total)
    return mean


def is_plain(rule: Aggregation) -> bool:
    """Whether a rule is the mean that the method has anyway: its own weights then count."""
    return isinstance(rule, Mean) and not rule.before


def check_server_rule(rule: Aggregation) -> None:
    """Raise `ValueError` for a rule that needs what a server has not."""
    if rule.needs:
        raise ValueError(f"{rule.name} needs {' and '.join(rule.needs)}, which this server has not")


async def robust_update(
    node: Node, updates: Sequence[Message], drifts: Sequence[Tensor], rule: Aggregation, last: Tensor
) -> Tensor:
    """What `rule` makes of the clients' drifts `[d]`, which all count the same; the server pays its FLOPs.

    They are stacked in the order of the senders' names. `last` is the previous answer, where centred clipping
    starts. Raises `ValueError` for too few.
    """
    order = sorted(range(len(updates)), key=lambda index: updates[index].sender)
    vectors = torch.stack([drifts[index] for index in order])
    context = Context(centre=last, rng=node.shared_rng("server-rule", node.version))
    flops = rule.flops(len(updates), node.parameters)
    answer = await node.compute(rule.combine, vectors, context, flops=flops)
    if answer.kept is not None:
        senders = [updates[index].sender for index in order]
        node.judged(dict(zip(senders, answer.kept.tolist(), strict=True)))
    return answer.vector
