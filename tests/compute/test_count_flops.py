"""FLOPs, bytes and operations of models and of their parts, against formulas."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from engine_tasks import cnn_task, gpt_task, mlp_task, quadratic_task
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from simnet.compute import Demand, Work, count_demand, count_flops
from simnet.compute.demand import count_traffic, peak_bytes
from simnet.compute.flops import count_gradient_flops
from simnet.compute.optimizer_step import count_optimizer_step
from simnet.optim import SGD, AdamW
from simnet.tasks.models.gpt import GPT
from simnet.tasks.models.mlp import MLP


@settings(deadline=None)
@given(widths=st.lists(st.integers(1, 20), min_size=2, max_size=5), batch=st.integers(1, 9))
def test_mlp_by_hand(widths: list[int], batch: int) -> None:
    first, *hidden, last = widths
    products = [2.0 * batch * a * b for a, b in pairwise(widths)]
    counted = count_flops(MLP(first, last, hidden), torch.randn(batch, first))
    assert counted.forward == Demand(flops=sum(products))
    # For the weights of each layer, and for the inputs of all but the first.
    assert counted.backward == Demand(flops=2 * sum(products) - products[0])
    assert counted.gradient.flops == counted.forward.flops + counted.backward.flops


def test_gpt_exactly_and_by_the_6nd_rule() -> None:
    batch, t, width, layers, vocabulary = 4, 32, 64, 3, 256
    model = GPT(vocabulary, layers=layers, width=width, context=t)
    ids = torch.randint(0, vocabulary, (batch, t))
    counted = count_flops(model, ids)
    matrices = layers * 12 * width * width + vocabulary * width
    attention = layers * 2 * (2 * batch * t * t * width)
    assert counted.forward.flops == 2 * matrices * batch * t + attention
    assert counted.backward.flops == 2 * counted.forward.flops
    parameters = sum(value.numel() for value in model.parameters())
    assert counted.gradient.flops == pytest.approx(6 * parameters * batch * t, rel=0.1)


def test_a_middle_stage_needs_the_gradient_of_its_inputs() -> None:
    layer, inputs = nn.Linear(8, 5), torch.randn(3, 8)
    product = 2.0 * 3 * 8 * 5
    assert count_flops(layer, inputs).backward.flops == product
    assert count_flops(layer, inputs.requires_grad_()).backward.flops == 2 * product
    assert inputs.grad is None
    assert layer.weight.grad is None


def test_stages_add_up_to_the_model() -> None:
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4))
    inputs, middle = torch.randn(6, 8), torch.randn(6, 16, requires_grad=True)
    whole = count_flops(model, inputs)
    first, second = count_flops(model[:2], inputs), count_flops(model[2:], middle)
    assert first.forward + second.forward == whole.forward
    assert first.backward + second.backward == whole.backward


def test_counting_leaves_module_and_generator_as_they_are() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    count_demand(model, torch.randn(6, 4, generator=torch.Generator().manual_seed(0)))
    assert torch.equal(state, torch.get_rng_state())
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


@pytest.mark.parametrize("make", [mlp_task, cnn_task, gpt_task])
def test_the_two_passes_of_a_task_are_its_gradient(make) -> None:
    [batch, *_] = Work.of(make(), SGD(lr=1)).batches
    assert batch.forward.flops > 0
    assert batch.gradient.flops == count_gradient_flops(make(), 0)
    # The backward pass of a layer has one or two products for the forward pass's one.
    assert batch.forward.flops < batch.backward.flops <= 2 * batch.forward.flops


def test_traffic_by_hand() -> None:
    a, b = torch.randn(10, 20), torch.randn(20, 30)
    size = a.nbytes + b.nbytes + 4 * 10 * 30
    assert count_traffic(lambda: a @ b) == Demand(bytes=size, operations=1)
    assert count_traffic(lambda: a.t()) == Demand(operations=1), "a view moves nothing"
    assert count_traffic(lambda: a.clone().add_(1)) == Demand(bytes=4 * a.nbytes, operations=2)
    assert count_traffic(lambda: a + a) == Demand(bytes=3 * a.nbytes, operations=1)


def test_special_operations_are_kept_apart() -> None:
    image = torch.randn(2, 3, 8, 8)
    layers = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.MaxPool2d(2, return_indices=False))
    counted = count_demand(layers, image)
    assert counted.forward.convolutions == counted.backward.convolutions == 1
    pooled_in, pooled_out = 4 * 2 * 4 * 64, 2 * 4 * 16
    assert counted.forward.pooled_bytes == pooled_in + 4 * pooled_out + 8 * pooled_out  # and indices
    gpt = count_demand(GPT(17, layers=3, width=8, heads=2, context=8), torch.randint(0, 17, (2, 8)))
    assert gpt.forward.attentions == gpt.backward.attentions == 3
    assert gpt.gradient.convolutions == gpt.gradient.pooled_bytes == 0


def test_an_optimizer_step_by_hand() -> None:
    model = nn.Linear(6, 4)  # 24 and 4 parameters
    counted = count_optimizer_step(SGD(lr=0.1), model)
    assert counted.flops == 2 * 28
    # Two reshapes, the concatenation, params += -lr g, and the step count.
    moved = 2 * 28 * 4 + 3 * 28 * 4 + 2 * 8
    assert (counted.bytes, counted.operations) == (moved, 5)
    assert count_optimizer_step(AdamW(lr=0.1), model).bytes > counted.bytes


def test_demands_add_and_scale() -> None:
    one = Demand(1, 2, 3, 4, 5, 6)
    assert one + 2 * one == 3 * one == Demand(3, 6, 9, 12, 15, 18)


def test_peak_of_live_tensors() -> None:
    def work() -> Tensor:
        first = torch.zeros(1000)
        second = first + 1
        del first
        third = second + 1
        return third.view(10, 100)

    assert peak_bytes(work) == 2 * 4000


def test_declared_flops_are_split_one_to_two() -> None:
    [batch, *_] = Work.of(replace(quadratic_task(), flops_per_sample=30.0), SGD(lr=1)).batches
    assert batch.gradient.flops == 30 * 6
    assert batch.backward.flops == pytest.approx(2 * batch.forward.flops, rel=1e-12)
    with_traffic = Work.of(replace(quadratic_task(), flops_per_sample=30.0), SGD(lr=1), traffic=True)
    assert with_traffic.batches[0].gradient.flops == 30 * 6
    assert with_traffic.batches[0].forward.operations > 0
