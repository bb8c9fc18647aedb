"""Models as chains of blocks: what a pipeline relies on when it cuts them."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from simnet.compute.layout import Layout
from simnet.scenario import ScenarioError
from simnet.tasks.blocks import model_blocks
from simnet.tasks.components import models
from simnet.tasks.models import stacked

EXAMPLES: dict[str, tuple[dict[str, object], tuple[int, ...]]] = {
    "mlp": ({"hidden": [7, 5]}, (1, 8, 8)),
    "cnn": ({}, (1, 8, 8)),
    "logistic": ({}, (1, 8, 8)),
    "resnet": ({"width": 8, "groups": 4}, (3, 9, 8)),
    "vit": ({"patch": 4, "width": 8, "heads": 2}, (3, 8, 12)),
    "gru": ({"width": 6, "layers": 2}, ()),
    "gpt": ({"width": 16, "context": 12, "tied": False}, ()),
}
"""Options and the shape of a sample for each shipped model; a new model needs a line here."""


def make(name: str) -> tuple[nn.Module, Tensor]:
    options, shape = EXAMPLES[name]
    entry = models[name]
    torch.manual_seed(0)
    if "language-model" in entry.tasks:
        return entry.build(entry.options.model_validate(options), (), 40), torch.randint(40, (3, 12))
    return entry.build(entry.options.model_validate(options), shape, 10), torch.rand(3, *shape)


@pytest.mark.parametrize("name", models)
def test_every_shipped_model_is_a_chain_of_blocks(name: str) -> None:
    model, inputs = make(name)
    blocks = model_blocks(model, inputs)
    hidden = inputs
    for _, block in blocks:
        hidden = block(hidden)
    assert torch.equal(hidden, model(inputs))


@pytest.mark.parametrize("name", models)
def test_a_block_is_one_slice_of_the_flat_vector(name: str) -> None:
    model, inputs = make(name)
    layout = Layout.of(model)
    flat = layout.flatten(dict(model.named_parameters()))
    ends = [0]
    hidden = inputs
    for block_name, block in model_blocks(model):
        sizes = [size for key, size in zip(layout.names, layout.sizes, strict=True) if _of(key, block_name)]
        ends.append(ends[-1] + sum(sizes))
        own = Layout.of(block)
        part = flat[slice(*ends[-2:])]
        hidden = functional_call(block, own.named(own.views(part)), (hidden,))
    assert ends[-1] == len(flat)
    assert all(start < end for start, end in pairwise(ends))
    assert torch.equal(hidden, model(inputs))


def _of(parameter: str, block: str) -> bool:
    return parameter.startswith(f"{block}.")


@pytest.mark.parametrize("name", models)
def test_each_block_runs_stacked_on_its_own(name: str) -> None:
    model, inputs = make(name)
    hidden = torch.stack([inputs, inputs.flip(0)])
    for _, block in model_blocks(model):
        if not hasattr(block, "stacked_forward"):
            pytest.skip(f"{name} has no stacked form")
        params = {key: torch.stack([value, 0.9 * value]) for key, value in block.named_parameters()}
        after = block.stacked_forward(params, hidden)
        for row in range(2):
            own = {key: value[row] for key, value in params.items()}
            torch.testing.assert_close(after[row], functional_call(block, own, (hidden[row],)))
        hidden = after
    assert isinstance(stacked.chain(model_blocks(model), _two(model), torch.stack([inputs] * 2)), Tensor)


def _two(model: nn.Module) -> dict[str, Tensor]:
    return {key: torch.stack([value] * 2) for key, value in model.named_parameters()}


def test_a_tied_gpt_says_why_it_cannot_be_cut() -> None:
    entry = models["gpt"]
    with pytest.raises(ScenarioError, match=r"share one weight.*tied: false"):
        model_blocks(entry.build(entry.options(), (), 40))


class Two(nn.Module):
    """A user's model; each test breaks one promise of its blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 5), nn.Linear(5, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.second(torch.relu(self.first(inputs)))
        return outputs


class Named(Two):
    def blocks(self) -> list[tuple[str, nn.Module]]:
        return [("first", self.first), ("relu", nn.ReLU()), ("second", self.second)]


def test_a_users_blocks_may_have_no_parameters() -> None:
    assert [name for name, _ in model_blocks(Named(), torch.rand(2, 4))] == ["first", "relu", "second"]


@pytest.mark.parametrize(
    ("blocks", "complaint"),
    [
        (lambda self: None, "NoneType"),
        (lambda self: [], r"gives \[\]"),
        (lambda self: [self.first, self.second], "not a pair"),
        (lambda self: [("first", self.first), ("first", self.second)], "two blocks are called first"),
        (lambda self: [("one", self.first), ("second", self.second)], "no parameter one.weight"),
        (lambda self: [("first", self.first)], "no block has the parameter second.weight"),
        (lambda self: [("second", self.second), ("first", self.first)], "their order is another one"),
        (lambda self: [("first", self.first), ("second", self.first)], "are one parameter"),
        (lambda self: [("first", self.first), ("second", self.second)], "other values than forward"),
        (lambda self: [("first", self.first), ("second", self.second), ("cut", nn.Flatten(0))], "shape"),
        (lambda self: [("f", nn.Flatten(0)), ("first", self.first), ("second", self.second)], "fails on"),
        (lambda self: 1 / 0, "division by zero"),
    ],
)
def test_broken_promises_are_errors(blocks: object, complaint: str) -> None:
    torch.manual_seed(0)
    kind = type("Broken", (Two,), {"blocks": blocks})
    with pytest.raises(ScenarioError, match=complaint):
        model_blocks(kind(), 5 * torch.randn(2, 4))


def test_a_model_without_blocks_says_what_it_needs() -> None:
    with pytest.raises(ScenarioError, match=r"has no blocks\(\)"):
        model_blocks(Two())
