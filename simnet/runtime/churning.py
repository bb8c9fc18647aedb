"""Carries out a run's churn: who goes and comes, at the times and steps that were drawn for it."""

from collections.abc import Sequence
from functools import partial
from math import inf
from typing import TYPE_CHECKING

import simpy

from simnet.faults.churn import Churn, Switch
from simnet.network.clock import Alarm

if TYPE_CHECKING:
    from simnet.runtime.simulated import SimulatedRun
    from simnet.runtime.simulated_node import SimulatedNode


class Churning:
    """The hosts of one run, and their reasons to be down.

    A host goes down with its first reason and comes up when it has none any more. All nodes on a host go and
    come with it. There is one event ahead at a time, and none any more once the run is over but for the hosts
    that will not return.
    """

    def __init__(self, run: "SimulatedRun", churn: Churn) -> None:
        self._run = run
        self._churn = churn
        self._nodes: dict[str, list[str]] = {}
        for name, node in run.nodes.items():
            self._nodes.setdefault(node.host, []).append(name)
            node.keeps_disk = node.host in churn.on_disk
        self._reasons: dict[str, set[int]] = {}
        self._lost_memory: set[str] = set()
        self._ending: dict[str, float] = {}  # when reasons that came with a step go
        self._alarm: Alarm | None = None
        self._switches = churn.switches()
        self._next = next(self._switches, None)
        self._steps_ahead = {host: list(reversed(entries)) for host, entries in churn.by_step.items()}

    def begin(self) -> None:
        """Before the run begins: who is not there at first."""
        while self._next is not None and self._next.time <= 0:
            self._apply(self._next, at_start=True)
            self._next = next(self._switches, None)
        self._arm()

    def stepped(self, node: "SimulatedNode") -> None:
        """A node has taken a step."""
        ahead = self._steps_ahead.get(node.host)
        while ahead and ahead[-1][0] <= node.steps:
            _, switch = ahead.pop()
            self._down((node.host,), switch)
            if switch.lasts < inf:
                self._ending[node.host] = self._run.env.now + switch.lasts
                Alarm(self._run.env, partial(self._lasted, node.host, switch), switch.lasts)

    def may_return(self, node_id: str) -> bool:
        """Whether a node that is down may come up again."""
        host, now = self._run.nodes[node_id].host, self._run.env.now
        return max(self._churn.last_up.get(host, 0.0), self._ending.get(host, 0.0)) > now

    def stop(self) -> None:
        """The run is over."""
        if self._alarm is not None:
            self._alarm.call_off()

    def _arm(self) -> None:
        if self._next is not None:
            self._alarm = Alarm(self._run.env, self._ring, self._next.time - self._run.env.now)

    def _ring(self, _: simpy.Event) -> None:
        now = self._run.env.now
        while self._next is not None and self._next.time <= now:
            self._apply(self._next)
            self._next = next(self._switches, None)
        self._run.lifecycle.changed()
        self._arm()

    def _lasted(self, host: str, switch: Switch, _: simpy.Event) -> None:
        self._up((host,), switch)

    def _apply(self, switch: Switch, *, at_start: bool = False) -> None:
        if switch.down:
            self._down(switch.hosts, switch, at_start=at_start)
        else:
            self._up(switch.hosts, switch)

    def _down(self, hosts: Sequence[str], switch: Switch, *, at_start: bool = False) -> None:
        for host in hosts:
            reasons = self._reasons.setdefault(host, set())
            if not reasons:
                for node in self._nodes.get(host, ()):
                    if at_start:
                        self._run.lifecycle.absent(node, switch.cause)
                    else:
                        self._run.lifecycle.down(node, switch.cause, says_so=switch.says_so)
            reasons.add(switch.reason)
            if not switch.disk:
                self._lost_memory.add(host)

    def _up(self, hosts: Sequence[str], switch: Switch) -> None:
        for host in hosts:
            reasons = self._reasons.get(host)
            if not reasons:
                continue
            reasons.discard(switch.reason)
            if not reasons:
                disk = host not in self._lost_memory
                self._lost_memory.discard(host)
                for node in self._nodes.get(host, ()):
                    self._run.lifecycle.up(node, switch.cause, disk=disk)
