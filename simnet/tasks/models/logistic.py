"""Logistic regression over several classes (a softmax model)."""

from math import prod

from torch import Tensor, nn

from simnet.tasks.entry import Options
from simnet.tasks.models import stacked
from simnet.tasks.models.chain import Blocks, chain
from simnet.tasks.models.mlp import Dense


class LogisticOptions(Options):
    """Options of `logistic`: none."""


class Logistic(nn.Module):
    """One linear layer on flattened samples, at zero at first: with cross entropy, a convex problem."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.output = Dense(inputs, outputs)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def blocks(self) -> Blocks:
        """The one layer."""
        return [("output", self.output)]

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits `[batch, outputs]` of inputs `[batch, ...]`."""
        return chain(self.blocks(), inputs)

    def stacked_forward(self, params: dict[str, Tensor], inputs: Tensor) -> Tensor:
        """Logits `[n, batch, outputs]` of n models with parameters `[n, ...]` on inputs `[n, batch, ...]`."""
        return stacked.chain(self.blocks(), params, inputs)


def build_logistic(options: LogisticOptions, shape: tuple[int, ...], outputs: int) -> Logistic:
    """Logistic regression for samples of the given shape."""
    return Logistic(prod(shape), outputs)
