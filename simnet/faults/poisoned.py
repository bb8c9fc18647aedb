"""Batches of which some workers see changed ones: the seam between attacks on data and the engine."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from simnet.faults.attacks import DataAttack
from simnet.faults.byzantine import Byzantine
from simnet.scenario import Scenario, ScenarioError
from simnet.streams import Streams
from simnet.tasks import Task
from simnet.tasks.task import BatchSource


@dataclass(frozen=True, eq=False)
class PoisonedBatches:
    """The batches of another source; a worker under attack sees changed ones from one batch to another.

    What becomes of a batch depends on (seed, worker, index of the batch) and on whether the attack is on for
    it. :meth:`switch` says from which batch on it is; everything that draws batches (training, gradients and
    losses, one worker at a time or stacked) comes through here.
    """

    source: BatchSource
    attacks: Mapping[int, DataAttack]
    """The attack of each worker that has one, by the worker's place."""
    classes: int
    """Number of classes of the targets."""
    streams: Streams
    _switches: dict[int, list[int]] = field(default_factory=dict, repr=False)

    def gather(self, requests: Sequence[tuple[int, int]], steps: int) -> tuple[Tensor, Tensor]:
        """Batches of several (worker, first batch) pairs: `[steps, len(requests), batch, ...]` each."""
        inputs, targets = self.source.gather(requests, steps)
        copied = False
        for place, (worker, first) in enumerate(requests):
            for step in range(steps):
                if not self.is_changed(worker, first + step):
                    continue
                if not copied:
                    inputs, targets, copied = inputs.clone(), targets.clone(), True
                rng = self.streams.generator("poison", worker, first + step)
                changed = self.attacks[worker].transform(
                    inputs[step, place], targets[step, place], classes=self.classes, rng=rng
                )
                inputs[step, place], targets[step, place] = changed
        return inputs, targets

    def is_changed(self, worker: int, batch: int) -> bool:
        """Whether the worker's attack is on for this batch."""
        return bool(bisect_right(self._switches.get(worker, []), batch) % 2)

    def switch(self, worker: int, batch: int, on: bool) -> None:
        """From `batch` on, which is no earlier than at the last call, the worker's attack is on or off."""
        switches = self._switches.setdefault(worker, [])
        if bool(len(switches) % 2) != on:
            switches.append(batch)

    def forget(self) -> None:
        """All attacks are off, as at the start of a run."""
        self._switches.clear()


def poisoned(task: Task, nodes: Mapping[str, Byzantine], workers: Sequence[str], scenario: Scenario) -> Task:
    """`task` whose Byzantine workers can be made to see changed data; itself where nobody attacks data.

    `workers` are the names of the task's workers, in order. Raises
    :class:`~simnet.scenario.ScenarioError` where the data are not what an attack changes.
    """
    attacks = {
        place: node
        for place, name in enumerate(workers)
        if (node := nodes.get(name)) is not None and isinstance(node.attack, DataAttack)
    }
    if not attacks:
        return task
    inputs, targets = (part[0] for part in task.batches(0, 0, 1))
    with torch.no_grad():
        classes = int(task.make_model()(inputs[:1]).shape[-1])
    for place, node in attacks.items():
        assert isinstance(node.attack, DataAttack)
        try:
            rng = Streams(scenario.seed).generator("poison", place, 0)
            node.attack.transform(inputs, targets, classes=classes, rng=rng)
        except ValueError as error:
            raise ScenarioError.at((*node.path, "attack"), str(error), given=node.attack.name) from None
    found = {place: node.attack for place, node in attacks.items() if isinstance(node.attack, DataAttack)}
    return replace(task, source=PoisonedBatches(task.source, found, classes, Streams(scenario.seed)))
