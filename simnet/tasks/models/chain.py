"""Running a model's blocks one after the other."""

from collections.abc import Iterable

from torch import Tensor, nn

Blocks = list[tuple[str, nn.Module]]
"""Names and modules of a chain: each takes the tensor that the one before it gives."""


def chain(blocks: Iterable[tuple[str, nn.Module]], inputs: Tensor) -> Tensor:
    """What the last block gives when `inputs` go through all of them."""
    for _, block in blocks:
        inputs = block(inputs)
    return inputs
