"""The layer of `gpt` and `vit`, in its pre-norm form (Vaswani et al., 2017; Radford et al., 2019)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from simnet.tasks.models import stacked


def rotary_angles(context: int, size: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines `[context, size / 2]` of the rotary position embedding (Su et al., 2021)."""
    frequencies = 10_000.0 ** (-torch.arange(0, size, 2, dtype=torch.float64) / size)
    angles = torch.arange(context, dtype=torch.float64)[:, None] * frequencies
    return angles.cos(), angles.sin()


def rotate(vectors: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Turn vectors `[..., t, size]`: the pairs are (first half, second half) of the last dimension."""
    first, second = vectors.chunk(2, dim=-1)
    return torch.cat([first * cosines - second * sines, second * cosines + first * sines], dim=-1)


class Layer(nn.Module):
    """Attention, then a two-layer perceptron four times as wide; each after a norm, each added on."""

    cosines: Tensor
    sines: Tensor

    def __init__(
        self, width: int, heads: int, *, causal: bool, angles: tuple[Tensor, Tensor] | None = None
    ) -> None:
        super().__init__()
        self.heads, self.causal, self.rotary = heads, causal, angles is not None
        if angles is not None:
            self.register_buffer("cosines", angles[0], persistent=False)
            self.register_buffer("sines", angles[1], persistent=False)
        self.norm1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.attended = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.expand = nn.Linear(width, 4 * width)
        self.contract = nn.Linear(4 * width, width)

    def forward(self, stream: Tensor) -> Tensor:
        """The residual stream `[batch, t, width]` after this layer."""
        stream = stream + self.attended(self._attention(self.qkv(self.norm1(stream))))
        return stream + self.contract(F.gelu(self.expand(self.norm2(stream))))

    def stacked_forward(self, params: dict[str, Tensor], stream: Tensor) -> Tensor:
        """The same for n models: parameters `[n, ...]`, stream `[n, batch, t, width]`."""

        def linear(name: str, values: Tensor) -> Tensor:
            return stacked.linear(values, params[f"{name}.weight"], params[f"{name}.bias"])

        def norm(name: str, values: Tensor) -> Tensor:
            return stacked.layer_norm(values, params[f"{name}.weight"], params[f"{name}.bias"])

        # Attention has no parameters: to it, the workers are one larger batch.
        attended = self._attention(linear("qkv", norm("norm1", stream)).flatten(0, 1))
        stream = stream + linear("attended", attended.view(stream.shape))
        hidden = F.gelu(linear("expand", norm("norm2", stream)))
        return stream + linear("contract", hidden)

    def _attention(self, qkv: Tensor) -> Tensor:
        batch, length, width = qkv.shape
        size = width // 3 // self.heads
        q, k, v = qkv.view(batch, length, 3, self.heads, size).permute(2, 0, 3, 1, 4)
        if self.rotary:
            cosines, sines = self.cosines[:length], self.sines[:length]
            q, k = rotate(q, cosines, sines), rotate(k, cosines, sines)
        values = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        return values.transpose(1, 2).reshape(batch, length, -1)


def initialise(model: nn.Module, layers: int) -> None:
    """GPT-2's initial weights: normal with standard deviation 0.02, biases zero, norms as they are.

    The standard deviation is divided by sqrt(2 layers) where a layer writes to the residual stream.
    """
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
        elif "norm" not in name:
            residual = "attended" in name or "contract" in name
            nn.init.normal_(parameter, std=0.02 / (2 * layers) ** 0.5 if residual else 0.02)
