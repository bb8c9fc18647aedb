"""Messages as fluid flows on SimPy: who gets which bandwidth, when each message has left and when it arrives.

A message takes its max-min fair share of every resource on its route from its start on, and is delivered one
route latency after its last byte has left (latency last). All arrivals, departures and capacity changes of
one instant lead to one solve, which is the last thing to happen in that instant.
"""

from collections.abc import Callable, Sequence
from functools import partial
from heapq import heapify, heappop, heappush
from math import inf, isfinite, ulp
from typing import Protocol

import simpy
from simpy.events import NORMAL, EventPriority

from simnet.network.allocator import Allocator
from simnet.network.invariants import InvariantError
from simnet.network.routing import Route
from simnet.network.transfer import Transfer

SOLVE_PRIORITY = EventPriority(3)
"""SimPy priority of the solve: after an instant's normal events (1) and the runtime's own work in it (2)."""
SAME_INSTANT = 1e-9
"""Seconds within which messages that are about to leave do so together."""
NEGLIGIBLE = 1e-10
"""A message that would take less than so many seconds more leaves at once."""
_LEDGER_UNITS = 2**20
"""The ledger counts whole units of 2^-20 bytes: integers add up exactly, in whatever order they come."""


class RoutedResources(Protocol):
    """What messages travel on: a `Topology`, or a `RouteTable`."""

    @property
    def capacities(self) -> Sequence[float]:
        """Bytes per second of each resource."""

    def route(self, source: str, target: str) -> Route:
        """How messages get from one node to another."""


class _Alarm(simpy.Event):
    """An event that happens by itself after a delay; unlike a `Timeout` it has a priority."""

    def __init__(
        self,
        env: simpy.Environment,
        callback: Callable[[simpy.Event], None],
        delay: float,
        priority: EventPriority = NORMAL,
    ) -> None:
        super().__init__(env)
        self._ok, self._value = True, None
        self.callbacks.append(callback)
        env.schedule(self, priority, delay)


class FluidNetwork:
    """The network of one simulation, shared by everybody who sends.

    Args:
        env: The simulation that it belongs to.
        topology: Where messages can go, and over what.
        on_end: Called once with every transfer that is delivered or cancelled.
    """

    def __init__(
        self,
        env: simpy.Environment,
        topology: RoutedResources,
        *,
        on_end: Callable[[Transfer], None] | None = None,
    ) -> None:
        self._env = env
        self._topology = topology
        self._on_end = on_end
        self._allocator = Allocator(topology.capacities)
        self._live: dict[int, Transfer] = {}
        self._started = 0
        self._ended = 0
        self.solves = 0
        """How often rates were computed."""
        self._solve_pending = False
        self._solved_at = env.now
        # Predicted departures: (time, id, generation, transfer); those of another generation are stale.
        self._departures: list[tuple[float, int, int, Transfer]] = []
        self._timer: simpy.Event | None = None
        self._timer_at = inf
        # The ledger, in units of 2^-20 bytes: what has left its source, and what became of it.
        self._left = self._received = self._lost = self._local = 0

    # -- sending --------------------------------------------------------------------------------------

    def send(
        self,
        source: str,
        target: str,
        bytes: float,
        *,
        extra_latency: float = 0.0,
        kind: str = "",
        raw_bytes: float | None = None,
    ) -> Transfer:
        """Start a message between two nodes now, on the topology's route.

        Between a node and itself it arrives without using the network. Raises what :meth:`send_along` raises,
        and `KeyError` for an unknown node.
        """
        route = self._topology.route(source, target)
        return self.send_along(route, bytes, extra_latency=extra_latency, kind=kind, raw_bytes=raw_bytes)

    def send_along(
        self,
        route: Route,
        bytes: float,
        *,
        extra_latency: float = 0.0,
        kind: str = "",
        raw_bytes: float | None = None,
        cap: float = inf,
        weight: float = 1.0,
    ) -> Transfer:
        """Start a message now, on a route of the caller's choice.

        Args:
            route: Its way. A message without bytes only takes the route's latency.
            bytes: What the network carries.
            extra_latency: Seconds to add to the route's latency.
            kind: What it is, for the record.
            raw_bytes: What the payload really holds, for the record; `bytes` if not given.
            cap: The most bytes per second that it may get.
            weight: Its share of a bottleneck, relative to that of other flows.

        Raises:
            ValueError: `bytes` or `extra_latency` is negative or not finite, or the allocator refuses the
            route,
                cap or weight.
        """
        if not (isfinite(bytes) and bytes >= 0):
            raise ValueError(f"a message has zero or more bytes, not {bytes}")
        if not (isfinite(extra_latency) and extra_latency >= 0):
            raise ValueError(f"extra latency is zero or more seconds, not {extra_latency}")
        env = self._env
        transfer = Transfer(
            id=self._started,
            route=route,
            bytes=bytes,
            raw_bytes=bytes if raw_bytes is None else raw_bytes,
            kind=kind,
            latency=route.latency + extra_latency,
            cap=cap,
            weight=weight,
            start=env.now,
            sent=env.event(),
            delivered=env.event(),
        )
        flows = bytes > 0 and not transfer.local
        if flows:
            self._allocator.add(transfer.id, route.resources, cap, weight)
        self._started += 1
        self._live[transfer.id] = transfer
        if flows:
            self._touch()
        else:
            self._leave(transfer)
        return transfer

    def cancel(self, transfer: Transfer) -> None:
        """Stop a message: what has left is lost, the rest is never sent. No effect once it has ended."""
        if transfer.status == "flowing":
            remaining = transfer.set_rate(0.0, self._env.now)
            partial_bytes = _units(transfer.bytes - remaining)
            self._left += partial_bytes
            self._lost += partial_bytes
            self._allocator.remove(transfer.id)
            self._touch()
        elif transfer.status == "sent":
            if not transfer.local:
                self._lost += _units(transfer.bytes)
        else:
            return
        transfer.status = "cancelled"
        self._end(transfer)

    def set_capacity(self, resource: int, bytes_per_second: float) -> None:
        """From now on a resource gives so much; 0 stalls flows. Raises `ValueError` if negative or NaN."""
        self._allocator.set_capacity(resource, bytes_per_second)
        self._touch()

    def close(self) -> None:
        """Cancel everything that is under way."""
        for transfer in list(self._live.values()):
            self.cancel(transfer)

    # -- accounts -------------------------------------------------------------------------------------

    @property
    def flows_in_flight(self) -> int:
        """Messages that have started but neither arrived nor been cancelled."""
        return len(self._live)

    @property
    def bytes_sent(self) -> float:
        """Bytes that have left their sources by now. Messages within a node do not count."""
        return self.bytes_sent_at(self._env.now)

    def bytes_sent_at(self, time: float) -> float:
        """What :attr:`bytes_sent` will be at `time`, which is not after the simulation's next event."""
        return (self._left + self._partial(time)) / _LEDGER_UNITS

    @property
    def bytes_received(self) -> float:
        """Bytes of the messages that were delivered."""
        return self._received / _LEDGER_UNITS

    @property
    def bytes_lost(self) -> float:
        """Bytes that left their source in messages that were cancelled before they arrived."""
        return self._lost / _LEDGER_UNITS

    @property
    def bytes_in_flight(self) -> float:
        """Bytes that have left their source in messages that are still under way."""
        return (self._partial(self._env.now) + self._in_transit()) / _LEDGER_UNITS

    @property
    def bytes_local(self) -> float:
        """Bytes of the messages that were delivered within a node."""
        return self._local / _LEDGER_UNITS

    def check(self) -> None:
        """Raise `InvariantError` unless all bytes and messages are accounted for, exactly."""
        accounted = self._received + self._lost + self._in_transit()
        if self._left != accounted:
            raise InvariantError(
                f"{self._left / _LEDGER_UNITS} bytes were sent, but {accounted / _LEDGER_UNITS} "
                "were received, lost or are in flight"
            )
        if self._started != self._ended + len(self._live):
            raise InvariantError(
                f"{self._started} messages started, {self._ended} ended, {len(self._live)} are under way"
            )

    def _partial(self, time: float) -> int:
        """What has left of the messages that are still leaving."""
        leaving = (transfer for transfer in self._live.values() if transfer.status == "flowing")
        return sum(_units(transfer.bytes - transfer.remaining_at(time)) for transfer in leaving)

    def _in_transit(self) -> int:
        """What has left, of the messages that have left whole and not arrived."""
        travelling = (transfer for transfer in self._live.values() if transfer.status == "sent")
        return sum(_units(transfer.bytes) for transfer in travelling if not transfer.local)

    # -- what happens ---------------------------------------------------------------------------------

    def _touch(self) -> None:
        """Something changed: compute rates at the end of this instant.

        What is about to leave in this instant leaves first, so that what its sender does next is part of the
        same solve.
        """
        if not self._solve_pending:
            self._solve_pending = True
            _Alarm(self._env, self._solve, 0.0, SOLVE_PRIORITY)
            self._depart()

    def _solve(self, _: simpy.Event) -> None:
        now = self._env.now
        if now < self._solved_at:
            raise InvariantError(f"time went back from {self._solved_at} s to {now} s")
        self._solved_at = now
        self._solve_pending = False
        self.solves += 1
        changed = self._allocator.solve()
        rates, live = self._allocator.rates, self._live
        departures, gone = [], []
        for flow in changed:
            transfer, rate = live[flow], rates[flow]
            remaining = transfer.set_rate(rate, now)
            if rate > 0.0:
                if remaining <= rate * NEGLIGIBLE:
                    gone.append(transfer)
                else:
                    departures.append((now + remaining / rate, flow, transfer.generation, transfer))
        self._predict(departures)
        for transfer in gone:
            self._leave(transfer)
        if not self._solve_pending:
            self._arm()

    def _predict(self, departures: list[tuple[float, int, int, Transfer]]) -> None:
        """Add predictions; drops the stale ones at times, so that their number stays in proportion."""
        if 4 * len(departures) < len(self._departures) < 4 * len(self._live) + 64:
            for departure in departures:
                heappush(self._departures, departure)
        else:
            departures += [entry for entry in self._departures if entry[2] == entry[3].generation]
            heapify(departures)
            self._departures = departures

    def _arm(self) -> None:
        """Set the timer for the next departure. One that is set too early stays: it finds nothing to do."""
        departures = self._departures
        while departures and departures[0][2] != departures[0][3].generation:
            heappop(departures)
        if departures and departures[0][0] < self._timer_at:
            self._timer_at = departures[0][0]
            self._timer = _Alarm(self._env, self._ring, max(0.0, self._timer_at - self._env.now))

    def _ring(self, timer: simpy.Event) -> None:
        if timer is self._timer:
            self._timer, self._timer_at = None, inf
            self._depart()
            if not self._solve_pending:
                self._arm()

    def _depart(self) -> None:
        """Let everything leave that is due in this instant."""
        now, departures = self._env.now, self._departures
        while departures and (
            departures[0][0] <= now + SAME_INSTANT or departures[0][2] != departures[0][3].generation
        ):
            time, _, generation, transfer = heappop(departures)
            if generation == transfer.generation:
                if time < now - SAME_INSTANT - 4 * ulp(now):  # SimPy adds delays, which rounds
                    raise InvariantError(f"message {transfer.id} was due at {time} s, but leaves at {now} s")
                self._leave(transfer)

    def _leave(self, transfer: Transfer) -> None:
        """The last byte leaves."""
        flowed = transfer.bytes > 0 and not transfer.local
        transfer.leave(self._env.now)
        if not transfer.local:
            self._left += _units(transfer.bytes)
        transfer.sent.succeed(transfer)
        if transfer.latency > 0:
            _Alarm(self._env, partial(self._deliver, transfer), transfer.latency)
        else:
            self._deliver(transfer)
        if flowed:
            self._allocator.remove(transfer.id)
            self._touch()

    def _deliver(self, transfer: Transfer, _: simpy.Event | None = None) -> None:
        if transfer.status != "sent":  # cancelled on its way
            return
        units = _units(transfer.bytes)
        if transfer.local:
            self._local += units
        else:
            self._received += units
        transfer.status = "delivered"
        transfer.delivered_at = self._env.now
        transfer.delivered.succeed(transfer)
        self._end(transfer)

    def _end(self, transfer: Transfer) -> None:
        del self._live[transfer.id]
        self._ended += 1
        if self._on_end is not None:
            self._on_end(transfer)


def _units(bytes: float) -> int:
    return round(bytes * _LEDGER_UNITS)
