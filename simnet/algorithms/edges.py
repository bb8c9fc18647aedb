"""Gossip in turns when nodes fail: an edge to a lost node is dropped, and taken up again when it is back."""

from collections.abc import Awaitable, Generator, Hashable, Sequence
from typing import Any

from simnet.algorithms.catching_up import borrow, known_up, lend
from simnet.runtime.node import Message, Node, PeerLost, Task

ENDED = -1
"""Says, in place of a turn, that there will be none."""


class Edges:
    """The peers that a worker exchanges something with, turn by turn, as it sees them.

    Both ends of an edge must agree on the turn from which on they meet: a worker that waited for a turn that
    the other skips would wait for ever. So one that comes back first gets a peer's model and the turn in
    which that one is, and then *meets* every peer: it proposes its own next turn, the other answers with the
    later of that and its own next, and both skip each other until then. A turn is `node.version`, so that it
    travels with the model, and comes back from disk with it.

    Args:
        node: The worker.
        peers: Whom it may exchange with, those asked first for their model first.
        hello: A number that peers tell each other when they meet, such as their degree.
    """

    def __init__(self, node: Node, peers: Sequence[str], hello: float | None = None) -> None:
        self._node = node
        self._peers = peers
        self._hello = hello
        self.hellos: dict[str, float] = {}
        """What peers told."""
        self._lives: dict[str, int] = {}
        self._since: dict[str, int] = {}
        self._ended_in: dict[str, int] = {}
        self._away: set[str] = set()
        self._meeting: set[str] = set()
        self._open: dict[str, Task[Any]] = {}
        self._over = False
        self._attempts = 0
        self._established = node.incarnation == 0
        self._back: Task[None] | None = None

    # -- what a method calls --------------------------------------------------------------------------

    async def begin(self) -> None:
        """Answer peers from now on; after a crash, get a model, and meet all who are up."""
        node = self._node
        if not self._established and node.running:
            self._back = node.spawn(self._come_back())
        node.spawn(lend(node, lambda: self._established))
        node.spawn(self._answer())
        node.spawn(self._note_ends())
        if self._back is not None:
            await self._back
            here = known_up(node, self._peers)
            for meeting in [node.spawn(self._meet(peer, node.version)) for peer in here]:
                await meeting

    def exchange(self, peer: str, payload: Any, tag: Hashable) -> Awaitable[Any | None]:
        """Begin to exchange payloads of this turn; what is returned gives the peer's when it is awaited.

        It gives None if there is none: the peer is lost, or skips this turn.
        """
        node, turn = self._node, self._node.version
        if peer in self._away and peer not in self._meeting and peer in node.up():
            self._meeting.add(peer)
            node.spawn(self._meet_again(peer))
        ended_in = self._ended_in.get(peer)
        skipped = turn < self._since.get(peer, 0) or (ended_in is not None and turn >= ended_in)
        if peer in self._away or skipped:
            return _NoExchange()
        exchange = self._open[peer] = node.spawn(self._exchange(peer, payload, (tag, turn)))
        return exchange

    async def _exchange(self, peer: str, payload: Any, tag: Hashable) -> Any | None:
        try:
            return await self._node.exchange(peer, payload, tag)
        except PeerLost:
            self._away.add(peer)
            return None
        finally:
            del self._open[peer]

    def lose(self, peer: str) -> None:
        """It was lost outside of an exchange."""
        self._away.add(peer)

    def end(self) -> None:
        """There are no more turns: tell those who have come back, or saw this worker come back, since only
        they can be in others."""
        self._over = True
        for peer in self._lives:
            self._node.spawn(self._node.send(peer, self._node.version, "ended"))

    # -- meeting --------------------------------------------------------------------------------------

    async def _come_back(self) -> None:
        """Get a model and a turn: those of a peer that has them, else what this worker has itself."""
        node = self._node
        here = known_up(node, self._peers)
        model = await borrow(node, [here[index] for index in node.rng.permutation(len(here))])
        if model is not None:
            node.params, node.version = model.payload, model.version
            await self._meet(model.sender, node.version)
            node.version = max(node.version, self._since.get(model.sender, 0))
        self._established = True

    async def _meet(self, peer: str, turn: int) -> None:
        """Agree with a peer on the turn from which on both meet: `turn` or a later one."""
        node = self._node
        self._attempts += 1
        mark = (node.incarnation, self._attempts)
        try:
            await node.send(peer, (turn, node.incarnation, mark[1], self._hello), "meet")
            answer = await node.recv(peer, ("met", *mark))
        except PeerLost:
            self._away.add(peer)
            return
        agreed, life, hello = answer.payload
        self._learn(peer, life, agreed, hello)

    async def _meet_again(self, peer: str) -> None:
        """Meet one that was lost and is there again, while this worker's turns go on."""
        ahead = 1
        try:
            while True:
                await self._meet(peer, self._node.version + ahead)
                agreed = self._since.get(peer, 0) > self._node.version
                if agreed or peer in self._away or peer in self._ended_in:
                    return
                ahead *= 2  # it has begun the turn that was agreed on: too late
        finally:
            self._meeting.discard(peer)

    async def _answer(self) -> None:
        while True:
            question = await self._node.recv(tag="meet")
            self._node.spawn(self._answer_one(question))

    async def _answer_one(self, question: Message) -> None:
        if self._back is not None and not self._back.done:
            await self._back  # it does not know its own turn yet
        node, peer = self._node, question.sender
        turn, life, attempt, hello = question.payload
        if self._over:
            agreed = ENDED
        else:
            agreed = max(turn, node.version + 1)
            if self._lives.get(peer) == life:
                agreed = max(agreed, self._since.get(peer, 0))
        self._learn(peer, life, agreed, hello)
        try:
            await node.send(peer, (agreed, node.incarnation, self._hello), ("met", life, attempt))
        except PeerLost:
            self._away.add(peer)

    def _learn(self, peer: str, life: int, agreed: int, hello: float | None) -> None:
        """Both meet from a turn on: whatever was begun before is void."""
        known = self._lives.get(peer, -1)
        if life < known:
            return
        if life > known:
            self._since.pop(peer, None)
            self._ended_in.pop(peer, None)
        self._lives[peer] = life
        if agreed == ENDED:
            self._ended_in[peer] = 0
        else:
            self._since[peer] = max(agreed, self._since.get(peer, 0))
        if hello is not None:
            self.hellos[peer] = hello
        self._away.discard(peer)
        if peer in self._open:
            self._open[peer].cancel()

    async def _note_ends(self) -> None:
        while True:
            told = await self._node.recv(tag="ended")
            self._ended_in[told.sender] = told.payload
            if told.sender in self._open and self._node.version >= told.payload:
                self._open[told.sender].cancel()


class _NoExchange:
    """In place of an exchange that does not take place: awaiting it gives None at once."""

    def __await__(self) -> Generator[Any, Any, None]:
        yield from ()
