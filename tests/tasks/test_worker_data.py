"""Data per worker: all of it, a distribution of its own, a sensor of its own; and what is held in memory."""

import math
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
from simnet.tasks.batches import BLOCK_SAMPLES, KEPT_BLOCKS, LARGE_SHARE, KeyedBatches, shuffled_batches
from simnet.tasks.orders import ROUNDS, keyed_order
from simnet.tasks.partitions import MixtureOptions, mixture
from simnet.tasks.shifts import rotated

GPT = {"name": "gpt", "width": 16, "heads": 2, "layers": 1, "context": 16}


def digits(partition: object, **options: Any) -> Task:
    more = options.pop("section", {})
    return task({"name": "classification", "model": "logistic", "partition": partition, **more}, **options)


def text(partition: object, **options: Any) -> Task:
    return task({"name": "language-model", "model": GPT, "partition": partition}, **options)


def held(made: Task) -> int:
    """Bytes of what the batches have drawn ahead and keep."""
    assert isinstance(made.source, KeyedBatches)
    return sum(rows.nbytes for kept in made.source._blocks.values() for rows in kept.values())


# common


def test_with_one_worker_common_is_iid() -> None:
    one, other = digits("common", workers=1), digits("iid", workers=1)
    for a, b in zip(one.batches(0, 0, 200), other.batches(0, 0, 200), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("make", [digits, text])
def test_common_gives_everyone_everything_in_an_order_of_its_own(make: Any) -> None:
    whole = make("iid", workers=1).samples[0]
    made = make("common", workers=5)
    assert made.samples == (whole,) * 5
    batches = [made.batches(worker, 0, 3)[0] for worker in range(5)]
    assert not any(torch.equal(batches[0], other) for other in batches[1:])


def test_in_an_epoch_of_common_each_worker_sees_each_sample_once() -> None:
    made = digits("common", workers=3, section={"batch_size": 1437})
    seen = [sorted(map(tuple, made.batches(w, 4, 1)[0][0].flatten(1).tolist())) for w in range(3)]
    assert seen[0] == seen[1] == seen[2]


def test_the_workers_of_common_share_one_share() -> None:
    full = digits("common", workers=50, section={"batch_size": "full"})
    assert isinstance(full.source, KeyedBatches)
    places = {full.source.draw(worker, 0).ctypes.data for worker in range(50)}
    assert len(places) == 1
    starts = task(
        {"name": "language-model", "model": GPT, "partition": "common", "batch_size": "full"}, workers=50
    )
    assert isinstance(starts.source, KeyedBatches)
    assert len({starts.source.draw(worker, 0).ctypes.data for worker in range(50)}) == 1


# orders that nobody holds


@settings(max_examples=60, deadline=None)
@given(size=st.integers(1, 3000), seed=st.integers(0, 2**32))
def test_a_keyed_order_is_an_order(size: int, seed: int) -> None:
    keys = np.random.default_rng(seed).integers(2**64, size=ROUNDS, dtype=np.uint64)
    whole = keyed_order(size, np.arange(size), keys)
    assert sorted(whole.tolist()) == list(range(size))
    some = np.random.default_rng(seed).integers(size, size=7)
    assert np.array_equal(keyed_order(size, some, keys), whole[some])


def test_keyed_orders_are_as_even_as_random_ones() -> None:
    size, orders, bins = 1000, 400, 10
    generator = np.random.default_rng(0)
    keys = generator.integers(2**64, size=(orders, ROUNDS), dtype=np.uint64)
    drawn = np.stack([keyed_order(size, np.arange(size), own) for own in keys])
    # Where a thing from each tenth comes, over all orders: chi-square with 81 degrees of freedom.
    table = np.zeros((bins, bins))
    np.add.at(table, (np.arange(size)[None] * bins // size + 0 * drawn, drawn * bins // size), 1)
    expected = orders * size / bins**2
    assert ((table - expected) ** 2 / expected).sum() < 81 + 5 * math.sqrt(2 * 81)
    neighbours = np.abs(np.diff(drawn, axis=1)).mean()
    assert neighbours == pytest.approx(size / 3, rel=0.01)  # mean distance of two independent places


def test_large_shares_are_shuffled_piece_by_piece() -> None:
    size, batch = LARGE_SHARE + 300, 50
    shares = [np.arange(size), np.arange(size) + size]
    made = shuffled_batches(shares, batch, Streams(0), lambda rows: (rows, rows))
    steps = -(-2 * size // batch)
    stream = made.gather([(1, 0)], steps)[0].flatten()
    first, second = stream[:size], stream[size : 2 * size]
    assert torch.equal(first.sort().values, torch.arange(size) + size)
    assert torch.equal(second.sort().values, torch.arange(size) + size)
    assert not torch.equal(first, second)
    assert torch.equal(made.gather([(1, 61)], 2)[0].flatten(), stream[61 * batch : 63 * batch])
    assert not torch.equal(made.gather([(0, 0)], 2)[0] + size, made.gather([(1, 0)], 2)[0])


@pytest.mark.parametrize("partition", ["common", {"name": "mixture", "alpha": 0.3}])
def test_what_a_thousand_workers_hold_does_not_grow_with_the_data(partition: object) -> None:
    made = digits(partition, workers=1000)
    for start in (0, 500, 1000):
        made.gather([(worker, start) for worker in range(1000)], 1)
    assert held(made) <= 1000 * KEPT_BLOCKS * LARGE_SHARE * 8
    size = 200_000
    shares = [np.arange(size)] * 1000
    large = shuffled_batches(shares, 8, Streams(0), lambda rows: (rows, rows))
    large.gather([(worker, 0) for worker in range(1000)], 1)
    kept = sum(rows.nbytes for blocks in large._blocks.values() for rows in blocks.values())
    assert kept == 1000 * BLOCK_SAMPLES * 8


def test_a_text_is_held_once_as_bytes() -> None:
    few, many = text("iid", workers=2), text("iid", workers=100)

    def storage(made: Task) -> int:
        assert isinstance(made.source, KeyedBatches)
        cells = made.source.take.__closure__ or ()
        (windows,) = (c.cell_contents for c in cells if isinstance(c.cell_contents, torch.Tensor))
        assert windows.dtype == torch.uint8
        return windows.untyped_storage().nbytes()

    assert storage(few) == storage(many) < 1_000_000
    inputs, targets = many.batches(3, 0, 2)
    assert inputs.dtype == targets.dtype == torch.int64
    assert torch.equal(inputs[..., 1:], targets[..., :-1])


# mixture


def test_a_mixture_has_the_weights_that_it_says() -> None:
    labels = np.repeat(np.arange(4), [400, 30, 200, 70])
    made = mixture(MixtureOptions(alpha=0.7), labels, 6, np.random.default_rng(0), ("task", "partition"))
    assert made.weights.shape == (6, 4)
    assert np.allclose(made.weights.sum(1), 1)
    count = 20_000
    for worker in range(6):
        drawn = made.draw(np.random.default_rng(worker), worker, count)
        shares = np.bincount(labels[drawn], minlength=4) / count
        error = np.sqrt(made.weights[worker] * (1 - made.weights[worker]) / count)
        assert (np.abs(shares - made.weights[worker]) <= 5 * error + 1e-9).all()
        rare = np.bincount(drawn[labels[drawn] == 1], minlength=430)[400:]
        if rare.sum() > 3000:  # within a class all samples are equally likely
            expected = rare.sum() / 30
            assert ((rare - expected) ** 2 / expected).sum() < 29 + 5 * math.sqrt(2 * 29)


def test_the_weights_of_mixtures_spread_as_dirichlet_says() -> None:
    labels, alpha, workers = np.arange(100) % 5, 0.5, 4000
    made = mixture(MixtureOptions(alpha=alpha), labels, workers, np.random.default_rng(0), ())
    mean = 1 / 5
    variance = mean * (1 - mean) / (5 * alpha + 1)
    assert np.abs(made.weights.mean(0) - mean).max() < 5 * math.sqrt(variance / workers)
    assert made.weights.var(0).mean() == pytest.approx(variance, rel=0.05)


@pytest.mark.parametrize("make", [digits, text])
def test_a_mixture_is_reproducible_and_differs_between_workers(make: Any) -> None:
    partition = {"name": "mixture", "alpha": 0.2}
    made, again, other = make(partition), make(partition), make(partition, seed=1)
    for worker in range(4):
        assert torch.equal(made.batches(worker, 7, 2)[0], again.batches(worker, 7, 2)[0])
    assert not torch.equal(made.batches(0, 0, 2)[0], other.batches(0, 0, 2)[0])
    assert not torch.equal(made.batches(0, 0, 2)[0], made.batches(1, 0, 2)[0])
    assert len(set(made.samples)) == 1


def test_a_text_mixture_draws_from_its_topics() -> None:
    made = text({"name": "mixture", "alpha": 1e-3}, workers=3)
    # Nearly one topic each, of ten: far fewer places in the text than an even draw of as many windows.
    assert isinstance(made.source, KeyedBatches)
    ends = text("common", workers=1).source.draw(0, 0)  # type: ignore[attr-defined]
    for worker in range(3):
        starts = made.source.draw(worker, 0)
        assert np.ptp(starts) < 0.35 * np.ptp(ends)


@pytest.mark.parametrize("name", ["classification", "language-model"])
def test_a_mixture_has_no_full_batch(name: str) -> None:
    model = {"model": GPT} if name == "language-model" else {}
    with pytest.raises(ScenarioError, match="no full batch"):
        task({"name": name, "batch_size": "full", "partition": {"name": "mixture", "alpha": 1}, **model})


# feature shift


def shifted(**options: object) -> Task:
    return digits({"name": "feature-shift", **options})


def test_a_shift_by_nothing_is_no_shift() -> None:
    for a, b in zip(shifted().batches(2, 3, 4), digits("iid").batches(2, 3, 4), strict=True):
        assert torch.equal(a, b)


def test_each_worker_has_an_affine_map_of_its_own() -> None:
    plain, made = digits("iid"), shifted(contrast=0.5, brightness=0.3)
    maps = []
    for worker in range(4):
        before, after = (one.batches(worker, 0, 5)[0].flatten() for one in (plain, made))
        offset = after[before == 0][0].item()
        factor = after[before == 1][0].item() - offset
        torch.testing.assert_close(after, before * factor + offset)
        assert abs(offset) <= 0.3
        assert 0.5 <= factor <= 1.5
        maps.append((factor, offset))
    assert len(set(maps)) == 4
    assert torch.equal(plain.batches(1, 0, 5)[1], made.batches(1, 0, 5)[1])  # labels stay


def test_a_pattern_is_fixed_per_worker() -> None:
    plain, made = digits("iid"), shifted(pattern=0.5)
    patterns = [made.batches(w, 0, 9)[0] - plain.batches(w, 0, 9)[0] for w in range(4)]
    for pattern in patterns:
        torch.testing.assert_close(pattern, pattern[:1, :1].expand_as(pattern))
    assert torch.stack([pattern[0, 0] for pattern in patterns]).std().item() == pytest.approx(0.5, rel=0.2)
    assert not torch.allclose(patterns[0][0, 0], patterns[1][0, 0])


def test_a_workers_shift_follows_from_the_seed_and_the_worker_alone() -> None:
    options = {"name": "feature-shift", "rotation": 40, "contrast": 0.2, "pattern": 0.1, "shares": "common"}
    few, many = digits(options, workers=2), digits(options, workers=9)
    assert torch.equal(few.batches(1, 5, 3)[0], many.batches(1, 5, 3)[0])
    requests = [(8, 0), (1, 5), (3, 2)]
    together = many.gather(requests, 2)[0]
    for place, (worker, start) in enumerate(requests):
        torch.testing.assert_close(together[:, place], many.batches(worker, start, 2)[0])
    assert not torch.equal(few.batches(0, 0, 1)[0], digits(options, workers=2, seed=1).batches(0, 0, 1)[0])
    assert torch.equal(few.evaluation()[0], digits("iid").evaluation()[0])  # what is held out is not shifted


def test_images_are_turned_counter_clockwise() -> None:
    torch.manual_seed(0)
    images = torch.rand(3, 2, 5, 6, 6)
    angles = torch.tensor([0.0, math.pi / 2, -math.pi])
    turned = rotated(images, angles)
    torch.testing.assert_close(turned[0], images[0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(turned[1], images[1].rot90(1, (-2, -1)), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(turned[2], images[2].rot90(2, (-2, -1)), rtol=1e-5, atol=1e-5)


def test_an_image_that_is_not_square_keeps_its_shape_and_its_angles() -> None:
    image = torch.zeros(1, 1, 9, 17)
    image[..., 4, 8:14] = 1  # a bar from the middle to the right
    turned = rotated(image, torch.tensor([math.pi / 2]))[0, 0]
    expected = torch.zeros(9, 17)
    expected[:5, 8] = 1  # now from the middle upwards; what does not fit is gone
    torch.testing.assert_close(turned, expected, rtol=1e-5, atol=1e-5)


def test_a_shift_lies_over_another_partition() -> None:
    made = shifted(rotation=20, shares={"name": "by-class", "classes_per_worker": 3})
    assert len(set(made.batches(0, 0, 60)[1].flatten().tolist())) == 3
    drawn = shifted(brightness=0.1, shares={"name": "mixture", "alpha": 0.1})
    assert drawn.samples == (1437,) * 4


@pytest.mark.parametrize(
    ("partition", "complaint", "key"),
    [
        ({"name": "feature-shift", "shares": "feature-shift"}, "one feature shift", "shares"),
        ({"name": "feature-shift", "shares": "idd"}, "unknown partition", "shares"),
        ({"name": "feature-shift", "shares": {"name": "mixture"}}, "missing", "shares"),
        ({"name": "feature-shift", "contrast": 1}, "less than 1", "contrast"),
        ({"name": "feature-shift", "rotation": 200}, "180", "rotation"),
        ({"name": "mixture", "alpha": 0}, "greater than 0", "alpha"),
        ({"name": "common", "alpha": 1}, "unknown key", "alpha"),
    ],
)
def test_wrong_partitions_are_errors_that_name_the_key(partition: object, complaint: str, key: str) -> None:
    with pytest.raises(ScenarioError, match=complaint) as caught:
        digits(partition)
    assert key in caught.value.problems[0].path


def test_only_images_can_be_turned_and_only_samples_shifted(tmp_path: Any) -> None:
    np.savez(tmp_path / "data.npz", x=np.random.default_rng(0).random((50, 6)), y=np.arange(50) % 2)
    dataset = {"name": "array-file", "path": "data.npz"}
    with pytest.raises(ScenarioError, match="cannot be turned"):
        digits({"name": "feature-shift", "rotation": 9}, section={"dataset": dataset}, folder=tmp_path)
    with pytest.raises(ScenarioError, match="not a partition for language-model"):
        text("feature-shift")
