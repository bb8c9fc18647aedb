"""Flows in virtual time: rates are solved for once in an instant, and who is done leaves."""

from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING

import simpy
from simpy.events import EventPriority

from simnet.network.backends import Backend, chosen_backend, compile_flows, is_time_to_compile
from simnet.network.clock import Alarm
from simnet.network.flows import SAME_INSTANT, PythonFlows
from simnet.network.invariants import InvariantError
from simnet.network.metering import LinkMeter
from simnet.network.routed import RoutedResources

if TYPE_CHECKING:
    from simnet.network.compiled_flows import CompiledFlows

SOLVE_PRIORITY = EventPriority(4)
"""SimPy priority of the solve: after an instant's normal events (1) and the runtime's own work in it (2)."""


class Draining:
    """The flows of one simulation, and what links carry.

    Args:
        env: The simulation.
        topology: What flows share.
        backend: What computes the rates.
        under_way: How many messages are under way: with many the compiled backend pays earlier.
        leave: Called with each flow that is done; it is to remove it.
    """

    def __init__(
        self,
        env: simpy.Environment,
        topology: RoutedResources,
        backend: Backend | None,
        under_way: Callable[[], int],
        leave: Callable[[int], None],
    ) -> None:
        self._env = env
        self._backend = chosen_backend(backend)
        self._under_way = under_way
        self._leave = leave
        self.flows: PythonFlows | CompiledFlows = PythonFlows(topology.capacities, topology.fatpipes)
        self.meter = LinkMeter(topology.capacities, env.now)
        self.solves = 0
        """How often rates were computed."""
        self._solve_pending = False
        self._solved_at = env.now
        self._timer: Alarm | None = None
        self._timer_at = inf

    def touch(self) -> None:
        """Something changed: compute rates at the end of this instant.

        What is about to leave in this instant leaves first, so that what its sender does next is part of the
        same solve.
        """
        if not self._solve_pending:
            self._solve_pending = True
            Alarm(self._env, self._solve, 0.0, SOLVE_PRIORITY)
            self._let_leave()

    def set_capacity(self, resource: int, bytes_per_second: float) -> None:
        """A resource gives so much from now on."""
        self.flows.set_capacity(resource, bytes_per_second)
        self.meter.advance(self._env.now, self.flows.carried)
        self.meter.set_capacity(resource, bytes_per_second, self._env.now)
        self.touch()

    def _solve(self, _: simpy.Event) -> None:
        now = self._env.now
        if now < self._solved_at:
            raise InvariantError(f"time went back from {self._solved_at} s to {now} s")
        self._solved_at = now
        self._solve_pending = False
        self.solves += 1
        if now >= self.meter.due:
            self.meter.advance(now, self.flows.carried)
        if isinstance(self.flows, PythonFlows) and is_time_to_compile(
            self._backend, self.flows.work, self._under_way()
        ):
            self.flows = compile_flows(self.flows)
        self.flows.solve(now)
        if self.flows.next_done <= now:
            self._let_leave()
        if not self._solve_pending:
            self._arm()

    def _arm(self) -> None:
        """Set the timer for the next departure."""
        upcoming = self.flows.next_done
        if upcoming != self._timer_at:
            if self._timer is not None:
                self._timer.call_off()
            self._timer, self._timer_at = None, upcoming
            if upcoming < inf:
                self._timer = Alarm(self._env, self._ring, max(0.0, upcoming - self._env.now))

    def _ring(self, _: simpy.Event) -> None:
        self._timer, self._timer_at = None, inf
        self._let_leave()
        if not self._solve_pending:
            self._arm()

    def _let_leave(self) -> None:
        """Let everything leave that is due in this instant."""
        if self.flows.next_done <= self._env.now + SAME_INSTANT:
            for flow in self.flows.take_done(self._env.now):
                self._leave(flow)
