"""What changes in a network while it runs, and how that reaches the messages on it.

A topology's `Dynamics` says what changes; `LinkChanges` carries it out in one simulation. It looks only at
links that messages use: where nothing flows, nothing happens.
"""

from bisect import bisect_right
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import pairwise
from math import fsum, inf, nextafter, prod
from typing import Protocol

import simpy

from simnet.network.clock import Alarm
from simnet.network.dynamics import ROUTES, Dynamics
from simnet.network.noise import Hop, JitterDraws
from simnet.network.profiles import Constant, ends_at_zero
from simnet.network.routing import NoRouteError, Route

SAME_INSTANT = 1e-9
"""Seconds within which changes happen together."""
_STAYS = Constant(0.0)


class Routed(Protocol):
    """Where messages can go: a `Topology` or a `RouteTable`."""

    def route(self, source: str, target: str, flow: int = 0) -> Route:
        """The way from one node to another."""

    def without(self, resources: frozenset[int]) -> "Routed":
        """The same with routes that avoid these resources."""


class LinkChanges:
    """Carries out what changes in one simulation.

    Args:
        env: The simulation.
        dynamics: What changes.
        set_capacity: Called with a resource and its bytes per second, when messages use it.
        reroute: Called when links failed or came back and routes may be others.
        relimit: Called with the flows whose round trip takes another time, or whose route loses more or less.
    """

    def __init__(
        self,
        env: simpy.Environment,
        dynamics: Dynamics,
        set_capacity: Callable[[int, float], None],
        reroute: Callable[[], None],
        relimit: Callable[[list[int]], None],
    ) -> None:
        self._env = env
        self._dynamics = dynamics
        self._profiles = dynamics.changing
        self._set_capacity = set_capacity
        self._reroute = reroute
        self._relimit = relimit
        self._draws = JitterDraws(dynamics.seed)
        self._messages: dict[Hop, int] = {}
        self._last_arrival: dict[Hop, float] = {}
        self._without: dict[frozenset[int], Routed] = {}
        # Per changing resource the flows that wait for it to let them pass, and the other way round.
        self._users: dict[int, dict[int, None]] = {}
        self._uses: dict[int, tuple[int, ...]] = {}
        self._current: dict[int, float] = {}
        self._upcoming: list[tuple[float, int]] = []
        self._queued: dict[int, float] = {}
        self._alarm: Alarm | None = None
        self._alarm_at = 0.0

    # -- routes and latencies -------------------------------------------------------------------------

    def route(self, topology: Routed, source: str, target: str, flow: int = 0) -> Route:
        """The way that a message takes now; `flow` is its number, where routes depend on it.

        Where no way is left, it waits on the usual one.
        """
        outages = self._dynamics.outages
        if not outages:
            return topology.route(source, target, flow)
        _, down = outages[
            bisect_right(outages, self._env.now + SAME_INSTANT, key=lambda outage: outage[0]) - 1
        ]
        if down not in self._without:
            self._without[down] = topology.without(down) if down else topology
        try:
            return self._without[down].route(source, target, flow)
        except NoRouteError:
            return topology.route(source, target, flow)

    def latency(self, route: Route, rounds: int = 1) -> float:
        """Seconds of a message that starts now, with jitter; of all `rounds` that it stands for."""
        hops = list(pairwise(route.hops))
        latencies, jitters = self._dynamics.latencies, self._dynamics.jitters
        changing = any(not isinstance(latencies.get(hop, _STAYS), Constant) for hop in hops)
        trembling = any(hop in jitters for hop in hops)
        if not changing and not trembling:
            return route.latency + (rounds - 1) * route.latency
        now = self._env.now + SAME_INSTANT
        each = [latencies[hop].at(now) for hop in hops]
        whole = fsum(each) if changing else route.latency
        if not trembling:
            return whole + (rounds - 1) * whole
        pair = (route.hops[0], route.hops[-1])
        first = self._messages.get(pair, 0)
        self._messages[pair] = first + rounds
        noise = [
            self._draws.seconds(jitters[hop], latency, pair, hop, message)
            for message in range(first, first + rounds)
            for hop, latency in zip(hops, each, strict=True)
            if hop in jitters
        ]
        return max(0.0, fsum((rounds * whole, *noise)))

    def round_trip(self, there: Route, back: Route | None) -> float:
        """Seconds there and back now, without jitter."""
        ways = [there, there if back is None else back]
        hops = [list(pairwise(way.hops)) for way in ways]
        if not any(hop in self._dynamics.slowing for way in hops for hop in way):
            return there.rtt
        now = self._env.now + SAME_INSTANT
        return fsum(self._dynamics.latencies[hop].at(now) for way in hops for hop in way)

    def loss(self, route: Route) -> float:
        """The fraction of packets that is lost on a route now."""
        losses = self._dynamics.losses
        now = self._env.now + SAME_INSTANT
        kept = [1.0 - losses[hop].at(now) for hop in pairwise(route.hops) if hop in losses]
        return 1.0 - (1.0 - route.loss) * prod(kept) if kept else route.loss

    def delay(self, pair: Hop, latency: float) -> float:
        """Seconds until a message of `pair` arrives that leaves now: not before those that left earlier."""
        if not self._dynamics.reorders:
            return latency
        now, last = self._env.now, self._last_arrival.get(pair, 0.0)
        while now + latency < last:
            latency = max(last - now, nextafter(latency, last))
        self._last_arrival[pair] = now + latency
        return latency

    # -- capacities -----------------------------------------------------------------------------------

    def flow_starts(
        self, flow: int, resources: tuple[int, ...], routed: bool = False, ways: tuple[Route, ...] = ()
    ) -> None:
        """A flow starts: what it uses has the capacity of this instant, and follows its profile from now on.

        Args:
            flow: Its number.
            resources: What it uses.
            routed: Whether it follows when routes change.
            ways: The ways there and back, where its limits depend on how long these take.
        """
        candidates = (*resources, ROUTES) if routed else resources
        if ways and self._dynamics.slowing:
            hops = dict.fromkeys(hop for way in ways for hop in pairwise(way.hops))
            slowing = self._dynamics.slowing
            candidates = (*candidates, *(slowing[hop] for hop in hops if hop in slowing))
        if ways and self._dynamics.losing:
            losing = self._dynamics.losing
            candidates = (*candidates, *(losing[hop] for hop in pairwise(ways[0].hops) if hop in losing))
        changing = tuple(resource for resource in candidates if resource in self._profiles)
        for resource in changing:
            if resource not in self._users:
                self._apply(resource, self._env.now)
        if not changing or self._is_hopeless(changing, self._env.now):
            return
        self._uses[flow] = changing
        for resource in changing:
            if resource not in self._users:
                self._users[resource] = {}
                self._queue(resource, self._env.now)
            self._users[resource][flow] = None
        self._arm()

    def flow_ends(self, flow: int) -> None:
        """A flow has ended, or nothing that changes could let it pass: nobody waits on its behalf."""
        for resource in self._uses.pop(flow, ()):
            users = self._users[resource]
            del users[flow]
            if not users:
                del self._users[resource]
        if not self._users and self._alarm is not None:
            self._alarm.call_off()
            self._alarm = None

    def _is_hopeless(self, changing: tuple[int, ...], time: float) -> bool:
        """Whether a flow can never pass again: something on its way is down for good, and so is its way."""
        if ROUTES in changing and self._profiles[ROUTES].next_change(time) < inf:
            return False
        return any(ends_at_zero(self._profiles[resource], time) for resource in changing if resource >= 0)

    def _apply(self, resource: int, time: float) -> None:
        if resource >= 0:
            value = self._profiles[resource].at(time)
            if self._current.get(resource) != value:
                self._current[resource] = value
                self._set_capacity(resource, value)

    def _queue(self, resource: int, time: float) -> None:
        change = self._profiles[resource].next_change(time)
        if change < self._queued.get(resource, inf):
            self._queued[resource] = change
            heappush(self._upcoming, (change, resource))

    def _arm(self) -> None:
        """Set the alarm for the next change of what is in use. One that is set too early stays."""
        upcoming = self._upcoming
        while upcoming and (
            upcoming[0][1] not in self._users or self._queued.get(upcoming[0][1]) != upcoming[0][0]
        ):
            time, resource = heappop(upcoming)
            if self._queued.get(resource) == time:
                del self._queued[resource]
        if not upcoming or (self._alarm is not None and self._alarm_at <= upcoming[0][0]):
            return
        if self._alarm is not None:
            self._alarm.call_off()
        self._alarm_at = upcoming[0][0]
        self._alarm = Alarm(self._env, self._ring, max(0.0, self._alarm_at - self._env.now))

    def _ring(self, _: simpy.Event) -> None:
        """Everything that changes in this instant changes."""
        self._alarm = None
        due, limit, upcoming = [], self._env.now + SAME_INSTANT, self._upcoming
        while upcoming and upcoming[0][0] <= limit:
            time, resource = heappop(upcoming)
            if self._queued.get(resource) == time:
                del self._queued[resource]
                if resource in self._users:
                    due.append((time, resource))
        for time, resource in due:
            self._apply(resource, time)
            self._queue(resource, time)
        if any(resource == ROUTES for _, resource in due):
            self._reroute()
        slower = dict.fromkeys(
            flow for _, resource in due if resource < ROUTES for flow in self._users.get(resource, ())
        )
        if slower:
            self._relimit(list(slower))
        for time, resource in due:
            if resource == ROUTES or (resource >= 0 and ends_at_zero(self._profiles[resource], time)):
                for flow in list(self._users.get(resource, ())):
                    if self._is_hopeless(self._uses[flow], time):
                        self.flow_ends(flow)
        self._arm()
