"""A small convolutional network for images."""

from collections.abc import Sequence
from itertools import pairwise
from math import prod
from typing import Annotated

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from simnet.scenario.fields import PositiveInteger
from simnet.tasks.entry import Options
from simnet.tasks.models import stacked
from simnet.tasks.models.activations import ACTIVATIONS, ActivationName
from simnet.tasks.models.chain import Blocks, chain
from simnet.tasks.models.mlp import Dense


class CNNOptions(Options):
    """Options of `cnn`."""

    channels: Annotated[
        tuple[PositiveInteger, ...],
        Field(min_length=1, description="Channels of the 3 x 3 convolutions; each halves the image."),
    ] = (8, 16)
    activation: Annotated[
        ActivationName, Field(description="After each convolution: relu, tanh or gelu.")
    ] = "relu"


class Convolution(nn.Conv2d):
    """A 3 x 3 convolution, an activation and a 2 x 2 max pool."""

    def __init__(self, inputs: int, outputs: int, activation: ActivationName) -> None:
        super().__init__(inputs, outputs, 3, padding=1)
        self.activation = ACTIVATIONS[activation]

    def forward(self, inputs: Tensor) -> Tensor:
        """Images `[batch, o, height / 2, width / 2]` of images `[batch, i, height, width]`."""
        return F.max_pool2d(self.activation(super().forward(inputs)), 2)

    def stacked_forward(self, params: dict[str, Tensor], inputs: Tensor) -> Tensor:
        """The same for n layers with parameters `[n, ...]` on images `[n, batch, i, height, width]`."""
        images = stacked.side_by_side(inputs)
        hidden = stacked.conv2d(images, params["weight"], params["bias"], padding=1)
        return stacked.one_by_one(F.max_pool2d(self.activation(hidden), 2), len(inputs))


class CNN(nn.Module):
    """3 x 3 convolutions, each with an activation and a 2 x 2 max pool, then one linear layer.

    Raises `ValueError` for samples that are not `[channels, height, width]`, or too small to be halved
    once per convolution.
    """

    def __init__(
        self,
        shape: Sequence[int],
        outputs: int,
        channels: Sequence[int] = (8, 16),
        activation: ActivationName = "relu",
    ) -> None:
        super().__init__()
        if len(shape) != 3:
            raise ValueError(f"cnn needs samples of shape [channels, height, width], not {list(shape)}")
        size = [side >> len(channels) for side in shape[1:]]
        if min(size) < 1:
            raise ValueError(
                f"an image of {shape[1]} x {shape[2]} is too small to be halved {len(channels)} times"
            )
        widths = [shape[0], *channels]
        self.convolutions = nn.ModuleList(Convolution(a, b, activation) for a, b in pairwise(widths))
        self.output = Dense(widths[-1] * prod(size), outputs)

    def blocks(self) -> Blocks:
        """The convolutions, in order, then the linear layer."""
        return [
            *((f"convolutions.{i}", layer) for i, layer in enumerate(self.convolutions)),
            ("output", self.output),
        ]

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits `[batch, outputs]` of images `[batch, channels, height, width]`."""
        return chain(self.blocks(), inputs)

    def stacked_forward(self, params: dict[str, Tensor], inputs: Tensor) -> Tensor:
        """Logits `[n, batch, outputs]` of n models with parameters `[n, ...]` on images `[n, batch, ...]`."""
        return stacked.chain(self.blocks(), params, inputs)


def build_cnn(options: CNNOptions, shape: tuple[int, ...], outputs: int) -> CNN:
    """A CNN for images of the given shape; raises `ValueError` where they do not suit."""
    return CNN(shape, outputs, options.channels, options.activation)
