"""Parameter servers: every worker pushes a piece of its tensor to each server, and pulls it back reduced."""

from collections.abc import Hashable, Sequence
from typing import Any

from torch import Tensor

from simnet.runtime.collectives.steps import (
    Reduction,
    joined,
    reduce_in_order,
    share,
    split,
    tensor_bytes,
    together,
)
from simnet.runtime.node import Node


async def parameter_server_all_reduce(
    node: Node,
    tensor: Tensor | None,
    op: Reduction,
    workers: Sequence[str],
    servers: Sequence[str],
    tag: Hashable,
) -> Tensor | None:
    """The reduced tensor at every worker: 2 a + 2 max(n b_worker, p n b_server / s), servers apart.

    Called by each worker with its tensor, and by each server that is not a worker too with `None`, which also
    gets `None`. A worker that is a server keeps its own piece to itself: with s servers among the p
    workers of a uniform network 2 a + 2 (p-1)/s n b. Each server adds in the order of `workers`.
    """
    count = len(servers)
    whole = 0.0 if tensor is None else tensor_bytes(tensor)
    pieces = [] if tensor is None else split(tensor, count)

    async def push() -> None:
        sends = [
            node.send(server, share(piece, whole, 1 / count), (tag, "push"))
            for server, piece in zip(servers, pieces, strict=True)
            if server != node.id
        ]
        await together(node, *sends)

    async def serve() -> Tensor:
        parts, part_bytes = [], whole / count
        for worker in workers:
            if worker == node.id:
                parts.append(pieces[servers.index(node.id)])
            else:
                encoded = (await node.recv(worker, (tag, "push"))).payload
                parts.append(encoded.content)
                part_bytes = encoded.raw_bytes
        total = _reduced(parts, op)
        answer = share(total, part_bytes, 1.0)
        await together(
            node, *(node.send(worker, answer, (tag, "pull")) for worker in workers if worker != node.id)
        )
        return total

    async def pull() -> dict[str, Tensor]:
        return {
            server: (await node.recv(server, (tag, "pull"))).payload.content
            for server in servers
            if server != node.id
        }

    if tensor is None:
        await serve()
        return None
    if node.id not in servers:
        _, pulled = await together(node, push(), pull())
    else:
        _, pulled, own = await together(node, push(), pull(), serve())
        pulled[node.id] = own
    return joined([pulled[server] for server in servers], tensor)


def _reduced(parts: list[Any], op: Reduction) -> Tensor:
    shapes = {tuple(part.shape) for part in parts}
    if len(shapes) > 1:
        raise ValueError(f"a reduction of tensors of different shapes: pieces of {sorted(shapes)}")
    return reduce_in_order(parts, op)
