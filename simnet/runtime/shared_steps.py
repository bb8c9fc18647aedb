"""Equal optimizer steps and aggregations of many nodes at one instant, computed once.

After a collective every node goes from the same values to the same values. Tensors are values that nobody
mutates, so all may have the same result: a thousand nodes then hold one outer state between them.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from simnet.aggregation import Aggregation, Context
from simnet.optim import Optimizer


class SharedSteps:
    """Calls functions, and gives the last result again for an equal call of `Optimizer.step` or
    `Aggregation.combine`."""

    def __init__(self) -> None:
        self._last: tuple[float, Optimizer | Aggregation, tuple[Any, ...], Any] | None = None

    def call(self, now: float, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        """What `function(*arguments)` gives; called at virtual time `now`."""
        owner = getattr(function, "__self__", None)
        name = getattr(function, "__name__", "")
        steps = isinstance(owner, Optimizer) and name == "step"
        combines = isinstance(owner, Aggregation) and name == "combine"
        if not (steps or combines):
            return function(*arguments)
        assert isinstance(owner, Optimizer | Aggregation)
        if self._last is not None:
            moment, optimizer, known, result = self._last
            if moment == now and optimizer == owner and _equal(known, arguments):
                return result
        result = function(*arguments)
        self._last = now, owner, arguments, result
        return result

    def forget(self) -> None:
        """Let go of the last call."""
        self._last = None


def _equal(first: Any, second: Any) -> bool:
    """Whether two arguments are the same tensors, mappings or sequences of such, bit for bit."""
    if first is second:
        return True
    if isinstance(first, Tensor) and isinstance(second, Tensor):
        alike = first.shape == second.shape and first.dtype == second.dtype
        if not alike or first.device != second.device:
            return False
        return first.is_meta or torch.equal(first, second)  # without values, there is only the shape
    if isinstance(first, Context) and isinstance(second, Context):
        parts = ("centre", "trusted", "mixing", "loss", "rng")  # a generator is only equal to itself
        return all(_equal(getattr(first, part), getattr(second, part)) for part in parts)
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(_equal(first[key], second[key]) for key in first)
    if isinstance(first, tuple | list) and isinstance(second, tuple | list):
        return len(first) == len(second) and all(map(_equal, first, second))
    return False
