"""Networks that are drawn at random, from the scenario's seed or one of their own."""

from abc import abstractmethod
from collections.abc import Sequence
from math import dist, hypot
from typing import Annotated, ClassVar

import networkx as nx
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from simnet.network.shapes.shape import (
    SECONDS_PER_KM,
    TOPOLOGY_PATH,
    Cable,
    Counted,
    Setting,
    Shape,
    changed,
    common_link,
    fixed,
)
from simnet.scenario import ScenarioError
from simnet.scenario.fields import Integer, Number, Positive, PositiveInteger
from simnet.streams import Streams

Pairs = list[tuple[int, int]]
Points = NDArray[np.float64]
Probability = Annotated[Number, Field(ge=0, le=1)]


class RandomGraph(Counted):
    """A kind that draws its links."""

    densify: ClassVar[str]
    """Which option to change, and how, where the draw is in pieces."""

    seed: Annotated[Integer, Field(ge=0)] | None = Field(
        None, description="Seed of the draw; the scenario's if not given."
    )
    connect: bool = Field(
        False,
        description="Whether to join the pieces of a draw that is not connected, by the shortest links (by "
        "links of the first nodes of each where nodes have no place), with a warning; an error if not.",
    )

    def shape(self, setting: Setting) -> Shape:
        """Hosts n0, n1, ... and the links drawn between them."""
        link = common_link(setting)
        hosts = self.hosts(setting)
        seed = setting.seed if self.seed is None else self.seed
        pairs, points = self.draw(len(hosts), seed)
        joined = self._joins(len(hosts), pairs, points)
        repairs: tuple[str, ...] = ()
        if joined:
            listed = ", ".join(f"{hosts[a]}-{hosts[b]}" for a, b in joined[:5])
            more = f" and {len(joined) - 5} more" if len(joined) > 5 else ""
            repairs = (f"the draw was in {len(joined) + 1} pieces: joined them by {listed}{more}",)
        cables = tuple(Cable(hosts[a], hosts[b], link) for a, b in sorted([*pairs, *joined]))
        positions = (
            {} if points is None else {hosts[i]: (float(x), float(y)) for i, (x, y) in enumerate(points)}
        )
        return Shape(hosts, (), cables, spare_hosts=True, positions=positions, repairs=repairs)

    @abstractmethod
    def draw(self, count: int, seed: int) -> tuple[Pairs, Points | None]:
        """The links between nodes 0 to count - 1, each once, and where these are if they are anywhere."""

    def _joins(self, count: int, pairs: Pairs, points: Points | None) -> Pairs:
        """The links that join all pieces to the largest one, one each."""
        graph: nx.Graph[int] = nx.Graph()
        graph.add_nodes_from(range(count))
        graph.add_edges_from(pairs)
        pieces = sorted(
            (sorted(piece) for piece in nx.connected_components(graph)), key=lambda p: (-len(p), p)
        )
        if len(pieces) == 1:
            return []
        if not self.connect:
            sizes = ", ".join(str(len(piece)) for piece in pieces[:8]) + (", ..." if len(pieces) > 8 else "")
            raise ScenarioError.at(
                TOPOLOGY_PATH,
                f"the network is in pieces: the draw has {len(pieces)}, of {sizes} nodes",
                expected=f"{self.densify}, another seed, or connect: true to join them",
            )
        return _spanning(pieces, points)


class _Placed(RandomGraph):
    """Hosts at random places in a square."""

    side_km: Annotated[Number, Positive] | None = Field(
        None,
        description="Side of the square in km: a link's latency is then network.link's (its equipment) plus "
        "its length x detour at 200 km per ms. Without it the square is of side 1 and length costs nothing.",
    )
    detour: Annotated[Number, Field(ge=1)] | None = Field(
        None, description="How much longer cables are than the straight line, with side_km; 1.4 if not given."
    )

    def shape(self, setting: Setting) -> Shape:
        """Hosts n0, n1, ... at random places, linked by chance or by nearness."""
        shape = super().shape(setting)
        if self.side_km is None:
            if self.detour is not None:
                raise ScenarioError.at(
                    (*TOPOLOGY_PATH, "detour"), "given without `side_km`", expected="side_km beside it"
                )
            return shape
        side, detour = self.side_km, 1.4 if self.detour is None else self.detour
        positions = {host: (side * x, side * y) for host, (x, y) in shape.positions.items()}
        base = fixed(common_link(setting).latency, "side_km", ("network", "link", "latency"))
        cables = []
        for cable in shape.cables:
            km = detour * dist(positions[cable.a], positions[cable.b])
            longer = changed(cable.link, latency=base + km * SECONDS_PER_KM)
            cables.append(Cable(cable.a, cable.b, longer))
        return Shape(
            shape.hosts, (), tuple(cables), spare_hosts=True, positions=positions, repairs=shape.repairs
        )


class ErdosRenyi(RandomGraph):
    """Every two hosts are linked with probability p, independently (Erdos and Renyi, 1959; Gilbert, 1959)."""

    densify = "a larger p (connected draws are likely above ln(n) / n)"

    p: Probability = Field(description="Probability of each link.")

    def draw(self, count: int, seed: int) -> tuple[Pairs, None]:
        """About p n (n-1) / 2 links."""
        return list(nx.fast_gnp_random_graph(count, self.p, seed=seed).edges), None


class BarabasiAlbert(RandomGraph):
    """Hosts join one by one and link to m others, rather well-linked ones (Barabasi and Albert, 1999)."""

    densify = "a larger m"

    m: PositiveInteger = Field(2, description="Links that each new host brings; fewer than hosts.")

    def draw(self, count: int, seed: int) -> tuple[Pairs, None]:
        """m (n - m) links; always connected."""
        _below(self.m, count, "m")
        return list(nx.barabasi_albert_graph(count, self.m, seed=seed).edges), None


class SmallWorld(RandomGraph):
    """A ring with links to the k nearest hosts, a fraction p of them rewired (Watts and Strogatz, 1998)."""

    densify = "a larger k or a smaller p"

    k: PositiveInteger = Field(4, description="Nearest hosts that each one is linked to: an even number.")
    p: Probability = Field(0.1, description="Probability that a link is moved to a random host.")

    def draw(self, count: int, seed: int) -> tuple[Pairs, None]:
        """n k / 2 links."""
        if self.k % 2:
            raise ScenarioError.at(
                (*TOPOLOGY_PATH, "k"), "an odd number", given=self.k, expected="an even one"
            )
        _below(self.k, count, "k")
        return list(nx.watts_strogatz_graph(count, self.k, self.p, seed=seed).edges), None


class RandomGeometric(_Placed):
    """Hosts at random places in a square, linked where they are at most `radius` apart (Gilbert, 1961)."""

    densify = "a larger radius (connected draws are likely above sqrt(ln(n) / (pi n)))"

    radius: Annotated[Number, Field(gt=0, le=2**0.5)] = Field(
        description="Reach of a host, as a fraction of the square's side."
    )

    def draw(self, count: int, seed: int) -> tuple[Pairs, Points]:
        """About pi radius^2 n^2 / 2 links, fewer for the hosts near the edge."""
        from scipy.spatial import cKDTree

        points = _places("random-geometric", count, seed)
        found = cKDTree(points).query_pairs(self.radius, output_type="ndarray")
        return [(int(a), int(b)) for a, b in found], points


class Waxman(_Placed):
    """Hosts at random places, linked with probability beta exp(-d / (alpha L)) (Waxman, 1988).

    d is the distance of two hosts, L the largest distance in the square, its diagonal.
    """

    densify = "a larger beta or alpha"

    beta: Annotated[Number, Field(gt=0, le=1)] = Field(
        0.4, description="Probability of a link between hosts at one place: how many links there are."
    )
    alpha: Annotated[Number, Positive] = Field(
        0.15, description="How fast that falls with distance: larger values make more long links."
    )

    def draw(self, count: int, seed: int) -> tuple[Pairs, Points]:
        """Every pair of hosts is drawn for."""
        points = _places("waxman", count, seed)
        luck = Streams(seed).generator("topology", "waxman", "links")
        pairs: Pairs = []
        for i in range(count - 1):
            away = np.hypot(*(points[i + 1 :] - points[i]).T)
            linked = luck.random(count - 1 - i) < self.beta * np.exp(-away / (self.alpha * hypot(1, 1)))
            pairs += [(i, i + 1 + int(j)) for j in np.flatnonzero(linked)]
        return pairs, points


def _places(kind: str, count: int, seed: int) -> Points:
    """Uniform in the unit square."""
    return Streams(seed).generator("topology", kind, "places").random((count, 2))


def _below(value: int, count: int, key: str) -> None:
    if value >= count:
        raise ScenarioError.at(
            (*TOPOLOGY_PATH, key),
            f"not below the number of hosts, {count}",
            given=value,
            expected=f"at most {count - 1}" if count > 1 else "more hosts",
        )


def _spanning(pieces: Sequence[Sequence[int]], points: Points | None) -> Pairs:
    """One link for each piece but the first, which grows by the piece nearest to it each time."""
    if points is None:
        return [(min(pieces[0][0], piece[0]), max(pieces[0][0], piece[0])) for piece in pieces[1:]]
    from scipy.spatial import cKDTree

    grown, waiting = list(pieces[0]), [list(piece) for piece in pieces[1:]]
    links: Pairs = []
    while waiting:
        tree = cKDTree(points[grown])
        best: tuple[float, int, int, int] | None = None
        for index, piece in enumerate(waiting):
            away, nearest = tree.query(points[piece])
            closest = int(np.argmin(away))
            candidate = (float(away[closest]), index, grown[int(nearest[closest])], piece[closest])
            best = candidate if best is None else min(best, candidate)
        assert best is not None
        _, index, inside, outside = best
        links.append((min(inside, outside), max(inside, outside)))
        grown += waiting.pop(index)
    return links
