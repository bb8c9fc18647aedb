"""What federated methods share: the client's loop, and the mean of updates."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from simnet.runtime.node import Message, Node

Weighting = Literal["samples", "uniform"]


async def serve_updates(node: Node, local_steps: int) -> None:
    """A client: take the model, train `local_steps` on it, send the drift and its sample count back."""
    (server,) = node.members("server")
    while node.running:
        model = await node.recv(server, "model")
        node.params, node.version = model.payload, model.version
        await node.train(local_steps)
        await node.send(server, (node.params - model.payload, node.samples), "update")


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
