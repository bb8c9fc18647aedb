"""What work is charged: FLOPs against hand counts, seconds against formulas, `charge_as`."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from engine_tasks import cnn_task, gpt_task, image_task, mlp_task, pool_task
from torch import Tensor, nn

from simnet.compute import DEVICES, CostModel, DeviceProfile, Machine, Work, resolve_device
from simnet.compute.flops import count_gradient_flops
from simnet.optim import SGD, AdamW, Nesterov
from simnet.scenario import ChargeAs, DeviceConfig, Scenario, ScenarioError
from simnet.tasks.models.mlp import MLP


def test_mlp_flops_by_hand() -> None:
    task = image_task(2, [64], lambda: MLP(64, 10, (64,)), [32, 32])
    first, last = 2 * 32 * 64 * 64, 2 * 32 * 64 * 10  # a product of [b, i] and [i, o] is 2 b i o
    # Backward: a product as large for the weights of each layer, another for the inputs of all but the first.
    assert count_gradient_flops(task, 0) == 2 * first + 3 * last


def test_cnn_flops_by_hand() -> None:
    # 3 x 3 convolutions 1 -> 3 channels at 8 x 8 and 3 -> 4 at 4 x 4, then linear 16 -> 10; batch 6.
    first, second, last = 2 * 6 * 64 * 9 * 3, 2 * 6 * 16 * 9 * 3 * 4, 2 * 6 * 16 * 10
    assert count_gradient_flops(cnn_task(), 0) == 2 * first + 3 * (second + last)


def test_gpt_flops_by_hand() -> None:
    batch, t, width, layers, vocabulary = 4, 8, 8, 2, 17
    weights = layers * 12 * width * width + vocabulary * width
    # Per layer and direction, attention has two products over all pairs of positions.
    attention = layers * 2 * (2 * batch * t * t * width)
    assert count_gradient_flops(gpt_task(), 0) == 3 * (2 * weights * batch * t + attention)


def test_seconds_are_flops_over_rate() -> None:
    profile = DeviceProfile("x", 1e9, 0.5, None, "fp32", "", "")
    task = mlp_task()
    work = Work.of(task, AdamW(lr=0.1))
    machine = work.on(profile, speed=0.25, worker=1)
    rate = 1e9 * 0.5 * 0.25
    assert machine.seconds(1e6) == 1e6 / rate
    assert machine.gradient_seconds() == count_gradient_flops(task, 1) / rate
    assert machine.optimizer_seconds() == 14 * work.parameters / rate
    assert machine.train_seconds(1) == machine.gradient_seconds() + machine.optimizer_seconds()
    assert machine.train_seconds(7) == 7 * machine.train_seconds(1)


def test_batch_sizes_are_counted_apart() -> None:
    work = Work.of(mlp_task(4, batch_sizes=[3, 6, 3, 12]), SGD(lr=1))
    first, second, third, fourth = work.gradient_flops
    assert (second, third, fourth) == (2 * first, first, 4 * first)


def test_a_server_has_no_gradient() -> None:
    machine = Work.of(mlp_task(), SGD(lr=1)).on(DEVICES["cpu"])
    assert machine.optimizer_seconds() > 0
    with pytest.raises(ValueError, match="no training data"):
        machine.gradient_seconds()


@pytest.mark.parametrize(
    ("charge", "tokens"),
    [
        (ChargeAs(parameters=1e9, tokens_per_step=5e5), 5e5),
        (ChargeAs(parameters=1e9, samples_per_step=100), 800),
        (ChargeAs(parameters=1e9), 32),  # 4 samples of 8 tokens
    ],
)
def test_charge_as(charge: ChargeAs, tokens: float) -> None:
    task = replace(gpt_task(), tokens_per_sample=8)
    work = Work.of(task, Nesterov(lr=1), charge)
    assert work.gradient_flops == (6 * 1e9 * tokens,) * 4
    assert work.optimizer_flops == 6 * 1e9
    cost = CostModel((work.on(DEVICES["h100"], worker=0),), work.parameters, 1e9, work.byte_ratio)
    assert cost.charged_bytes(4.0 * work.parameters) == pytest.approx(4e9, rel=1e-15)
    assert cost.parameters == sum(value.numel() for value in task.make_model().parameters())


def test_without_charge_as_bytes_are_bytes() -> None:
    work = Work.of(mlp_task(), SGD(lr=1))
    cost = CostModel((), work.parameters, work.charged_parameters)
    assert work.charged_parameters == work.parameters
    for raw in (0.0, 1.0, 12345.0, 7e11):
        assert cost.charged_bytes(raw) == raw


class Shift(nn.Module):
    """Element-wise only: torch counts no FLOPs."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(12))

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs + self.shift


def test_a_task_without_a_cost_is_an_error() -> None:
    free = pool_task(Shift, torch.randn(2, 9, 12), torch.zeros(2, 9), [3, 3], lambda o, t: o.square().sum(-1))
    with pytest.raises(ScenarioError, match="a task without a cost") as raised:
        Work.of(free, SGD(lr=1))
    assert raised.value.problems[0].path == ("task",)
    assert "flops_per_sample" in raised.value.problems[0].expected
    # Either of the two ways out that the message names.
    assert Work.of(replace(free, flops_per_sample=40.0), SGD(lr=1)).gradient_flops == (120.0, 120.0)
    assert Work.of(free, SGD(lr=1), ChargeAs(parameters=100)).gradient_flops == (1800.0, 1800.0)


def scenario(workers: object, server: object = None) -> Scenario:
    return Scenario.model_validate(
        {
            "name": "x",
            "network": {
                "topology": {"kind": "star", "nodes": 4},
                "link": {"bandwidth": "1 Gbps", "latency": "1 ms"},
            },
            "workers": workers,
            "server": server,
            "task": {"name": "classification", "batch_size": 6, "optimizer": {"name": "sgd", "lr": 0.1}},
            "algorithms": ["allreduce"],
            "stop": {"steps": 1},
            "evaluate": {"every": "1 steps"},
        }
    )


def machines(config: Scenario) -> list[Machine]:
    topology = SimpleNamespace(workers=("a", "b", "c", "d"))
    return list(CostModel.of(config, mlp_task(), SGD(lr=1), topology).machines)  # type: ignore[arg-type]


def test_machines_follow_the_groups() -> None:
    inline = {"flops": "2 TFLOP/s", "achieved": 0.5}
    groups = [
        {"count": 1, "device": "t4"},
        {"device": "h100", "speed": 0.5},
        {"nodes": ["b"], "device": inline},
    ]
    found = machines(scenario(groups, {"device": "a100", "speed": 2}))
    assert [machine.profile.name for machine in found] == ["t4", "h100", "h100", "custom", "a100"]
    assert [machine.speed for machine in found] == [1, 0.5, 0.5, 1, 2]
    assert found[3].profile.rate == 1e12
    assert [machine.gradient_flops is None for machine in found] == [False] * 4 + [True]


def test_the_server_is_a_cpu_unless_said() -> None:
    assert machines(scenario({"device": "t4"}))[-1].profile is DEVICES["cpu"]


def test_an_unknown_device_names_the_nearest() -> None:
    with pytest.raises(ScenarioError) as raised:
        machines(scenario([{"count": 1, "device": "t4"}, {"device": "rtx309"}]))
    problem = raised.value.problems[0]
    assert problem.path == ("workers", 1, "device")
    assert problem.suggestion == "rtx3090"


def test_profiles_are_sound() -> None:
    assert set(DEVICES) == {"t4", "l4", "rtx3090", "rtx4090", "a100", "h100", "h200", "cpu", "phone"}
    for name, profile in DEVICES.items():
        assert profile.name == name
        assert resolve_device(name, ()) is profile
        assert 0 < profile.achieved <= 1
        assert profile.rate == profile.flops * profile.achieved
        assert profile.source
        assert profile.achieved_source
    inline = DeviceConfig.model_validate({"flops": "1 TFLOP/s", "achieved": 0.3, "memory": "8 GB"})
    assert resolve_device(inline, ()).rate == 0.3e12
    assert resolve_device(inline, ()).memory == 8e9
