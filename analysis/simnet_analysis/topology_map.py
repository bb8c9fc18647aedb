"""A map of a network: where its nodes are, what its links carry, and which of them are the narrow places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import cos, log10, pi, radians, sin
from typing import Any, Literal

import networkx as nx
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from simnet.results import ResultsError
from simnet.units import format_bandwidth
from simnet_analysis.style import PAGE_INCHES, legend_columns, paper_style

Role = Literal["worker", "host", "server", "switch"]
Point = tuple[float, float]

_BOTTLENECK = "#D55E00"
_LINK = "#7a8793"
_LOOKS: dict[Role, dict[str, Any]] = {  # Okabe and Ito's colours; shapes differ too
    "switch": {"marker": "s", "color": "#ffffff", "edgecolor": "#444444", "label": "switch"},
    "host": {"marker": "o", "color": "#d9dee3", "edgecolor": "#444444", "label": "host without a worker"},
    "worker": {"marker": "o", "color": "#0072B2", "edgecolor": "#ffffff", "label": "worker"},
    "server": {"marker": "^", "color": "#E69F00", "edgecolor": "#444444", "label": "server"},
}
_MOST_NAMES = 40


@dataclass(frozen=True, slots=True)
class MapNode:
    """A node: its name, what it is, and where it is, if that is known."""

    name: str
    role: Role
    position: Point | None = None


@dataclass(frozen=True, slots=True)
class MapLink:
    """A link, with its bandwidth in bytes per second, and whether it is one of the bottlenecks."""

    a: str
    b: str
    bandwidth: float
    bottleneck: bool = False


def topology_figure(
    nodes: Sequence[MapNode],
    links: Sequence[MapLink],
    *,
    geographic: bool = False,
    title: str = "",
    width: float = PAGE_INCHES,
) -> Figure:
    """Nodes and links; wider lines are links of more bandwidth, bottlenecks are red and dashed.

    Nodes stand where they are, if at least half of them (switches or hosts) are known to be somewhere: others
    stand beside their neighbours, and are drawn without filling. Otherwise they are laid out by their links.

    Args:
        nodes: All nodes.
        links: All links, each once.
        geographic: Whether positions are longitudes and latitudes.
        title: Above the figure.
        width: In inches.

    Raises:
        ResultsError: There is no node.
    """
    if not nodes:
        raise ResultsError("a network without nodes has no map")
    places, guessed = positions(nodes, links, geographic)
    on_map = bool(places) and geographic and _placed(nodes, links)
    with paper_style():
        low, high = _box(places.values())
        stretch = 1 / max(0.2, cos(radians((low[1] + high[1]) / 2))) if on_map else 1.0
        ratio = stretch * (high[1] - low[1]) / max(high[0] - low[0], 1e-9)
        height = width * min(1.0, max(0.42, ratio)) + 0.45
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        _dress(axes, on_map, stretch, low, high)
        _draw_links(axes, links, places)
        _draw_nodes(axes, nodes, places, guessed)
        _draw_names(figure, axes, nodes, places)
        _legend(figure, nodes, links, guessed)
        if title:
            axes.set_title(title, loc="left")
    return figure


def positions(
    nodes: Sequence[MapNode], links: Sequence[MapLink], geographic: bool
) -> tuple[dict[str, Point], frozenset[str]]:
    """Where every node is drawn, and which of them had no place of their own on a map of places."""
    graph: nx.Graph[str] = nx.Graph()
    graph.add_nodes_from(node.name for node in nodes)
    graph.add_edges_from((link.a, link.b) for link in links)
    if not _placed(nodes, links):
        return _laid_out(graph, nodes), frozenset()
    places: dict[str, Point] = {node.name: node.position for node in nodes if node.position is not None}
    low, high = _box(places.values())
    reach = 0.03 * max(high[0] - low[0], high[1] - low[1], 1e-9)
    lost = [node.name for node in nodes if node.name not in places]
    hosts_of_sites = {name for name in lost if graph.degree(name) == 1 and next(iter(graph[name])) in places}
    around: dict[Point, list[str]] = {}  # by place: several nodes may be at one
    for name in lost:
        if name in hosts_of_sites:
            around.setdefault(places[next(iter(graph[name]))], []).append(name)
    for (x, y), fan in around.items():
        for i, name in enumerate(fan):
            angle = 2 * pi * i / len(fan) + pi / 2
            places[name] = (x + reach * cos(angle), y + reach * sin(angle))
    rest = [name for name in lost if name not in places]
    for i, name in enumerate(rest):
        near = [places[other] for other in graph[name] if other in places] or [low]
        x, y = np.mean(near, axis=0)
        angle = 2 * pi * i * 0.618  # spread, so that nodes with the same neighbours do not coincide
        places[name] = (float(x + reach * cos(angle)), float(y + reach * sin(angle)))
    switches = {node.name for node in nodes if node.role == "switch"}
    fans_of_switches = {name for name in hosts_of_sites if next(iter(graph[name])) in switches}
    return places, frozenset(set(lost) - fans_of_switches - {n for n in rest if n.endswith(" gateway")})


def _placed(nodes: Sequence[MapNode], links: Sequence[MapLink]) -> bool:
    """Whether enough of the network is somewhere: half of its nodes, or of those in the middle of it."""
    degree: dict[str, int] = {}
    for link in links:
        for end in (link.a, link.b):
            degree[end] = degree.get(end, 0) + 1
    inner = [node for node in nodes if degree.get(node.name, 0) > 1] or list(nodes)
    return 2 * sum(node.position is not None for node in inner) >= len(inner)


def _laid_out(graph: nx.Graph, nodes: Sequence[MapNode]) -> dict[str, Point]:
    """A layout by links: a circle for stars, rings and meshes, the least stress where that can be had in
    time.
    """
    size, links = len(graph), graph.number_of_edges()
    if size == 1:
        return {next(iter(graph)): (0.0, 0.0)}
    degrees = dict(graph.degree)
    hub = max(degrees, key=lambda name: degrees[name])
    star = degrees[hub] == size - 1 == links
    regular = len(set(degrees.values())) == 1
    if star:
        leaves = [node.name for node in nodes if node.name != hub]
        return {hub: (0.0, 0.0), **_circle(leaves)}
    if regular and (links == size or links == size * (size - 1) // 2):
        return _circle([node.name for node in nodes])
    if nx.is_connected(graph) and links == size - 1:
        return _tree_layout(graph, nodes)
    if size <= 300:
        found = nx.kamada_kawai_layout(graph)
    else:
        found = nx.spring_layout(graph, seed=0, iterations=30, k=2 / size**0.5)
    return {str(name): (float(x), float(y)) for name, (x, y) in found.items()}


def _circle(names: Sequence[str]) -> dict[str, Point]:
    turn = 2 * pi / max(1, len(names))
    return {name: (sin(turn * i), cos(turn * i)) for i, name in enumerate(names)}


def _tree_layout(graph: nx.Graph, nodes: Sequence[MapNode]) -> dict[str, Point]:
    """Leaves in a row, in the order of nodes under their parents; what is above them in the middle."""
    root = nx.center(graph)[0]
    depth = nx.single_source_shortest_path_length(graph, root)
    order = {node.name: i for i, node in enumerate(nodes)}
    x: dict[str, float] = {}
    children = {
        name: sorted((n for n in graph[name] if depth[n] > depth[name]), key=order.__getitem__)
        for name in graph
    }
    leaves = 0
    for name in nx.dfs_postorder_nodes(
        graph, root, sort_neighbors=lambda near: sorted(near, key=order.__getitem__)
    ):
        if not children[name]:
            x[name], leaves = float(leaves), leaves + 1
        else:
            x[name] = float(np.mean([x[child] for child in children[name]]))
    rise = max(1, leaves - 1) / max(1, *depth.values()) * 0.5
    return {name: (x[name], -rise * depth[name]) for name in graph}


def _box(points: Any) -> tuple[Point, Point]:
    xs, ys = zip(*points, strict=True)
    return (min(xs), min(ys)), (max(xs), max(ys))


def _dress(axes: Axes, on_map: bool, stretch: float, low: Point, high: Point) -> None:
    axes.set_aspect(stretch, adjustable="datalim")
    axes.margins(0.1, 0.07)
    for spine in axes.spines.values():
        spine.set_visible(False)
    if on_map:
        axes.grid(visible=True)
        axes.tick_params(length=0, colors="#888888", labelcolor="#888888", labelsize=6.5)
        axes.xaxis.set_major_formatter(
            lambda value, _: f"{abs(value):g}°{'E' if value > 0 else 'W' if value < 0 else ''}"
        )
        axes.yaxis.set_major_formatter(
            lambda value, _: f"{abs(value):g}°{'N' if value > 0 else 'S' if value < 0 else ''}"
        )
    else:
        axes.grid(visible=False)
        axes.set_xticks([])
        axes.set_yticks([])


def _draw_links(axes: Axes, links: Sequence[MapLink], places: Mapping[str, Point]) -> None:
    if not links:
        return
    finite = [log10(link.bandwidth) for link in links if 0 < link.bandwidth < float("inf")]
    least, most = (min(finite), max(finite)) if finite else (0.0, 0.0)
    crowd = max(0.25, min(1.0, 90 / len(links)))

    def thickness(link: MapLink) -> float:
        if most - least < 0.05 or not 0 < link.bandwidth < float("inf"):
            return 0.9
        return 0.5 + 1.8 * (log10(link.bandwidth) - least) / (most - least)

    for marked in (False, True):
        drawn = [link for link in links if link.bottleneck is marked]
        if not drawn:
            continue
        axes.add_collection(
            LineCollection(
                [[places[link.a], places[link.b]] for link in drawn],
                linewidths=[thickness(link) + (0.9 if marked else 0.0) for link in drawn],
                colors=_BOTTLENECK if marked else _LINK,
                linestyles=[(0, (4, 1.5))] if marked else "solid",
                alpha=1.0 if marked else 0.25 + 0.6 * crowd,
                zorder=3 if marked else 2,
            )
        )
    axes.autoscale_view()


def _draw_nodes(
    axes: Axes, nodes: Sequence[MapNode], places: Mapping[str, Point], guessed: frozenset[str]
) -> None:
    size = max(5.0, min(44.0, 1600 / len(nodes)))
    for role, look in _LOOKS.items():
        for filled in (True, False):
            group = [
                node.name for node in nodes if node.role == role and (node.name not in guessed) is filled
            ]
            if group:
                xs, ys = zip(*(places[name] for name in group), strict=True)
                axes.scatter(
                    xs,
                    ys,
                    s=size * (1.3 if role in ("server", "switch") else 1.0),
                    marker=look["marker"],
                    facecolors=look["color"] if filled else "white",
                    edgecolors=look["edgecolor"]
                    if filled
                    else look["color"]
                    if role != "switch"
                    else "#444444",
                    linewidths=0.6 if filled else 1.0,
                    zorder=5,
                )


def _draw_names(figure: Figure, axes: Axes, nodes: Sequence[MapNode], places: Mapping[str, Point]) -> None:
    """Names where there is room: at one of eight places around a node that no other name or node covers."""
    named = [node for node in nodes if node.role in ("switch", "server") or len(nodes) <= _MOST_NAMES]
    if len(named) > _MOST_NAMES:
        return
    figure.draw_without_rendering()  # so that the layout, and with it the scale, is settled
    to_points = axes.transData.transform
    scale = 72 / figure.dpi
    spots = {node.name: to_points(places[node.name]) * scale for node in nodes}
    taken = [(x - 3, y - 3, x + 3, y + 3) for x, y in spots.values()]
    offsets = [(6, 0), (-6, 0), (0, 6), (0, -6), (5, 5), (5, -5), (-5, 5), (-5, -5)]
    for node in named:
        text = node.name if len(node.name) <= 22 else f"{node.name[:20]}…"
        x, y = spots[node.name]
        wide, tall = 3.6 * len(text), 7.0
        for dx, dy in offsets:
            left = x + dx - (wide if dx < 0 else wide / 2 if dx == 0 else 0)
            bottom = y + dy - (tall if dy < 0 else tall / 2 if dy == 0 else 0)
            box = (left, bottom, left + wide, bottom + tall)
            if not any(_overlap(box, other) for other in taken):
                taken.append(box)
                axes.annotate(
                    text,
                    places[node.name],
                    (dx, dy),
                    textcoords="offset points",
                    ha="right" if dx < 0 else "center" if dx == 0 else "left",
                    va="top" if dy < 0 else "center" if dy == 0 else "bottom",
                    fontsize=6.5,
                    color="#333333",
                    path_effects=[withStroke(linewidth=1.6, foreground="white")],
                    zorder=6,
                )
                break


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _legend(
    figure: Figure, nodes: Sequence[MapNode], links: Sequence[MapLink], guessed: frozenset[str]
) -> None:
    roles = {node.role for node in nodes}
    handles = [
        Line2D(
            [],
            [],
            linestyle="none",
            marker=look["marker"],
            markerfacecolor=look["color"],
            markeredgecolor=look["edgecolor"],
            markersize=5,
            label=look["label"],
        )
        for role, look in _LOOKS.items()
        if role in roles
    ]
    if guessed:
        handles.append(
            Line2D(
                [],
                [],
                linestyle="none",
                marker="o",
                markerfacecolor="white",
                markeredgecolor="#0072B2",
                markersize=5,
                label="place not known",
            )
        )
    rates = sorted({link.bandwidth for link in links})
    if rates:
        spread = format_bandwidth(rates[0])
        if rates[-1] > rates[0] * 1.12:
            spread += f" to {format_bandwidth(rates[-1])}, wider is more"
        handles.append(Line2D([], [], color=_LINK, linewidth=1.2, label=f"link: {spread}"))
    marked = [link.bandwidth for link in links if link.bottleneck]
    if marked:
        spread = format_bandwidth(min(marked))
        if max(marked) > min(marked) * 1.12:
            spread += f" to {format_bandwidth(max(marked))}"
        handles.append(
            Line2D(
                [],
                [],
                color=_BOTTLENECK,
                linewidth=1.8,
                linestyle=(0, (3, 1.2)),
                label=f"bottleneck: {spread}",
            )
        )
    columns = min(legend_columns([str(one.get_label()) for one in handles], figure.get_figwidth()), 4)
    figure.legend(handles=handles, loc="outside lower left", ncols=columns)
