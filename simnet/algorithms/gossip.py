"""Gossip in random pairs."""

from typing import ClassVar, Literal

from pydantic import Field, PositiveInt

from simnet.algorithms.edges import Edges
from simnet.runtime.node import Algorithm, Node

ROUNDS_DRAWN = 64
"""Rounds whose pairings a worker draws at once."""


class Gossip(Algorithm):
    """Random pair gossip: local steps, then the average with one partner (Boyd et al., 2006).

    Each round pairs all workers at random and both of a pair take `(x_i + x_j) / 2`. Nobody waits for anybody
    but its partner, so rounds drift apart. With an odd number of workers one of them has no partner. A worker
    sends and receives `d b` bytes per round.

    A round's pairing is one of the n - 1 rounds of a round-robin tournament, by the circle method, drawn from
    randomness that all share: everybody is equally likely to meet everybody else, as with a random matching,
    and a worker finds its partner without looking at all the others.
    """

    safe_points: ClassVar[Literal["common", "own", "none"]] = "common"

    local_steps: PositiveInt = Field(1, description="Optimizer steps between two averagings.")

    async def worker(self, node: Node) -> None:
        members = node.members(node.role)
        draws: list[int] = []
        drawn = -1
        edges = Edges(node, node.peers)
        await edges.begin()
        while node.running:
            await node.train(self.local_steps)
            epoch, turn = divmod(node.version, ROUNDS_DRAWN)
            if epoch != drawn:
                shared = node.shared_rng("gossip", epoch)
                draws, drawn = shared.integers(rounds(len(members)), size=ROUNDS_DRAWN).tolist(), epoch
            partner = partner_of(node.rank, len(members), draws[turn])
            if partner is not None:
                theirs = await edges.exchange(members[partner], node.params, "gossip")
                if theirs is not None:  # else it is lost: this worker keeps its model
                    node.params = (node.params + theirs) / 2
            node.version += 1
        edges.end()


def rounds(workers: int) -> int:
    """Rounds of a tournament in which each of `workers` meets each other one once."""
    return max(1, workers - 1 + workers % 2)


def partner_of(rank: int, workers: int, turn: int) -> int | None:
    """Whom the worker of that rank meets in a round of the tournament; None where it has a rest.

    With n even, ranks below n - 1 meet where they add up to the round modulo n - 1; who would meet itself
    meets the last one. An odd number of workers is one more, and to meet that one is to rest.
    """
    count, last = rounds(workers), rounds(workers)
    if workers < 2:
        return None
    if rank == last:
        found = turn * (last + 1) // 2 % count  # 2 x = turn modulo an odd number
    else:
        found = (turn - rank) % count
        if found == rank:
            found = last
    return found if found < workers else None
