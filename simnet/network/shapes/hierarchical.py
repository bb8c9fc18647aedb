"""Networks of switches with the hosts at the edge: a tree, a fat tree, a dumbbell."""

from typing import Annotated

from pydantic import Field

from simnet.network.shapes.links import PartialLink
from simnet.network.shapes.shape import (
    TOPOLOGY_PATH,
    Cable,
    Setting,
    Shape,
    TopologyKind,
    changed,
    common_link,
    fixed,
    like_every_link,
    numbered,
    worker_count,
)
from simnet.scenario import ScenarioError
from simnet.scenario.fields import Number, PositiveInteger


class Tree(TopologyKind):
    """Switches that branch from a root, with the hosts at the leaves."""

    branching: PositiveInteger = Field(description="How many nodes hang below each switch.")
    depth: PositiveInteger = Field(description="Links from the root to a host; branching^depth hosts.")
    widening: Annotated[Number, Field(gt=0)] = Field(
        1.0,
        description="How many times the bandwidth of a link the one above it has; as much as `branching` "
        "for a tree without oversubscription.",
    )

    def shape(self, setting: Setting) -> Shape:
        """Switches s0 (the root), s1, ... level by level, and branching^depth hosts."""
        if self.branching**self.depth > 1_000_000:
            raise ScenarioError.at(
                (*TOPOLOGY_PATH, "depth"),
                f"{self.branching}^{self.depth} hosts are too many",
                expected="at most a million",
            )
        link = common_link(setting)
        levels: list[tuple[str, ...]] = []
        made = 0
        for level in range(self.depth):
            count = self.branching**level
            levels.append(tuple(f"s{made + i}" for i in range(count)))
            made += count
        hosts = numbered(self.branching**self.depth)
        levels.append(hosts)
        cables = []
        for level in range(self.depth, 0, -1):
            here = link
            if self.widening != 1:
                rate = fixed(link.bandwidth, "widening", ("network", "link", "bandwidth"))
                here = changed(link, bandwidth=rate * self.widening ** (self.depth - level))
            cables += [
                Cable(node, levels[level - 1][i // self.branching], here)
                for i, node in enumerate(levels[level])
            ]
        switches = tuple(switch for level_nodes in levels[:-1] for switch in level_nodes)
        return Shape(hosts, switches, tuple(cables), access_links=True, spare_hosts=True)


class FatTree(TopologyKind):
    """A datacenter's k-ary fat tree: k pods of k switches, k^3/4 hosts, full bisection (Al-Fares et al.,
    2008).

    There are (k/2)^2 equal paths between pods: use it with `network.ecmp: pair` or `flow`.
    """

    k: PositiveInteger = Field(description="Ports of every switch: an even number.")

    def shape(self, setting: Setting) -> Shape:
        """Switches core0, ..., pod0-agg0, ..., pod0-edge0, ...; hosts n0, n1, ... pod by pod."""
        if self.k % 2:
            raise ScenarioError.at(
                (*TOPOLOGY_PATH, "k"), "an odd number of ports", given=self.k, expected="an even number"
            )
        half = self.k // 2
        hosts = numbered(self.k * half * half)
        core = tuple(f"core{i}" for i in range(half * half))
        switches = list(core)
        access, inner = [], []
        for pod in range(self.k):
            aggregation = [f"pod{pod}-agg{i}" for i in range(half)]
            edges = [f"pod{pod}-edge{i}" for i in range(half)]
            switches += [*aggregation, *edges]
            inner += [(agg, core[i * half + j]) for i, agg in enumerate(aggregation) for j in range(half)]
            inner += [(edge, agg) for edge in edges for agg in aggregation]
            for i, edge in enumerate(edges):
                first = (pod * half + i) * half
                access += [(hosts[first + j], edge) for j in range(half)]
        cables = like_every_link(setting, [*access, *inner])
        return Shape(hosts, tuple(switches), cables, access_links=True, spare_hosts=True)


class Dumbbell(TopologyKind):
    """Two groups of hosts with one shared link between them: the textbook bottleneck."""

    left: PositiveInteger | None = Field(
        None, description="Hosts l0, l1, ... on the left; half of the workers if not given."
    )
    right: PositiveInteger | None = Field(
        None, description="Hosts r0, r1, ... on the right; the other workers if not given."
    )
    bottleneck: PartialLink = Field(
        PartialLink(), description="The link in the middle, where it differs from network.link."
    )

    def shape(self, setting: Setting) -> Shape:
        """Hosts on switches `left` and `right`, and the bottleneck between these."""
        left, right = self.left, self.right
        if left is None or right is None:
            workers = worker_count(setting, "left" if left is None else "right")
            left = left if left is not None else workers - right if right is not None else (workers + 1) // 2
            right = right if right is not None else workers - left
            if left < 1 or right < 1:
                raise ScenarioError.at(
                    TOPOLOGY_PATH,
                    "no host is left for one of the sides",
                    given={"left": left, "right": right},
                    expected="at least one host on each side",
                )
        lefts, rights = numbered(left, "l"), numbered(right, "r")
        pairs = [*((host, "left") for host in lefts), *((host, "right") for host in rights)]
        middle = Cable("left", "right", self.bottleneck.on(setting.link, (*TOPOLOGY_PATH, "bottleneck")))
        cables = (*like_every_link(setting, pairs), middle)
        return Shape((*lefts, *rights), ("left", "right"), cables, access_links=True)
