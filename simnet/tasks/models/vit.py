"""A small vision transformer (Dosovitskiy et al., 2021, arXiv 2010.11929)."""

from collections.abc import Sequence
from typing import Annotated, Self

from pydantic import Field, model_validator
from torch import Tensor, nn

from simnet.scenario.fields import PositiveInteger
from simnet.tasks.entry import Options
from simnet.tasks.models import stacked
from simnet.tasks.models.chain import Blocks, chain
from simnet.tasks.models.transformer import Layer, initialise


class ViTOptions(Options):
    """Options of `vit`."""

    patch: Annotated[PositiveInteger, Field(description="Side of a patch; it divides the image's sides.")] = 4
    layers: Annotated[PositiveInteger, Field(description="Transformer layers.")] = 2
    width: Annotated[
        PositiveInteger, Field(description="Width of the residual stream; a multiple of heads.")
    ] = 64
    heads: Annotated[PositiveInteger, Field(description="Attention heads in each layer.")] = 4

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        return self


class Patches(nn.Module):
    """Images `[batch, channels, height, width]` to the residual stream `[batch, patches, width]`."""

    def __init__(self, channels: int, patch: int, patches: int, width: int) -> None:
        super().__init__()
        self.patch = patch
        self.pixels = nn.Linear(channels * patch**2, width)
        self.positions = nn.Embedding(patches, width)

    def forward(self, inputs: Tensor) -> Tensor:
        """A linear map of each patch, and its learned position."""
        stream: Tensor = self.pixels(self._cut(inputs))
        return stream + self.positions.weight

    def stacked_forward(self, params: dict[str, Tensor], inputs: Tensor) -> Tensor:
        """The same for n models: parameters `[n, ...]`, images `[n, batch, ...]`."""
        stream = stacked.linear(self._cut(inputs), params["pixels.weight"], params["pixels.bias"])
        return stream + params["positions.weight"].unsqueeze(1)

    def _cut(self, images: Tensor) -> Tensor:
        # [..., c, h, w] to [..., patches, c * patch * patch], row by row.
        side = self.patch
        tiles = images.unfold(-2, side, side).unfold(-2, side, side).movedim(-5, -3)
        return tiles.flatten(-5, -4).flatten(-3)


class PooledHead(nn.Module):
    """The last norm, the mean over patches, and logits: `[batch, patches, width]` to `[batch, outputs]`."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, outputs)

    def forward(self, stream: Tensor) -> Tensor:
        """Logits of the images."""
        logits: Tensor = self.output(self.norm(stream).mean(1))
        return logits

    def stacked_forward(self, params: dict[str, Tensor], stream: Tensor) -> Tensor:
        """The same for n models: parameters `[n, ...]`, stream `[n, batch, patches, width]`."""
        normal = stacked.layer_norm(stream, params["norm.weight"], params["norm.bias"])
        return stacked.linear(normal.mean(2), params["output.weight"], params["output.bias"])


class ViT(nn.Module):
    """Patches, layers that attend both ways, and the mean over all patches instead of a class token.

    Raises `ValueError` for samples that are not `[channels, height, width]`, or whose sides the patch does
    not divide.
    """

    def __init__(
        self,
        shape: Sequence[int],
        outputs: int,
        *,
        patch: int = 4,
        layers: int = 2,
        width: int = 64,
        heads: int = 4,
    ) -> None:
        super().__init__()
        if len(shape) != 3:
            raise ValueError(f"vit needs samples of shape [channels, height, width], not {list(shape)}")
        channels, rows, columns = shape
        if rows % patch or columns % patch:
            raise ValueError(f"patches of {patch} x {patch} do not tile an image of {rows} x {columns}")
        patches = (rows // patch) * (columns // patch)
        self.embedding = Patches(channels, patch, patches, width)
        self.layers = nn.ModuleList(Layer(width, heads, causal=False) for _ in range(layers))
        self.head = PooledHead(width, outputs)
        initialise(self, layers)

    def blocks(self) -> Blocks:
        """`embedding`, `layers.0` and so on, `head`."""
        layers = [(f"layers.{i}", layer) for i, layer in enumerate(self.layers)]
        return [("embedding", self.embedding), *layers, ("head", self.head)]

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits `[batch, outputs]` of images `[batch, channels, height, width]`."""
        return chain(self.blocks(), inputs)

    def stacked_forward(self, params: dict[str, Tensor], inputs: Tensor) -> Tensor:
        """Logits `[n, batch, outputs]` of n models with parameters `[n, ...]` on images `[n, batch, ...]`."""
        return stacked.chain(self.blocks(), params, inputs)


def build_vit(options: ViTOptions, shape: tuple[int, ...], outputs: int) -> ViT:
    """A ViT for images of the given shape; raises `ValueError` where they do not suit."""
    return ViT(shape, outputs, **options.model_dump())
