"""The collectives of one run: which algorithm each call takes, as the scenario says."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

from torch import Tensor

from simnet.network import Topology
from simnet.runtime.collectives.choice import Plan, all_reduce_plans, broadcast_plans, fastest
from simnet.runtime.collectives.doubling import halving_doubling_all_reduce, recursive_doubling_all_reduce
from simnet.runtime.collectives.exchanges import all_to_all_at_once, pairwise_all_to_all
from simnet.runtime.collectives.hierarchical import groups_of, hierarchical_all_reduce
from simnet.runtime.collectives.order import by_bandwidth
from simnet.runtime.collectives.paths import Paths
from simnet.runtime.collectives.pipelined import (
    chunks_for,
    pipelined_all_reduce,
    pipelined_broadcast,
    tree_depth,
    tree_edges,
)
from simnet.runtime.collectives.ring import Rings
from simnet.runtime.collectives.scattered import scattered_broadcast
from simnet.runtime.collectives.server import parameter_server_all_reduce
from simnet.runtime.collectives.steps import Reduction, tensor_bytes
from simnet.runtime.collectives.tree import tree_all_reduce, tree_broadcast
from simnet.runtime.node import Node
from simnet.scenario import AllReduceConfig, BroadcastConfig, NetworkConfig

Members = tuple[str, ...]
ARITY = {"pipelined-chain": 1, "pipelined-tree": 2}


class Collectives:
    """Carries out collectives over `send` and `recv`, the same in every runtime.

    All that is chosen depends on the scenario, the members and the size alone, so that all members choose
    the same without a message.

    Args:
        config: The scenario's network.
        topology: What it became.
        hosts: The host of each node.
        charged_bytes: What raw bytes of a tensor are charged as.
        rings: How rings are carried out: :class:`SteppedRings`, or a runtime's own.
    """

    def __init__(
        self,
        config: NetworkConfig,
        topology: Topology,
        hosts: Mapping[str, str],
        charged_bytes: Callable[[float], float],
        rings: Rings,
    ) -> None:
        self._config = config
        self._paths = Paths(topology, hosts)
        self._charged_bytes = charged_bytes
        self._rings = rings
        named = config.all_reduce
        self._all_reduce = AllReduceConfig(name=named) if isinstance(named, str) else named
        chosen = config.broadcast
        self._broadcast = BroadcastConfig(name=chosen) if isinstance(chosen, str) else chosen
        self._ring_orders: dict[Members, Members] = {}
        self._plans: dict[Hashable, dict[str, Plan]] = {}

    # -- the operations -------------------------------------------------------------------------------

    async def all_reduce(
        self, node: Node, tensor: Tensor, op: Reduction, members: Members, tag: Hashable
    ) -> Tensor:
        """The mean or sum of the members' tensors at each of them."""
        match name := self.all_reduce_name(members, tensor_bytes(tensor)):
            case "ring":
                ring = self.ring_order(members)
                return await self._rings.all_reduce(node, tensor, op, members, tag, ring=ring)
            case "tree":
                return await tree_all_reduce(node, tensor, op, members, tag)
            case "recursive-doubling":
                return await recursive_doubling_all_reduce(node, tensor, op, members, tag)
            case "halving-doubling":
                return await halving_doubling_all_reduce(node, tensor, op, members, tag)
            case "hierarchical":
                groups = self.local_groups(members)
                return await hierarchical_all_reduce(node, tensor, op, groups, tag, self._rings)
            case "parameter-server":
                servers = members[: self._servers(members)]
                reduced = await parameter_server_all_reduce(node, tensor, op, members, servers, tag)
                assert reduced is not None, "a worker gets a result"
                return reduced
            case _:
                arity, chunks = ARITY[name], self._all_reduce.chunks
                if chunks is None:
                    chunks = self._best_chunks(members, arity, tensor_bytes(tensor))
                return await pipelined_all_reduce(node, tensor, op, members, tag, chunks=chunks, arity=arity)

    async def reduce_scatter(
        self, node: Node, tensor: Tensor, op: Reduction, members: Members, tag: Hashable
    ) -> Tensor:
        """This member's share of the reduced flat tensor, around the ring."""
        ring = self.ring_order(members)
        return await self._rings.reduce_scatter(node, tensor, op, members, tag, ring=ring)

    async def all_gather(self, node: Node, payload: Any, members: Members, tag: Hashable) -> list[Any]:
        """Every member's payload in rank order, around the ring."""
        return await self._rings.all_gather(node, payload, members, tag, ring=self.ring_order(members))

    async def broadcast(self, node: Node, payload: Any, root: str, members: Members, tag: Hashable) -> Any:
        """The root's payload at every member."""
        name = self._broadcast.name
        if name in ARITY:
            chunks = 1
            if node.id == root and isinstance(payload, Tensor):
                rooted = _from(root, members)
                best = self._best_chunks(rooted, ARITY[name], tensor_bytes(payload))
                chunks = self._broadcast.chunks or best
            return await pipelined_broadcast(
                node, payload, root, members, tag, chunks=chunks, arity=ARITY[name]
            )
        if name == "binomial":
            return await tree_broadcast(node, payload, root, members, tag)
        scatter = True
        if name == "auto" and node.id == root and isinstance(payload, Tensor):
            scatter = self.broadcast_name(members, root, tensor_bytes(payload)) == "scatter-all-gather"
        return await scattered_broadcast(node, payload, root, members, tag, scatter=scatter)

    async def all_to_all(
        self, node: Node, payloads: Sequence[Any], members: Members, tag: Hashable
    ) -> list[Any]:
        """What each member had for this one, in rank order."""
        if self._config.all_to_all == "pairwise":
            return await pairwise_all_to_all(node, payloads, members, tag)
        return await all_to_all_at_once(node, payloads, members, tag)

    # -- what is chosen -------------------------------------------------------------------------------

    def all_reduce_name(self, members: Members, raw_bytes: float) -> str:
        """The algorithm that the members take for a tensor of so many bytes."""
        if self._all_reduce.name != "auto":
            return self._all_reduce.name
        plans = self._plans.get(members)
        if plans is None:
            ring, groups = self.ring_order(members), self.local_groups(members)
            plans = self._plans[members] = all_reduce_plans(members, ring, groups, self._paths)
        return fastest(plans, self._charged_bytes(raw_bytes))

    def broadcast_name(self, members: Members, root: str, raw_bytes: float) -> str:
        """The algorithm that the root of a broadcast takes for a tensor of so many bytes."""
        if self._broadcast.name != "auto":
            return self._broadcast.name
        plans = self._plans.get((root, members))
        if plans is None:
            plans = self._plans[root, members] = broadcast_plans(members, root, self._paths)
        return fastest(plans, self._charged_bytes(raw_bytes))

    def ring_order(self, members: Members) -> Members:
        """The members in the order in which rings connect them."""
        if self._config.ring_order == "rank":
            return members
        found = self._ring_orders.get(members)
        if found is None:
            found = self._ring_orders[members] = by_bandwidth(members, self._paths)
        return found

    def local_groups(self, members: Members) -> tuple[Members, ...]:
        """The groups of a hierarchical all-reduce: of the size asked for, or those on one switch."""
        if self._all_reduce.group_size is not None:
            return groups_of(members, self._all_reduce.group_size)
        return self._paths.beside_each_other(members)

    def _servers(self, members: Members) -> int:
        servers = self._all_reduce.servers or 1
        if servers > len(members):
            raise ValueError(
                f"network.all_reduce.servers: {servers} servers among {len(members)} members; "
                f"at most {len(members)} can serve"
            )
        return servers

    def _best_chunks(self, members: Members, arity: int, raw_bytes: float) -> int:
        size = len(members)
        cost = self._paths.cost((members[a], members[b]) for a, b in tree_edges(size, arity))
        return chunks_for(tree_depth(size, arity), self._charged_bytes(raw_bytes), cost)


def _from(root: str, members: Members) -> Members:
    first = members.index(root)
    return (*members[first:], *members[:first])
