"""A small GPT: a pre-norm, causal transformer decoder (Radford et al., 2019)."""

from collections.abc import Callable
from typing import Annotated, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from simnet.scenario.fields import PositiveInteger
from simnet.tasks.entry import Options
from simnet.tasks.models import stacked

Positions = Literal["learned", "rotary"]


class GPTOptions(Options):
    """Options of `gpt`."""

    layers: Annotated[PositiveInteger, Field(description="Transformer blocks.")] = 2
    width: Annotated[
        PositiveInteger, Field(description="Width of the residual stream; a multiple of heads.")
    ] = 64
    heads: Annotated[PositiveInteger, Field(description="Attention heads in each block.")] = 4
    context: Annotated[PositiveInteger, Field(description="Bytes that the model sees at once.")] = 64
    positions: Annotated[
        Positions,
        Field(
            description="How positions are told: `learned` (an embedding per position) or `rotary` "
            "(queries and keys are turned by an angle that grows with the position)."
        ),
    ] = "learned"
    tied: Annotated[
        bool, Field(description="Whether the output layer shares its weights with the byte embedding.")
    ] = True

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        if self.positions == "rotary" and (self.width // self.heads) % 2:
            raise ValueError(
                f"rotary positions need an even width per head, not {self.width} / {self.heads} = "
                f"{self.width // self.heads}"
            )
        return self


def rotary_angles(context: int, size: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines `[context, size / 2]` of the rotary position embedding (Su et al., 2021)."""
    frequencies = 10_000.0 ** (-torch.arange(0, size, 2, dtype=torch.float64) / size)
    angles = torch.arange(context, dtype=torch.float64)[:, None] * frequencies
    return angles.cos(), angles.sin()


def rotate(vectors: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Turn vectors `[..., t, size]`: the pairs are (first half, second half) of the last dimension."""
    first, second = vectors.chunk(2, dim=-1)
    return torch.cat([first * cosines - second * sines, second * cosines + first * sines], dim=-1)


class Block(nn.Module):
    """Attention, then a two-layer perceptron four times as wide; each after a norm, each added on."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.attended = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.expand = nn.Linear(width, 4 * width)
        self.contract = nn.Linear(4 * width, width)

    def forward(self, stream: Tensor, attention: Callable[[Tensor], Tensor]) -> Tensor:
        """The residual stream `[batch, t, width]` after this block."""
        stream = stream + self.attended(attention(self.qkv(self.norm1(stream))))
        return stream + self.contract(F.gelu(self.expand(self.norm2(stream))))


class GPT(nn.Module):
    """A byte-level language model: ids `[batch, t]` to logits `[batch, t, vocabulary]`, t up to `context`.

    Weights start as in GPT-2: normal with standard deviation 0.02, divided by sqrt(2 layers) where a
    layer writes to the residual stream; biases start at zero.
    """

    cosines: Tensor
    sines: Tensor

    def __init__(
        self,
        vocabulary: int = 256,
        *,
        layers: int = 2,
        width: int = 64,
        heads: int = 4,
        context: int = 64,
        positions: Positions = "learned",
        tied: bool = True,
    ) -> None:
        super().__init__()
        self.context, self.heads, self.rotary, self.tied = context, heads, positions == "rotary", tied
        self.tokens = nn.Embedding(vocabulary, width)
        if self.rotary:
            cosines, sines = rotary_angles(context, width // heads)
            self.register_buffer("cosines", cosines.to(torch.get_default_dtype()), persistent=False)
            self.register_buffer("sines", sines.to(torch.get_default_dtype()), persistent=False)
        else:
            self.positions = nn.Embedding(context, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        if not tied:
            self.output = nn.Linear(width, vocabulary, bias=False)
        self._initialise(layers)

    def _initialise(self, layers: int) -> None:
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif "norm" not in name:
                residual = "attended" in name or "contract" in name
                nn.init.normal_(parameter, std=0.02 / (2 * layers) ** 0.5 if residual else 0.02)

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits of the next byte at each place: `[batch, t, vocabulary]` of ids `[batch, t]`."""
        stream = self.tokens(inputs)
        if not self.rotary:
            stream = stream + self.positions.weight[: inputs.shape[-1]]
        for block in self.blocks:
            stream = block(stream, self._attention)
        return F.linear(self.norm(stream), self.tokens.weight if self.tied else self.output.weight)

    def stacked_forward(self, params: dict[str, Tensor], inputs: Tensor) -> Tensor:
        """Logits `[n, batch, t, vocabulary]` of n models: parameters `[n, ...]`, ids `[n, batch, t]`."""

        def linear(name: str, values: Tensor) -> Tensor:
            return stacked.linear(values, params[f"{name}.weight"], params[f"{name}.bias"])

        def norm(name: str, values: Tensor) -> Tensor:
            return stacked.layer_norm(values, params[f"{name}.weight"], params[f"{name}.bias"])

        n, batch, length = inputs.shape
        stream = stacked.embedding(inputs, params["tokens.weight"])
        if not self.rotary:
            stream = stream + params["positions.weight"][:, None, :length]
        for i in range(len(self.blocks)):
            name = f"blocks.{i}"
            qkv = linear(f"{name}.qkv", norm(f"{name}.norm1", stream)).view(n * batch, length, -1)
            attended = self._attention(qkv).view(n, batch, length, -1)
            stream = stream + linear(f"{name}.attended", attended)
            hidden = F.gelu(linear(f"{name}.expand", norm(f"{name}.norm2", stream)))
            stream = stream + linear(f"{name}.contract", hidden)
        weight = params["tokens.weight" if self.tied else "output.weight"]
        return stacked.linear(norm("norm", stream), weight)

    def _attention(self, qkv: Tensor) -> Tensor:
        batch, length, width = qkv.shape
        size = width // 3 // self.heads
        q, k, v = qkv.view(batch, length, 3, self.heads, size).permute(2, 0, 3, 1, 4)
        if self.rotary:
            cosines, sines = self.cosines[:length], self.sines[:length]
            q, k = rotate(q, cosines, sines), rotate(k, cosines, sines)
        values = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return values.transpose(1, 2).reshape(batch, length, -1)


def build_gpt(options: GPTOptions, shape: tuple[int, ...], outputs: int) -> GPT:
    """A GPT over `outputs` symbols; its context is its own option, whatever the shape of a sample."""
    return GPT(outputs, **options.model_dump())
