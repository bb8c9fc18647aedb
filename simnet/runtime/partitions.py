"""Carries out the partitions of a run: who does not reach whom, and who knows."""

from collections.abc import Sequence
from functools import partial
from math import inf
from typing import TYPE_CHECKING

import simpy

from simnet.faults.partitions import Split
from simnet.network.clock import Alarm

if TYPE_CHECKING:
    from simnet.runtime.simulated import SimulatedRun


class Partitions:
    """The partitions of one run.

    What is on its way between two groups is held up, and so is what is sent from one to the other: it goes on
    when the partition heals. Once the nodes have noticed, it is cut instead, as far as it had come, and to
    each side the other is lost. Messages that had left whole before still arrive.

    Args:
        run: The run.
        splits: What happens when.
    """

    def __init__(self, run: "SimulatedRun", splits: Sequence[Split]) -> None:
        self._run = run
        self._splits = splits
        self._alarms: list[Alarm] = []
        self._active: list[Split] = []
        self._noticed: list[Split] = []
        self._hosts = {name: node.host for name, node in run.nodes.items()}

    def begin(self) -> None:
        """Before the run begins: see what is to come."""
        for split in self._splits:
            self._alarms.append(Alarm(self._run.env, partial(self._begins, split), split.at))

    def stop(self) -> None:
        """No more partitions; those that are there are noticed and heal."""
        for alarm in self._alarms:
            alarm.call_off()

    @property
    def any_active(self) -> bool:
        """Whether somebody does not reach somebody now."""
        return bool(self._active)

    @property
    def any_noticed(self) -> bool:
        """Whether somebody knows that they do not reach somebody."""
        return bool(self._noticed)

    def separate(self, a: str, b: str) -> bool:
        """Whether two nodes do not reach each other now."""
        return self._apart(self._active, a, b)

    def is_noticed(self, a: str, b: str) -> bool:
        """Whether two nodes know that they do not reach each other."""
        return self._apart(self._noticed, a, b)

    def _apart(self, splits: Sequence[Split], a: str, b: str) -> bool:
        here, there = self._hosts[a], self._hosts[b]
        return any(split.group.get(here) != split.group.get(there) for split in splits)

    def _begins(self, split: Split, _: simpy.Event) -> None:
        self._active.append(split)
        self._record(split, "split")
        self._run.failures.split()
        noticing = Alarm(
            self._run.env, partial(self._notice, split), self._run.failures.detection.seconds_until_split()
        )
        if split.until < inf:
            Alarm(self._run.env, partial(self._heals, split, noticing), split.until - self._run.env.now)

    def _notice(self, split: Split, _: simpy.Event) -> None:
        self._noticed.append(split)
        self._run.failures.noticed_split()

    def _heals(self, split: Split, noticing: Alarm, _: simpy.Event) -> None:
        noticing.call_off()
        self._active.remove(split)
        if split in self._noticed:
            self._noticed.remove(split)
        self._record(split, "healed")
        self._run.failures.healed()

    def _record(self, split: Split, event: str) -> None:
        for name, host in self._hosts.items():
            self._run.recorder.fault(
                float(self._run.env.now), name, event, f"partition, group {split.group.get(host, 0)}"
            )
