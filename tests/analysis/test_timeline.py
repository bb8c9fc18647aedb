"""The timeline draws what nodes recorded: a bar per span, in its row, at its time."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from simnet.results import Manifest, Recorder, ResultsError, Run, read_run, run_folder, write_run
from simnet_analysis import save_figure, timeline_figure
from simnet_analysis.timeline import LOOKS, bars

Spans = list[tuple[str, str, str, float, float]]

TWO_STAGES: Spans = [
    ("replica0.stage0", "compute", "forward", 0.0, 1.0),
    ("replica0.stage1", "wait", "recv", 0.0, 1.5),
    ("replica0.stage1", "compute", "forward", 1.5, 2.5),
    ("replica0.stage0", "compute", "forward", 1.0, 2.0),
    ("replica0.stage1", "compute", "backward", 2.5, 4.5),
    ("replica0.stage0", "wait", "recv", 2.0, 5.0),
    ("replica0.stage0", "compute", "backward", 5.0, 7.0),
    ("replica0.stage0", "compute", "step", 7.0, 7.5),
    ("replica0.stage1", "collective", "all-reduce", 4.5, 6.0),
]


def made(folder: Path, spans: Spans, scenario: str = "name: made\n") -> Run:
    """A run with these spans and nothing else."""
    recorder = Recorder()
    recorder.metric(0.0, "", 0, "steps", 0.0)
    for span in spans:
        recorder.span(*span)
    manifest = Manifest(
        label="made",
        algorithm="pipeline",
        seed=0,
        versions={"simnet": "0", "python": "3", "torch": "2", "numpy": "2"},
        platform="test",
        device="cpu",
        engine="loop",
        engine_settings={},
        torch_threads=1,
        wall_seconds=1.0,
        virtual_seconds=8.0,
        steps=1.0,
        worker_steps=2,
        bytes_sent=0.0,
        raw_bytes_sent=0.0,
        utilization=0.5,
        final={},
        invariants={},
        status="complete",
    )
    digest = sha256(scenario.encode()).hexdigest()
    return read_run(
        write_run(run_folder(folder / "results", "made", "made", digest), recorder, scenario, manifest)
    )


def drawn(figure: Figure) -> set[tuple[float, float, float, str]]:
    """(row, start, length, kind) of each rectangle on the axes."""
    return {
        (
            round(patch.get_y() + patch.get_height() / 2, 9),
            round(patch.get_x(), 9),
            round(patch.get_width(), 9),
            container.get_label(),
        )
        for container in figure.axes[0].containers
        for patch in container.patches
        if isinstance(patch, Rectangle)
    }


def test_bars_are_the_spans(tmp_path: Path) -> None:
    run = made(tmp_path, TWO_STAGES)
    spans = {(node, start, end) for node, _, _, start, end in TWO_STAGES}
    assert {(bar.node, bar.start, bar.end) for bar in bars(run)} == spans
    row = {"replica0.stage0": 0, "replica0.stage1": 1}
    figure = timeline_figure(run)
    assert {(place, start, length) for place, start, length, _ in drawn(figure)} == {
        (row[node], start, end - start) for node, start, end in spans
    }
    assert figure.axes[0].get_xlabel() == "virtual time (s)"
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["stage0", "stage1"]


def test_a_stage_waits_for_what_it_does_next(tmp_path: Path) -> None:
    told = {(bar.node[-1], bar.start): bar.what for bar in bars(made(tmp_path, TWO_STAGES))}
    assert told["1", 0.0] == "waits for an activation"
    assert told["0", 2.0] == "waits for a gradient"
    assert told["1", 4.5] == "collective"
    assert told["0", 7.0] == "step"


def test_passes_are_numbered_where_order_says_the_microbatch(tmp_path: Path) -> None:
    numbers = [(bar.what, bar.microbatch) for bar in bars(made(tmp_path, TWO_STAGES)) if bar.node[-1] == "0"]
    assert numbers == [
        ("forward", 0),
        ("forward", 1),
        ("waits for a gradient", None),
        ("backward", 0),
        ("step", None),
    ]
    several = made(
        tmp_path, TWO_STAGES, "name: made\nalgorithms:\n  - {name: pipeline, schedule: interleaved}\n"
    )
    assert {bar.microbatch for bar in bars(several)} == {None}


def test_numbers_stand_in_bars_that_have_room(tmp_path: Path) -> None:
    run = made(tmp_path, TWO_STAGES)
    assert sorted(text.get_text() for text in timeline_figure(run).axes[0].texts) == [*"00001"]
    far = timeline_figure(run, end=2000.0)  # a second is now a hundredth of an inch
    assert [text.get_text() for text in far.axes[0].texts] == []


def test_a_part_of_the_time_and_of_the_nodes(tmp_path: Path) -> None:
    figure = timeline_figure(made(tmp_path, TWO_STAGES), start=2.0, end=5.0, nodes=["replica0.stage1"])
    assert figure.axes[0].get_xlim() == (2.0, 5.0)
    assert {start for _, start, _, _ in drawn(figure)} == {1.5, 2.5, 4.5}


def test_other_methods_have_rows_too(tmp_path: Path) -> None:
    """Names in the order of their numbers; work that no pipeline does is drawn as well."""
    run = made(
        tmp_path,
        [
            ("worker10", "compute", "gradient", 0.0, 0.004),
            ("worker2", "compute", "train", 0.0, 0.001),
            ("worker2", "wait", "recv", 0.001, 0.004),
        ],
    )
    figure = timeline_figure(run)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["worker2", "worker10"]
    assert {kind for *_, kind in drawn(figure)} == {"other work", "train", "waits"}
    assert figure.axes[0].get_xlabel() == "virtual time (ms)"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"nodes": ["replica0.stage7"]}, "no spans of 'replica0.stage7'"),
        ({"start": 50.0, "end": 60.0}, "no node does anything from 50 s to 60 s"),
    ],
)
def test_what_is_not_there_is_an_error(tmp_path: Path, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ResultsError, match=message):
        timeline_figure(made(tmp_path, TWO_STAGES), **arguments)  # type: ignore[arg-type]


def test_kinds_differ_in_grey() -> None:
    """Neighbours in a pipeline's row: light, dark, or hatched."""

    def lightness(color: str) -> float:
        red, green, blue = (int(color[place : place + 2], 16) / 255 for place in (1, 3, 5))
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    forward, backward = LOOKS["forward"], LOOKS["backward"]
    gradient, activation = LOOKS["waits for a gradient"], LOOKS["waits for an activation"]
    assert lightness(forward.color) - lightness(backward.color) > 0.3
    assert lightness(activation.color) - lightness(forward.color) > 0.25
    assert gradient.hatch
    assert not activation.hatch


def test_the_figure_can_be_written(tmp_path: Path) -> None:
    written = save_figure(timeline_figure(made(tmp_path, TWO_STAGES)), tmp_path / "timeline")
    assert all(path.stat().st_size > 1000 for path in written)
