"""Text: windows, blocks, what is held out, and which text each worker sees."""

import math
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from task_scenarios import task

from simnet.scenario import ScenarioError
from simnet.streams import Streams
from simnet.tasks import Task
from simnet.tasks.entry import Origin
from simnet.tasks.windows import cut, draw_windows, windows_in_turn

GPT = {"name": "gpt", "width": 16, "heads": 2, "layers": 1, "context": 32}
ORIGIN = Origin("language-model", ("task", "dataset"), None, Streams(0))


def section(**more: Any) -> dict[str, Any]:
    return {"name": "language-model", "model": GPT, **more}


def counting_file(folder: Path, size: int) -> dict[str, Any]:
    """A text in which every four bytes tell where they are."""
    (folder / "count.txt").write_bytes(np.arange(size // 4, dtype=">u4").tobytes())
    return {"name": "text-file", "path": "count.txt"}


def places(made: Task, worker: int, steps: int) -> np.ndarray:
    """Where in the counting file the windows of a worker begin."""
    inputs, targets = made.batches(worker, 0, steps)
    assert torch.equal(inputs[..., 1:], targets[..., :-1])
    rows = torch.cat([inputs, targets[..., -1:]], -1).flatten(0, 1).numpy().astype(np.uint8)
    found = []
    for row in rows:
        for shift in range(4):  # the counter's phase in this window
            words = np.frombuffer(row[shift : shift + 28].tobytes(), dtype=">u4").astype(np.int64)
            if (np.diff(words) == 1).all():
                found.append(int(words[0]) * 4 - shift)
                break
        else:
            raise AssertionError("not a stretch of the text")
    return np.array(found)


@pytest.mark.parametrize(
    "partition", ["iid", {"name": "dirichlet", "alpha": 0.2}, {"name": "by-class", "classes_per_worker": 3}]
)
def test_workers_and_held_out_text_never_overlap(partition: object, tmp_path: Path) -> None:
    made = task(
        section(dataset=counting_file(tmp_path, 100_000), partition=partition, batch_size=50), folder=tmp_path
    )
    owners = np.full(100_000, -1)
    held_inputs, held_targets = made.evaluation()
    held = torch.cat([held_inputs, held_targets[:, -1:]], 1).numpy().astype(np.uint8)
    source = (tmp_path / "count.txt").read_bytes()
    for row in held:
        begin = source.find(row.tobytes())
        owners[begin : begin + 33] = 99
    for worker in range(4):
        for begin in places(made, worker, 20):
            assert set(owners[begin : begin + 33]) <= {-1, worker}
            owners[begin : begin + 33] = worker
    assert set(owners) >= {0, 1, 2, 3, 99}


def test_targets_are_the_next_bytes() -> None:
    made = task(section())
    inputs, targets = made.batches(2, 4, 3)
    assert inputs.shape == targets.shape == (3, 8, 32)
    assert torch.equal(inputs[..., 1:], targets[..., :-1])
    text = "\n".join(topics[name] for name in sorted(topics)).encode()
    for row, last in zip(inputs.flatten(0, 1).tolist(), targets[..., -1].flatten().tolist(), strict=True):
        assert bytes([*row, last]) in text


def test_a_tenth_is_held_out_evenly() -> None:
    blocks = cut(1_000_000, 65, 0.9, ORIGIN)
    assert len(blocks.borders) - 1 == 1_000_000 // 1024
    assert len(blocks.held_out) == round(0.1 * (len(blocks.borders) - 1))
    assert set(np.diff(blocks.held_out)) == {9, 10} or set(np.diff(blocks.held_out)) == {10}
    assert not set(blocks.held_out) & set(blocks.training)


@settings(max_examples=60, deadline=None)
@given(
    size=st.integers(5000, 200_000),
    window=st.integers(2, 400),
    fraction=st.floats(0.05, 0.95),
    seed=st.integers(0, 100),
)
def test_windows_stay_inside_their_blocks(size: int, window: int, fraction: float, seed: int) -> None:
    if size < 2 * max(1024, 8 * window):
        with pytest.raises(ScenarioError, match="too short"):
            cut(size, window, fraction, ORIGIN)
        return
    blocks = cut(size, window, fraction, ORIGIN)
    assert sorted([*blocks.training, *blocks.held_out]) == list(range(len(blocks.borders) - 1))
    assert len(blocks.training)
    assert len(blocks.held_out)
    generator = np.random.default_rng(seed)
    mine = np.sort(generator.choice(blocks.training, 1 + len(blocks.training) // 3, replace=False))
    owned = np.zeros(size, dtype=bool)
    for block in mine:
        owned[blocks.borders[block] : blocks.borders[block + 1]] = True
    spans = blocks.spans(mine)
    assert sum(end - first for first, end in spans) == owned.sum()
    inside = np.cumsum(np.append(0, owned))
    for starts in (draw_windows(generator, spans, window, 50), windows_in_turn(spans, window)):
        assert (inside[starts + window] - inside[starts] == window).all()
    in_turn = windows_in_turn(spans, window)
    assert np.diff(in_turn).min(initial=window) >= window - 1  # no byte is predicted twice


def test_every_window_is_equally_likely() -> None:
    spans = np.array([[0, 10], [20, 23], [30, 33 + 4]])
    drawn = draw_windows(np.random.default_rng(0), spans, 3, 14_000)
    values, counts = np.unique(drawn, return_counts=True)
    assert values.tolist() == [*range(8), 20, *range(30, 35)]
    assert np.abs(counts - 1000).max() < 5 * math.sqrt(1000)


def test_by_class_gives_workers_a_part_of_the_text(tmp_path: Path) -> None:
    dataset = counting_file(tmp_path, 400_000)
    partition = {"name": "by-class", "classes_per_worker": 1}
    made = task(section(dataset=dataset, partition=partition, groups=4), folder=tmp_path)
    reached = [places(made, worker, 30) for worker in range(4)]
    assert all(np.ptp(found) < 110_000 for found in reached)
    spread = task(section(dataset=dataset), folder=tmp_path)
    assert all(np.ptp(places(spread, worker, 30)) > 300_000 for worker in range(4))


def test_bits_per_byte_is_the_loss_in_bits() -> None:
    made = task(section())
    inputs, targets = made.evaluation()
    assert len(inputs) == 256
    outputs = made.make_model()(inputs)
    loss = made.loss(outputs, targets)
    assert loss.shape == targets.shape
    torch.testing.assert_close(made.metrics["bits_per_byte"](outputs, targets), loss / math.log(2))
    uniform = torch.zeros(2, 3, 256)
    ids = torch.randint(256, (2, 3))
    torch.testing.assert_close(made.metrics["bits_per_byte"](uniform, ids), torch.full((2, 3), 8.0))
    assert made.tokens_per_sample == 32


def test_context_may_be_shorter_than_the_models_but_not_longer() -> None:
    made = task(section(context=10))
    assert made.batches(0, 0, 1)[0].shape == (1, 8, 10)
    with pytest.raises(ScenarioError, match="longer than what the model sees") as caught:
        task(section(context=33))
    assert caught.value.problems[0].path == ("task", "context")


def test_full_batches_go_through_all_the_text_once() -> None:
    made = task(section(batch_size="full"))
    assert made.batch_sizes == made.samples
    total = sum(len(topics[name].encode()) + 1 for name in topics)
    assert 0.85 * 0.9 * total < 32 * sum(made.samples) <= 0.91 * total


def test_python_sources_are_capped_utf8_and_without_tests() -> None:
    made = task(section(dataset={"name": "python-sources", "megabytes": 0.3}))
    assert 0.25e6 < 32 * sum(made.samples) < 0.3e6
    from simnet.tasks.data.text import PythonSourcesOptions, build_python_sources, source_files

    text = build_python_sources(PythonSourcesOptions(megabytes=0.3), ORIGIN)
    assert len(text.data) == 300_000
    assert text.data.tobytes()[:290_000].decode(errors="strict")
    import sysconfig

    files = list(source_files(Path(sysconfig.get_paths()["stdlib"])))
    assert not any({"test", "tests", "site-packages"} & set(file.parts) for file in files)
    assert [file.name for file in files].count("argparse.py") == 1
