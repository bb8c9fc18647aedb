"""What a kind of topology makes: nodes and cables, which know nothing of workers or routes."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from simnet.network.routing import RoutingMetric
from simnet.scenario import LinkConfig, ScenarioError, Varying
from simnet.scenario.fields import PositiveInteger

TOPOLOGY_PATH = ("network", "topology")
HUB = "hub"
SERVER = "server"

SECONDS_PER_KM = 1 / 200_000
"""Light in fibre travels 200 km in a millisecond, two thirds of its speed in empty space."""


@dataclass(frozen=True, slots=True)
class Cable:
    """A link between two nodes, as `network.link` or something nearer says: there may be one value per
    direction.

    With half duplex both directions share one bandwidth; simplex leads from a to b only.
    """

    a: str
    b: str
    link: LinkConfig
    """What it is like from a to b, and back unless `back` says otherwise."""
    back: LinkConfig | None = None
    """What it is like from b to a, where that differs; only with full duplex."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Nodes and cables. Hosts can carry a worker or a server, switches only pass things on."""

    hosts: tuple[str, ...]
    switches: tuple[str, ...]
    cables: tuple[Cable, ...]
    server: str | None = None
    """The host that was made for the server, if one was asked for."""
    access_links: bool = False
    """Whether each host is end a of one cable of its own, which is then its uplink and downlink."""
    spare_hosts: bool = False
    """Whether hosts without a worker are meant to be there, to pass things on."""
    positions: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Where nodes are, as far as known: (longitude, latitude) in degrees, or (x, y) in km or of a unit
    square.
    """
    routing: RoutingMetric = "latency"
    """What shortest paths minimise, unless the scenario says."""
    geographic: bool = False
    """Whether positions are longitudes and latitudes."""
    repairs: tuple[str, ...] = ()
    """What was mended or assumed to make a network of this, for a warning."""
    notes: tuple[str, ...] = ()
    """What people should know about it, for a summary."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What a kind of topology is told about the scenario that it is in."""

    link: LinkConfig | None
    """What cables are like unless the topology says otherwise: `network.link`."""
    workers: int | None = None
    """How many hosts there are to be if the topology does not say; None where that is open."""
    with_server: bool = False
    """Whether to add a host for the server; only for kinds that can."""
    seed: int = 0
    """For kinds that draw at random and have no seed of their own."""
    folder: Path | None = None
    """Where files are looked for."""


class TopologyKind(BaseModel, ABC):
    """Options of one kind of topology."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    makes_server_host: ClassVar[bool] = False
    """Whether a server that is not placed by name gets a host of its own."""

    @abstractmethod
    def shape(self, setting: Setting) -> Shape:
        """The nodes and cables; raises `ScenarioError` where options contradict each other or leave gaps."""


class Counted(TopologyKind):
    """A kind with any number of hosts."""

    nodes: PositiveInteger | None = Field(
        None, description="Number of hosts; as many as workers if not given."
    )

    def hosts(self, setting: Setting) -> tuple[str, ...]:
        """`n0`, `n1` and so on."""
        return numbered(self.nodes or worker_count(setting, "nodes"))


def numbered(count: int, prefix: str = "n") -> tuple[str, ...]:
    """`n0`, `n1`, ..., as hosts are called that nobody named."""
    return tuple(f"{prefix}{i}" for i in range(count))


def worker_count(setting: Setting, key: str) -> int:
    """The number of workers, for kinds that fit themselves to it; raises `ScenarioError` where it is open."""
    if setting.workers is None:
        raise ScenarioError.at(
            (*TOPOLOGY_PATH, key),
            "the number of hosts is open, since a group of workers takes the rest of them",
            expected=f"{key}: 8 here, or a `count` in every group of workers",
        )
    return setting.workers


def common_link(setting: Setting) -> LinkConfig:
    """`network.link`; raises `ScenarioError` where the scenario has none."""
    if setting.link is None:
        raise ScenarioError.at(
            ("network", "link"), "missing key", expected="link: {bandwidth: 100 Mbps, latency: 25 ms}"
        )
    return setting.link


def like_every_link(setting: Setting, pairs: Iterable[tuple[str, str]]) -> tuple[Cable, ...]:
    """A cable for each pair of nodes, as `network.link` says."""
    return tuple(Cable(a, b, common_link(setting)) for a, b in pairs)


def changed(link: LinkConfig, **values: object) -> LinkConfig:
    """The same link with other values, which are known to be right (in SI units)."""
    return link.model_copy(update=values)


def fixed(value: float | Varying, why: str, path: Sequence[str | int]) -> float:
    """`value` where it stays the same; raises `ScenarioError` at `path` where it changes but `why` forbids
    it.
    """
    if isinstance(value, int | float):
        return value
    raise ScenarioError.at(path, f"{why} needs a value that stays the same", expected="a plain quantity")


def with_bandwidths(cable: Cable, *, from_a: float | Varying | None, to_a: float | Varying | None) -> Cable:
    """The same cable with other bandwidths out of and into its end a, where they are given."""
    there, back = cable.link, cable.back or cable.link
    if from_a is not None:
        there = changed(there, bandwidth=from_a)
    if to_a is not None:
        back = changed(back, bandwidth=to_a)
    return replace(cable, link=there, back=back)
