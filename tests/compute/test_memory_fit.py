"""Whether a model fits its devices: what is needed in closed form, and errors with the numbers."""

from math import ceil, floor

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from simnet.compute import Footprint, check_memory
from simnet.optim import SGD, Adam, Optimizer
from simnet.plan import plans
from simnet.scenario import Scenario, ScenarioError
from simnet.tasks.losses import cross_entropy
from simnet.tasks.task import Task


class Fixed:
    """The same batch for everybody."""

    def __init__(self, batch: int) -> None:
        self.batch = batch

    def gather(self, requests, steps):
        shape = (steps, len(requests), self.batch)
        return torch.zeros(*shape, 12), torch.zeros(*shape, dtype=torch.int64)


class TwoLayers(nn.Module):
    """What autograd keeps of a sample can be counted by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(12, 20), nn.Linear(20, 10)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.last(torch.relu(self.first(inputs)))


PARAMETERS = 12 * 20 + 20 + 20 * 10 + 10


def task(batch: int = 50, workers: int = 2) -> Task:
    return Task(
        name="fixed",
        batch_sizes=(batch,) * workers,
        samples=(100,) * workers,
        make_model=TwoLayers,
        loss=cross_entropy,
        source=Fixed(batch),
        held_out=(torch.zeros(1, 12), torch.zeros(1, dtype=torch.int64)),
    )


def scenario(workers: object, server: object = None, charge_as: object = None) -> Scenario:
    return Scenario.model_validate(
        {
            "name": "x",
            "network": {"topology": "star", "link": {"bandwidth": "1 Gbps", "latency": "1 ms"}},
            "workers": workers,
            "server": server,
            "task": {
                "name": "classification",
                "batch_size": 50,
                "optimizer": {"name": "sgd", "lr": 0.1},
                "charge_as": charge_as,
            },
            "algorithms": ["allreduce"],
            "stop": {"steps": 1},
        }
    )


def device(memory: float) -> dict[str, object]:
    return {"flops": "1 TFLOP/s", "achieved": 0.5, "memory": f"{memory!r} B"}


@pytest.mark.parametrize(
    ("optimizer", "moments"), [(SGD(lr=1), 0), (SGD(lr=1, momentum=0.9), 1), (Adam(), 2)]
)
def test_what_is_needed(optimizer: Optimizer, moments: int) -> None:
    footprint = Footprint.of(scenario({"device": "t4"}), task(), optimizer)
    assert footprint.weights == footprint.gradient == 4 * PARAMETERS
    assert footprint.optimizer_state == moments * 4 * PARAMETERS
    # Inputs, hidden activations (which relu and the last layer share), log-probabilities, and the target.
    least = 4 * (12 + 20 + 10) + 8
    assert least <= footprint.sample <= least + 8
    assert footprint.training(50) == (2 + moments) * 4 * PARAMETERS + 50 * footprint.sample
    assert footprint.serving == (1 + moments) * 4 * PARAMETERS


def test_a_charged_model_has_charged_weights_and_no_activations() -> None:
    charged = scenario({"device": "t4"}, charge_as={"parameters": "1B"})
    footprint = Footprint.of(charged, task(), Adam())
    assert footprint.training(50) == pytest.approx(16e9, rel=1e-12)
    assert footprint.sample == 0


@settings(deadline=None, max_examples=30)
@given(short=st.integers(1, 10_000))
def test_the_limit_is_sharp(short: int) -> None:
    needed = Footprint.of(scenario({"device": "t4"}), task(), Adam()).training(50)
    check_memory(scenario({"device": device(ceil(needed))}), task(), Adam())
    with pytest.raises(ScenarioError, match="does not fit"):
        check_memory(scenario({"device": device(floor(needed) - short)}), task(), Adam())


def test_the_message_has_the_numbers_and_what_would_help() -> None:
    footprint = Footprint.of(scenario({"device": "t4"}), task(), Adam())
    memory = footprint.training(7) + footprint.sample / 2
    with pytest.raises(ScenarioError) as raised:
        check_memory(scenario([{"count": 1, "device": "t4"}, {"device": device(memory)}]), task(), Adam())
    [problem] = raised.value.problems
    assert problem.path == ("workers", 1, "device")
    for words in (
        "weights 1.88 kB",
        "gradient 1.88 kB",
        "state of adam 3.76 kB",
        "activations of a batch of 50",
    ):
        assert words in problem.message
    assert "and this device has" in problem.message
    assert "batch_size of at most 7" in problem.expected


def test_an_optimizer_with_less_state_is_named_where_it_helps() -> None:
    charged = scenario({"device": "t4"}, charge_as={"parameters": "1.3B"})
    with pytest.raises(ScenarioError) as raised:
        check_memory(charged, task(), Adam())
    [problem] = raised.value.problems
    assert "it needs 20.8 GB (weights 5.2 GB, gradient 5.2 GB, state of adam 10.4 GB)" in problem.message
    assert "t4 has 16 GB" in problem.message
    assert "sgd" in problem.expected
    check_memory(charged, task(), SGD(lr=1))


def test_memory_that_is_not_known_is_not_checked() -> None:
    huge = {"parameters": "500B"}
    check_memory(
        scenario({"device": {"flops": "1 TFLOP/s", "achieved": 0.5}}, charge_as=huge), task(), Adam()
    )


def test_servers_are_checked_where_there_is_one() -> None:
    charge = {"parameters": "10M"}
    small = scenario({"device": "t4"}, {"device": device(39e6)}, charge)
    check_memory(small, task(), SGD(lr=1))
    with pytest.raises(ScenarioError, match="the server's model does not fit") as raised:
        check_memory(small, task(), SGD(lr=1), served=True)
    assert raised.value.problems[0].path == ("server", "device")
    check_memory(scenario({"device": "t4"}, {"device": device(40e6)}, charge), task(), SGD(lr=1), served=True)


def test_workers_that_hold_a_part_only_are_not_checked() -> None:
    huge = scenario({"device": "t4"}, charge_as={"parameters": "500B"})
    check_memory(huge, task(), Adam(), trained=False)


def test_a_plan_that_does_not_fit_is_refused(small) -> None:
    too_large = small({"task.charge_as": {"parameters": "100B"}, "workers": {"device": "t4"}})
    with pytest.raises(ScenarioError, match="does not fit"):
        plans(Scenario.model_validate(too_large))
