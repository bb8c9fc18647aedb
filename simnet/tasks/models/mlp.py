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


class MLPOptions(Options):
    """Options of `mlp`."""

    hidden: Annotated[
        tuple[PositiveInteger, ...],
        Field(description="Widths of the hidden layers; an empty list is a linear (softmax) model."),
    ] = (64,)
    activation: Annotated[ActivationName, Field(description="Between the layers: relu, tanh or gelu.")] = (
        "relu"
    )


class MLP(nn.Module):
    """Linear layers with an activation between them, on samples of any shape, flattened."""

    def __init__(
        self, inputs: int, outputs: int, hidden: Sequence[int] = (64,), activation: ActivationName = "relu"
    ) -> None:
        super().__init__()
        widths = [inputs, *hidden, outputs]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self.activation = ACTIVATIONS[activation]

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits `[batch, outputs]` of inputs `[batch, ...]`."""
        hidden = inputs.flatten(1)
        for layer in self.layers[:-1]:
            hidden = self.activation(layer(hidden))
        logits: Tensor = self.layers[-1](hidden)
        return logits

    def stacked_forward(self, params: dict[str, Tensor], inputs: Tensor) -> Tensor:
        """Logits `[n, batch, outputs]` of n models with parameters `[n, ...]` on inputs `[n, batch, ...]`."""
        hidden = inputs.flatten(2)
        last = len(self.layers) - 1
        for i in range(last + 1):
            hidden = stacked.linear(hidden, params[f"layers.{i}.weight"], params[f"layers.{i}.bias"])
            if i < last:
                hidden = self.activation(hidden)
        return hidden


def build_mlp(options: MLPOptions, shape: tuple[int, ...], outputs: int) -> MLP:
    """An MLP for samples of the given shape."""
    return MLP(prod(shape), outputs, options.hidden, options.activation)
