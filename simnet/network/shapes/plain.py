"""The plainest shapes: a star, a full mesh, a ring, a torus, a hypercube, an exponential graph."""

from collections.abc import Iterator
from itertools import combinations, pairwise, product
from math import prod
from typing import Annotated

from pydantic import Field

from simnet.network.shapes.access import AccessConfig
from simnet.network.shapes.shape import (
    HUB,
    SERVER,
    TOPOLOGY_PATH,
    Counted,
    Setting,
    Shape,
    TopologyKind,
    like_every_link,
    numbered,
    worker_count,
)
from simnet.scenario import ScenarioError
from simnet.scenario.fields import PositiveInteger


class Star(Counted):
    """Hosts around one switch, each on an access link of its own: the last mile is the bottleneck."""

    makes_server_host = True

    access: AccessConfig | None = Field(
        None,
        description="The hosts' access links where they differ from network.link or from each other: "
        "{up: [5 Mbps, 20 Mbps], down: 80 Mbps, latency: 25 ms, spread: log}.",
    )

    def shape(self, setting: Setting) -> Shape:
        """One cable from each host to the switch `hub`; a server's is `network.link` in any case."""
        hosts = self.hosts(setting)
        if self.access is None:
            cables = like_every_link(setting, ((host, HUB) for host in hosts))
        else:
            cables = self.access.cables(hosts, HUB, setting)
        if not setting.with_server:
            return Shape(hosts, (HUB,), cables, access_links=True)
        cables = (*cables, *like_every_link(setting, [(SERVER, HUB)]))
        return Shape((*hosts, SERVER), (HUB,), cables, SERVER, access_links=True)


class FullMesh(Counted):
    """A cable of its own between every two hosts."""

    makes_server_host = True

    def shape(self, setting: Setting) -> Shape:
        """n (n-1) / 2 cables."""
        hosts = self.hosts(setting)
        if setting.with_server:
            hosts = (*hosts, SERVER)
        cables = like_every_link(setting, combinations(hosts, 2))
        return Shape(hosts, (), cables, SERVER if setting.with_server else None)


class Ring(Counted):
    """Each host is linked to the next one, and the last one to the first."""

    def shape(self, setting: Setting) -> Shape:
        """n cables; one for two hosts, none for one."""
        hosts = self.hosts(setting)
        return Shape(hosts, (), like_every_link(setting, _around(hosts)))


class Torus(TopologyKind):
    """A grid of hosts whose rows and columns are rings, in any number of dimensions."""

    dims: Annotated[tuple[PositiveInteger, ...], Field(min_length=1)] = Field(
        description="Hosts along each dimension, such as [4, 4]; n0, n1, ... run along the last one first."
    )
    wrap: bool = Field(True, description="Whether ends are joined; false makes a plain grid.")

    def shape(self, setting: Setting) -> Shape:
        """As many cables per dimension as hosts; along a dimension of 2, half as many."""
        names = dict(zip(product(*map(range, self.dims)), numbered(prod(self.dims)), strict=True))
        pairs: list[tuple[str, str]] = []
        for axis, size in enumerate(self.dims):
            for rest in product(*(range(length) for i, length in enumerate(self.dims) if i != axis)):
                line = [names[*rest[:axis], along, *rest[axis:]] for along in range(size)]
                pairs += _around(line) if self.wrap else pairwise(line)
        return Shape(tuple(names.values()), (), like_every_link(setting, pairs), spare_hosts=True)


class Hypercube(TopologyKind):
    """2^d hosts, each linked to the d others whose number differs in one bit."""

    dimension: Annotated[PositiveInteger, Field(le=20)] | None = Field(
        None, description="d, for 2^d hosts; log2 of the number of workers if not given."
    )

    def shape(self, setting: Setting) -> Shape:
        """d 2^(d-1) cables."""
        dimension = self.dimension
        if dimension is None:
            workers = worker_count(setting, "dimension")
            dimension = workers.bit_length() - 1
            if workers != 1 << dimension:
                raise ScenarioError.at(
                    (*TOPOLOGY_PATH, "dimension"),
                    f"missing key: {workers} workers are no power of two",
                    expected=f"dimension: {dimension + 1} ({2 << dimension} hosts, some without a worker), "
                    f"or {1 << dimension} workers",
                )
        hosts = numbered(1 << dimension)
        pairs = (
            (hosts[i], hosts[i | 1 << d])
            for i in range(len(hosts))
            for d in range(dimension)
            if not i >> d & 1
        )
        return Shape(hosts, (), like_every_link(setting, pairs), spare_hosts=True)


class Exponential(Counted):
    """Each host is linked to those 1, 2, 4, ... places ahead of it (Assran et al., 2019, as an undirected
    graph).
    """

    def shape(self, setting: Setting) -> Shape:
        """At most n ceil(log2 n) cables; fewer where two distances meet."""
        hosts = self.hosts(setting)
        size = len(hosts)
        distances = [1 << k for k in range((size - 1).bit_length())]
        pairs = {tuple(sorted((i, (i + distance) % size))) for distance in distances for i in range(size)}
        return Shape(hosts, (), like_every_link(setting, [(hosts[a], hosts[b]) for a, b in sorted(pairs)]))


def _around(hosts: tuple[str, ...] | list[str]) -> Iterator[tuple[str, str]]:
    """The links of a ring; there is one between two hosts and none at one."""
    yield from pairwise(hosts)
    if len(hosts) > 2:
        yield hosts[-1], hosts[0]
