"""What limits a message beside the links that it shares: caps, weights and slow start, as its transport
says."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from simnet.network.max_min import check_flow
from simnet.network.routing import Route
from simnet.network.transfer import Transfer
from simnet.network.transport import Transport, first_window, rtt_weight, window_rate


class Routed(Protocol):
    """Where messages can go."""

    @property
    def capacities(self) -> Sequence[float]:
        """Bytes per second of each resource."""

    def route(self, source: str, target: str) -> Route:
        """The way from one node to another."""


@dataclass(frozen=True, slots=True)
class Path:
    """What a route means for a flow."""

    resources: tuple[int, ...]
    uses: tuple[float, ...] | None
    cap: float
    limit: str
    """What says the cap."""
    weight: float
    rtt: float
    loss: float
    ways: tuple[Route, ...]
    """There and back, where the limits depend on how long these take."""


class Limits:
    """The limits of all messages of one network.

    Args:
        transport: What limits messages.
        topology: Where they go.
        round_trip: Seconds there and back now, where latencies change: a function of both routes.
        loss: The fraction of packets that a route loses now, where that changes.
    """

    def __init__(
        self,
        transport: Transport,
        topology: Routed,
        round_trip: Callable[[Route, Route | None], float] | None = None,
        loss: Callable[[Route], float] | None = None,
    ) -> None:
        self._transport = transport
        self._topology = topology
        self._round_trip = round_trip if transport.heeds_rtt else None
        self._loss = loss if transport.loss is not None else None
        self.ideal = transport.ideal
        """Whether no message has a limit but its own."""
        self.load_changes = self._loss is not None and transport.loss == "bbr"
        """Whether what a byte takes of its links changes with what they lose."""
        self._paths: dict[Route, Path] = {}
        self._connections: dict[tuple[str, str], float] = {}  # the window that a pair's has come to
        self._first = first_window(transport.mss, transport.streams)
        self._size = len(topology.capacities)

    def check(self, transfer: Transfer) -> None:
        """Raise `ValueError` for a flow that cannot be."""
        check_flow(transfer.route.resources, transfer.cap, transfer.weight, self._size)

    def path(self, transfer: Transfer, remaining: float) -> Path:
        """What its route means for a message that starts to flow; also sets its `limit` and `slow_start`."""
        path = self.now(transfer)
        if self._transport.slow_start != "off":
            if transfer.window == 0.0:
                transfer.window = transfer.first_window = self._window_of(transfer)
            transfer.slow_start = self._binds(transfer, path, remaining)
        return path

    def now(self, transfer: Transfer) -> Path:
        """What its route means for a message now; also sets its `limit`."""
        route = transfer.route
        path = self._paths.get(route)
        if path is None:
            path = self._paths[route] = self._path(route)
        elif path.ways:
            back = path.ways[1] if len(path.ways) > 1 else None
            rtt = path.rtt if self._round_trip is None else self._round_trip(route, back)
            loss = path.loss if self._loss is None else self._loss(route)
            if rtt != path.rtt or loss != path.loss:
                path = self._paths[route] = self._path(route)
        transfer.limit = "cap" if transfer.cap <= path.cap else path.limit
        return path

    def cap(self, transfer: Transfer) -> float:
        """The most that a message may get now."""
        path = self._paths[transfer.route]
        cap = min(transfer.cap, path.cap)
        return min(cap, window_rate(transfer.window, path.rtt)) if transfer.slow_start else cap

    def next_round(self, transfer: Transfer, rate: float, remaining: float) -> bool:
        """One more round trip of slow start, at whose end the rate was `rate`; gives whether it goes on."""
        path = self._paths[transfer.route]
        binding = rate >= window_rate(transfer.window, path.rtt) * (1 - 1e-9)
        if binding:
            transfer.window *= 2
            self._remember(transfer)
        transfer.slow_start = binding and self._binds(transfer, path, remaining)
        return transfer.slow_start

    def has_left(self, transfer: Transfer) -> None:
        """A message has left; its connection's window has grown by what it carried."""
        if transfer.window > 0.0:
            grown = min(transfer.first_window + transfer.bytes, 2 * transfer.bytes / transfer.messages)
            transfer.window = max(transfer.window, grown)
            self._remember(transfer)

    def _window_of(self, transfer: Transfer) -> float:
        if self._transport.slow_start == "per_flow":
            return self._first
        return self._connections.get((transfer.source, transfer.target), self._first)

    def _remember(self, transfer: Transfer) -> None:
        if self._transport.slow_start == "per_connection":
            pair = transfer.source, transfer.target
            self._connections[pair] = max(transfer.window, self._connections.get(pair, 0.0))

    def _binds(self, transfer: Transfer, path: Path, remaining: float) -> bool:
        """Whether the window holds the message back: it has more to send than fits, and nothing else is
        slower."""
        whole = min(remaining, transfer.bytes / transfer.messages)
        return transfer.window < whole and window_rate(transfer.window, path.rtt) < min(
            transfer.cap, path.cap
        )

    def _path(self, route: Route) -> Path:
        back = self._way_back(route)
        changing = self._round_trip is not None or self._loss is not None
        ways = () if not changing else (route,) if back is None else (route, back)
        rtt = route.rtt if self._round_trip is None else self._round_trip(route, back)
        loss = route.loss if self._loss is None else self._loss(route)
        uses = dict.fromkeys(route.resources, self._transport.use(loss))
        if self._transport.ack_load > 0 and back is not None:
            for resource in back.resources:
                load = self._transport.ack_load / self._transport.efficiency
                uses[resource] = uses.get(resource, 0.0) + load
        plain = all(use == 1.0 for use in uses.values())
        cap, limit = self._transport.caps(rtt, loss)
        weight = rtt_weight(rtt, self._transport.rtt_exponent)
        return Path(tuple(uses), None if plain else tuple(uses.values()), cap, limit, weight, rtt, loss, ways)

    def _way_back(self, route: Route) -> Route | None:
        try:
            return self._topology.route(route.hops[-1], route.hops[0])
        except LookupError:
            return None
