"""How a node that comes back gets the model of one that stayed, where nobody is in charge."""

from collections.abc import Callable, Iterable, Sequence

from simnet.runtime.node import Message, Node, PeerLost


def known_up(node: Node, peers: Sequence[str]) -> Sequence[str]:
    """Those of `peers`, nodes of this role, that `node` does not know to be down."""
    up = node.up()
    if len(up) == len(node.members(node.role)):
        return peers
    there = set(up)
    return [peer for peer in peers if peer in there]


async def lend(node: Node, ready: Callable[[], bool]) -> None:
    """Send this node's model, at its version, to whoever asks; nothing while it is not `ready`. For ever."""
    while True:
        question = await node.recv(tag="ask")
        model = node.params if ready() else None
        node.spawn(node.send(question.sender, model, ("model", question.payload)))


async def borrow(node: Node, peers: Iterable[str]) -> Message | None:
    """The model of the first of `peers` that has one; None if none has: all are down or have just come back.

    One download, and 8 bytes for each question.
    """
    for peer in peers:
        try:
            await node.send(peer, node.incarnation, "ask")
            answer = await node.recv(peer, ("model", node.incarnation))
        except PeerLost:
            continue
        if answer.payload is not None:
            return answer
    return None
