"""A small GPT: a pre-norm, causal transformer decoder (Radford et al., 2019)."""

from typing import Annotated, Literal, Self

import torch
from pydantic import Field, PositiveFloat, model_validator
from torch import Tensor, nn

from simnet.scenario.fields import PositiveInteger
from simnet.tasks.entry import Options
from simnet.tasks.models import stacked
from simnet.tasks.models.chain import Blocks, chain
from simnet.tasks.models.transformer import Layer, initialise, rotary_angles

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
    embedding_std: Annotated[
        PositiveFloat,
        Field(
            description="Standard deviation of the byte embedding at the start; that of positions stays 0.02."
        ),
    ] = 0.02

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


class Embedding(nn.Module):
    """Bytes and their places as vectors: ids `[batch, t]` to the residual stream `[batch, t, width]`."""

    def __init__(self, vocabulary: int, width: int, context: int | None) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = None if context is None else nn.Embedding(context, width)

    def forward(self, inputs: Tensor) -> Tensor:
        """The residual stream before the first layer."""
        stream: Tensor = self.tokens(inputs)
        return stream if self.positions is None else stream + self.positions.weight[: inputs.shape[-1]]

    def stacked_forward(self, params: dict[str, Tensor], inputs: Tensor) -> Tensor:
        """The same for n models: parameters `[n, ...]`, ids `[n, batch, t]`."""
        stream = stacked.embedding(inputs, params["tokens.weight"])
        if self.positions is None:
            return stream
        return stream + params["positions.weight"][:, None, : inputs.shape[-1]]


class Head(nn.Module):
    """The last norm, and logits: `[batch, t, width]` to `[batch, t, vocabulary]`."""

    def __init__(self, width: int, vocabulary: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, vocabulary, bias=False)

    def forward(self, stream: Tensor) -> Tensor:
        """Logits of the next byte at each place."""
        logits: Tensor = self.output(self.norm(stream))
        return logits

    def stacked_forward(self, params: dict[str, Tensor], stream: Tensor) -> Tensor:
        """The same for n models: parameters `[n, ...]`, stream `[n, batch, t, width]`."""
        normal = stacked.layer_norm(stream, params["norm.weight"], params["norm.bias"])
        return stacked.linear(normal, params["output.weight"])


class GPT(nn.Module):
    """A byte-level language model: ids `[batch, t]` to logits `[batch, t, vocabulary]`, t up to `context`.

    Weights start as in GPT-2: normal with standard deviation 0.02, divided by sqrt(2 layers) where a
    layer writes to the residual stream; biases start at zero. `embedding_std` is that of the byte embedding.
    """

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
        embedding_std: float = 0.02,
    ) -> None:
        super().__init__()
        self.context, self.tied = context, tied
        angles = None
        if positions == "rotary":
            cosines, sines = rotary_angles(context, width // heads)
            angles = cosines.to(torch.get_default_dtype()), sines.to(torch.get_default_dtype())
        self.embedding = Embedding(vocabulary, width, context if angles is None else None)
        self.layers = nn.ModuleList(Layer(width, heads, causal=True, angles=angles) for _ in range(layers))
        self.head = Head(width, vocabulary)
        if tied:
            self.head.output.weight = self.embedding.tokens.weight
        initialise(self, layers)
        with torch.no_grad():  # scaled, so that the same numbers are drawn whatever the scale
            self.embedding.tokens.weight *= embedding_std / 0.02

    def blocks(self) -> Blocks:
        """`embedding`, `layers.0` and so on, `head`; for a model that is not tied.

        Raises `ValueError` for a tied one: its first and its last block have one weight.
        """
        if self.tied:
            raise ValueError(
                "the embedding and the head of a tied gpt share one weight, so it cannot be cut; "
                "use `tied: false`"
            )
        return self._chain()

    def _chain(self) -> Blocks:
        layers = [(f"layers.{i}", layer) for i, layer in enumerate(self.layers)]
        return [("embedding", self.embedding), *layers, ("head", self.head)]

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits of the next byte at each place: `[batch, t, vocabulary]` of ids `[batch, t]`."""
        return chain(self._chain(), inputs)

    def stacked_forward(self, params: dict[str, Tensor], inputs: Tensor) -> Tensor:
        """Logits `[n, batch, t, vocabulary]` of n models: parameters `[n, ...]`, ids `[n, batch, t]`."""
        if self.tied:
            params = {**params, "head.output.weight": params["embedding.tokens.weight"]}
        return stacked.chain(self._chain(), params, inputs)


def build_gpt(options: GPTOptions, shape: tuple[int, ...], outputs: int) -> GPT:
    """A GPT over `outputs` symbols; its context is its own option, whatever the shape of a sample."""
    return GPT(outputs, **options.model_dump())
