"""Sites far apart: a matrix of round-trip times between them, and a LAN inside each."""

from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from simnet.network.files.graph import UnreadableError
from simnet.network.files.rtt import (
    RttMatrix,
    inline_rtt,
    read_rtt,
    read_shipped,
    shipped_names,
    uniform_rtt,
)
from simnet.network.shapes.links import PartialLink
from simnet.network.shapes.shape import (
    TOPOLOGY_PATH,
    Cable,
    Setting,
    Shape,
    TopologyKind,
    changed,
)
from simnet.scenario import LinkConfig, ScenarioError, nearest, one_of
from simnet.scenario.fields import Bandwidth, Number, PositiveInteger
from simnet.scenario.links import Efficiency, JitterConfig, Loss, Sharing
from simnet.scenario.prices import NotNegative
from simnet.units import Seconds, UnitError, seconds


class SiteConfig(BaseModel):
    """One site that is unlike the others."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    nodes: PositiveInteger = Field(description="Number of hosts.")
    lan: PartialLink = Field(PartialLink(), description="Its LAN, where it differs from `lan`.")
    egress: Bandwidth | None = Field(None, description="Its own `egress`.")
    longitude: Annotated[Number, Field(ge=-180, le=180)] | None = Field(
        None, description="Degrees east, for maps."
    )
    latitude: Annotated[Number, Field(ge=-90, le=90)] | None = Field(
        None, description="Degrees north, for maps."
    )

    @model_validator(mode="after")
    def _whole_place(self) -> Self:
        if (self.longitude is None) != (self.latitude is None):
            raise ScenarioError.at((), "half a place", expected="longitude and latitude, or neither")
        return self


class WanLink(BaseModel):
    """The link between two sites; its latency is the matrix's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bandwidth: Bandwidth | None = Field(
        None, description="Per direction and pair of sites; network.link's if not given."
    )
    sharing: Sharing | None = Field(None, description="shared or fatpipe; network.link's if not given.")
    efficiency: Efficiency | None = Field(
        None, description="Payload per byte on the line; network.link's if not given."
    )
    jitter: JitterConfig | None = Field(
        None, description="What is added to latencies; network.link's if not given."
    )
    loss: Loss | None = Field(None, description="Fraction of packets lost; network.link's if not given.")
    dollars_per_gb: NotNegative | None = Field(
        None, description="Price of a GB that leaves a site; network.link's if not given."
    )


Site = Annotated[
    Annotated[PositiveInteger, Tag("<number>")] | Annotated[SiteConfig, Tag("<properties>")],
    Discriminator(lambda value: "<properties>" if isinstance(value, dict | SiteConfig) else "<number>"),
]
Rtt = Annotated[
    Annotated[str, Tag("<name>"), Field(min_length=1)]
    | Annotated[dict[str, dict[str, Annotated[Seconds, Field(ge=0)]]], Tag("<matrix>")],
    Discriminator(lambda value: "<matrix>" if isinstance(value, dict) else "<name>"),
]
Sites = Annotated[
    Annotated[dict[str, Site], Tag("<numbers>"), Field(min_length=1)]
    | Annotated[tuple[str, ...], Tag("<names>"), Field(min_length=1)]
    | Annotated[PositiveInteger, Tag("<count>")],
    Discriminator(
        lambda value: (
            "<numbers>" if isinstance(value, dict) else "<count>" if isinstance(value, int) else "<names>"
        )
    ),
]
_RTT_PATH = (*TOPOLOGY_PATH, "rtt")


class Regions(TopologyKind):
    """Sites with a LAN each, and links between all of them with the latencies of a matrix of round-trip
    times.

    A message between sites takes its sender's LAN link, the link between the sites and its receiver's LAN
    link.
    """

    rtt: Rtt = Field(
        description="Round trips between sites: aws-21-regions (shipped), a CSV file beside the scenario, "
        "one time for all pairs (120 ms), or {a: {b: 80 ms, c: 90 ms}, b: {c: 20 ms}}."
    )
    sites: Sites | None = Field(
        None,
        description="Which sites, with their numbers of hosts: {a: 4, b: 2}; or names, over which workers "
        "are spread (one each where it is open); or with one time for all pairs a number. All of "
        "the matrix if not given.",
    )
    lan: PartialLink = Field(
        PartialLink(),
        description="The link of each host to its site's switch, where it differs from network.link.",
    )
    wan: WanLink = Field(
        WanLink(), description="The links between sites, where they differ from network.link."
    )
    egress: Bandwidth | None = Field(
        None,
        description="What all traffic out of a site shares, and all into it; no more than the links' own "
        "bandwidths if not given.",
    )
    unit: str = Field(
        "ms", description="For a CSV file: the unit of values that have none.", pattern="^(us|ms|s)$"
    )

    def shape(self, setting: Setting) -> Shape:
        """A switch per site, called like it; hosts `site-0`, `site-1`, ...; with `egress` a `site gateway`
        each.
        """
        matrix = self._matrix(setting)
        sites = self._sites(matrix, setting)
        of_matrix = {site: self._found(site, matrix) for site in sites}
        hosts: list[str] = []
        cables: list[Cable] = []
        for site, config in sites.items():
            path = (*TOPOLOGY_PATH, "lan")
            lan = config.lan.on(self.lan.on(setting.link, path), path)
            mine = [f"{site}-{i}" for i in range(config.nodes)]
            hosts += mine
            cables += [Cable(host, site, lan) for host in mine]
        gates, switches = {}, list(sites)
        for site, config in sites.items():
            egress = config.egress or self.egress
            gates[site] = site if egress is None else f"{site} gateway"
            if egress is not None:
                switches.append(gates[site])
                gate = changed(self._wan(setting), bandwidth=egress, latency=0.0, jitter=None, loss=0.0)
                cables.append(Cable(site, gates[site], gate))
        wan = self._wan(setting) if len(sites) > 1 else None
        for a, b in combinations(sites, 2):
            assert wan is not None
            there, back = (matrix.latency(of_matrix[x], of_matrix[y]) for x, y in ((a, b), (b, a)))
            if wan.duplex != "full":
                there = back = (there + back) / 2
            link = changed(wan, latency=there)
            cables.append(
                Cable(gates[a], gates[b], link, None if there == back else changed(wan, latency=back))
            )
        return Shape(
            tuple(hosts),
            tuple(switches),
            tuple(cables),
            access_links=True,
            routing="hops",
            positions=_places(sites, of_matrix, matrix),
            geographic=True,
            repairs=matrix.repairs,
            notes=matrix.notes,
        )

    def _matrix(self, setting: Setting) -> RttMatrix:
        try:
            if isinstance(self.rtt, Mapping):
                return inline_rtt(self.rtt)
            if self.rtt in shipped_names():
                return read_shipped(self.rtt)
            same = _time(self.rtt)
            if same is not None:
                return uniform_rtt(self._names(setting), same)
            file = (setting.folder or Path()) / self.rtt
            return read_rtt(file, self.unit)
        except UnreadableError as error:
            given = self.rtt if isinstance(self.rtt, str) else None
            what = f"{Path(given).name}: {error}" if given else str(error)
            raise ScenarioError.at(_RTT_PATH, what, **({"given": given} if given else {})) from None
        except OSError as error:
            raise ScenarioError.at(
                _RTT_PATH,
                f"neither a shipped matrix, nor a time, nor a file: {(error.strerror or str(error)).lower()}",
                given=self.rtt,
                expected=f"{one_of(shipped_names())}, a time such as 120 ms, or a CSV file",
                suggestion=nearest(str(self.rtt), shipped_names()),
            ) from None

    def _names(self, setting: Setting) -> list[str]:
        """The sites where only a time says how far apart they are."""
        if self.sites is None:
            raise ScenarioError.at(
                (*TOPOLOGY_PATH, "sites"),
                "missing key: one time for all pairs does not say which sites there are",
                expected="sites: 4, names of sites, or {a: 4, b: 2}",
            )
        return [f"site{i}" for i in range(self.sites)] if isinstance(self.sites, int) else list(self.sites)

    def _sites(self, matrix: RttMatrix, setting: Setting) -> dict[str, SiteConfig]:
        if isinstance(self.sites, Mapping):
            return {
                name: SiteConfig(nodes=site) if isinstance(site, int) else site
                for name, site in self.sites.items()
            }
        names = list(matrix.names if self.sites is None or isinstance(self.sites, int) else self.sites)
        if isinstance(self.sites, int) and self.sites != len(names):
            raise ScenarioError.at(
                (*TOPOLOGY_PATH, "sites"),
                f"a number, but the matrix has {len(names)} sites with names",
                given=self.sites,
                expected="their names, or {name: number of hosts}",
            )
        if setting.workers is None:
            return {name: SiteConfig(nodes=1) for name in names}
        workers = setting.workers
        if workers < len(names):
            raise ScenarioError.at(
                (*TOPOLOGY_PATH, "sites"),
                f"{workers} workers for {len(names)} sites",
                expected=f"at most {workers} sites (of {', '.join(names[:6])}, ...), or more workers",
            )
        each, more = divmod(workers, len(names))
        return {name: SiteConfig(nodes=each + (i < more)) for i, name in enumerate(names)}

    def _found(self, site: str, matrix: RttMatrix) -> str:
        """The matrix's name of a site, which may be given by its last word: `EU (Paris) eu-west-3`."""
        if site in matrix.names:
            return site
        matches = [name for name in matrix.names if name.split()[-1] == site]
        if len(matches) == 1:
            return matches[0]
        names = list(matrix.names)
        raise ScenarioError.at(
            (*TOPOLOGY_PATH, "sites", site) if isinstance(self.sites, Mapping) else (*TOPOLOGY_PATH, "sites"),
            "the matrix has no such site" if not matches else f"the matrix has several: {', '.join(matches)}",
            given=site,
            expected=one_of(names),
            suggestion=nearest(site, names),
        )

    def _wan(self, setting: Setting) -> LinkConfig:
        own = {name: getattr(self.wan, name) for name in WanLink.model_fields}
        own = {name: value for name, value in own.items() if value is not None}
        if setting.link is not None:
            return changed(setting.link, **own)
        if "bandwidth" not in own:
            raise ScenarioError.at(
                (*TOPOLOGY_PATH, "wan", "bandwidth"),
                "missing key",
                expected="bandwidth here or in network.link",
            )
        return LinkConfig.model_construct(latency=0.0, **own)


def _time(text: str) -> float | None:
    try:
        return seconds(text)
    except UnitError:
        return None


def _places(
    sites: Mapping[str, SiteConfig], of_matrix: Mapping[str, str], matrix: RttMatrix
) -> dict[str, tuple[float, float]]:
    """Where sites are, as far as known; their hosts are there too, and maps draw them around the site."""
    places = {}
    for site, config in sites.items():
        known = matrix.places.get(of_matrix[site])
        if config.longitude is not None and config.latitude is not None:
            known = (config.longitude, config.latitude)
        if known is not None:
            places[site] = known
    return places
