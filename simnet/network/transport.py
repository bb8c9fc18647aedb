"""Transport: how fast one message may go by itself, and its share of a bottleneck.

The fluid network shares links; what a real transport adds is a cap on each flow (window, loss, slow start),
a weight (flows with short round trips get more), and more bytes on the wire than the payload (headers,
acknowledgements). `ideal` adds nothing. All functions take and give bytes, seconds and bytes per second.
"""

from dataclasses import dataclass
from math import ceil, inf, log2, sqrt
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from simnet.scenario.transport import TransportConfig

LossResponse = Literal["reno", "cubic", "bbr"]
SlowStart = Literal["off", "per_connection", "per_flow"]

INITIAL_WINDOW = 10
"""Segments that a connection may send at first (RFC 6928)."""
MSS = 1460.0
"""Bytes of payload in a full Ethernet segment without TCP options."""
CUBIC_C = 0.4
CUBIC_BETA = 0.7


def window_rate(window: float, rtt: float, streams: int = 1) -> float:
    """The rate of `streams` connections with `window` bytes in flight each: k W / RTT. Infinite without
    latency."""
    return streams * window / rtt if rtt > 0 else inf


def reno_rate(loss: float, rtt: float, mss: float = MSS, streams: int = 1) -> float:
    """TCP Reno's mean rate under random loss: k MSS / RTT * sqrt(3 / (2 p)).

    Mathis, Semke, Mahdavi and Ott, *The macroscopic behavior of the TCP congestion avoidance algorithm*, CCR
    27(3), 1997, with an acknowledgement for every segment. Infinite without loss or latency.
    """
    return streams * mss / rtt * sqrt(1.5 / loss) if loss > 0 and rtt > 0 else inf


def cubic_rate(loss: float, rtt: float, mss: float = MSS, streams: int = 1) -> float:
    """TCP CUBIC's mean rate under random loss: k MSS (C (3 + b) / (4 (1 - b)))^(1/4) / (RTT^(1/4) p^(3/4)).

    RFC 9438, section 5.1, with C = 0.4 and b = 0.7, which makes the constant 1.054; no less than `reno_rate`,
    which CUBIC imitates where that is faster. Infinite without loss or latency.
    """
    if not (loss > 0 and rtt > 0):
        return inf
    constant = (CUBIC_C * (3 + CUBIC_BETA) / (4 * (1 - CUBIC_BETA))) ** 0.25
    return max(reno_rate(loss, rtt, mss, streams), streams * mss * constant / (rtt**0.25 * loss**0.75))


def bbr_rate(capacity: float, loss: float) -> float:
    """BBR's goodput alone on a path of `capacity`: C (1 - p), since it answers to delivery, not to loss.

    Cardwell et al., *BBR: Congestion-Based Congestion Control*, ACM Queue 14(5), 2016; holds up to losses of
    15 to 20 %. A flow is modelled as taking 1 / (1 - p) of a link per byte that arrives, so it also holds
    where links are shared or change.
    """
    return capacity * (1 - loss)


def first_window(mss: float = MSS, streams: int = 1) -> float:
    """Bytes that `streams` new connections have in flight at first: 10 segments each (RFC 6928)."""
    return streams * INITIAL_WINDOW * mss


def slow_start_seconds(bytes: float, rate: float, rtt: float, mss: float = MSS, streams: int = 1) -> float:
    """Seconds until the last byte leaves a new connection whose links give `rate`, alone.

    The window doubles with every round trip (RFC 5681, section 3.1), so k of them send IW (2^k - 1) bytes.
    k is the first for which the rest fits into the window or the window fills the links; the rest goes at
    `rate` (after Cardwell, Savage and Anderson, *Modeling TCP latency*, INFOCOM 2000). One route latency more
    and it has arrived.
    """
    first = first_window(mss, streams)
    fills = ceil(log2(rate * rtt / first)) if rate * rtt > 0 else 0
    fits = ceil(log2(1 + bytes / first)) - 1
    rounds = max(0, min(fills, fits))
    return rounds * rtt + (bytes - first * (2.0**rounds - 1)) / rate


def rtt_weight(rtt: float, exponent: float) -> float:
    """A flow's share of a bottleneck, relative to others: RTT^-a.

    a = 1 for Reno (Lakshman and Madhow, *The performance of TCP/IP for networks with high bandwidth-delay
    products and random loss*, 1997), about 0.25 for CUBIC where its window grows as in `cubic_rate`, 0 for
    max-min fairness.

    Raises:
        ValueError: There is no latency, and the exponent is not 0: the flow would get all of it.
    """
    if exponent == 0.0:
        return 1.0
    if rtt <= 0:
        raise ValueError(
            "a route without latency has no share by round-trip time: give its links some, or rtt_exponent: 0"
        )
    return rtt**-exponent


@dataclass(frozen=True, slots=True)
class Transport:
    """How messages are carried; each part is off by default, which is the ideal network."""

    window: float = inf
    """Bytes that a connection may have in flight."""
    streams: int = 1
    """Parallel connections that a message is spread over."""
    loss: LossResponse | None = None
    """How a connection answers to the loss of its route; None: not at all."""
    slow_start: SlowStart = "off"
    """per_flow: every message ramps up; per_connection: only the first ones between two nodes."""
    rtt_exponent: float = 0.0
    """a in the weight RTT^-a."""
    ack_load: float = 0.0
    """Bytes on the way back per byte sent."""
    mss: float = MSS
    """Bytes of payload per segment."""
    efficiency: float = 1.0
    """The part of what a link carries that is payload, on top of the link's own efficiency."""
    host_overhead: float = 0.0
    """Seconds between a message's arrival and its receiver's having it: what hosts need for each message."""
    latency_first: bool = False
    """Whether a message waits its route's latency before it takes bandwidth, instead of after its last
    byte."""
    serialised: bool = False
    """Whether receivers have one wire each, that carries one message after another (see `FluidNetwork`)."""

    @property
    def ideal(self) -> bool:
        """Whether it adds nothing to any flow."""
        return self == Transport(
            host_overhead=self.host_overhead, latency_first=self.latency_first, serialised=self.serialised
        )

    @property
    def heeds_rtt(self) -> bool:
        """Whether a flow's limits depend on how long a round trip takes."""
        return (
            self.window < inf
            or self.loss in ("reno", "cubic")
            or self.slow_start != "off"
            or self.rtt_exponent != 0
        )

    def caps(self, rtt: float, loss: float) -> tuple[float, str]:
        """The most that a message may get on a route, and why: window or loss."""
        window = window_rate(self.window, rtt, self.streams)
        if self.loss in ("reno", "cubic"):
            answer = reno_rate if self.loss == "reno" else cubic_rate
            by_loss = answer(loss, rtt, self.mss, self.streams)
            if by_loss < window:
                return by_loss, "loss"
        return window, "window"

    def use(self, loss: float) -> float:
        """What one byte of payload takes of each link on its way."""
        return 1 / (self.efficiency * (1 - loss if self.loss == "bbr" else 1))


IDEAL = Transport()
"""Max-min fair sharing, and one latency per message."""
TCP = Transport(
    window=4 * 2**20,
    loss="cubic",
    slow_start="per_connection",
    rtt_exponent=0.25,
    ack_load=0.0,
    mss=1448.0,
    efficiency=1448 / 1514,
)
"""Linux's TCP with its defaults: `tcp_wmem` allows 4 MiB in flight; CUBIC; 1448 bytes of payload (with
timestamps) in frames of 1514, as the kernel counts them where it shapes a link."""
RECEIVER_SERIALISED = Transport(serialised=True)
"""One inbound wire per receiver."""
TRANSPORTS = {"ideal": IDEAL, "tcp": TCP, "receiver-serialised": RECEIVER_SERIALISED}
"""The models that have a name."""


def transport_of(model: "str | TransportConfig") -> Transport:
    """The transport that a scenario's `network.model` means. Raises `KeyError` for a name that is none."""
    if isinstance(model, str):
        return TRANSPORTS[model]
    return Transport(
        window=inf if model.window is None else model.window,
        streams=model.streams,
        loss=None if model.loss == "none" else model.loss,
        slow_start=model.slow_start,
        rtt_exponent=model.rtt_exponent,
        ack_load=model.ack_load,
        mss=model.mss,
        efficiency=model.efficiency,
        host_overhead=model.host_overhead,
        latency_first=model.latency == "first",
    )
