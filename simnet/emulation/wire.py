"""The fabric process: carries every packet of an emulation over its links, in real time.

It reads JSON lines: first the network, then what is to change; it answers `up`, `stats` and `start` with one
line each, and ends at the end of its input. It holds a TUN device in the namespace of every host, and nothing
of it is left when it ends.
"""

import gc
import json
import os
import select
import struct
import time
from bisect import insort
from heapq import heappop, heappush
from ipaddress import IPv4Address, IPv4Interface
from math import ceil, inf
from random import Random
from typing import Any

from simnet.emulation import namespaces
from simnet.emulation.lateness import Lateness
from simnet.emulation.promptness import Timer, ask_for_realtime
from simnet.emulation.queues import Link, Path, Train, Way, jitter_of

_HEADER = 10
"""Bytes of the virtio header before each packet."""
_LARGEST = 65_535 + _HEADER
_READS = 16
"""Packets that are read from one host before others have their turn."""
_TURN = 64
"""Packets that move on before hosts are looked at again."""
_EVENTS = 64
_BUSY, _GRAIN = 0.3, 5e-5
"""Above this part of a core the fabric wakes up at most every 50 us: setting a timer is dear."""
_TCP, _ACK, _LARGEST_ACKNOWLEDGEMENT = 6, 0x10, 120
_monotonic = time.monotonic


class Wire:
    """The network of one emulation."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self._overhead: int = plan["overhead"]
        self._trains: bool = plan["trains"]
        self._sparse_first: bool = plan["sparse_first"]
        self._interface: str = plan["interface"]
        self._links = [
            Link(link["name"], link["rate"], plan["queue"], link["shared"]) for link in plan["links"]
        ]
        self._ways = [
            Way(
                way["latency"], way["loss"], jitter_of(way["jitter"]), Random(f"{plan['seed']} {way['name']}")
            )
            for way in plan["ways"]
        ]
        self._addresses = [IPv4Address(host["address"]).packed for host in plan["hosts"]]
        self._descriptors: list[int] = []
        for host in plan["hosts"]:
            with namespaces.inside(host["pid"]):
                namespaces.apply_settings(host["settings"])
                namespaces.bring_up("lo")
                address = IPv4Interface(f"{host['address']}/{plan['prefix']}")
                self._descriptors.append(
                    namespaces.open_tun(self._interface, address, plan["mtu"], self._trains)
                )
        self._connected = [True] * len(self._descriptors)
        self._groups: list[list[int | None]] = []
        self._held: list[tuple[int, Train]] = []
        """What was sent to hosts that are out of reach, in its order."""
        self._sources = {descriptor: index for index, descriptor in enumerate(self._descriptors)}
        self._targets: list[dict[bytes, tuple[int, list[Path]]]] = []
        self._route(plan["routes"])
        self._scheduled: list[tuple[float, str, Any, Any]] = plan["changes"]
        self._horizon: float = plan["horizon"]
        self._upcoming: list[tuple[float, int, str, Any, Any]] = []
        self._heap: list[tuple[float, int, Train]] = []
        self._count = 0
        self._timer = Timer()
        self._poll = select.epoll()
        for descriptor in (*self._descriptors, self._timer.descriptor, 0):
            self._poll.register(descriptor, select.EPOLLIN)
        os.set_blocking(0, False)
        self._input = b""
        self.realtime = plan["realtime"] and ask_for_realtime()
        self._forget()

    def _forget(self) -> None:
        """Begin to count anew."""
        self._lateness = Lateness()
        self._since, self._cpu = _monotonic(), time.process_time()
        self._second_at, self._second_cpu = self._since + 1.0, self._cpu
        self._busiest, self._grain = 0.0, 0.0
        self._packets, self._delivered, self._other_drops = 0, 0.0, 0
        for link in self._links:
            for lane in (link, *(link.lanes or {}).values()):
                lane.bytes, lane.drops = 0.0, 0
        for way in self._ways:
            way.lost = 0

    def _route(self, routes: list[list[list[list[tuple[int, int]]]]]) -> None:
        """Take other routes; packets that are on their way stay on theirs."""
        self._targets = [
            {
                self._addresses[target]: (target, [self._path(stages) for stages in alternatives])
                for target, alternatives in enumerate(row)
                if target != source
            }
            for source, row in enumerate(routes)
        ]

    def _path(self, stages: list[tuple[int, int]]) -> Path:
        return tuple((self._links[link], self._ways[way] if way >= 0 else None) for link, way in stages)

    # -- packets --------------------------------------------------------------------------------------

    def _read(self, descriptor: int) -> None:
        """Take what a host has sent, and put it on its first link."""
        source = self._sources[descriptor]
        for _ in range(_READS):
            try:
                frame = os.read(descriptor, _LARGEST)
            except BlockingIOError:
                return
            if frame[_HEADER] >> 4 != 4:
                continue
            found = self._targets[source].get(frame[26:30])
            if found is None or not self._connected[source]:
                continue  # multicast and the like, or a host that was cut off
            host, paths = found
            size = len(frame) - _HEADER
            if frame[1]:
                (header, each) = struct.unpack_from("=HH", frame, 2)
                packets = -(-(size - header) // each)
                whole = size + (packets - 1) * header + packets * self._overhead
                segment = header + each + self._overhead
            else:
                whole = segment = size + self._overhead
            ports = _HEADER + (frame[_HEADER] & 0xF) * 4
            flow = frame[22:30] + frame[ports : ports + 4]
            path = paths[0] if len(paths) == 1 else paths[_number(flow) % len(paths)]
            train = Train(frame, whole, segment, path, host, _monotonic(), flow, _acknowledges(frame))
            if self._groups and self._apart(source, host):
                self._held.append((source, train))
            else:
                self._pass(train)

    def _apart(self, source: int, target: int) -> bool:
        """Whether two hosts are in different groups of some partition."""
        return any(group[source] != group[target] for group in self._groups)

    def _separate(self, due: float, groups: list[list[int | None]]) -> None:
        """Have these partitions and no others; what was held up sets off where it is not any more."""
        self._groups = groups
        held, self._held = self._held, []
        for source, train in held:
            if self._apart(source, train.host):
                self._held.append((source, train))
            else:
                train.due = train.last = due
                self._pass(train)

    def _pass(self, train: Train) -> None:
        """A train has reached its next link."""
        link, way = train.path[train.stage]
        if link.lanes is not None:
            link = link.lane(train.flow)
        train.lost = way is not None and way.loses()  # once, however often the link changes meanwhile
        first = train.stage == 0 and self._sparse_first and link.sparse(train)
        if (link.slip_in(train) if first else link.admit(train)) and link.rate > 0.0:
            self._schedule(train, link, way)

    def _schedule(self, train: Train, link: Link, way: Way | None) -> None:
        """The train will leave its link at a known time: when is it at the next one, or where it goes to?"""
        if train.lost:
            return
        delay = 0.0 if way is None else way.delay(train)
        self._count += 1
        following = train.stage + 1
        last = train.finish + delay
        if following == len(train.path):
            heappush(self._heap, (last, self._count, train))
        else:
            first = train.start + train.segment / link.rate + delay
            heappush(self._heap, (first if first < last else last, self._count, train))
            # `due` and `last` of the next stage are set when it begins: until then the link may change.
            train.delay = delay

    def _move(self, until: float) -> bool:
        """Let trains move on whose time has come by `until`; False if there are more."""
        heap = self._heap
        for _ in range(_TURN):
            if not heap or heap[0][0] > until:
                return True
            due, _, train = heappop(heap)
            if train.frame is None:
                continue
            if train.stage + 1 == len(train.path):
                self._deliver(train, due)
            else:
                self._pass(train.onward(due))
        return False

    def _deliver(self, train: Train, due: float) -> None:
        if not self._connected[train.host]:
            return
        assert train.frame is not None
        try:
            os.write(self._descriptors[train.host], train.frame)
        except OSError:
            self._other_drops += 1
            return
        self._lateness.add(_monotonic() - due)
        self._packets += 1
        self._delivered += train.size

    # -- changes --------------------------------------------------------------------------------------

    def _change(self, due: float, kind: str, which: Any, value: Any) -> None:
        if kind == "rate":
            self._retime(self._links[which], due, rate=value)
        elif kind == "up":
            self._retime(self._links[which], due, up=value)
        elif kind == "latency":
            self._ways[which].latency = value
        elif kind == "loss":
            self._ways[which].loss = value
            if value > 0.0 and self._trains:
                self._trains = False
                for descriptor in self._descriptors:
                    namespaces.set_trains(descriptor, False)
        elif kind == "routes":
            self._route(value)
        elif kind == "apart":
            self._separate(due, value)
        elif kind == "connected":
            self._connected[which] = value
        else:
            raise ValueError(f"no change: {kind}")

    def _retime(self, link: Link, due: float, rate: float | None = None, up: bool | None = None) -> None:
        for train in link.set_rate(due, rate, up):
            if train.start < inf:
                _, way = train.path[train.stage]
                self._schedule(train, link, way)

    def _commands(self) -> bool:
        """Read what the driver says; False at the end of it."""
        try:
            chunk = os.read(0, 1 << 20)
        except BlockingIOError:
            return True
        if not chunk:
            return False
        *lines, self._input = (self._input + chunk).split(b"\n")
        for line in lines:
            self._obey(json.loads(line))
        return True

    def _obey(self, command: dict[str, Any]) -> None:
        if "changes" in command:
            for at, kind, which, value in command["changes"]:
                self._count += 1
                insort(self._upcoming, (_monotonic() if at is None else at, self._count, kind, which, value))
        if command.get("start"):
            begin = _monotonic()
            self._upcoming += [
                (begin + at, index, kind, which, value)
                for index, (at, kind, which, value) in enumerate(self._scheduled, self._count + 1)
            ]
            self._count += len(self._scheduled)
            self._upcoming.sort(key=lambda change: change[:2])
            self._forget()
            say({"start": begin})
        if command.get("stats"):
            say(self.stats())

    # -- the loop -------------------------------------------------------------------------------------

    def run(self) -> None:
        """Carry packets until the driver is gone."""
        upcoming, heap, poll = self._upcoming, self._heap, self._poll
        while True:
            now = _monotonic()
            if now >= self._second_at:
                self._end_second(now)
            if upcoming and upcoming[0][0] <= now:
                due, _, kind, which, value = upcoming[0]
                if self._move(due):
                    del upcoming[0]
                    self._change(due, kind, which, value)
                idle = False
            else:
                idle = self._move(now)
            if idle:
                instant = heap[0][0] if heap else inf
                if upcoming and upcoming[0][0] < instant:
                    instant = upcoming[0][0]
                if self._grain > 0.0 and instant < inf:
                    instant = ceil(instant / self._grain) * self._grain
                self._timer.ring_at(instant)
            for descriptor, _ in poll.poll(-1 if idle else 0, _EVENTS):
                if descriptor in self._sources:
                    self._read(descriptor)
                elif descriptor == 0:
                    if not self._commands():
                        return
                else:
                    self._timer.rang()

    def _end_second(self, now: float) -> None:
        cpu = time.process_time()
        share = (cpu - self._second_cpu) / (now - self._second_at + 1.0)
        self._busiest = max(self._busiest, share)
        self._grain = _GRAIN if share > _BUSY else 0.0
        self._second_at, self._second_cpu = now + 1.0, cpu

    def stats(self) -> dict[str, Any]:
        """What `WireStats` holds."""
        seconds = _monotonic() - self._since
        share = (time.process_time() - self._cpu) / seconds
        carried, dropped = {}, {}
        for link in self._links:
            lanes = (link, *(link.lanes or {}).values())
            carried[link.name] = sum(lane.bytes for lane in lanes)
            if drops := sum(lane.drops for lane in lanes):
                dropped[link.name] = drops
        return {
            "seconds": seconds,
            "realtime": self.realtime,
            "segmentation_offload": self._trains,
            "lateness_p50": self._lateness.percentile(0.5),
            "lateness_p99": self._lateness.percentile(0.99),
            "lateness_max": self._lateness.greatest if self._lateness.count else None,
            "cpu_share": share,
            "cpu_share_max": max(self._busiest, share),
            "packets": self._packets,
            "bytes": self._delivered,
            "lost": sum(way.lost for way in self._ways),
            "queue_drops": sum(dropped.values()),
            "other_drops": self._other_drops,
            "past_horizon": bool(self._scheduled) and seconds > self._horizon,
            "link_bytes": carried,
            "link_drops": dropped,
        }


def _acknowledges(frame: bytes) -> bool:
    """Whether a packet is a TCP acknowledgement and nothing else."""
    size = len(frame) - _HEADER
    if size > _LARGEST_ACKNOWLEDGEMENT or frame[19] != _TCP:
        return False
    header = (frame[_HEADER] & 0xF) * 4
    tcp = _HEADER + header
    return frame[tcp + 13] == _ACK and size == header + (frame[tcp + 12] >> 4) * 4


def _number(flow: bytes) -> int:
    """A number for a connection, by its ports."""
    return hash(int.from_bytes(flow[8:], "big") * 2654435761 >> 7)


def say(answer: dict[str, Any]) -> None:
    """One line for the driver."""
    os.write(1, json.dumps(answer).encode() + b"\n")


def main() -> None:
    """Read the network, set it up, carry packets."""
    line = b""
    while not line.endswith(b"\n"):
        chunk = os.read(0, 1 << 20)
        if not chunk:
            return
        line += chunk
    try:
        wire = Wire(json.loads(line))
    except OSError as error:
        say({"error": error.strerror or str(error)})
        return
    gc.collect()
    gc.freeze()
    gc.disable()
    say({"up": True, "realtime": wire.realtime})
    wire.run()


if __name__ == "__main__":
    main()
