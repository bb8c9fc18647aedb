"""Dtypes, compilation, memory and devices: what may change rounding and nothing else."""

import shutil

import pytest
import torch
from engine_tasks import TASKS, gpt_task, mlp_task
from torch import Tensor

from simnet.compute import Engine, TrainJob
from simnet.compute import program as programs
from simnet.compute.handover import Handover
from simnet.compute.placement import placed
from simnet.optim import SGD, AdamW
from simnet.scenario import ScenarioError
from simnet.scenario.engine import EngineConfig

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def trained(engine: Engine, steps: int = 3) -> list[TrainJob]:
    params, state = engine.initial_params, engine.init_state(engine.initial_params)
    jobs = [engine.submit_train(worker, params, state, steps + worker, 0) for worker in range(4)]
    engine.flush()
    return jobs


def far(found: Tensor, expected: Tensor) -> float:
    expected = expected.double()
    return float(torch.linalg.vector_norm(found.double() - expected) / torch.linalg.vector_norm(expected))


def test_a_task_is_trained_in_the_dtype_that_is_asked_for() -> None:
    task = mlp_task(dtype=torch.float32)
    single, double = Engine(task, AdamW(lr=0.01)), Engine(task, AdamW(lr=0.01), dtype="float64")
    assert (single.settings["dtype"], double.settings["dtype"]) == ("float32", "float64")
    assert double.initial_params.dtype == torch.float64
    for one, two in zip(trained(single), trained(double), strict=True):
        assert two.result.params.dtype == two.result.state["first_moment"].dtype == torch.float64
        assert 1e-10 < far(one.result.params, two.result.params) < 1e-4
    assert double.evaluate([double.initial_params])[0]["loss"] == pytest.approx(
        single.evaluate([single.initial_params])[0]["loss"], rel=1e-5
    )


@pytest.mark.parametrize("mode", ["stacked", "loop"])
@pytest.mark.parametrize("model", ["mlp", "cnn", "gpt-rotary"])
def test_bfloat16_computes_roughly_and_keeps_parameters_exactly(model: str, mode: str) -> None:
    task = placed(TASKS[model](), torch.device("cpu"), torch.float32)
    exact = Engine(task, SGD(lr=0.1), mode=mode)
    rough = Engine(task, SGD(lr=0.1), mode=mode, dtype="bfloat16")
    assert rough.settings["dtype"] == "bfloat16"
    jobs = [engine.submit_gradient(2, exact.initial_params, 0) for engine in (exact, rough)]
    exact.flush()
    assert trained(rough)[0].result.params.dtype == torch.float32
    # A bfloat16 has 8 bits, so that every product is off by up to 0.4 %.
    assert 1e-4 < far(jobs[1].result.vector, jobs[0].result.vector) < 0.05
    assert jobs[1].result.vector.dtype == torch.float32


def test_a_task_that_is_placed_already_stays_itself() -> None:
    task = gpt_task()
    assert placed(task, torch.device("cpu")) is task
    assert placed(task, torch.device("cpu"), torch.float64) is task


@pytest.mark.skipif(not shutil.which("g++"), reason="needs a C++ compiler")
def test_a_compiled_model_computes_the_same() -> None:
    task = mlp_task(dtype=torch.float32)
    plain, compiled = Engine(task, SGD(lr=0.1)), Engine(task, SGD(lr=0.1), compile=True)
    assert compiled.settings["compile"] is True
    jobs = [
        engine.submit_gradient(w, plain.initial_params, 0) for engine in (plain, compiled) for w in range(4)
    ]
    plain.flush()
    compiled.flush()
    for one, two in zip(jobs[:4], jobs[4:], strict=True):
        assert far(two.result.vector, one.result.vector) < 1e-5


def test_without_a_compiler_compile_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs.shutil, "which", lambda name: None)
    with pytest.raises(ScenarioError, match=r"needs a C\+\+ compiler") as raised:
        Engine(mlp_task(), SGD(lr=0.1), compile=True)
    assert raised.value.problems[0].path == ("engine", "compile")


@pytest.mark.parametrize("devices", [("cpu", "cpu"), ("cpu", "cpu", "cpu")])
def test_several_devices_give_what_one_gives(devices: tuple[str, ...]) -> None:
    task = mlp_task()
    one, several = Engine(task, AdamW(lr=0.02)), Engine(task, AdamW(lr=0.02), devices=devices)
    assert several.settings["devices"] == ", ".join(devices)
    for first, second in zip(trained(one), trained(several), strict=True):
        assert far(second.result.params, first.result.params) < 1e-12
        assert len(second.result.losses) == first.steps
    points = [one.initial_params * k for k in (1, 2, 3)]
    for first, second in zip(one.evaluate(points), several.evaluate(points), strict=True):
        assert first == pytest.approx(second, rel=1e-12)


def test_workers_go_round_the_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(mlp_task(), SGD(lr=0.1), devices=("cpu", "cpu", "cpu"))
    seen = []
    monkeypatch.setattr(
        "simnet.compute.engine.run_jobs", lambda shard, jobs: seen.append([job.worker for job in jobs])
    )
    for worker in range(4):
        engine.submit_gradient(worker, engine.initial_params, 0)
    engine.flush()
    assert seen == [[0, 3], [1], [2]]


def test_results_are_handed_over_with_one_copy_per_buffer() -> None:
    # "meta" stands for another device: it has shapes and no numbers, so only the form can be looked at.
    rows = torch.arange(12.0).reshape(3, 4)
    moved = Handover(torch.device("meta"))({"a": [rows[0], rows[2, 1:]], "b": (rows[1], 5)})
    first, second, third = moved["a"][0], moved["a"][1], moved["b"][0]
    assert [value.device.type for value in (first, second, third)] == ["meta"] * 3
    assert (first.shape, second.shape, second.storage_offset(), moved["b"][1]) == ((4,), (3,), 9, 5)
    kept = Handover(torch.device("cpu"))
    assert kept(rows) is rows


def test_the_scenario_s_section_reaches_the_engine() -> None:
    config = EngineConfig.model_validate(
        {"mode": "loop", "dtype": "float64", "memory": "3 MiB", "idle": "host"}
    )
    settings = Engine.of(mlp_task(dtype=torch.float32), SGD(lr=0.1), "cpu", config).settings
    assert settings == {
        "mode": "loop",
        "dtype": "float64",
        "compile": False,
        "memory_bytes": 3 * 2**20,
        "idle": "host",
        "devices": "cpu",
    }


@needs_cuda
@pytest.mark.parametrize("idle", ["device", "host"])
@pytest.mark.parametrize("model", TASKS)
def test_a_gpu_computes_what_the_cpu_computes(model: str, idle: str) -> None:
    task = TASKS[model]()
    cpu, gpu = Engine(task, AdamW(lr=0.02)), Engine(task, AdamW(lr=0.02), "cuda", idle=idle)
    for first, second in zip(trained(cpu), trained(gpu), strict=True):
        assert second.result.params.device.type == ("cpu" if idle == "host" else "cuda")
        assert far(second.result.params.cpu(), first.result.params) < 1e-8
