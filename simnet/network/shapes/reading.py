"""What the attributes of a graph file say about its links, and what the scenario has to add."""

from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import Literal

from simnet.network.files.geography import great_circle_km
from simnet.network.shapes.mended import Attributes, Edges, MendedGraph, listed
from simnet.network.shapes.shape import SECONDS_PER_KM, TOPOLOGY_PATH, changed
from simnet.scenario import LinkConfig, ScenarioError, Varying
from simnet.units import UnitError, bytes_per_second, format_bandwidth, format_seconds, seconds

_LATITUDES = ("latitude", "lat")
_LONGITUDES = ("longitude", "lon", "lng", "long")
_LINK_PATH = ("network", "link")


class Reading:
    """Reads links one by one, and remembers what was missing or odd."""

    def __init__(
        self,
        graph: MendedGraph,
        link: LinkConfig | None,
        detour: float,
        parallel: Literal["add", "one"],
        file: str,
    ) -> None:
        self._link, self._detour, self._parallel, self._file = link, detour, parallel, file
        self._links = len(graph.between)
        self._without_speed: list[str] = []
        self._without_latency: list[str] = []
        self._several: list[str] = []
        self._measured = 0
        self._odd: list[str] = []
        self.positions: dict[str, tuple[float, float]] = {}
        """Where nodes are: (longitude, latitude) in degrees."""
        self._nowhere: list[str] = []
        for name, attributes in graph.nodes.items():
            place = self._place(name, attributes)
            if place is None:
                self._nowhere.append(name)
            else:
                self.positions[name] = place

    def ways(self, edges: Edges) -> tuple[LinkConfig, LinkConfig | None]:
        """What the link is like there and back; None where both ways are alike."""
        there = self._merged(edges, edges.there)
        if edges.simplex:
            return changed(there, duplex="simplex"), None
        back = self._merged(edges, edges.back) if edges.back else there
        return there, None if back == there else back

    def repairs(self) -> list[str]:
        """What was mended, or assumed for some of the links."""
        made = [f"{self._file}: {odd}" for odd in self._odd]
        if self._several:
            how = "bandwidths added, least latency" if self._parallel == "add" else "the first kept"
            made.append(
                f"{self._file}: several links between two nodes made one ({how}): {listed(self._several)}"
            )
        if 0 < len(self._without_speed) < self._links:
            made.append(self._default("speed", self._without_speed, format_bandwidth, "bandwidth"))
        if 0 < len(self._without_latency) < self._links:
            made.append(
                self._default(
                    "latency (and no coordinates at both ends)",
                    self._without_latency,
                    format_seconds,
                    "latency",
                )
            )
        return made

    def notes(self) -> list[str]:
        """What was assumed for all of the links."""
        made = []
        if self._links and len(self._without_speed) >= self._links:
            made.append(self._default("speed", self._without_speed, format_bandwidth, "bandwidth"))
        if self._links and len(self._without_latency) >= self._links:
            made.append(
                self._default(
                    "latency (and no coordinates at both ends)",
                    self._without_latency,
                    format_seconds,
                    "latency",
                )
            )
        if self._measured:
            made.append(
                f"{self._file}: latencies of {self._measured} links from coordinates: great circle x "
                f"{self._detour:g}, 200 km per ms"
            )
        return made

    def _default(self, what: str, links: Sequence[str], shown: Callable[[float], str], key: str) -> str:
        value = getattr(self._link, key)
        text = shown(value) if isinstance(value, int | float) else "as it varies"
        which = (
            "no link has a" if len(links) >= self._links else f"{len(links)} of {self._links} links have no"
        )
        named = "" if len(links) >= self._links else f": {listed(links)}"
        return f"{self._file}: {which} {what}: network.link.{key} ({text}) is theirs{named}"

    def _merged(self, edges: Edges, group: Sequence[Attributes]) -> LinkConfig:
        name = f"{edges.a}-{edges.b}"
        if len(group) > 1:
            self._several.append(name)
            if self._parallel == "one":
                group = group[:1]
        speeds = [self._speed(name, attributes) for attributes in group]
        if None in speeds:
            self._note(self._without_speed, name)
        latencies = [self._latency(name, attributes) for attributes in group]
        latency: float | Varying | None = min((time for time in latencies if time is not None), default=None)
        if latency is None and edges.a in self.positions and edges.b in self.positions:
            km = great_circle_km(self.positions[edges.a], self.positions[edges.b])
            latency = km * self._detour * SECONDS_PER_KM
            self._measured += 1
        if latency is None:
            self._note(self._without_latency, name)
            latency = self._fallback("latency", name, edges)
        rates = [self._fallback("bandwidth", name, edges) if speed is None else speed for speed in speeds]
        bandwidth: float | Varying = rates[0]
        if len(rates) > 1:
            if not all(isinstance(rate, int | float) for rate in rates):
                raise ScenarioError.at(
                    (*_LINK_PATH, "bandwidth"),
                    f"{self._file} has several links {name}, and bandwidths that change cannot be added",
                    expected="a plain quantity, or parallel: one",
                )
            bandwidth = sum(rate for rate in rates if isinstance(rate, int | float))
        if self._link is None:
            return LinkConfig.model_construct(bandwidth=bandwidth, latency=latency)  # type: ignore[arg-type]
        return changed(self._link, bandwidth=bandwidth, latency=latency)

    @staticmethod
    def _note(names: list[str], name: str) -> None:
        if name not in names[-1:]:
            names.append(name)

    def _fallback(self, key: Literal["bandwidth", "latency"], name: str, edges: Edges) -> float | Varying:
        if self._link is None:
            nowhere = [end for end in (edges.a, edges.b) if end not in self.positions]
            why = f", and no coordinates of {' and '.join(nowhere)}" if key == "latency" else ""
            raise ScenarioError.at(
                _LINK_PATH,
                f"missing key: {self._file} has no {key} for the link {name}{why}",
                expected="link: {bandwidth: 10 Gbps, latency: 5 ms}, for what the file does not say",
            )
        value: float | Varying = getattr(self._link, key)
        return value

    def _speed(self, name: str, attributes: Attributes) -> float | None:
        if "bandwidth" in attributes:
            return self._quantity(name, "bandwidth", attributes["bandwidth"], bytes_per_second, "10 Gbps")
        raw = attributes.get("LinkSpeedRaw")
        if raw is None:
            return None
        speed = _number(raw)
        if speed is None or speed <= 0:
            self._odd.append(f"the LinkSpeedRaw of {name} is no speed and not used: {raw}")
            return None
        return speed / 8

    def _latency(self, name: str, attributes: Attributes) -> float | None:
        if "latency" not in attributes:
            return None
        return self._quantity(name, "latency", attributes["latency"], seconds, "12 ms")

    def _quantity(
        self, name: str, key: str, value: object, parse: Callable[[object], float], example: str
    ) -> float:
        try:
            found = parse(value)
        except UnitError:
            found = -1.0
        if found < 0 or (key == "bandwidth" and found == 0) or not isfinite(found):
            raise ScenarioError.at(
                (*TOPOLOGY_PATH, "path"),
                f"{self._file}: the {key} of the link {name} is no {key} with a unit: {value}",
                expected=f"text such as {example} in the file",
            )
        return found

    def _place(self, name: str, attributes: Mapping[str, object]) -> tuple[float, float] | None:
        folded = {key.lower(): value for key, value in attributes.items()}
        east, north = (
            next((folded[key] for key in keys if key in folded), None) for keys in (_LONGITUDES, _LATITUDES)
        )
        if east is None and north is None:
            return None
        longitude, latitude = _number(east), _number(north)
        if longitude is None or latitude is None or abs(longitude) > 180 or abs(latitude) > 90:
            self._odd.append(
                f"the coordinates of {name} are no place and not used: longitude {east}, latitude {north}"
            )
            return None
        return longitude, latitude


def _number(value: object) -> float | None:
    try:
        number = float(value)  # type: ignore[arg-type]  # what it does not take is no number
    except (TypeError, ValueError):
        return None
    return number if isfinite(number) else None
