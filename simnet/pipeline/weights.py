"""Versions of one stage's weights, and which of them a microbatch's two passes see.

A version is a number of updates: version v is what the weights are after v of them. Weights are values that
nobody mutates, so keeping a version costs a reference here, and its bytes on a real stage: the store counts
how many it holds.
"""

from collections import Counter
from typing import Protocol

from torch import Tensor


class WeightStore:
    """The latest weights of a stage, and the older versions that somebody still needs.

    Args:
        params: The weights at first, `[d]`.
        recent: So many versions are always kept, the latest included.
        smoothing: gamma of the running mean of the updates, `delta <- gamma delta + (1 - gamma) (w' - w)`,
            that predictions follow; None where nobody predicts.
        version: How many updates are behind these weights.
    """

    def __init__(
        self, params: Tensor, *, recent: int = 1, smoothing: float | None = None, version: int = 0
    ) -> None:
        self.version = version
        self._recent = recent
        self._smoothing = smoothing
        self._kept: dict[int, Tensor] = {version: params}
        self._stashed: Counter[int] = Counter()
        self._displacement: Tensor | None = None

    @property
    def latest(self) -> Tensor:
        """The weights after all updates so far."""
        return self._kept[self.version]

    @property
    def versions(self) -> int:
        """How many versions are held, the latest included."""
        return len(self._kept)

    def read(self, version: int | None = None) -> Tensor:
        """The latest weights, or those of a version that is held.

        Raises `KeyError` for one that is not: nobody stashed it, or it was released.
        """
        wanted = self.version if version is None else version
        if wanted not in self._kept:
            raise KeyError(f"version {wanted} is not held; held are {', '.join(map(str, self._kept))}")
        return self._kept[wanted]

    def stash(self, version: int | None = None) -> int:
        """Hold a version (default: the latest) until it is released as often; gives its number."""
        wanted = self.version if version is None else version
        self.read(wanted)
        self._stashed[wanted] += 1
        return wanted

    def release(self, version: int) -> None:
        """Undo one :meth:`stash`. Raises `KeyError` where there was none."""
        if self._stashed[version] < 1:
            raise KeyError(f"version {version} is not stashed")
        self._stashed[version] -= 1
        self._forget()

    def advance(self, params: Tensor) -> int:
        """An update: `params` are the next version, whose number is given back."""
        if self._smoothing is not None:
            moved = params - self.latest
            before = moved.new_zeros(moved.shape) if self._displacement is None else self._displacement
            self._displacement = before.lerp(moved, 1 - self._smoothing)
        self.version += 1
        self._kept[self.version] = params
        self._forget()
        return self.version

    def patch(self, params: Tensor) -> None:
        """Replace the latest weights without a new version: what came from elsewhere is no update."""
        self._kept[self.version] = params

    def predicted(self, updates: float) -> Tensor:
        """Where the weights would be after so many further updates like the recent ones; negative: before.

        `w + updates * delta`, with the running mean of the updates (SpecTrain, Chen et al., 2018; PipeMare,
        Yang et al., 2021). Raises `ValueError` for a store without `smoothing`.
        """
        if self._smoothing is None:
            raise ValueError("a store without smoothing keeps no running mean of its updates")
        if self._displacement is None or updates == 0:
            return self.latest
        return self.latest + updates * self._displacement

    def _forget(self) -> None:
        self._stashed += Counter()  # drops what is at zero
        oldest = self.version - self._recent
        for version in [v for v in self._kept if v <= oldest and v not in self._stashed]:
            del self._kept[version]


class WeightPolicy(Protocol):
    """Which weights the two passes of a microbatch see."""

    def forward(self, weights: WeightStore, microbatch: int) -> tuple[int, Tensor]:
        """The version that the forward pass counts as, and the weights that it sees."""

    def backward(self, weights: WeightStore, version: int) -> Tensor:
        """The weights that the backward pass sees, of a microbatch whose forward pass was at `version`."""


class Latest:
    """Both passes see the latest weights, each of its own time: no copies, and two that may differ."""

    def forward(self, weights: WeightStore, microbatch: int) -> tuple[int, Tensor]:
        """The latest."""
        return weights.version, weights.latest

    def backward(self, weights: WeightStore, version: int) -> Tensor:
        """The latest."""
        return weights.latest


class Stashed:
    """The backward pass sees the weights of the forward pass (PipeDream's weight stashing)."""

    def forward(self, weights: WeightStore, microbatch: int) -> tuple[int, Tensor]:
        """The latest, which are kept."""
        return weights.stash(), weights.latest

    def backward(self, weights: WeightStore, version: int) -> Tensor:
        """What was kept, which is given up."""
        params = weights.read(version)
        weights.release(version)
        return params


class Predicted:
    """The forward pass sees the weights expected at its backward pass (SpecTrain; XPipe).

    Args:
        updates: Updates that come between the two, sigma.
    """

    def __init__(self, updates: float) -> None:
        self.updates = updates

    def forward(self, weights: WeightStore, microbatch: int) -> tuple[int, Tensor]:
        """The latest, `updates` ahead."""
        return weights.version, weights.predicted(self.updates)

    def backward(self, weights: WeightStore, version: int) -> Tensor:
        """The latest."""
        return weights.latest
