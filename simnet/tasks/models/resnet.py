"""Residual networks with group norm (He et al., 2016; Wu and He, 2018)."""

from collections.abc import Sequence
from typing import Annotated, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from simnet.scenario.fields import PositiveInteger
from simnet.tasks.entry import Options
from simnet.tasks.models import stacked
from simnet.tasks.models.chain import Blocks, chain

Depth = Literal[8, 18]

STAGES: dict[Depth, tuple[int, int]] = {8: (3, 1), 18: (4, 2)}
"""Stages, and residual blocks in each; a block has two convolutions, and the ends are two more layers."""


class ResNetOptions(Options):
    """Options of `resnet`."""

    depth: Annotated[
        Depth, Field(description="8 (three stages of one block) or 18 (four stages of two blocks).")
    ] = 8
    width: Annotated[
        PositiveInteger,
        Field(
            description="Channels of the first stage; each later one has twice as many. 64 is usual for 18."
        ),
    ] = 16
    groups: Annotated[
        PositiveInteger, Field(description="Groups of channels in each group norm; they divide width.")
    ] = 8

    @model_validator(mode="after")
    def _groups_divide_width(self) -> Self:
        if self.width % self.groups:
            raise ValueError(f"width {self.width} is not a multiple of groups {self.groups}")
        return self


class NormedConvolution(nn.Module):
    """A convolution without bias, and a group norm of what it gives."""

    def __init__(self, inputs: int, outputs: int, side: int, stride: int, groups: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, side, stride, padding=side // 2, bias=False)
        self.norm = nn.GroupNorm(groups, outputs)
        nn.init.kaiming_normal_(self.convolution.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        """Images `[batch, o, height / stride, width / stride]` (rounded up) of `[batch, i, ...]`."""
        normal: Tensor = self.norm(self.convolution(images))
        return normal

    def side_by_side(self, params: dict[str, Tensor], name: str, images: Tensor) -> Tensor:
        """n of them on images `[batch, n * i, height, width]`; `name` is this one's among `params`."""
        weight = params[f"{name}convolution.weight"]
        stride, padding = self.convolution.stride[0], weight.shape[-1] // 2
        hidden = stacked.conv2d(images, weight, None, stride, padding)
        return stacked.group_norm(
            hidden, self.norm.num_groups, params[f"{name}norm.weight"], params[f"{name}norm.bias"]
        )


class Stem(NormedConvolution):
    """The first convolution, 3 x 3, and its activation; images keep their size."""

    def __init__(self, inputs: int, outputs: int, groups: int) -> None:
        super().__init__(inputs, outputs, 3, 1, groups)

    def forward(self, images: Tensor) -> Tensor:
        """Images `[batch, o, height, width]` of images `[batch, i, height, width]`."""
        return torch.relu(super().forward(images))

    def stacked_forward(self, params: dict[str, Tensor], images: Tensor) -> Tensor:
        """The same for n models: parameters `[n, ...]`, images `[n, batch, ...]`."""
        hidden = self.side_by_side(params, "", stacked.side_by_side(images))
        return stacked.one_by_one(torch.relu(hidden), len(images))


class Residual(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut, which is a 1 x 1 convolution where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int, groups: int) -> None:
        super().__init__()
        self.first = NormedConvolution(inputs, outputs, 3, stride, groups)
        self.second = NormedConvolution(outputs, outputs, 3, 1, groups)
        changed = stride > 1 or inputs != outputs
        self.shortcut = NormedConvolution(inputs, outputs, 1, stride, groups) if changed else None

    def forward(self, images: Tensor) -> Tensor:
        """Images `[batch, o, height / stride, width / stride]` (rounded up) of `[batch, i, ...]`."""
        hidden = self.second(torch.relu(self.first(images)))
        return torch.relu(hidden + (images if self.shortcut is None else self.shortcut(images)))

    def stacked_forward(self, params: dict[str, Tensor], images: Tensor) -> Tensor:
        """The same for n models: parameters `[n, ...]`, images `[n, batch, ...]`."""
        together = stacked.side_by_side(images)
        hidden = torch.relu(self.first.side_by_side(params, "first.", together))
        hidden = self.second.side_by_side(params, "second.", hidden)
        if self.shortcut is not None:
            together = self.shortcut.side_by_side(params, "shortcut.", together)
        return stacked.one_by_one(torch.relu(hidden + together), len(images))


class MeanHead(nn.Linear):
    """The mean over each channel's pixels, and a linear layer."""

    def forward(self, images: Tensor) -> Tensor:
        """Logits `[batch, outputs]` of images `[batch, channels, height, width]`."""
        return super().forward(images.mean((-2, -1)))

    def stacked_forward(self, params: dict[str, Tensor], images: Tensor) -> Tensor:
        """The same for n models: parameters `[n, ...]`, images `[n, batch, ...]`."""
        return stacked.linear(images.mean((-2, -1)), params["weight"], params["bias"])


class ResNet(nn.Module):
    """A stem, stages of residual blocks that each halve the image but for the first, and a linear head.

    As for small images (no max pool after the stem), and with group norm instead of batch norm, which has no
    statistics that workers would have to agree upon (Hsieh et al., 2020, arXiv 1910.00189). Raises
    `ValueError` for samples that are not `[channels, height, width]`.
    """

    def __init__(
        self, shape: Sequence[int], outputs: int, *, depth: Depth = 8, width: int = 16, groups: int = 8
    ) -> None:
        super().__init__()
        if len(shape) != 3:
            raise ValueError(f"resnet needs samples of shape [channels, height, width], not {list(shape)}")
        stages, repeats = STAGES[depth]
        self.stem = Stem(shape[0], width, groups)
        self.layers = nn.ModuleList()
        inputs = width
        for stage in range(stages):
            for repeat in range(repeats):
                stride = 2 if stage and not repeat else 1
                self.layers.append(Residual(inputs, width << stage, stride, groups))
                inputs = width << stage
        self.head = MeanHead(inputs, outputs)

    def blocks(self) -> Blocks:
        """`stem`, the residual blocks `layers.0` and so on, `head`."""
        layers = [(f"layers.{i}", layer) for i, layer in enumerate(self.layers)]
        return [("stem", self.stem), *layers, ("head", self.head)]

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits `[batch, outputs]` of images `[batch, channels, height, width]`."""
        return chain(self.blocks(), inputs)

    def stacked_forward(self, params: dict[str, Tensor], inputs: Tensor) -> Tensor:
        """Logits `[n, batch, outputs]` of n models with parameters `[n, ...]` on images `[n, batch, ...]`."""
        return stacked.chain(self.blocks(), params, inputs)


def build_resnet(options: ResNetOptions, shape: tuple[int, ...], outputs: int) -> ResNet:
    """A ResNet for images of the given shape; raises `ValueError` where they do not suit."""
    return ResNet(shape, outputs, **options.model_dump())
