"""A multilayer perceptron."""

from collections.abc import Sequence
from itertools import pairwise
from math import prod
from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from simnet.scenario.fields import PositiveInteger
from simnet.tasks.entry import Options
from simnet.tasks.models import stacked
from simnet.tasks.models.activations import ACTIVATIONS, ActivationName
from simnet.tasks.models.chain import Blocks, chain


class MLPOptions(Options):
    """Options of `mlp`."""

    hidden: Annotated[
        tuple[PositiveInteger, ...],
        Field(description="Widths of the hidden layers; an empty list is a linear (softmax) model."),
    ] = (64,)
    activation: Annotated[ActivationName, Field(description="Between the layers: relu, tanh or gelu.")] = (
        "relu"
    )


class Dense(nn.Linear):
    """A linear layer on flattened samples, with an activation after it or none."""

    def __init__(self, inputs: int, outputs: int, activation: ActivationName | None = None) -> None:
        super().__init__(inputs, outputs)
        self.activation = None if activation is None else ACTIVATIONS[activation]

    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs `[batch, o]` of inputs `[batch, ...]`."""
        outputs = super().forward(inputs.flatten(1))
        return outputs if self.activation is None else self.activation(outputs)

    def stacked_forward(self, params: dict[str, Tensor], inputs: Tensor) -> Tensor:
        """Outputs `[n, batch, o]` of n layers with parameters `[n, ...]` on inputs `[n, batch, ...]`."""
        outputs = stacked.linear(inputs.flatten(2), params["weight"], params["bias"])
        return outputs if self.activation is None else self.activation(outputs)


class MLP(nn.Module):
    """Linear layers with an activation between them, on samples of any shape, flattened."""

    def __init__(
        self, inputs: int, outputs: int, hidden: Sequence[int] = (64,), activation: ActivationName = "relu"
    ) -> None:
        super().__init__()
        pairs = list(pairwise([inputs, *hidden, outputs]))
        self.layers = nn.ModuleList(Dense(a, b, activation) for a, b in pairs[:-1])
        self.layers.append(Dense(*pairs[-1]))

    def blocks(self) -> Blocks:
        """The layers, in order."""
        return [(f"layers.{i}", layer) for i, layer in enumerate(self.layers)]

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits `[batch, outputs]` of inputs `[batch, ...]`."""
        return chain(self.blocks(), inputs)

    def stacked_forward(self, params: dict[str, Tensor], inputs: Tensor) -> Tensor:
        """Logits `[n, batch, outputs]` of n models with parameters `[n, ...]` on inputs `[n, batch, ...]`."""
        return stacked.chain(self.blocks(), params, inputs)


def build_mlp(options: MLPOptions, shape: tuple[int, ...], outputs: int) -> MLP:
    """An MLP for samples of the given shape."""
    return MLP(prod(shape), outputs, options.hidden, options.activation)
