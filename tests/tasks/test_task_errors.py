"""Whatever is wrong with a task ends in one clear `ScenarioError` at the right key."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from task_scenarios import task

from simnet.scenario import Problem, ScenarioError

CLASSIFY = {"name": "classification"}
LM = {"name": "language-model"}


def problem(section: dict[str, Any], folder: Path | None = None, workers: int = 4) -> Problem:
    with pytest.raises(ScenarioError) as caught:
        task(section, folder=folder, workers=workers)
    assert len(caught.value.problems) == 1
    assert str(caught.value)
    return caught.value.problems[0]


@pytest.mark.parametrize(
    ("section", "path", "suggestion"),
    [
        ({"name": "clasification"}, ("task", "name"), "classification"),
        ({**CLASSIFY, "datset": "digits"}, ("task", "datset"), "dataset"),
        ({**LM, "contxt": 3}, ("task", "contxt"), "context"),
        ({**CLASSIFY, "dataset": "digit"}, ("task", "dataset"), "digits"),
        ({**CLASSIFY, "model": "mpl"}, ("task", "model"), "mlp"),
        ({**CLASSIFY, "model": {"name": "mlp", "hiden": [3]}}, ("task", "model", "hiden"), "hidden"),
        ({**LM, "model": {"name": "gpt", "wdth": 8}}, ("task", "model", "wdth"), "width"),
        (
            {**CLASSIFY, "partition": {"name": "dirichlet", "alfa": 1, "alpha": 1}},
            ("task", "partition", "alfa"),
            "alpha",
        ),
        ({**CLASSIFY, "partition": "dirichelt"}, ("task", "partition"), "dirichlet"),
        ({**CLASSIFY, "dataset": {"name": "digits", "seed": 1}}, ("task", "dataset", "seed"), ""),
    ],
)
def test_misspelt(section: dict[str, Any], path: tuple[str, ...], suggestion: str) -> None:
    found = problem(section)
    assert found.path == path
    assert found.suggestion == suggestion


@pytest.mark.parametrize(
    ("section", "path", "words"),
    [
        ({**CLASSIFY, "dataset": "python-docs"}, ("task", "dataset"), "not a dataset for classification"),
        ({**LM, "dataset": "digits"}, ("task", "dataset"), "not a dataset for language-model"),
        ({**LM, "model": "mlp"}, ("task", "model"), "not a model for language-model"),
        ({**CLASSIFY, "partition": "dirichlet"}, ("task", "partition", "alpha"), "missing"),
        ({**CLASSIFY, "partition": {"name": "dirichlet", "alpha": 0}}, ("task", "partition", "alpha"), ""),
        ({**CLASSIFY, "model": {"name": "mlp", "hidden": [0]}}, ("task", "model", "hidden", 0), ""),
        ({**CLASSIFY, "model": {"name": "mlp", "hidden": ["8"]}}, ("task", "model", "hidden", 0), ""),
        ({**CLASSIFY, "model": {"name": "cnn", "channels": [2] * 4}}, ("task", "model"), "too small"),
        ({**LM, "model": {"name": "gpt", "width": 10, "heads": 3}}, ("task", "model"), "not a multiple"),
        ({**LM, "model": {"name": "gpt", "context": 100_000}}, ("task", "dataset"), "too short"),
        ({"name": "quadratic", "condition": 0.5}, ("task", "condition"), ""),
        ({**LM, "dataset": {"name": "text-file", "path": "no.txt"}}, ("task", "dataset", "path"), "no such"),
        (
            {**CLASSIFY, "dataset": {"name": "array-file", "path": "no.npz"}},
            ("task", "dataset", "path"),
            "no such",
        ),
        (
            {**CLASSIFY, "dataset": {"name": "array-file", "path": "a.parquet"}},
            ("task", "dataset", "path"),
            "unknown kind",
        ),
        ({**CLASSIFY, "model": "no_such_module:Net"}, ("task", "model"), "no_such_module"),
        ({**CLASSIFY, "dataset": "no_such_module:data"}, ("task", "dataset"), "no_such_module"),
        ({"name": "no_such_module:task"}, ("task", "name"), "no_such_module"),
    ],
)
def test_impossible(section: dict[str, Any], path: tuple[str | int, ...], words: str, tmp_path: Path) -> None:
    found = problem(section, tmp_path)
    assert found.path == path
    assert words in found.message


def test_too_many_workers() -> None:
    assert "too few for 1438" in problem(CLASSIFY, workers=1438).message
    assert "too few for 500" in problem(LM, workers=500).message


X, Y = np.random.default_rng(0).random((40, 6)), np.arange(40) % 3


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x": X}, "no array y"),
        ({"x": X, "y": Y[:5]}, "do not fit"),
        ({"x": X[0], "y": Y[:6]}, "do not fit"),
        ({"x": X, "y": Y - 1}, "labels out of range, such as -1"),
        ({"x": X, "y": Y + 0.5}, "labels out of range, such as 0.5"),
        ({"x": X, "y": Y * 10**9}, "too large"),
        ({"x": X, "y": Y * 0}, "all labels are 0"),
        ({"x": np.where(X > 0.9, np.nan, X), "y": Y}, "not finite"),
        ({"x": X.astype(str), "y": Y}, "not numbers"),
        ({"x": X.astype(object), "y": Y}, "cannot be read"),
        ({"x": X[:1], "y": Y[:1]}, "at least 2"),
        ({"x": X[:0], "y": Y[:0]}, "at least one sample"),
    ],
)
def test_unusable_arrays(arrays: dict[str, Any], words: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", **arrays)
    found = problem({**CLASSIFY, "dataset": {"name": "array-file", "path": "data.npz"}}, tmp_path)
    assert found.path[:2] == ("task", "dataset")
    assert words in f"{found.message} {found.expected}"


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04broken"])
def test_not_an_archive(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "data.npz").write_bytes(content)
    problem({**CLASSIFY, "dataset": {"name": "array-file", "path": "data.npz"}}, tmp_path)


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        ("a,b,lable\n1,2,0\n3,4,1\n", ("task", "dataset", "label"), "no column"),
        ("a,b,label\n1,x,0\n3,4,1\n", ("task", "dataset"), "column `b`"),
        ("a,b,label\n1,,0\n3,4,1\n", ("task", "dataset"), "not finite"),
        ("a,label\n1,cat\n3,\n", ("task", "dataset", "label"), "missing"),
        ("", ("task", "dataset", "path"), "not a table"),
    ],
)
def test_unusable_tables(text: str, path: tuple[str, ...], words: str, tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text(text)
    found = problem({**CLASSIFY, "dataset": {"name": "array-file", "path": "data.csv"}}, tmp_path)
    assert found.path == path
    assert words in found.message


@pytest.mark.parametrize(
    "section",
    [
        {**LM, "dataset": {"name": "huggingface-text", "path": "someone/text"}},
        {**CLASSIFY, "dataset": {"name": "huggingface-images", "path": "someone/images"}},
        {**CLASSIFY, "dataset": {"name": "torchvision", "dataset": "MNIST"}},
    ],
)
def test_missing_libraries_say_what_to_install(
    section: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("datasets", "torchvision"):
        monkeypatch.setitem(sys.modules, name, None)  # imports then fail as if it were not there
    found = problem(section)
    assert found.path == ("task", "dataset")
    assert found.expected == 'pip install "simnet[hub]"'


def test_a_library_that_does_not_load(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "torchvision.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    found = problem({**CLASSIFY, "dataset": {"name": "torchvision", "dataset": "MNIST"}})
    assert "cannot be imported: RuntimeError: operator" in found.message


def test_a_hub_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_dataset(*args: object, **kwargs: object) -> None:
        raise ConnectionError("no network")

    hub = ModuleType("datasets")
    hub.load_dataset = load_dataset  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets", hub)
    found = problem({**LM, "dataset": {"name": "huggingface-text", "path": "someone/text"}})
    assert "no network" in found.message


PLUGIN = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, width=4): super().__init__(); self.layer = nn.Linear(width, 3)
    def forward(self, x): return self.layer(x.flatten(1))

def broken(): raise RuntimeError("out of cheese")
def nothing(): return None
net = Net()
number = 3
class Pairs:
    def __len__(self): return 4
    def __getitem__(self, i): return torch.rand(2), torch.rand(2), 0
class Ragged:
    def __len__(self): return 4
    def __getitem__(self, i): return torch.rand(2 + i), i % 2
"""


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({**CLASSIFY, "model": "mine:broken"}, "out of cheese"),
        ({**CLASSIFY, "model": "mine:nothing"}, "NoneType"),
        ({**CLASSIFY, "model": "mine:net"}, "is a Net"),
        ({**CLASSIFY, "model": {"name": "mine:Net", "wdth": 4}}, "wdth"),
        ({**CLASSIFY, "model": "mine:Net"}, "fails on inputs of shape [2, 1, 8, 8]"),
        ({**CLASSIFY, "model": {"name": "mine:Net", "width": 64}}, "gives shape [2, 3]"),
        ({**CLASSIFY, "dataset": "mine:broken"}, "out of cheese"),
        ({**CLASSIFY, "dataset": "mine:number"}, "is a int"),
        ({**CLASSIFY, "dataset": "mine:nothing"}, "NoneType"),
        ({**CLASSIFY, "dataset": "mine:Pairs"}, "not a pair"),
        ({**CLASSIFY, "dataset": "mine:Ragged"}, "failed"),
        ({**LM, "dataset": "mine:number"}, "int"),
        ({**LM, "model": {"name": "mine:Net"}}, "does not say how many bytes"),
        ({"name": "mine:nothing"}, "failed"),
        ({"name": "mine:number"}, "is a int"),
    ],
)
def test_faulty_plugins(section: dict[str, Any], words: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(PLUGIN)
    assert words in problem(section, tmp_path).message
