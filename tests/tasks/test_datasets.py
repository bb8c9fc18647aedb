"""Datasets from files, from the user's own code and from the hubs (which stand-ins play here)."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from task_scenarios import task

from simnet.tasks import Task
from simnet.tasks.registry import datasets, models, partitions, tasks

GENERATOR = np.random.default_rng(0)
X, Y = GENERATOR.random((50, 6)), GENERATOR.permutation(np.arange(50) % 3)


def classify(dataset: object, folder: Path | None = None, **more: Any) -> Task:
    return task({"name": "classification", "dataset": dataset, "batch_size": "full", **more}, folder=folder)


def pairs(made: Task) -> list[tuple[float, ...]]:
    """All samples with their labels, training and held out."""
    parts = [made.batches(worker, 0, 1) for worker in range(made.workers)]
    inputs = torch.cat([*(part[0][0] for part in parts), made.evaluation()[0]]).flatten(1)
    targets = torch.cat([*(part[1][0] for part in parts), made.evaluation()[1]])
    return sorted(map(tuple, torch.cat([inputs, targets[:, None]], 1).tolist()))


def expected(inputs: np.ndarray, labels: np.ndarray) -> list[tuple[float, ...]]:
    rows = np.concatenate([inputs.reshape(len(inputs), -1), labels[:, None]], 1).astype(np.float32)
    return sorted(map(tuple, rows.tolist()))


def test_npz(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x=X, y=Y)
    made = classify({"name": "array-file", "path": "data.npz", "train_fraction": 0.6}, tmp_path)
    assert sum(made.samples) == 30
    assert pairs(made) == expected(X, Y)
    other = task(
        {"name": "classification", "dataset": {"name": "array-file", "path": str(tmp_path / "data.npz")}},
        seed=1,
    )
    assert sum(other.samples) == 40
    assert not torch.equal(other.evaluation()[0], made.evaluation()[0][:10])


def test_images_of_bytes_are_scaled(tmp_path: Path) -> None:
    images = GENERATOR.integers(0, 256, (20, 2, 4, 4), dtype=np.uint8)
    np.savez(tmp_path / "data.npz", x=images, y=np.arange(20) % 2)
    made = classify({"name": "array-file", "path": "data.npz"}, tmp_path, model="cnn")
    assert pairs(made) == expected(images.astype(np.float32) / np.float32(255), np.arange(20) % 2)


def test_csv(tmp_path: Path) -> None:
    names = np.array(["ant", "bee", "cat"])[Y]
    lines = [
        "a,b,c,kind,d,e,f",
        *(
            ",".join([*map(repr, x[:3].tolist()), name, *map(repr, x[3:].tolist())])
            for x, name in zip(X, names, strict=True)
        ),
    ]
    (tmp_path / "data.csv").write_text("\n".join(lines))
    made = classify({"name": "array-file", "path": "data.csv", "label": "kind"}, tmp_path)
    assert pairs(made) == expected(X, Y)


MINE = """
import torch
from torch import nn
from torch.utils.data import Dataset

class Points(Dataset):
    def __init__(self, count=30): self.count = count
    def __len__(self): return self.count
    def __getitem__(self, i):
        return torch.tensor([i, i + 0.5]), i % 3

def make(): return Points(10)
points = Points(20)
others = Points(7)
class Both(Points):
    held_out = Points(6)

text = "to be or not to be, " * 500
def spoken(): return b"that is the question; " * 500

class Net(nn.Module):
    def __init__(self, outputs, depth=1):
        super().__init__()
        self.layers = nn.Sequential(*[nn.Linear(2, 2) for _ in range(depth)], nn.Linear(2, outputs))
    def forward(self, x): return self.layers(x)

class Bytes(nn.Module):
    def __init__(self): super().__init__(); self.table = nn.Embedding(256, 256)
    def forward(self, x): return self.table(x)

def task(scenario, device, workers):
    import simnet.tasks.registry as registry
    from simnet.tasks.quadratic import QuadraticOptions
    return registry.tasks["quadratic"].build(QuadraticOptions(dimensions=3), scenario, workers, device)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(MINE)
    return tmp_path


@pytest.mark.parametrize(
    ("dataset", "training", "held_out"),
    [
        ("mine:Points", 24, 6),
        ("mine:make", 8, 2),
        ("mine:points", 16, 4),
        ({"name": "mine:points", "train_fraction": 0.5}, 10, 10),
        ({"name": "mine:points", "held_out": "mine:others"}, 20, 7),
        ("mine:Both", 30, 6),
        ({"name": "mine:Both", "held_out": "mine:others"}, 30, 7),
    ],
)
def test_own_datasets(dataset: object, training: int, held_out: int, folder: Path) -> None:
    made = classify(dataset, folder)
    assert sum(made.samples) == training
    inputs, targets = made.evaluation()
    assert len(inputs) == held_out
    assert torch.equal(targets, inputs[:, 0].long() % 3)


def test_own_model_with_options(folder: Path) -> None:
    made = classify("mine:points", folder, model={"name": "mine:Net", "outputs": 3, "depth": 2})
    first, second = made.make_model(), made.make_model()
    assert len(list(first.parameters())) == 6
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


@pytest.mark.parametrize("dataset", ["mine:text", "mine:spoken"])
def test_own_text_and_model(dataset: str, folder: Path) -> None:
    made = task(
        {"name": "language-model", "dataset": dataset, "model": "mine:Bytes", "context": 12}, folder=folder
    )
    assert made.batches(0, 0, 2)[0].shape == (2, 8, 12)


def test_own_task(folder: Path) -> None:
    assert task({"name": "mine:task"}, folder=folder).batches(0, 0, 2)[0].shape == (2, 8, 3)


class Rows(list[dict[str, Any]]):
    """What `datasets.load_dataset` gives, as far as it is used."""

    @property
    def column_names(self) -> list[str]:
        return list(self[0])


def test_huggingface(monkeypatch: pytest.MonkeyPatch) -> None:
    images = GENERATOR.integers(0, 256, (20, 5, 4, 3), dtype=np.uint8)
    labels = np.arange(20) % 2
    asked = []

    def load_dataset(path: str, config: str | None, *, split: str) -> Rows:
        asked.append((path, config, split))
        if path == "a/text":
            return Rows({"body": f"line {i} of many, with words in it"} for i in range(1000))
        rows = [{"img": image, "class": int(label)} for image, label in zip(images, labels, strict=True)]
        return Rows(rows[:15] if split == "train" else rows[15:])

    hub = ModuleType("datasets")
    hub.load_dataset = load_dataset  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets", hub)
    made = task(
        {
            "name": "language-model",
            "dataset": {
                "name": "huggingface-text",
                "path": "a/text",
                "config": "small",
                "text": "body",
                "megabytes": 0.02,
            },
        },
        workers=2,
    )
    assert asked == [("a/text", "small", "train")]
    assert bytes(made.batches(0, 0, 1)[0][0, 0].tolist()) in b"\n".join(
        f"line {i} of many, with words in it".encode() for i in range(1000)
    )
    columns = {"name": "huggingface-images", "path": "a/images", "image": "img", "label": "class"}
    made = classify({**columns, "held_out": "test"}, model="cnn")
    assert sum(made.samples) == 15
    scaled = images.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)
    assert pairs(made) == expected(scaled, labels)
    assert sum(classify(columns, model="cnn").samples) == 12


def test_torchvision(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    images = GENERATOR.integers(0, 256, (30, 8, 8), dtype=np.uint8)
    asked = []

    class Tiny:
        def __init__(self, root: str, train: bool = True, download: bool = False) -> None:
            asked.append((root, train, download))
            self.chosen = images[:20] if train else images[20:]

        def __len__(self) -> int:
            return len(self.chosen)

        def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
            return self.chosen[index], index % 2

    library = ModuleType("torchvision")
    library.datasets = SimpleNamespace(__all__=["Tiny"], Tiny=Tiny)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torchvision", library)
    made = classify({"name": "torchvision", "dataset": "Tiny", "download": False}, tmp_path, model="cnn")
    assert sorted(asked) == [(str(tmp_path / "data"), False, False), (str(tmp_path / "data"), True, False)]
    assert sum(made.samples) == 20
    assert made.evaluation()[0].shape == (10, 1, 8, 8)


def test_every_option_is_described_and_defaults_are_valid() -> None:
    for registry in (tasks, datasets, models, partitions):
        for name, entry in registry.items():
            assert entry.summary, name
            for key, field in entry.options.model_fields.items():
                assert field.description, f"{name}.{key}"
            assert entry.options.model_config["extra"] == "forbid"
            assert entry.options.model_json_schema()["additionalProperties"] is False
