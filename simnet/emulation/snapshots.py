"""Models on the way: what a host keeps of its nodes, so that the driver can evaluate them after the run."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors.torch import save_file
from torch import Tensor

from simnet.emulation.clock import RealTimeClock
from simnet.scenario import EvaluateConfig

if TYPE_CHECKING:
    from simnet.emulation.node import EmulatedNode


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A node's model at a moment of the run."""

    moment: float
    index: int
    """Which evaluation it is for, from 1; 0: the one at the end."""
    node: str
    steps: int
    params: Tensor


class Snapshots:
    """One host's.

    Args:
        nodes: This host's, by name.
        clock: The run's.
        config: When models are evaluated.
        trained_role: The role whose nodes take steps; those of others go by everybody's mean.
    """

    def __init__(
        self,
        nodes: Mapping[str, "EmulatedNode"],
        clock: RealTimeClock,
        config: EvaluateConfig,
        trained_role: str,
    ) -> None:
        self._nodes = nodes
        self._clock = clock
        self._every_seconds, self._every_steps = config.seconds, config.steps
        self._trained_role = trained_role
        self._next = dict.fromkeys(nodes, 1)
        self.kept: list[Snapshot] = []

    def begin(self) -> None:
        """The run begins: where evaluations are a time apart, they are from now on."""
        if self._every_seconds is not None:
            self._at(1, self._every_seconds)

    def work_begins(self) -> None:
        """A computation starts: models are as the method left them, which is when they are evaluated."""
        if self._every_steps is not None:
            for name, node in self._nodes.items():
                if node.role == self._trained_role:
                    self._by_steps(name, node.steps, self._every_steps)

    def steps_everywhere(self, mean: int) -> None:
        """So many steps have been taken per worker."""
        if self._every_steps is not None:
            for name, node in self._nodes.items():
                if node.role != self._trained_role:
                    self._by_steps(name, mean, self._every_steps)

    def end(self, moment: float) -> None:
        """The run is over."""
        for name in self._nodes:
            self._keep(moment, 0, name)

    def write(self, folder: Path, *, with_values: bool) -> None:
        """Write `snapshots.json`, and `snapshots.safetensors` where models have values."""
        told = [[one.moment, one.index, one.node, one.steps] for one in self.kept]
        (folder / "snapshots.json").write_text(json.dumps(told))
        if with_values:
            tensors = {str(number): one.params.cpu().clone() for number, one in enumerate(self.kept)}
            save_file(tensors, folder / "snapshots.safetensors")

    def _keep(self, moment: float, index: int, name: str) -> None:
        node = self._nodes[name]
        self.kept.append(Snapshot(moment, index, name, node.steps, node.params))

    def _by_steps(self, name: str, steps: int, every: int) -> None:
        index = self._next[name]
        if steps >= index * every:
            self._keep(self._clock.now, index, name)
            self._next[name] = steps // every + 1

    def _by_time(self, index: int, every: float) -> None:
        for name in self._nodes:
            self._keep(index * every, index, name)
        self._at(index + 1, every)

    def _at(self, index: int, every: float) -> None:
        loop = asyncio.get_running_loop()
        wait = index * every - self._clock.real_now
        loop.call_at(loop.time() + wait, self._by_time, index, every)
