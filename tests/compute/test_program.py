"""Which way a model runs, what is said about it, and the models that only a loop can run."""

import warnings

import pytest
import torch
from engine_tasks import TASKS, Separate, image_task, mlp_task
from torch import Tensor, nn

from simnet.compute import Engine
from simnet.optim import SGD, AdamW
from simnet.scenario import ScenarioError

CLOSE = {"rtol": 1e-10, "atol": 1e-12}


class Normed(nn.Module):
    """Batch normalisation: training changes buffers in place."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(12, 8), nn.BatchNorm1d(8), nn.Linear(8, 10)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.last(torch.relu(self.norm(self.first(inputs))))


class Plain(nn.Module):
    """No stacked forward of its own, a frozen parameter, and one that the output does not depend on."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen = nn.Parameter(torch.ones(12), requires_grad=False)
        self.layer = nn.Linear(12, 10)
        self.idle = nn.Parameter(torch.ones(3))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.layer(inputs * self.frozen)


class Dropping(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.drop = nn.Linear(12, 10), nn.Dropout(0.5)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.layer(self.drop(inputs))


class Branching(nn.Module):
    """Control flow on values, which vmap cannot follow."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(12, 10)

    def forward(self, inputs: Tensor) -> Tensor:
        outputs = self.layer(inputs)
        return outputs if outputs.sum() > 0 else 2 * outputs


class Wrong(nn.Linear):
    def __init__(self) -> None:
        super().__init__(12, 10)

    def stacked_forward(self, params: dict[str, Tensor], inputs: Tensor) -> Tensor:
        return torch.bmm(inputs, params["weight"].transpose(1, 2))  # forgets the bias


def engine_for(kind: type[nn.Module], **options: object) -> Engine:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Engine(image_task(4, [12], kind), SGD(lr=0.1, momentum=0.9), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("model", TASKS)
def test_shipped_models_run_stacked(model: str) -> None:
    engine = Engine(TASKS[model](), SGD(lr=0.1))
    assert engine.choice == "stacked"
    assert engine.notes == ()


@pytest.mark.parametrize(
    ("kind", "choice", "because"),
    [
        (Plain, "vmap", None),
        (Normed, "loop", "buffers in place .norm.num_batches_tracked"),
        (Dropping, "loop", "random numbers"),
        (Branching, "loop", "vmap cannot follow"),
    ],
)
def test_the_choice_follows_from_the_model(kind: type[nn.Module], choice: str, because: str | None) -> None:
    task = image_task(4, [12], kind)
    if because is None:
        engine = Engine(task, SGD(lr=0.1))
        assert engine.notes == ()
    else:
        with pytest.warns(UserWarning, match=because):
            engine = Engine(task, SGD(lr=0.1))
        assert len(engine.notes) == 1
    assert engine.choice == choice


@pytest.mark.parametrize("kind", [Plain, Normed, Branching])
def test_user_models_equal_separate_modules(kind: type[nn.Module]) -> None:
    engine = engine_for(kind)
    params, state = engine.initial_params, engine.init_state(engine.initial_params)
    jobs = [engine.submit_train(worker, params, state, 3 + worker, 1) for worker in range(4)]
    engine.flush()
    # The buffers travel with the state from job to job.
    jobs = [
        engine.submit_train(job.worker, job.result.params, job.result.state, 2, 4 + job.worker)
        for job in jobs
    ]
    engine.flush()
    for job in jobs:
        one = Separate(engine.task, job.worker, lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9))
        one.train(5 + job.worker, 1)
        trainable = [value for value in one.model.parameters() if value.requires_grad]
        torch.testing.assert_close(job.result.params, nn.utils.parameters_to_vector(trainable), **CLOSE)
        for name, buffer in one.model.named_buffers():
            torch.testing.assert_close(job.result.state[f"buffer:{name}"], buffer, **CLOSE)


def test_frozen_parameters_stay_out_of_the_vector() -> None:
    engine = engine_for(Plain)
    assert engine.parameters == 12 * 10 + 10 + 3
    job = engine.submit_gradient(0, engine.initial_params, 0)
    engine.flush()
    # named_parameters() puts a module's own parameters before those of its children.
    assert job.result.vector[:3].tolist() == [0, 0, 0]


def test_random_layers_depend_on_worker_and_batch_alone() -> None:
    def losses(workers: list[int]) -> dict[int, list[float]]:
        engine = engine_for(Dropping)
        torch.manual_seed(len(workers))
        jobs = [
            engine.submit_train(worker, engine.initial_params, engine.init_state(engine.initial_params), 3, 2)
            for worker in workers
        ]
        engine.flush()
        return {job.worker: job.result.losses.tolist() for job in jobs}

    together, alone = losses([0, 1, 2, 3]), losses([2])
    assert together[2] == alone[2]
    assert together[2] != together[1]


def test_the_global_generator_is_left_alone() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    engine = engine_for(Dropping)
    engine.submit_gradient(0, engine.initial_params, 0)
    engine.flush()
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("kind", "mode", "says"),
    [
        (Normed, "vmap", "buffers"),
        (Plain, "stacked", "no stacked_forward"),
        (Branching, "vmap", "cannot follow"),
    ],
)
def test_an_impossible_mode_is_an_error(kind: type[nn.Module], mode: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        engine_for(kind, mode=mode)


def test_a_wrong_stacked_forward_is_found_out() -> None:
    with pytest.raises(ScenarioError, match="stacked_forward disagrees"):
        engine_for(Wrong)


def test_a_model_without_parameters_is_an_error() -> None:
    with pytest.raises(ScenarioError, match="no trainable parameter"):
        engine_for(nn.Identity)


def test_the_trial_leaves_no_trace() -> None:
    engine = engine_for(Normed)
    fresh = engine.task.make_model()
    expected = nn.utils.parameters_to_vector(fresh.parameters())
    assert torch.equal(engine.initial_params, expected)
    state = engine.init_state(engine.initial_params)
    assert torch.equal(state["buffer:norm.running_mean"], fresh.get_buffer("norm.running_mean"))


@pytest.mark.parametrize("mode", ["stacked", "vmap", "loop"])
def test_evaluation_equals_the_plain_model(mode: str) -> None:
    task = mlp_task()
    engine = Engine(task, AdamW(lr=0.1), mode=mode)  # type: ignore[arg-type]
    points = [engine.initial_params, engine.initial_params * 2, engine.initial_params - 0.1]
    found = engine.evaluate([*points, points[1]])
    assert found[3] == found[1]
    inputs, targets = task.evaluation()
    for point, values in zip(points, found, strict=False):
        model = task.make_model().eval()
        nn.utils.vector_to_parameters(point, model.parameters())
        with torch.no_grad():
            outputs = model(inputs)
        assert values["loss"] == pytest.approx(task.loss(outputs, targets).mean().item(), rel=1e-12)
        assert values["accuracy"] == (outputs.argmax(1) == targets).double().mean().item()
        assert list(values) == ["loss", "accuracy"]


def test_evaluation_in_parts_equals_evaluation_at_once() -> None:
    engine = Engine(TASKS["gpt-learned"](), AdamW(lr=0.1))
    points = [engine.initial_params * (1 + 0.1 * k) for k in range(5)]
    whole = engine.evaluate(points)
    narrow = Engine(TASKS["gpt-learned"](), AdamW(lr=0.1), memory_bytes=200_000)
    for first, second in zip(whole, narrow.evaluate(points), strict=True):
        assert first == pytest.approx(second, rel=1e-12)
    assert engine.evaluate([]) == []


def test_evaluation_turns_dropout_off_and_batch_norm_to_the_held_out_batch() -> None:
    dropping = engine_for(Dropping)
    first, second = dropping.evaluate([dropping.initial_params, dropping.initial_params.clone()])
    assert first == second
    engine = engine_for(Normed)
    model = engine.task.make_model().train()
    inputs, targets = engine.task.evaluation()
    expected = engine.task.loss(model(inputs), targets).mean().item()
    assert engine.evaluate([engine.initial_params])[0]["loss"] == pytest.approx(expected, rel=1e-12)
