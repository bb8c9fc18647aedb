import math

import pytest

from simnet.results import ResultsError
from simnet_analysis import MapLink, MapNode, save_figure, topology_figure
from simnet_analysis.topology_map import positions


def nodes(*names, **places):
    return [MapNode(name, "switch" if name == "hub" else "worker", places.get(name)) for name in names]


def test_nodes_stand_where_they_are():
    found, guessed = positions(nodes("a", "b", a=(10, 50), b=(11, 52)), [MapLink("a", "b", 1e6)], True)
    assert found == {"a": (10, 50), "b": (11, 52)}
    assert guessed == frozenset()


def test_a_node_without_a_place_stands_beside_its_neighbour_and_shows_it():
    known = nodes("a", "b", "c", "d", a=(0, 0), b=(10, 0), c=(5, 10))
    links = [MapLink("a", "b", 1), MapLink("b", "c", 1), MapLink("c", "a", 1), MapLink("d", "c", 1)]
    found, guessed = positions(known, links, True)
    assert guessed == {"d"}
    assert 0 < math.dist(found["d"], (5, 10)) < 1


def test_nodes_beside_one_place_do_not_cover_each_other():
    links = [MapLink("a", "hub", 1), MapLink("b", "hub", 1), MapLink("hub", "far", 1), MapLink("c", "far", 1)]
    found, guessed = positions(nodes("hub", "far", "a", "b", "c", hub=(0, 0), far=(9, 9)), links, True)
    assert guessed == {"c"}  # hosts of a site's switch are where the site is
    assert len(set(found.values())) == 5


@pytest.mark.parametrize("shape", ["star", "ring", "tree", "mesh", "other"])
def test_without_places_nodes_are_laid_out_apart(shape):
    names = [f"n{i}" for i in range(7)]
    pairs = {
        "star": [(names[0], other) for other in names[1:]],
        "ring": [(names[i], names[i - 1]) for i in range(7)],
        "tree": [(names[i], names[(i - 1) // 2]) for i in range(1, 7)],
        "mesh": [(a, b) for a in names for b in names if a < b],
        "other": [(names[i], names[i - 1]) for i in range(7)] + [(names[0], names[3])],
    }[shape]
    found, _ = positions(nodes(*names), [MapLink(a, b, 1) for a, b in pairs], False)
    distances = [math.dist(found[a], found[b]) for a in names for b in names if a < b]
    assert min(distances) > 0.05 * max(distances)


def test_a_figure_of_everything(tmp_path):
    known = [
        *nodes("a", "b", "hub", a=(-122, 47), b=(-74, 40), hub=(-90, 35)),
        MapNode("s", "server"),
        MapNode("h", "host"),
    ]
    links = [
        MapLink("a", "hub", 1e9),
        MapLink("b", "hub", 1e6, bottleneck=True),
        MapLink("s", "a", 1e8),
        MapLink("h", "b", 1e8),
    ]
    figure = topology_figure(known, links, geographic=True, title="net")
    texts = {text.get_text() for text in figure.axes[0].texts}
    assert {"a", "b", "hub"} <= texts
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "bottleneck: 8 Mbit/s" in legend
    assert "link: 8 Mbit/s to 8 Gbit/s, wider is more" in legend
    first, second = (
        save_figure(topology_figure(known, links, geographic=True), tmp_path / name) for name in "xy"
    )
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_one_node_or_none():
    topology_figure([MapNode("a", "worker")], [])
    with pytest.raises(ResultsError, match="no map"):
        topology_figure([], [])
