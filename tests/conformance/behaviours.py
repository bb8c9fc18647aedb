"""What every runtime's `Node` must do, written as methods: each worker checks what it sees, and says so.

A run in which something does not hold ends with the AssertionError; one in which all holds has recorded
`checked` at every worker.
"""

from collections.abc import Awaitable
from contextlib import suppress
from typing import Any

import torch

from simnet.compression import BFloat16, Codec, Int4, Int8, Packed, RandomK, TopK
from simnet.runtime.node import Algorithm, Cancelled, Encoded, Node, PeerLost, Timeout


class Messages(Algorithm):
    """Point to point: what was sent arrives as it was when it was sent, in the order of sending."""

    async def worker(self, node: Node) -> None:
        ring = node.members("worker")
        after, before = ring[(node.rank + 1) % len(ring)], ring[node.rank - 1]
        payloads: list[Any] = [
            torch.arange(5.0) + node.rank,
            (torch.ones(2, 3, dtype=torch.float64), 7),
            {"name": ["a", None, 2.5, True]},
            b"raw",
            torch.zeros(0),
        ]
        node.version = 3
        for payload in payloads:
            await node.send(after, payload, "row")
        for payload in payloads:
            message = await node.recv(before, "row")
            assert message.sender == before
            assert message.version == 3
            assert node.staleness(message) == 0
            assert type(message.payload) is type(payload)
            assert repr(message.payload) == repr(_as_of(payload, node.rank, (node.rank - 1) % len(ring)))
        await node.send(after, "second", ("tag", 2))
        await node.send(after, "first", ("tag", 1))
        assert (await node.recv(before, ("tag", 1))).payload == "first"
        assert (await node.recv(tag=("tag", 2))).payload == "second"
        started = node.now
        try:
            await node.recv(before, "never", timeout=0.05)
        except Timeout:
            assert 0.049 < node.now - started < 0.5
        else:
            raise AssertionError("nobody sent that")
        theirs = await node.exchange(ring[node.rank ^ 1], node.rank, "pair")
        assert theirs == node.rank ^ 1
        node.record(checked=1)


def _as_of(payload: Any, mine: int, theirs: int) -> Any:
    if isinstance(payload, torch.Tensor) and payload.shape == (5,):
        return payload - mine + theirs
    return payload


class Collectives(Algorithm):
    """Every collective's value at every member, of all and of a group."""

    async def worker(self, node: Node) -> None:
        everybody = node.members("worker")
        size, mine = len(everybody), torch.full((7,), float(node.rank))
        mean = (size - 1) / 2
        assert torch.allclose(await node.all_reduce(mine), torch.full((7,), mean))
        assert torch.allclose(await node.all_reduce(mine, "sum"), torch.full((7,), mean * size))
        assert await node.all_gather(node.rank) == list(range(size))
        share = await node.reduce_scatter(torch.arange(8.0), "sum")
        assert torch.equal(share, torch.tensor_split(torch.arange(8.0) * size, size)[node.rank])
        root = everybody[1]
        told = await node.broadcast(torch.ones(3) * node.rank, root)
        assert torch.equal(told, torch.ones(3))
        assert await node.all_to_all([(node.rank, to) for to in range(size)]) == [
            (sender, node.rank) for sender in range(size)
        ]
        half = [name for rank, name in enumerate(everybody) if rank % 2 == node.rank % 2]
        for _ in range(2):  # the second of a kind is another one than the first
            total = await node.all_reduce(mine, "sum", group=half)
            assert float(total[0]) == sum(range(node.rank % 2, size, 2))
        await node.sleep(0.02 * node.rank)
        await node.barrier()
        assert node.now >= 0.02 * (size - 1)
        node.record(checked=1)


class Tasks(Algorithm):
    """Coroutines beside each other: their values, their errors, their end."""

    async def worker(self, node: Node) -> None:
        async def later(seconds: float, value: int) -> int:
            await node.sleep(seconds)
            return value

        slow, fast = node.spawn(later(0.06, 1)), node.spawn(later(0.02, 2))
        assert await fast == 2
        assert not slow.done
        assert await slow == 1
        assert slow.done
        ended = []

        async def forever() -> None:
            try:
                await node.recv(tag="nothing")
            except Cancelled:
                ended.append("cancelled")
                raise

        task = node.spawn(forever())
        await node.sleep(0.01)
        task.cancel()
        await node.sleep(0.01)
        assert ended == ["cancelled"]
        assert task.done
        steps = await node.train(until=node.spawn(node.sleep(0.1)))
        assert steps >= 1
        node.record(checked=1, steps_beside=steps)


class Work(Algorithm):
    """Training moves parameters as values; steps and gradients count; what costs nothing is refused."""

    async def worker(self, node: Node) -> None:
        first = node.params
        kept = first.clone()
        assert await node.train(2) == 2
        assert torch.equal(first, kept)
        assert not torch.equal(node.params, kept)
        loss = await node.loss()
        gradient = await node.gradient()
        assert loss == gradient.loss
        before = node.params
        await node.step(gradient.vector)
        assert not torch.equal(node.params, before)
        assert await node.compute(lambda a, b: a + b, 2, 3, flops=1e3) == 5
        try:
            await node.compute(abs, -1, flops=0)
        except ValueError:
            pass
        else:
            raise AssertionError("there is no work without a cost")
        layers: list[slice] = []
        await node.gradient(on_layer=lambda layer, _: layers.append(layer))
        assert layers == list(reversed(node.layers))
        drawn = node.shared_rng("lots", 3).integers(1 << 30)
        assert len(set(await node.all_gather(int(drawn)))) == 1
        node.record(checked=1, norm=float(node.params.norm()))


class Encodings(Algorithm):
    """What a codec made is decoded at the other side as it would be here, of the bytes that were charged."""

    async def worker(self, node: Node) -> None:
        ring = node.members("worker")
        after, before = (node.rank + 1) % len(ring), (node.rank - 1) % len(ring)
        sparse: list[Codec] = [TopK(keep=0.2), RandomK(keep=0.5)]
        for number, codec in enumerate([*sparse, Int8(), Int4(rounding="stochastic"), BFloat16()]):
            packed = _encoded(codec, number, node.rank)
            await node.send(ring[after], Encoded(packed, packed.bytes), ("coded", number))
            message = await node.recv(ring[before], ("coded", number))
            expected = _encoded(codec, number, before)
            assert message.bytes == expected.bytes == codec.token_bytes(65) * 3
            assert torch.equal(codec.decode(message.payload.content), codec.decode(expected))
        node.record(checked=1)


def _encoded(codec: Codec, number: int, rank: int) -> Packed:
    tensor = torch.randn(3, 65, generator=torch.Generator().manual_seed(rank))
    return codec.encode(tensor, number if codec.needs_seed else None)


class Parted(Algorithm):
    """For a scenario with n0 and n1 apart from the others from second 0.5 to 2, noticed 0.2 s later.

    What is sent across it before it is noticed stands still and is lost. Then `PeerLost` is raised for those
    beyond it and for nobody else, until it is over.
    """

    async def worker(self, node: Node) -> None:
        everybody = node.members("worker")
        here = everybody[:2] if node.id in everybody[:2] else everybody[2:]
        beyond, mate = everybody[(node.rank + 2) % 4], everybody[node.rank ^ 1]
        assert await node.exchange(beyond, node.rank, "before") == (node.rank + 2) % 4
        await node.sleep(0.6 - node.now)
        assert node.up() == everybody
        node.spawn(_whose_loss(node.send(beyond, torch.ones(4), "lost")))  # the kernel may have taken it
        assert await _whose_loss(node.recv(beyond, "lost")) == beyond
        assert 0.69 < node.now < 1.2
        await node.sleep(1.2 - node.now)
        assert node.up() == here
        for call in (node.send(beyond, 1), node.recv(beyond, "never"), node.all_reduce(torch.ones(2))):
            assert await _whose_loss(call) not in (*here, None)
        assert node.now < 2
        assert await node.exchange(mate, node.rank, "beside") == node.rank ^ 1
        assert float((await node.all_reduce(torch.ones(2), "sum", group=here))[0]) == 2
        assert node.now < 2
        await node.sleep(2.3 - node.now)
        assert node.up() == everybody
        assert await node.exchange(beyond, node.rank, "after") == (node.rank + 2) % 4
        assert float((await node.all_reduce(torch.ones(2), "sum"))[0]) == 4
        with suppress(Timeout):
            await node.recv(beyond, "lost", timeout=0.1)
            raise AssertionError("what was sent before is lost")
        node.record(checked=1)


async def _whose_loss(call: Awaitable[Any]) -> str | None:
    """Of which peer's loss it is told."""
    try:
        await call
    except PeerLost as lost:
        return lost.peer
    return None
