"""Digits: the split, the shares, what a task says of itself."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from task_scenarios import task


def test_digits_are_split_as_stated() -> None:
    made = task({"name": "classification"})
    inputs, targets = made.evaluation()
    assert sum(made.samples) == 1437
    assert inputs.shape == (360, 1, 8, 8)
    assert (inputs.min(), inputs.max()) == (0, 1)
    counts = torch.bincount(targets, minlength=10)
    assert counts.min() >= 34  # stratified: 360 of 1797, where a class has 174 to 183
    assert counts.max() <= 37


def test_the_split_is_the_same_for_every_seed() -> None:
    first, second = (task({"name": "classification"}, seed=seed).evaluation() for seed in (0, 1))
    assert torch.equal(first[0], second[0])


def test_held_out_and_training_samples_are_all_of_digits_once() -> None:
    from sklearn.datasets import load_digits

    made = task({"name": "classification", "batch_size": "full"})
    shares = [made.batches(worker, 0, 1)[0][0] for worker in range(4)]
    everything = torch.cat([*shares, made.evaluation()[0]]).flatten(1)
    wanted = torch.from_numpy(load_digits().data / 16).float()
    assert sorted(map(tuple, everything.tolist())) == sorted(map(tuple, wanted.tolist()))


def test_held_out_samples_are_capped_by_a_fixed_choice() -> None:
    whole = task({"name": "classification"}).evaluation()[0].flatten(1).tolist()
    capped, again = (task({"name": "classification"}, seed=s, samples=50).evaluation()[0] for s in (0, 3))
    assert len(capped) == 50
    assert torch.equal(capped, again)
    assert all(one in whole for one in capped.flatten(1).tolist())


@pytest.mark.parametrize("model", ["mlp", {"name": "cnn", "channels": [4]}])
def test_loss_and_accuracy_have_a_value_per_sample(model: object) -> None:
    made = task({"name": "classification", "model": model})
    inputs, targets = made.batches(0, 0, 3)
    outputs = made.make_model()(inputs[0])
    assert outputs.shape == (8, 10)
    assert made.loss(outputs, targets[0]).shape == (8,)
    assert made.loss(outputs.expand(3, 8, 10), targets).shape == (3, 8)
    right = torch.nn.functional.one_hot(targets[0], 10).float()
    assert made.metrics["accuracy"](right, targets[0]).mean() == 1
    assert made.metrics["accuracy"](-right, targets[0]).mean() == 0


@pytest.mark.parametrize(("model", "accuracy"), [("mlp", 0.9), ("cnn", 0.9)])
def test_a_plain_loop_learns_digits(model: str, accuracy: float) -> None:
    made = task({"name": "classification", "model": model, "batch_size": 32}, workers=1)
    module = made.make_model()
    optimizer = torch.optim.Adam(module.parameters(), lr=0.01)
    for inputs, targets in zip(*made.batches(0, 0, 150), strict=True):
        optimizer.zero_grad()
        made.loss(module(inputs), targets).mean().backward()
        optimizer.step()
    held_inputs, held_targets = made.evaluation()
    assert made.metrics["accuracy"](module(held_inputs), held_targets).mean() > accuracy


def test_digits_are_those_of_scikit_learn_in_the_order_of_its_stratified_split() -> None:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    pixels, labels = load_digits(return_X_y=True)
    training, held_out, targets, held_targets = train_test_split(
        pixels / 16, labels, test_size=360, stratify=labels, random_state=0
    )
    made = task({"name": "classification", "batch_size": "full", "partition": "common"}, workers=1)
    inputs, labels = made.batches(0, 0, 1)
    assert torch.equal(inputs[0].flatten(1), torch.from_numpy(training).float())
    assert torch.equal(labels[0], torch.from_numpy(targets))
    assert torch.equal(made.evaluation()[0].flatten(1), torch.from_numpy(held_out).float())
    assert torch.equal(made.evaluation()[1], torch.from_numpy(held_targets))


def test_digits_are_read_without_importing_scikit_learn() -> None:
    code = (
        "import sys; from task_scenarios import task; task({'name': 'classification'}); "
        "assert not {'sklearn', 'torch._dynamo'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parent)
