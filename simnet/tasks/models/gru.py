"""A gated recurrent unit (Cho et al., 2014, arXiv 1406.1078), written with linear layers.

PyTorch's own `nn.GRU` computes the same; but its FLOPs are not counted, and vmap cannot follow it.
"""

from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from simnet.scenario.fields import PositiveInteger
from simnet.tasks.entry import Options
from simnet.tasks.models import stacked
from simnet.tasks.models.chain import Blocks, chain


class GRUOptions(Options):
    """Options of `gru`."""

    layers: Annotated[PositiveInteger, Field(description="Recurrent layers.")] = 1
    width: Annotated[
        PositiveInteger, Field(description="Units in each layer, and width of the embedding.")
    ] = 64
    context: Annotated[
        PositiveInteger, Field(description="For text: bytes in a window. The state is zero at its beginning.")
    ] = 64


class Recurrent(nn.Module):
    """One layer: sequences `[batch, t, i]` to the states after each step, `[batch, t, width]`.

    With x a step's input, h the state (zero at first), s the logistic function and * element by element:
    r = s(W_r x + b_r + U_r h + c_r), z = s(W_z x + b_z + U_z h + c_z),
    m = tanh(W_m x + b_m + r * (U_m h + c_m)), and the next state is (1 - z) * m + z * h.
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.input = nn.Linear(inputs, 3 * width)
        self.state = nn.Linear(width, 3 * width)

    def forward(self, inputs: Tensor) -> Tensor:
        """The states after each step, from inputs `[batch, ..., i]`; what is between is steps."""
        given = self.input(inputs.flatten(1, -2))
        state = torch.zeros_like(given[:, 0, : self.width])
        states = []
        for step in given.unbind(1):
            x_r, x_z, x_m = step.chunk(3, -1)
            h_r, h_z, h_m = self.state(state).chunk(3, -1)
            update = torch.sigmoid(x_z + h_z)
            memory = torch.tanh(x_m + torch.sigmoid(x_r + h_r) * h_m)
            state = memory + update * (state - memory)
            states.append(state)
        return torch.stack(states, 1)

    def stacked_forward(self, params: dict[str, Tensor], inputs: Tensor) -> Tensor:
        """The same for n layers: parameters `[n, ...]`, inputs `[n, batch, ..., i]`."""
        given = stacked.linear(inputs.flatten(2, -2), params["input.weight"], params["input.bias"])
        weight, bias = params["state.weight"], params["state.bias"]
        states: Tensor = _Scan.apply(given.movedim(2, 0).contiguous(), weight, bias)
        return states.movedim(0, 2)


class _Scan(torch.autograd.Function):
    """The recurrence of n layers: given `[t, n, batch, 3 w]`, weight `[n, 3 w, w]`, bias `[n, 3 w]`.

    Its backward gathers the gradient of the weight in one product over all steps, where autograd would need
    one per step, and keeps four values per unit and step.
    """

    @staticmethod
    def forward(ctx: Any, given: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        width = weight.shape[-1]
        states = given.new_zeros(len(given) + 1, *given.shape[1:-1], width)
        gates = torch.empty_like(given)  # r, z and m of each step
        gated = torch.empty_like(states[1:])  # U_m h + c_m
        transposed, shift = weight.transpose(1, 2), bias.unsqueeze(1)
        for t, step in enumerate(given):
            recurrent = torch.baddbmm(shift, states[t], transposed)
            both, memory = gates[t].split((2 * width, width), -1)
            torch.sigmoid(step[..., : 2 * width] + recurrent[..., : 2 * width], out=both)
            reset, update = both.chunk(2, -1)
            gated[t] = recurrent[..., 2 * width :]
            torch.tanh(torch.addcmul(step[..., 2 * width :], reset, gated[t]), out=memory)
            torch.lerp(memory, states[t], update, out=states[t + 1])
        ctx.save_for_backward(states, gates, gated, weight)
        return states[1:]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        states, gates, gated, weight = ctx.saved_tensors
        given = torch.empty_like(gates)  # gradients with respect to W x + b, and so on
        recurrent = torch.empty_like(gates)  # the same for U h + c
        carried = torch.zeros_like(states[0])
        width = weight.shape[-1]
        for t in range(len(gates) - 1, -1, -1):
            carried = carried + gradient[t]
            reset, update, memory = gates[t].chunk(3, -1)
            at_reset, at_update, at_memory = given[t].chunk(3, -1)
            torch.mul(carried * (1 - update), 1 - memory * memory, out=at_memory)
            torch.mul(carried * (states[t] - memory), update * (1 - update), out=at_update)
            torch.mul(at_memory * gated[t], reset * (1 - reset), out=at_reset)
            recurrent[t, ..., : 2 * width] = given[t, ..., : 2 * width]
            torch.mul(at_memory, reset, out=recurrent[t, ..., 2 * width :])
            carried = torch.baddbmm(carried * update, recurrent[t], weight)
        n = len(weight)
        rows = recurrent.transpose(0, 1).reshape(n, -1, 3 * width)
        before = states[:-1].transpose(0, 1).reshape(n, -1, width)
        return given, torch.bmm(rows.transpose(1, 2), before), rows.sum(1)


class Tokens(nn.Embedding):
    """Ids `[batch, t]` as vectors `[batch, t, width]`."""

    def stacked_forward(self, params: dict[str, Tensor], inputs: Tensor) -> Tensor:
        """The same for n models: parameters `[n, ...]`, ids `[n, batch, t]`."""
        return stacked.embedding(inputs, params["weight"])


class StateHead(nn.Linear):
    """Logits of every state `[batch, t, width]`, or of the last one alone."""

    def __init__(self, width: int, outputs: int, *, last: bool) -> None:
        super().__init__(width, outputs)
        self.last = last

    def forward(self, states: Tensor) -> Tensor:
        """Logits `[batch, t, outputs]`, or `[batch, outputs]` of the last state."""
        return super().forward(states[:, -1] if self.last else states)

    def stacked_forward(self, params: dict[str, Tensor], states: Tensor) -> Tensor:
        """The same for n models: parameters `[n, ...]`, states `[n, batch, t, width]`."""
        wanted = states[:, :, -1] if self.last else states
        return stacked.linear(wanted, params["weight"], params["bias"])


class GRU(nn.Module):
    """Recurrent layers and a linear head: a byte-level language model, or a classifier of sequences.

    Without `features`, inputs are ids `[batch, t]` and logits are `[batch, t, outputs]`. With it, inputs are
    sequences `[batch, ..., features]` (an image is read row by row), and logits are `[batch, outputs]`.
    """

    def __init__(
        self,
        outputs: int,
        *,
        features: int | None = None,
        layers: int = 1,
        width: int = 64,
        context: int = 64,
    ) -> None:
        super().__init__()
        self.context = context
        self.embedding = Tokens(outputs, width) if features is None else None
        widths = [width if features is None else features, *[width] * (layers - 1)]
        self.layers = nn.ModuleList(Recurrent(inputs, width) for inputs in widths)
        self.head = StateHead(width, outputs, last=features is not None)

    def blocks(self) -> Blocks:
        """`embedding` (for text), `layers.0` and so on, `head`."""
        first: Blocks = [] if self.embedding is None else [("embedding", self.embedding)]
        layers = [(f"layers.{i}", layer) for i, layer in enumerate(self.layers)]
        return [*first, *layers, ("head", self.head)]

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits: see above."""
        return chain(self.blocks(), inputs)

    def stacked_forward(self, params: dict[str, Tensor], inputs: Tensor) -> Tensor:
        """Logits `[n, ...]` of n models with parameters `[n, ...]` on inputs `[n, ...]`."""
        return stacked.chain(self.blocks(), params, inputs)


def build_gru(options: GRUOptions, shape: tuple[int, ...], outputs: int) -> GRU:
    """A GRU over `outputs` symbols, or for samples of the given shape `[..., steps, features]`.

    Raises `ValueError` where a sample has one dimension only.
    """
    if len(shape) == 1:
        raise ValueError(f"gru needs samples of shape [steps, features], not {list(shape)}")
    return GRU(outputs, features=shape[-1] if shape else None, **options.model_dump())
