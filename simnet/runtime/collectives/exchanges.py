"""All-to-all: every member has something else for every other."""

from collections.abc import Hashable, Sequence
from typing import Any

from simnet.runtime.collectives.steps import pass_on, together
from simnet.runtime.node import Node


async def pairwise_all_to_all(
    node: Node, payloads: Sequence[Any], group: Sequence[str], tag: Hashable
) -> list[Any]:
    """What each member had for this one, in rank order: (p-1)(a + m b) for m bytes per pair.

    In round t every member sends to the t-th after it and receives from the t-th before it.
    """
    size, me = len(group), group.index(node.id)
    received = list(payloads)
    for turn in range(1, size):
        to, sender = (me + turn) % size, (me - turn) % size
        received[sender] = await pass_on(node, group[to], group[sender], payloads[to], (tag, "pair", turn))
    return received


async def all_to_all_at_once(
    node: Node, payloads: Sequence[Any], group: Sequence[str], tag: Hashable
) -> list[Any]:
    """The same with all messages under way together: a + (p-1) m b."""
    others = [(member, payload) for member, payload in zip(group, payloads, strict=True) if member != node.id]

    async def receive() -> dict[str, Any]:
        return {member: (await node.recv(member, (tag, "all"))).payload for member, _ in others}

    sends = [node.send(member, payload, (tag, "all")) for member, payload in others]
    received = (await together(node, receive(), *sends))[0]
    return [received.get(member, payload) for member, payload in zip(group, payloads, strict=True)]
