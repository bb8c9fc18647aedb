"""What makes two runs one: what they say, the files and the code that they name, and nothing else."""

import os
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simnet import identity as identity_module
from simnet.batch import batch_runs
from simnet.plan import plans
from simnet.scenario import load_file, load_text

TEXT = """\
name: {name}
description: {description}
seed: {seed}
{threads}
network: {{topology: star, link: {{bandwidth: {bandwidth}, latency: 1 ms}}}}
workers: {{count: 2, device: cpu}}
task:
  name: classification
  dataset: {dataset}
  model: {model}
  batch_size: 4
  optimizer: {{name: sgd, lr: 0.1}}
algorithms: [{algorithm}]
stop: {{steps: 2}}
"""
PLAIN = {
    "name": "a",
    "description": "b",
    "seed": 0,
    "threads": "",
    "bandwidth": "1 Gbps",
    "dataset": "digits",
    "model": "mlp",
    "algorithm": "allreduce",
}


def digest(folder: Path, **changes: object) -> str:
    """That of the only run of the scenario, as the batch and as the plan have it."""
    document = load_text(TEXT.format(**{**PLAIN, **changes}), folder=folder)
    (run,) = batch_runs([document], folder / "results")
    (plan,) = plans(run.scenario)
    assert plan.digest == run.digest
    return run.digest


def test_names_and_words_do_not_matter_and_values_do(tmp_path):
    plain = digest(tmp_path)
    assert digest(tmp_path, name="z", description="z") == plain
    assert digest(tmp_path, bandwidth="1000 Mbps") == plain
    assert digest(tmp_path, threads="threads: 1") == plain  # which a batch has by default
    different = [
        digest(tmp_path, threads="threads: 2"),
        digest(tmp_path, seed=1),
        digest(tmp_path, bandwidth="1001 Mbps"),
        digest(tmp_path, algorithm="{name: allreduce, label: other}"),
    ]
    assert len({plain, *different}) == 5


def test_simnet_run_and_the_batch_agree_on_small_models(tmp_path):
    document = load_text(TEXT.format(**PLAIN), folder=tmp_path)
    (plan,) = plans(document.scenarios[0].scenario)
    assert plan.scenario.threads == plan.threads == 1
    assert plan.digest == digest(tmp_path)


def test_the_dataset_is_what_its_file_says(tmp_path):
    def write(name: str, scale: float) -> str:
        generator = np.random.default_rng(0)
        labels = np.arange(40) % 4
        np.savez(tmp_path / name, x=scale * generator.normal(size=(40, 3)), y=labels)
        return f"{{name: array-file, path: {name}}}"

    first = digest(tmp_path, dataset=write("a.npz", 1))
    assert digest(tmp_path, dataset=write("b.npz", 1)) == first  # the same content under another name
    assert digest(tmp_path, dataset=write("a.npz", 2)) != first
    assert digest(tmp_path, dataset=write("a.npz", 1)) == first


@pytest.mark.parametrize("what", ["algorithm", "model", "dataset"])
def test_code_of_ones_own_is_part_of_it(tmp_path, what):
    names = {"algorithm": "mine:Method", "model": "mine:Model", "dataset": "mine:Data"}
    source = """
        import numpy, torch
        from simnet import Algorithm

        class Method(Algorithm):
            async def worker(self, node):
                while node.running:
                    await node.train(1)

        class Model(torch.nn.Sequential):
            def __init__(self):
                super().__init__(torch.nn.Flatten(), torch.nn.Linear(64, 10))

        class Data(torch.utils.data.Dataset):
            def __len__(self):
                return 40
            def __getitem__(self, i):
                return numpy.full(3, i, dtype=numpy.float32), i % 4
    """
    file = tmp_path / "mine.py"
    file.write_text(textwrap.dedent(source))
    own = {what: names[what]}
    first = digest(tmp_path, **own)
    assert digest(tmp_path, **own) == first
    os.utime(file, (0, 0))
    assert digest(tmp_path, **own) == first  # touched, not changed
    file.write_text(file.read_text() + "# another version\n")
    assert digest(tmp_path, **own) != first
    assert digest(tmp_path) == digest(tmp_path)


def test_an_installed_package_counts_with_all_its_files(tmp_path, monkeypatch):
    package = tmp_path / "site" / "mypackage"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "helper.py").write_text("STEPS = 1\n")
    method = "class Mine(Algorithm):\n    async def worker(self, node):\n        pass\n"
    (package / "method.py").write_text(f"from simnet import Algorithm\n{method}")
    monkeypatch.syspath_prepend(str(package.parent))
    first = digest(tmp_path, algorithm="mypackage.method:Mine")
    (package / "helper.py").write_text("STEPS = 2\n")
    identity_module._hash_installed.cache_clear()  # as in another process
    assert digest(tmp_path, algorithm="mypackage.method:Mine") != first
    for name in [name for name in sys.modules if name.startswith("mypackage")]:
        del sys.modules[name]
    identity_module._hash_installed.cache_clear()


def test_what_is_in_site_packages_is_what_its_version_says(tmp_path):
    scenario = load_text(TEXT.format(**{**PLAIN, "model": "torch.nn:Linear"}), folder=tmp_path)
    (run,) = batch_runs([scenario], tmp_path)
    import torch

    assert identity_module.named_code(run.scenario) == {"torch.nn:Linear": f"torch {torch.__version__}"}


@given(st.permutations(["a", "b", "c"]), st.integers(1, 3))
def test_a_batch_has_every_run_once(order, seeds):
    documents = [
        load_text(TEXT.format(**{**PLAIN, "name": name}) + f"sweep: {{seeds: {seeds}}}\n") for name in order
    ]
    runs = batch_runs([*documents, documents[0]], Path("results"))
    assert len(runs) == 3 * seeds == len({run.folder for run in runs})
    assert [run.scenario.name for run in runs] == [name for name in order for _ in range(seeds)]


def test_a_point_is_named_by_what_it_shares(tmp_path):
    file = tmp_path / "a.yaml"
    changes = {**PLAIN, "algorithm": "allreduce, {name: local-sgd, local_steps: 2}"}
    sweep = "sweep: {algorithms.local-sgd.local_steps: [2, 3], seeds: 2}\n"
    file.write_text(TEXT.format(**changes) + sweep)
    titles = [run.title for run in batch_runs([load_file(file)], tmp_path)]
    assert titles == [
        "a/allreduce [seed=0]",
        "a/local-sgd [algorithms.local-sgd.local_steps=2, seed=0]",
        "a/allreduce [seed=1]",
        "a/local-sgd [algorithms.local-sgd.local_steps=2, seed=1]",
        "a/local-sgd [algorithms.local-sgd.local_steps=3, seed=0]",
        "a/local-sgd [algorithms.local-sgd.local_steps=3, seed=1]",
    ]
