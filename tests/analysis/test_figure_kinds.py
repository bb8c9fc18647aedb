"""Every kind of figure from real runs: it draws, its axes say what they are, no text is cut or covered."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

import simnet
from simnet.results import Run
from simnet.scenario import Scenario
from simnet_analysis.breakdown import shares
from simnet_analysis.kinds import KINDS, OPTIONS
from simnet_analysis.run_map import run_map
from simnet_analysis.timeline import sendings

COSTS = {"dollars_per_hour": 2.0, "idle_watts": 50.0, "busy_watts": 150.0}
METHODS: list[dict[str, Any]] = [
    {"name": "allreduce"},
    {"name": "local-sgd", "local_steps": 2},
    {"name": "fedbuff", "local_steps": 2},
    {"name": "d-psgd"},
]


@pytest.fixture(scope="module")
def runs(small: Callable[..., dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """Four methods over two bandwidths, two latencies and two seeds."""
    folder = tmp_path_factory.mktemp("results")
    found = []
    for bandwidth in ("10 Mbps", "1 Gbps"):
        for latency in ("1 ms", "100 ms"):
            for seed in (0, 1):
                changes = {
                    "seed": seed,
                    "network.link": {"bandwidth": bandwidth, "latency": latency, "dollars_per_gb": 0.1},
                    "workers": [{"device": "cpu", "costs": COSTS}],
                    "server": {"costs": COSTS},
                    "task.charge_as": {"parameters": "100k"},
                    "algorithms": METHODS,
                }
                found += simnet.run(Scenario.model_validate(small(changes)), folder)
    return found


@pytest.fixture(scope="module")
def one_setting(runs: list[Run]) -> list[Run]:
    link = {"bandwidth": "10 Mbit/s", "latency": "1 ms"}
    return [run for run in runs if link.items() <= run.scenario["network"]["link"].items()]


@pytest.fixture(scope="module")
def scaled(small: Callable[..., dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    folder = tmp_path_factory.mktemp("results")
    found = []
    for workers in (2, 4, 8):
        topology = {"kind": "star", "nodes": workers}
        changes = {"algorithms": METHODS[:2], "network.topology": topology}
        found += simnet.run(Scenario.model_validate(small(changes)), folder)
    return found


@pytest.fixture(scope="module")
def stormy(small: Callable[..., dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """A crash, checkpoints, a broken link and a slow host."""
    faults = {
        "churn": {"kind": "crash", "node": "n1", "at": "2.5 s", "down": "1 s"},
        "links": {"kind": "down", "link": "n0", "at": "1 s", "for": "1 s"},
        "stragglers": {"kind": "scheduled", "nodes": ["n2"], "factor": 2, "at": "1 s", "for": "2 s"},
        "checkpoint": {
            "interval": "1 s",
            "size": "100 MB",
            "storage_bandwidth": "1 GB/s",
            "device_to_host": "10 GB/s",
            "restart_time": "500 ms",
            "on_failure": "restart",
        },
    }
    task = {"name": "synthetic", "parameters": "1M", "step_seconds": "200 ms"}
    changes = {"faults": faults, "task": task, "algorithms": METHODS[:2], "stop": {"steps": 20}}
    return simnet.run(Scenario.model_validate(small(changes)), tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="module")
def attacked(small: Callable[..., dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """Two attacks against the mean and the median."""
    methods = [{"name": "allreduce"}, {"name": "robust-allreduce", "aggregation": "median"}]
    folder = tmp_path_factory.mktemp("results")
    found = []
    for attack in ("zero", {"name": "sign-flip", "scale": 4}):
        changes = {"faults.byzantine": {"attack": attack, "count": 1}, "algorithms": methods}
        found += simnet.run(Scenario.model_validate(small(changes)), folder)
    return found


RUNS = {
    **dict.fromkeys(("speedup", "heatmap"), "runs"),
    "scaling": "scaled",
    **dict.fromkeys(("goodput", "availability", "faults"), "stormy"),
    "attacks": "attacked",
}
"""Which runs a kind is drawn of; of those in one setting if it is not here."""


def drawn(kind: str, request: pytest.FixtureRequest, **options: Any) -> Figure:
    given = request.getfixturevalue(RUNS.get(kind, "one_setting"))
    if kind == "speedup":
        given = [run for run in given if run.scenario["network"]["link"]["latency"] == "1 ms"]
    if kind == "consensus":
        given = [run for run in given if run.label == "d-psgd"]
    if kind == "heatmap":
        options = {"x": "network.link.bandwidth", "y": "network.link.latency", **options}
    figure: Figure = KINDS[kind].function(given[-2] if KINDS[kind].each else given, **options)
    return figure


@pytest.mark.parametrize("width", ["column", "page"])
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_it_draws_at_both_widths_and_nothing_is_cut(
    kind: str, width: str, request: pytest.FixtureRequest
) -> None:
    figure = drawn(kind, request, width=width)
    assert figure.get_figwidth() == {"column": 3.3, "page": 7.16}[width]
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    page = figure.bbox
    labels = [a.label for axes in figure.axes for a in (axes.xaxis, axes.yaxis)]
    texts = [text for legend in figure.legends for text in legend.get_texts()]
    texts += [axes.title for axes in figure.axes] + [axes._left_title for axes in figure.axes]  # type: ignore[attr-defined]
    for text in [*labels, *texts]:
        if not text.get_text() or not text.get_visible():
            continue
        box = text.get_window_extent(renderer)
        assert box.x0 >= page.x0 - 1, text
        assert box.x1 <= page.x1 + 1, text
        assert box.y0 >= page.y0 - 1, text
        assert box.y1 <= page.y1 + 1, text
    boxes = [text.get_window_extent(renderer) for text in texts if text.get_text()]
    for i, one in enumerate(boxes):
        assert not any(one.overlaps(other) for other in boxes[:i])


UNITS = {
    "curves": ["virtual time (s)", "local steps (mean per worker)", "data sent, all workers (MB)"],
    "target": ["virtual time (s)\nto loss"],
    "speedup": ["bandwidth of a link (Mbit/s)", "times faster\nthan allreduce"],
    "heatmap": ["bandwidth of a link (Mbit/s)", "latency of a link (ms)"],
    "pareto": ["data sent, all workers", "virtual time"],
    "scaling": ["workers", "steps per second"],
    "utilization": ["share of the workers' time (%)"],
    "staleness": ["staleness (updates)", "share of updates (%)"],
    "consensus": ["consensus distance", "virtual time"],
    "attacks": ["attack", "final accuracy (%)"],
    "goodput": ["share of the workers' time"],
    "availability": ["time up"],
    "faults": ["virtual time (s)", "steps that count"],
    "timeline": ["virtual time (s)"],
    "links": ["virtual time (s)", "use of the link (%)"],
    "map": [],
}


@pytest.mark.parametrize("kind", sorted(UNITS))
def test_axes_say_what_they_are(kind: str, request: pytest.FixtureRequest) -> None:
    figure = drawn(kind, request, width="column")
    said = [axis.get_label_text() for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)]
    for label in UNITS[kind]:
        assert any(label in one for one in said), (label, said)


def test_every_kind_is_tried_here_and_explains_itself() -> None:
    assert set(UNITS) == set(KINDS)
    for name, kind in KINDS.items():
        assert kind.function.__doc__, name
        assert "width" in kind.options, name
        assert set(kind.options) <= set(OPTIONS)


def test_costs_are_axes_and_targets(request: pytest.FixtureRequest) -> None:
    figure = drawn("curves", request, axes=["dollars", "kwh"], width="page")
    assert [axes.get_xlabel() for axes in figure.axes] == [
        "cost of the run (dollars)",
        "energy of the machines (kWh)",
    ]
    bars = drawn("target", request, of="dollars")
    assert any(text.get_text().startswith("$") for text in bars.findobj(Text) if isinstance(text, Text))


def test_colours_of_a_method_are_its_own_in_every_figure(request: pytest.FixtureRequest) -> None:
    from matplotlib.colors import to_hex

    from simnet_analysis.style import SHIPPED

    for kind in ("curves", "speedup", "pareto"):
        figure = drawn(kind, request)
        (legend,) = figure.legends
        for handle, text in zip(legend.legend_handles, legend.get_texts(), strict=True):
            name = text.get_text().split(",")[0]
            if name in SHIPPED:
                color = handle.get_markeredgecolor() if kind == "pareto" else handle.get_color()  # type: ignore[union-attr]
                assert to_hex(color).upper() == SHIPPED[name].color


def test_shares_add_up_and_computing_is_the_utilization(one_setting: list[Run]) -> None:
    for run in one_setting:
        found = shares(run)
        assert found.computing + found.sending + found.waiting + found.idle == pytest.approx(1.0)
        assert min(found.computing, found.sending, found.waiting, found.idle) >= -1e-12
        assert found.computing == pytest.approx(run.manifest.utilization, rel=1e-6)


def test_a_node_sends_from_start_to_left(one_setting: list[Run]) -> None:
    run = next(run for run in one_setting if run.label == "fedbuff")
    end = run.manifest.virtual_seconds
    found = sendings(run, ["n0", "server"], (0.0, end))
    for node, parts in found.items():
        own = run.transfers[run.transfers["source"] == node]
        until = own["left"].fillna(end)
        seconds = sum(b - a for a, b in parts)
        assert 0 < seconds <= (until - own["start"]).sum() + 1e-9
        assert all(a < b for a, b in parts)


def test_the_map_has_the_links_that_carried_and_marks_the_worst(one_setting: list[Run]) -> None:
    run = next(run for run in one_setting if run.label == "fedbuff")
    found = run_map(run)
    assert {node.name: node.role for node in found.nodes} == {
        "hub": "switch", "server": "server", **{f"n{i}": "worker" for i in range(4)},
    }  # fmt: skip
    assert len(found.links) == 5
    marked = [link for link in found.links if link.bottleneck]
    assert {link.a for link in marked} | {link.b for link in marked} >= {run.bottleneck().split("->")[0]}
    assert all(link.bandwidth == pytest.approx(1.25e6) for link in found.links)


def test_saving_makes_every_format(one_setting: list[Run], tmp_path: Path) -> None:
    from simnet_analysis import save_figure

    figure = KINDS["target"].function(one_setting)
    paths = save_figure(figure, tmp_path / "target", ("png", "pdf", "svg"))
    assert [path.read_bytes()[:4] for path in paths][:2] == [b"\x89PNG", b"%PDF"]
    assert b"<svg" in paths[2].read_bytes()
