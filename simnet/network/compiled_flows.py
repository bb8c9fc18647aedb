"""`Flows` on arrays, solved by compiled code (`simnet.network.compiled`). Importing this imports numba."""

from collections.abc import Sequence
from heapq import heapify, heappop, heappush
from math import inf, nan

import numpy as np
from numpy.typing import NDArray

from simnet.network import compiled
from simnet.network import compiled_arrays as arrays
from simnet.network.allocator import check_capacity, check_flow
from simnet.network.flows import OWN_CAP, SAME_INSTANT, Routed, Snapshot, check_in_time

_FIRST_SLOTS = 1 << 10
_SEARCH_EVERY = 16
"""After a search that found too much, as it will where everything is connected, solve so often without
one."""
_NONE = np.empty(0, dtype=np.int64)


class CompiledFlows:
    """Draining flows in slots of arrays; what each method does is said in `Flows`."""

    def __init__(self, capacities: Sequence[float], private: frozenset[int] = frozenset()) -> None:
        for capacity in capacities:
            check_capacity(capacity)
        self.work = 0
        self.next_done = inf
        self._private = private
        self._solves = 0
        self._resources = np.zeros(len(capacities), arrays.RESOURCE)
        self._resources["capacity"] = capacities
        self._resources["first"] = -1
        self._resources["shared"] = 1
        self._resources["shared"][list(private)] = 0
        self._loads = np.zeros(len(capacities), arrays.LOAD)
        self._queue = np.zeros(len(capacities), np.int32)
        self._slots: dict[int, int] = {}  # of each flow
        self._routes = np.zeros(64, arrays.ROUTE)
        self._hops, self._uses = np.zeros(512, np.int32), np.zeros(512)
        self._hops_used = 0
        self._route_numbers: dict[tuple[tuple[int, ...], tuple[float, ...] | None], int] = {}
        self._resources_of: list[tuple[int, ...]] = []  # of each route
        self._crossings_used = 0
        self._rising_slots = np.zeros(1024, np.int32)
        self._width = 1
        self._ids: list[int] = []
        self._free: list[int] = []
        self._flows = np.zeros(0, arrays.FLOW)
        self._drains = np.zeros(0, arrays.DRAIN)
        self._sizes = np.zeros(0)
        self._seconds = np.zeros((0, self._width + 1))
        self._grow_slots(_FIRST_SLOTS)
        self._search_again = 0  # at which solve to look for what changes reach
        # What has happened since the last solve.
        self._arriving: dict[int, None] = {}
        self._altered: dict[int, None] = {}
        self._leaving: list[int] = []
        self._changed: dict[int, None] = {}

    @classmethod
    def resume(cls, snapshot: Snapshot) -> "CompiledFlows":
        """Go on from where another implementation stands; solve before anything else."""
        flows = cls(snapshot.capacities, snapshot.private)
        for name in ("carried", "used", "stamp"):
            flows._resources[name] = getattr(snapshot, name)
        for flow, (route, drain) in snapshot.flows.items():
            slot = flows._take_slot(flow, route, drain.size)
            flows._flow_rate[slot] = drain.rate
            flows._remaining[slot], flows._stamp[slot] = drain.remaining, drain.stamp
            positions = {resource: k for k, resource in enumerate(route.resources)}
            for bound, seconds in drain.seconds.items():
                flows._seconds[slot, positions.get(bound, OWN_CAP)] = seconds
            bound = arrays.NOTHING if drain.bound is None else positions.get(drain.bound, arrays.CAP)
            flows._drains["bound"][slot], flows._drains["since"][slot] = bound, drain.since
            # The solve predicts the end of a flow where its rate changes: a rounding error is not enough.
            if 0.0 < drain.rate < inf:
                flows._drains["finish"][slot] = drain.stamp + drain.remaining / drain.rate
        flows._least[:] = nan  # to be found out
        flows._changed = dict.fromkeys(
            np.flatnonzero(snapshot.used).tolist()
        )  # their flows may just have left
        return flows

    # -- arrays ---------------------------------------------------------------------------------------

    def _grow_slots(self, slots: int) -> None:
        before = len(self._flows)
        for name in ("_flows", "_drains", "_sizes", "_seconds"):
            array = getattr(self, name)
            grown = np.zeros((slots, *array.shape[1:]), array.dtype)
            grown[:before] = array
            setattr(self, name, grown)
        self._flows["route"][before:] = -1
        self._drains["finish"][before:] = inf
        self._free += range(before, slots)
        heapify(self._free)
        self._ids += [-1] * (slots - before)
        self._least = np.full(-(-slots >> arrays.BLOCK), nan)
        self._heap = np.zeros(slots + len(self._resources), arrays.ENTRY)
        self._rising = np.zeros(slots, np.int32)
        self._flow_route, self._flow_rate = self._flows["route"], self._flows["rate"]
        self._remaining, self._stamp = self._drains["remaining"], self._drains["stamp"]
        self._bound, self._since = self._drains["bound"], self._drains["since"]
        self._done_at, self._done_slot = self._heap["level"], self._heap["index"]
        self._relink()

    def _widen(self, width: int) -> None:
        """Make room for longer routes."""
        seconds = np.zeros((len(self._flows), width + 1))
        seconds[:, : self._width] = self._seconds[:, :-1]
        seconds[:, -1] = self._seconds[:, -1]
        self._seconds, self._width = seconds, width
        self._relink()

    def _relink(self) -> None:
        self._crossings = np.zeros(len(self._flows) * self._width, arrays.CROSSING)
        fresh = list(getattr(self, "_arriving", ()))  # the solve links these
        routes = self._flows["route"][fresh].copy()
        self._flows["route"][fresh] = -1
        self._arrays = self._gathered()
        arrays.relink(self._arrays)
        self._flows["route"][fresh] = routes

    def _gathered(self) -> arrays.Arrays:
        return arrays.Arrays(
            flows=self._flows,
            drains=self._drains,
            seconds=self._seconds,
            least=self._least,
            resources=self._resources,
            loads=self._loads,
            routes=self._routes,
            hops=self._hops,
            uses=self._uses,
            crossings=self._crossings,
            heap=self._heap,
            rising=self._rising,
            queue=self._queue,
            slots=self._rising_slots,
        )

    def _route_number(self, resources: tuple[int, ...], uses: tuple[float, ...] | None) -> int:
        number = self._route_numbers.get((resources, uses))
        if number is None:
            number = len(self._resources_of)
            start, end = self._hops_used, self._hops_used + len(resources)
            if number == len(self._routes):
                self._routes = np.resize(self._routes, 2 * number)
            if end > len(self._hops):
                self._hops = np.resize(self._hops, max(2 * len(self._hops), end))
                self._uses = np.resize(self._uses, len(self._hops))
            self._hops[start:end] = resources
            self._uses[start:end] = 1.0 if uses is None else uses
            self._routes[number] = (
                start,
                len(resources),
                not self._private.isdisjoint(resources),
                uses is None,
            )
            self._arrays = self._gathered()
            self._hops_used = end
            self._resources_of.append(resources)
            self._route_numbers[resources, uses] = number
            if len(resources) > self._width:
                self._widen(len(resources))
        return number

    def _take_slot(self, flow: int, route: Routed, size: float) -> int:
        number = self._route_numbers.get((route.resources, route.uses))
        if number is None:
            check_flow(route.resources, route.cap, route.weight, len(self._resources), route.uses)
            number = self._route_number(route.resources, route.uses)
        else:
            check_flow((), route.cap, route.weight, 0)
        if flow in self._slots:
            raise ValueError(f"flow {flow} is there already")
        if not self._free:
            self._grow_slots(2 * len(self._flows))
        slot = heappop(self._free)
        self._slots[flow], self._ids[slot] = slot, flow
        self._flows[slot] = (number, 0, route.cap, route.weight, inf, 0.0)
        self._sizes[slot] = size
        self._seconds[slot] = 0.0
        self._arriving[slot] = None
        self._crossings_used += len(self._resources_of[number])
        if self._crossings_used > len(self._rising_slots):
            self._rising_slots = np.zeros(2 * self._crossings_used, np.int32)
            self._arrays = self._gathered()
        return slot

    # -- flows ----------------------------------------------------------------------------------------

    def add(
        self,
        flow: int,
        resources: tuple[int, ...],
        size: float,
        now: float,
        cap: float = inf,
        weight: float = 1.0,
        uses: tuple[float, ...] | None = None,
        remaining: float | None = None,
    ) -> None:
        """A flow of `size` bytes begins, or goes on with those that `remaining` says; see `Allocator.add`."""
        slot = self._take_slot(flow, Routed(resources, uses, cap, weight), size)
        self._drains[slot] = (size if remaining is None else remaining, now, inf, now, arrays.NOTHING)

    def remove(self, flow: int, now: float) -> float:
        """A flow ends; gives the bytes that remain."""
        remaining = self.remaining(flow, now)
        slot = self._slots.pop(flow)
        self._crossings_used -= len(self._resources_of[self._flow_route.item(slot)])
        self._sizes[slot] = self._remaining[slot] = self._flow_rate[slot] = 0.0  # gone from `bytes_gone`
        if slot in self._arriving:  # it comes and goes in one instant
            del self._arriving[slot]
            self._release(slot)
            self._flows["route"][slot] = -1
        else:
            self._altered.pop(slot, None)
            self._leaving.append(slot)
            self._drains["finish"][slot], self._least[slot >> arrays.BLOCK] = inf, nan
        return remaining

    def _release(self, slot: int) -> None:
        self._ids[slot] = -1
        heappush(self._free, slot)

    def set_capacity(self, resource: int, capacity: float) -> None:
        """A resource gives more or less."""
        check_capacity(capacity)
        if capacity != self._resources["capacity"][resource]:
            self._resources["capacity"][resource] = capacity
            self._changed[resource] = None

    def set_cap(self, flow: int, cap: float) -> None:
        """A flow may get more or less."""
        self._alter(flow, "cap", cap)

    def set_weight(self, flow: int, weight: float) -> None:
        """A flow has another share."""
        self._alter(flow, "weight", weight)

    def _alter(self, flow: int, what: str, value: float) -> None:
        slot = self._slots[flow]
        check_flow((), value if what == "cap" else inf, value if what == "weight" else 1.0, 0)
        if value != self._flows[what][slot]:
            self._flows[what][slot] = value
            if slot not in self._arriving:
                self._altered[slot] = None

    def solve(self, now: float) -> None:
        """Bring rates up to date with all that has happened in this instant."""
        self._solves += 1
        altered, arriving = list(self._altered), list(self._arriving)
        changed = list(self._changed)
        self.next_done, computed = compiled.solve(
            now,
            self._solves,
            len(self._slots),
            self._solves >= self._search_again,
            np.array(altered + arriving, np.int64) if altered or arriving else _NONE,
            len(altered),
            np.array(self._leaving, np.int64) if self._leaving else _NONE,
            np.array(changed, np.int64) if changed else _NONE,
            self._arrays,
        )
        if computed < 0:
            self._search_again = self._solves + _SEARCH_EVERY
        self.work += abs(computed)
        for slot in self._leaving:
            self._release(slot)
        self._altered, self._arriving, self._leaving, self._changed = {}, {}, [], {}

    def take_done(self, now: float) -> list[int]:
        """The flows that are done within `SAME_INSTANT`, by their time and number; they are to be removed
        now."""
        if self.next_done > now + SAME_INSTANT:
            return []
        count, self.next_done = compiled.take_done(now, now + SAME_INSTANT, self._arrays)
        flows = map(self._ids.__getitem__, self._done_slot[:count].tolist())
        done = sorted(zip(self._done_at[:count].tolist(), flows, strict=True))
        for due, flow in done:
            check_in_time(flow, due, now)
        return [flow for _, flow in done]

    def rate(self, flow: int) -> float:
        """A flow's rate as of the last solve."""
        return self._flow_rate.item(self._slots[flow])

    def remaining(self, flow: int, now: float) -> float:
        """What a flow has left."""
        slot = self._slots[flow]
        remaining, rate = self._remaining.item(slot), self._flow_rate.item(slot)
        return remaining if rate == 0.0 else max(0.0, remaining - rate * (now - self._stamp.item(slot)))

    def bound_seconds(self, flow: int, now: float) -> dict[int, float]:
        """How long each resource (by its index) or its own cap (`OWN_CAP`) has bound a flow, in seconds."""
        slot = self._slots[flow]
        resources = self._resources_of[self._flow_route.item(slot)]
        seconds = self._seconds[slot].tolist()
        bound = self._bound.item(slot)
        if bound != arrays.NOTHING:
            seconds[bound] += now - self._since.item(slot)
        found = {resource: time for resource, time in zip(resources, seconds, strict=False) if time > 0.0}
        if seconds[-1] > 0.0:
            found[OWN_CAP] = seconds[-1]
        return found

    def bytes_gone(self, now: float, unit: int) -> int:
        """What has left of all flows, in units of 1/`unit` bytes (a power of two), cut off for each flow."""
        whole, parts = compiled.bytes_gone(now, self._sizes, unit, self._arrays)
        return whole * unit + parts

    def carried(self, now: float) -> NDArray[np.float64]:
        """Bytes that each resource has carried."""
        resources = self._resources
        return resources["carried"] + resources["used"] * (now - resources["stamp"])
