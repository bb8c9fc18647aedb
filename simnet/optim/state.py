"""Optimizer states as things that are read, averaged and sent.

A state is a mapping of names to tensors `[..., n]`, `[...]` being the rows (workers). What is a float in it
can be made one vector per row and put back; whole numbers, such as the step count, travel beside it.

    vector = state_to_vector(state)                     # [..., n], in the order of the names
    state = copy_with_vector(state, vector)             # the same state with other floats
    mean = average_states([mine, theirs])               # step counts included
"""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

State = dict[str, Tensor]


def state_to_vector(state: Mapping[str, Tensor]) -> Tensor:
    """The float tensors of a state as one vector `[..., n]` per row, in alphabetical order of their names.

    A new tensor, in the widest of their types. Raises ValueError for a state without `step`, which tells the
    rows. A state without any float (plain SGD) gives `n = 0`, in float32.
    """
    rows = _rows(state)
    pieces = [state[name].reshape(*rows, -1) for name in _float_names(state)]
    if not pieces:
        return torch.zeros(*rows, 0, device=state["step"].device)
    dtype = pieces[0].dtype
    for piece in pieces[1:]:
        dtype = torch.promote_types(dtype, piece.dtype)
    return torch.cat([piece.to(dtype) for piece in pieces], dim=-1)


def copy_with_vector(state: Mapping[str, Tensor], vector: Tensor) -> State:
    """A new state with the floats of `vector` `[..., n]`, and shapes, types and whole numbers as in `state`.

    The inverse of `state_to_vector`. Raises ValueError where the vector does not fit the state.
    """
    rows, names = _rows(state), _float_names(state)
    sizes = [math.prod(state[name].shape[len(rows) :]) for name in names]
    if vector.shape != (*rows, sum(sizes)):
        raise ValueError(
            f"this state needs a vector of shape {(*rows, sum(sizes))}, not {tuple(vector.shape)}"
        )
    copy = {name: value.clone() for name, value in state.items() if name not in names}
    for name, piece in zip(names, vector.split(sizes, dim=-1) if names else (), strict=True):
        copy[name] = piece.reshape(state[name].shape).to(state[name].dtype, copy=True)
    return {name: copy[name] for name in state}


def average_states(states: Sequence[Mapping[str, Tensor]], weights: Sequence[float] | None = None) -> State:
    """The (weighted) mean of states; step counts and other whole numbers are rounded to the nearest.

    Equal states have themselves as their mean, to the bit. Raises ValueError where there is no state, where
    the states differ in names, shapes or types, and for weights that are negative or sum to 0.
    """
    if not states:
        raise ValueError("there is no state to average")
    weights = [1.0] * len(states) if weights is None else list(weights)
    total = math.fsum(weights)
    if len(weights) != len(states) or min(weights) < 0 or not 0 < total < math.inf:
        raise ValueError(
            f"{len(states)} states need as many weights, none negative and not all 0, not {weights}"
        )
    first, *others = states
    for other in others:
        _check_alike(first, other)
    return {
        name: _mean([state[name] for state in states], [weight / total for weight in weights])
        for name in first
    }


def state_bytes(state: Mapping[str, Tensor]) -> int:
    """Bytes that the tensors of a state take, step counts included."""
    return sum(value.nbytes for value in state.values())


def _mean(values: Sequence[Tensor], shares: Sequence[float]) -> Tensor:
    # Around the first value: the mean of equal values then is that value, whatever their number.
    whole = not values[0].is_floating_point()
    first = values[0].double() if whole else values[0].clone()
    mean = first.clone()
    for value, share in zip(values[1:], shares[1:], strict=True):
        mean.add_(value - first, alpha=share)
    return mean.round_().to(values[0].dtype) if whole else mean


def _rows(state: Mapping[str, Tensor]) -> torch.Size:
    if "step" not in state:
        raise ValueError(f"an optimizer state has a step count under `step`; this one has {', '.join(state)}")
    return state["step"].shape


def _float_names(state: Mapping[str, Tensor]) -> list[str]:
    return sorted(name for name, value in state.items() if value.is_floating_point())


def _check_alike(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> None:
    if set(one) != set(other):
        raise ValueError(f"states with different names: {', '.join(one)}; and {', '.join(other)}")
    for name, value in one.items():
        if value.shape != other[name].shape or value.dtype != other[name].dtype:
            raise ValueError(
                f"states that differ in {name}: {tuple(value.shape)} of {value.dtype}, and "
                f"{tuple(other[name].shape)} of {other[name].dtype}"
            )
