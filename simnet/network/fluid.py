"""Messages as fluid flows on SimPy: who gets which bandwidth, when each message has left and when it arrives.

A message takes its max-min fair share of every resource on its route from its start on, and is delivered one
route latency after its last byte has left (latency last). All arrivals, departures and capacity changes of
one instant lead to one solve, which is the last thing to happen in that instant.
"""

from collections.abc import Callable
from functools import partial
from math import inf, isfinite

import simpy

from simnet.network.backends import Backend
from simnet.network.bounds import Bounds
from simnet.network.changes import LinkChanges
from simnet.network.clock import Alarm
from simnet.network.draining import Draining
from simnet.network.holding import Holding
from simnet.network.ledger import UNITS, Ledger, units
from simnet.network.limits import Limits
from simnet.network.metering import LinkUse
from simnet.network.routed import RoutedResources
from simnet.network.routing import Route
from simnet.network.slow_start import SlowStart
from simnet.network.transfer import Transfer
from simnet.network.transport import IDEAL, Transport
from simnet.network.wires import ReceiverWires


class FluidNetwork:
    """The network of one simulation, shared by everybody who sends.

    Args:
        env: The simulation that it belongs to.
        topology: Where messages can go, and over what.
        transport: What else limits a message. With `serialised` nothing is shared: each receiver has one
            inbound wire, and its j-th message arrives at max(previous arrival, sent) + bytes / bandwidth +
            latency, where bandwidth is the least on its route; the sender hands it over at once.
        on_end: Called once with every transfer that is delivered or cancelled.
        backend: What computes the rates; by default what the environment variable `SIMNET_NETWORK_BACKEND`
            says, or `auto`.
    """

    def __init__(
        self,
        env: simpy.Environment,
        topology: RoutedResources,
        transport: Transport = IDEAL,
        *,
        on_end: Callable[[Transfer], None] | None = None,
        backend: Backend | None = None,
    ) -> None:
        self._env = env
        self._topology = topology
        self._transport = transport
        self._on_end = on_end
        self._live: dict[int, Transfer] = {}
        self._draining = Draining(env, topology, backend, lambda: len(self._live), self._leave)
        self._names = topology.resource_names
        self._bounds = Bounds(env, self._draining, self._names)
        self._changes, round_trip, loss = None, None, None
        if topology.dynamics is not None:
            self._changes = LinkChanges(
                env, topology.dynamics, self.set_capacity, self._reroute, self._relimit
            )
            round_trip = self._changes.round_trip
            loss = self._changes.loss if topology.dynamics.losses else None
        self._limits = Limits(transport, topology, round_trip, loss)
        self._slow_start = SlowStart(env, self._draining, self._limits, self._bounds)
        self.holding = Holding(env, self._draining, self._limits, self._bounds, self._deliver)
        self._per_flow_routes = getattr(topology, "ecmp", "none") == "flow"
        self._routed: dict[int, None] = {}  # flows on the topology's routes, which failures change
        self._ledger = Ledger()
        self._wires = ReceiverWires()

    # -- sending --------------------------------------------------------------------------------------

    def send(
        self,
        source: str,
        target: str,
        bytes: float,
        *,
        rounds: int = 1,
        extra_latency: float = 0.0,
        kind: str = "",
        raw_bytes: float | None = None,
        chained: bool = False,
    ) -> Transfer:
        """Start a message between two nodes now, on the topology's route.

        Between a node and itself it arrives without using the network. Raises what :meth:`send_along` raises,
        and `KeyError` for an unknown node.
        """
        route = self._route(source, target, self._ledger.started)
        transfer = self.send_along(
            route,
            bytes,
            rounds=rounds,
            extra_latency=extra_latency,
            kind=kind,
            raw_bytes=raw_bytes,
            chained=chained,
        )
        if self._changes is not None and transfer.status == "flowing":
            self._routed[transfer.id] = None
        return transfer

    def send_along(
        self,
        route: Route,
        bytes: float,
        *,
        rounds: int = 1,
        extra_latency: float = 0.0,
        kind: str = "",
        raw_bytes: float | None = None,
        cap: float = inf,
        weight: float = 1.0,
        chained: bool = False,
    ) -> Transfer:
        """Start a message now, on a route of the caller's choice.

        Args:
            route: Its way. A message without bytes only takes the route's latency.
            bytes: What the network carries.
            rounds: For how many messages, one after another, it stands: it takes so many latencies.
            extra_latency: Seconds to add to the route's latency.
            kind: What it is, for the record.
            raw_bytes: What the payload really holds, for the record; `bytes` if not given.
            cap: The most bytes per second that it may get.
            weight: Its share of a bottleneck, relative to that of other flows.
            chained: Whether it arrives when :meth:`arrive` says instead of a latency after it has left.

        Raises:
            ValueError: `bytes` or `extra_latency` is negative or not finite, or the route, cap or weight is
                not possible.
        """
        if not (isfinite(bytes) and bytes >= 0):
            raise ValueError(f"a message has zero or more bytes, not {bytes}")
        if not (isfinite(extra_latency) and extra_latency >= 0):
            raise ValueError(f"extra latency is zero or more seconds, not {extra_latency}")
        env = self._env
        latency = route.latency + (rounds - 1) * route.latency
        if self._changes is not None:
            latency = self._changes.latency(route, rounds)
        if len(route.hops) > 1:
            latency += rounds * self._transport.host_overhead
        transfer = Transfer(
            id=self._ledger.started,
            route=route,
            bytes=bytes,
            raw_bytes=bytes if raw_bytes is None else raw_bytes,
            kind=kind,
            latency=latency + extra_latency,
            cap=cap,
            weight=weight,
            start=env.now,
            sent=env.event(),
            delivered=env.event(),
            carrier=self,
            in_order=rounds == 1 and extra_latency == 0.0,
            messages=rounds,
            chained=chained,
        )
        flows = bytes > 0 and not transfer.local
        if flows and self._transport.serialised:
            bandwidth = min((self._draining.meter.capacities[r] for r in route.resources), default=inf)
            transfer.latency = self._wires.seconds(transfer, bandwidth, env.now)
            flows = False
        elif flows and self._transport.latency_first and transfer.latency > 0:
            self._limits.check(transfer)
            transfer.status = "waiting"
            Alarm(env, partial(self._end_of_wait, transfer), transfer.latency)
        elif flows:
            self._flow(transfer)
        self._ledger.started += 1
        self._live[transfer.id] = transfer
        if not flows:
            self._depart(transfer)
        return transfer

    def travel_seconds(self, transfer: Transfer) -> float:
        """What a message takes from its last byte's departure to its arrival, all its rounds together."""
        flows_last = self._transport.latency_first and transfer.bytes > 0 and not transfer.local
        return 0.0 if flows_last else transfer.latency

    def arrive(self, transfer: Transfer, time: float) -> None:
        """A chained message that has left arrives at `time`, or now if that is over."""
        if time > self._env.now:
            Alarm(self._env, partial(self._deliver, transfer), time - self._env.now)
        else:
            self._deliver(transfer)

    def cancel(self, transfer: Transfer) -> None:
        """Stop a message: what has left is lost, the rest is never sent. No effect once it has ended."""
        if transfer.status == "flowing":
            transfer.kept = self._stop(transfer)
            partial_bytes = units(transfer.bytes - transfer.kept)
            self._ledger.left += partial_bytes
            self._ledger.lost += partial_bytes
            self._draining.touch()
        elif transfer.status == "waiting":
            transfer.kept = transfer.bytes
        elif transfer.status == "sent":
            if not transfer.local:
                self._ledger.lost += units(transfer.bytes)
        else:
            return
        transfer.status = "cancelled"
        self._end(transfer)

    def set_capacity(self, resource: int, bytes_per_second: float) -> None:
        """From now on a resource gives so much; 0 stalls flows. Raises `ValueError` if negative or NaN.

        Receivers' wires, where there are such, are as fast as the network was when a message was sent.
        """
        self._draining.set_capacity(resource, bytes_per_second)

    def close(self) -> None:
        """Cancel everything that is under way."""
        for transfer in list(self._live.values()):
            self.cancel(transfer)

    @property
    def solves(self) -> int:
        """How often rates were computed."""
        return self._draining.solves

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
        return (self._ledger.left + self._draining.flows.bytes_gone(time, UNITS)) / UNITS

    @property
    def bytes_received(self) -> float:
        """Bytes of the messages that were delivered."""
        return self._ledger.received / UNITS

    @property
    def bytes_lost(self) -> float:
        """Bytes that left their source in messages that were cancelled before they arrived."""
        return self._ledger.lost / UNITS

    @property
    def bytes_in_flight(self) -> float:
        """Bytes that have left their source in messages that are still under way."""
        return (self._draining.flows.bytes_gone(self._env.now, UNITS) + self._in_transit()) / UNITS

    @property
    def bytes_local(self) -> float:
        """Bytes of the messages that were delivered within a node."""
        return self._ledger.local / UNITS

    def check(self) -> None:
        """Raise `InvariantError` unless all bytes and messages are accounted for, exactly."""
        self._ledger.check(self._in_transit(), len(self._live))

    def link_use(self) -> LinkUse:
        """What each resource has carried until now, in intervals. Serialised receivers' wires are no
        resources."""
        return self._draining.meter.result(self._env.now, self._draining.flows.carried, self._names)

    def rate_of(self, transfer: Transfer) -> float:
        """The rate of a message that flows."""
        return self._draining.flows.rate(transfer.id)

    def remaining_of(self, transfer: Transfer) -> float:
        """What a message has left."""
        if transfer.status == "flowing":
            return self._draining.flows.remaining(transfer.id, self._env.now)
        return transfer.bytes if transfer.status == "waiting" else transfer.kept

    def bound_of(self, transfer: Transfer) -> dict[str, float]:
        """What has bound a message for how many seconds while it flowed."""
        return self._bounds.of(transfer)

    def _in_transit(self) -> int:
        """What has left, of the messages that have left whole and not arrived."""
        travelling = (transfer for transfer in self._live.values() if transfer.status == "sent")
        return sum(units(transfer.bytes) for transfer in travelling if not transfer.local)

    # -- flows ----------------------------------------------------------------------------------------

    def _route(self, source: str, target: str, flow: int) -> Route:
        number = flow if self._per_flow_routes else 0
        if self._changes is not None:
            return self._changes.route(self._topology, source, target, number)
        return self._topology.route(source, target, number)

    def _flow(self, transfer: Transfer, remaining: float | None = None) -> None:
        """It takes bandwidth from now on."""
        resources, uses = transfer.route.resources, None
        ways: tuple[Route, ...] = ()
        cap, weight, now = transfer.cap, transfer.weight, self._env.now
        if not self._limits.ideal:
            path = self._limits.path(transfer, transfer.bytes if remaining is None else remaining)
            resources, uses, ways = path.resources, path.uses, path.ways
            cap, weight = self._limits.cap(transfer), path.weight * transfer.weight
        self._draining.flows.add(transfer.id, resources, transfer.bytes, now, cap, weight, uses, remaining)
        self._slow_start.begin(transfer)
        if self._changes is not None:
            self._changes.flow_starts(transfer.id, resources, routed=True, ways=ways)
        self._draining.touch()

    def _stop(self, transfer: Transfer) -> float:
        """It takes no bandwidth any more; gives what it has left."""
        self._bounds.end(transfer)
        transfer.ramp += 1
        if self._changes is not None:
            self._changes.flow_ends(transfer.id)
            self._routed.pop(transfer.id, None)
        return self._draining.flows.remove(transfer.id, self._env.now)

    def _end_of_wait(self, transfer: Transfer, _: simpy.Event) -> None:
        if transfer.status == "waiting":
            transfer.status = "flowing"
            self._flow(transfer)

    def _relimit(self, flows: list[int]) -> None:
        """Round trips take another time now, or routes lose more or less: other rates are allowed."""
        for flow in flows:
            transfer = self._live[flow]
            if self._limits.load_changes:
                self._start_anew(transfer)
                continue
            self._bounds.settle(transfer)
            path = self._limits.now(transfer)
            self._draining.flows.set_cap(flow, self._limits.cap(transfer))
            self._draining.flows.set_weight(flow, path.weight * transfer.weight)
        self._draining.touch()

    def _reroute(self) -> None:
        """Links failed or came back: messages go on over the routes that there are now."""
        for flow in list(self._routed):
            transfer = self._live[flow]
            route = self._route(transfer.source, transfer.target, flow)
            if route.resources != transfer.route.resources:
                transfer.latency = max(0.0, transfer.latency + route.latency - transfer.route.latency)
                self._start_anew(transfer, route)

    def _start_anew(self, transfer: Transfer, route: Route | None = None) -> None:
        """What is left of a message takes bandwidth anew, on another route if one is given."""
        routed = transfer.id in self._routed
        remaining = self._stop(transfer)
        transfer.route = route or transfer.route
        self._flow(transfer, remaining)
        if routed:
            self._routed[transfer.id] = None

    # -- what happens ---------------------------------------------------------------------------------

    def _leave(self, flow: int) -> None:
        """A flow is done."""
        transfer = self._live[flow]
        self._stop(transfer)
        self._limits.has_left(transfer)
        self._depart(transfer)
        self._draining.touch()

    def _depart(self, transfer: Transfer) -> None:
        """The last byte leaves."""
        transfer.left_at = self._env.now
        transfer.status = "sent"
        if not transfer.local:
            self._ledger.left += units(transfer.bytes)
        transfer.sent.succeed(transfer)
        if transfer.chained:
            return
        latency = self.travel_seconds(transfer)
        if self._changes is not None and transfer.in_order and not transfer.local:
            latency = self._changes.delay((transfer.source, transfer.target), latency)
        if latency > 0:
            Alarm(self._env, partial(self._deliver, transfer), latency)
        else:
            self._deliver(transfer)

    def _deliver(self, transfer: Transfer, _: simpy.Event | None = None) -> None:
        if transfer.status != "sent" or transfer.held:  # cancelled on its way, or delivered later
            return
        if transfer.local:
            self._ledger.local += units(transfer.bytes)
        else:
            self._ledger.received += units(transfer.bytes)
        transfer.status = "delivered"
        transfer.delivered_at = self._env.now
        transfer.delivered.succeed(transfer)
        self._end(transfer)

    def _end(self, transfer: Transfer) -> None:
        self._live.pop(transfer.id, None)
        self._ledger.ended += 1
        if self._on_end is not None:
            self._on_end(transfer)
