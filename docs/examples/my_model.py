"""A model and a dataset of one's own: a plain `nn.Module` and a plain `Dataset`."""

import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset


class TwoLayers(nn.Module):
    """A small network for two-dimensional points; `width` comes from the YAML."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, width), nn.Tanh(), nn.Linear(width, 2))

    def forward(self, points: Tensor) -> Tensor:
        """Logits `[batch, 2]` of points `[batch, 2]`."""
        return self.layers(points)


def two_moons() -> TensorDataset:
    """Points on two interleaved half circles, labelled by which one they lie on."""
    angles = torch.linspace(0, torch.pi, 400)
    noise = torch.randn(800, 2, generator=torch.Generator().manual_seed(1)) * 0.1
    upper = torch.stack([angles.cos(), angles.sin()], dim=1)
    lower = torch.stack([1 - angles.cos(), 0.5 - angles.sin()], dim=1)
    labels = torch.arange(2).repeat_interleave(400)
    return TensorDataset(torch.cat([upper, lower]) + noise, labels)
