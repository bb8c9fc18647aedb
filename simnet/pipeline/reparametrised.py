"""Blocks whose parameters are functions of smaller ones, under the same names."""

from collections.abc import Callable, Mapping

from torch import Tensor, nn
from torch.func import functional_call

Expand = Callable[[Tensor], Tensor]
"""A parameter of the block, `[..., *shape]`, from the trained one, `[..., *smaller shape]`."""


class Reparametrised(nn.Module):
    """A block that trains smaller parameters, from which those of `block` are made at each pass.

    Args:
        block: Gives the computation; its own parameter values are not used any more.
        expand: For the names of the parameters that are made: how.
        initial: Their trained parameters at the start, by the same names.
    """

    def __init__(self, block: nn.Module, expand: Mapping[str, Expand], initial: Mapping[str, Tensor]) -> None:
        super().__init__()
        self._expand = dict(expand)
        self._block = (block,)  # in a tuple, so that its parameters are not this module's
        for name, parameter in block.named_parameters():
            value = initial[name] if name in self._expand else parameter.detach()
            *parents, last = name.split(".")
            owner: nn.Module = self
            for parent in parents:
                if not hasattr(owner, parent):
                    owner.add_module(parent, nn.Module())
                owner = owner.get_submodule(parent)
            owner.register_parameter(last, nn.Parameter(value.clone()))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Reparametrised":
        self.block._apply(fn, recurse)  # its buffers go where this module goes
        super()._apply(fn, recurse)
        return self

    @property
    def block(self) -> nn.Module:
        """The block that computes."""
        return self._block[0]

    def expanded(self, params: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The block's parameters, of the trained ones."""
        return {
            name: self._expand[name](value) if name in self._expand else value
            for name, value in params.items()
        }

    def forward(self, inputs: Tensor) -> Tensor:
        """What the block gives with the parameters made of the trained ones."""
        outputs: Tensor = functional_call(self.block, self.expanded(dict(self.named_parameters())), (inputs,))
        return outputs


class StackedReparametrised(Reparametrised):
    """The same for a block that runs for n replicas at once."""

    def stacked_forward(self, params: dict[str, Tensor], inputs: Tensor) -> Tensor:
        """Outputs `[n, ...]` with trained parameters `[n, ...]` on inputs `[n, ...]`."""
        outputs: Tensor = self.block.stacked_forward(self.expanded(params), inputs)  # type: ignore[operator]
        return outputs


def reparametrised(
    block: nn.Module, expand: Mapping[str, Expand], initial: Mapping[str, Tensor]
) -> Reparametrised:
    """The block with smaller parameters, stacked where the block is."""
    kind = StackedReparametrised if hasattr(block, "stacked_forward") else Reparametrised
    return kind(block, expand, initial)
