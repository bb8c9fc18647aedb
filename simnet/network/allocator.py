"""Max-min fair rates that are kept up to date while flows come and go (see `max_min`).

Only what a change can reach is computed again:

* A flow's *level* is its rate per weight. When flows leave, every flow whose level is below theirs keeps its
  rate. When flows come, nothing changes below the least level x at which a resource of theirs is full:
  `sum_i use_i min(rate_i, weight_i x) = capacity`. Other changes are of one of these kinds, or of both.
* Of the flows at or above that level, only those change that are connected with the change, over resources
  and other such flows.
"""

from collections.abc import Iterable, Mapping, Sequence
from heapq import heapify, heappop, heappush
from itertools import repeat
from math import inf
from types import MappingProxyType

from simnet.network.max_min import check_capacity, check_flow

_MARGIN = 1e-9
"""A rounding error must not keep a flow that changes: levels so much lower, relatively, count as changed."""


class Allocator:
    """Max-min fair rates that are kept up to date while flows come and go.

    Changes are collected until :meth:`solve`, which recomputes what they can reach and nothing else. Flows
    are named by integers of the caller's choice; their order does not matter.

    Args:
        capacities: What each resource gives per second.
        private: Resources that are never shared: each gives every flow its whole capacity, and so caps it.
    """

    def __init__(self, capacities: Iterable[float], private: Iterable[int] = ()) -> None:
        self._capacities = list(capacities)
        for capacity in self._capacities:
            check_capacity(capacity)
        size = len(self._capacities)
        self._private = frozenset(private)
        # Of each resource: the flows that cross it, and how much of it they take per level.
        self._users: list[dict[int, float]] = [{} for _ in range(size)]
        self._routes: dict[int, Sequence[int]] = {}
        # Of each flow: its resources with how much of each one byte takes.
        self._ways: dict[int, Sequence[tuple[int, float]]] = {}
        self._caps: dict[int, float] = {}
        self._weights: dict[int, float] = {}
        self._rates: dict[int, float] = {}
        self._levels: dict[int, float] = {}
        self._bounds: dict[int, int | None] = {}
        # Since the last solve: flows that came or have other terms, resources that they use, that flows left,
        # that give more or less, and the level below which what left or was altered holds nobody.
        self._risen: set[int] = set()
        self._taken: set[int] = set()
        self._freed: set[int] = set()
        self._changed: set[int] = set()
        self._floor = inf
        self.work = 0
        """How many rates have been computed so far."""
        self.reached: tuple[Iterable[int], Sequence[int]] = (), ()
        """The resources and flows that the last :meth:`solve` went over."""
        # By resource: what is left of it, and while rates are filled in, for how many flows of what weight.
        self._left = list(self._capacities)
        self._load = [0.0] * size
        self._rising = [0] * size

    @property
    def rates(self) -> Mapping[int, float]:
        """The rate of every flow as of the last :meth:`solve`; 0 for flows added since."""
        return MappingProxyType(self._rates)

    @property
    def bounds(self) -> Mapping[int, int | None]:
        """What binds every flow: the resource, -1 for its own cap, None if nothing does."""
        return MappingProxyType(self._bounds)

    @property
    def capacities(self) -> tuple[float, ...]:
        """What each resource gives per second now."""
        return tuple(self._capacities)

    def add(
        self,
        flow: int,
        resources: Sequence[int],
        cap: float = inf,
        weight: float = 1.0,
        uses: Sequence[float] | None = None,
    ) -> None:
        """A flow begins. Raises `ValueError` for what `max_min` would refuse, or if it is there already.

        `uses` says how much of each resource one byte takes; 1 if not given.
        """
        if flow in self._routes:
            raise ValueError(f"flow {flow} is there already")
        check_flow(resources, cap, weight, len(self._capacities), uses)
        self._routes[flow] = resources
        self._ways[flow] = way = tuple(zip(resources, uses or repeat(1.0), strict=False))
        self._caps[flow] = cap
        self._weights[flow] = weight
        self._rates[flow] = 0.0
        self._bounds[flow] = None
        self._levels[flow] = inf
        for resource, use in way:
            self._users[resource][flow] = weight * use
        self._risen.add(flow)
        self._taken.update(resources)

    def remove(self, flow: int) -> None:
        """A flow ends. Raises `KeyError` if it is not there."""
        resources = self._routes.pop(flow)
        self._floor = min(self._floor, self._levels.pop(flow))
        del self._caps[flow], self._weights[flow], self._rates[flow], self._ways[flow], self._bounds[flow]
        for resource in resources:
            del self._users[resource][flow]
        self._risen.discard(flow)
        self._freed.update(resources)

    def set_capacity(self, resource: int, capacity: float) -> None:
        """A resource gives more or less from now on; 0 stalls its flows until it gives something again."""
        check_capacity(capacity)
        if capacity != self._capacities[resource]:
            self._capacities[resource] = capacity
            self._changed.add(resource)

    def set_cap(self, flow: int, cap: float) -> None:
        """A flow may get more or less from now on. Raises `ValueError` if negative, `KeyError` if unknown."""
        check_flow((), cap, self._weights[flow], 0)
        if cap != self._caps[flow]:
            self._alter(flow, cap, self._weights[flow])

    def set_weight(self, flow: int, weight: float) -> None:
        """A flow has another share from now on. Raises as :meth:`set_cap`."""
        check_flow((), self._caps[flow], weight, 0)
        if weight != self._weights[flow]:
            self._alter(flow, self._caps[flow], weight)
            for resource, use in self._ways[flow]:
                self._users[resource][flow] = weight * use

    def _alter(self, flow: int, cap: float, weight: float) -> None:
        self._floor = min(self._floor, self._levels[flow], cap / weight)
        self._caps[flow], self._weights[flow], self._levels[flow] = cap, weight, inf
        self._risen.add(flow)
        self._taken.update(self._routes[flow])

    def solve(self) -> list[int]:
        """Bring :attr:`rates` up to date; returns the flows whose rate changed.

        O(path lengths of the flows that a change can reach x log resources).
        """
        changed: list[int] = []
        floor = self._unchanged_below()
        touched = [*self._taken, *(self._freed - self._taken)]
        touched += self._changed.difference(touched)
        resources, flows = self._connected(floor, touched)
        self._weigh(touched, resources, flows)
        self._risen, self._taken, self._freed, self._changed = set(), set(), set(), set()
        self._floor = inf
        self.reached = resources, list(flows)
        self.work += len(flows)
        self._fill(resources, flows, changed)
        return changed

    def used(self, resource: int) -> float:
        """What flows take of a resource per second, as of the last :meth:`solve`; without infinite rates."""
        users = self._users[resource]
        if not users:
            return 0.0
        if self._capacities[resource] < inf and resource not in self._private:
            return max(0.0, self._capacities[resource] - max(0.0, self._left[resource]))
        finite = (flow for flow in users if self._rates[flow] < inf)
        return sum(self._rates[flow] * users[flow] / self._weights[flow] for flow in finite)

    def _unchanged_below(self) -> float:
        """The level below which no rate changes."""
        floor = self._floor
        for resource in self._taken | self._changed:
            if resource not in self._private:
                floor = min(floor, self._full_at(resource))
        for resource in self._changed:
            users = self._users[resource]
            levels = [self._levels[flow] for flow in users]
            if resource not in self._private:
                floor = min(floor, max((level for level in levels if level < inf), default=0.0))
            else:
                floor = min([floor, *levels, *map(self._own_level, users)])
        return floor if floor == inf else floor * (1 - _MARGIN)

    def _full_at(self, resource: int) -> float:
        """The level at which a resource is full if its flows rise no higher than they are; infinite if
        never."""
        capacity = self._capacities[resource]
        if capacity == inf:
            return inf
        limits = []
        for flow, load in self._users[resource].items():
            level = self._levels[flow]
            limits.append((self._own_level(flow) if level == inf else level, load))
        limits.sort()
        below, rising = 0.0, sum(load for _, load in limits)
        for limit, load in limits:
            if below + rising * limit >= capacity:
                return max(0.0, capacity - below) / rising
            below += limit * load
            rising -= load
        return inf

    def _own_cap(self, flow: int) -> tuple[float, int]:
        """The most that a flow may get by itself, and what says so: -1 for its cap, or a private resource."""
        cap, bound = self._caps[flow], -1
        if self._private:
            for resource, use in self._ways[flow]:
                if resource in self._private and self._capacities[resource] / use < cap:
                    cap, bound = self._capacities[resource] / use, resource
        return cap, bound

    def _own_level(self, flow: int) -> float:
        return self._own_cap(flow)[0] / self._weights[flow]

    def _connected(self, floor: float, touched: Sequence[int]) -> tuple[list[int], dict[int, None]]:
        """What is connected with what was touched, over flows at or above a level: resources and flows.

        What was touched comes first.
        """
        users, routes, levels = self._users, self._routes, self._levels
        resources, seen = list(touched), set(touched)
        flows = dict.fromkeys(self._risen)
        for resource in resources:  # which grows on the way
            separate = self._capacities[resource] == inf or resource in self._private
            if separate and resource not in self._changed:
                continue  # its flows have nothing to do with each other
            for flow in users[resource]:
                if flow not in flows and levels[flow] >= floor:
                    flows[flow] = None
                    for other in routes[flow]:
                        if other not in seen:
                            seen.add(other)
                            resources.append(other)
        return resources, flows

    def _weigh(self, touched: Sequence[int], resources: Sequence[int], rising: Mapping[int, None]) -> None:
        """What resources have for their rising flows, and for how many of what weight.

        The touched ones have other flows than before: what the flows take that do not rise is added up. The
        others have what they had left, and what their rising flows had. Small rates come first, so that sums
        do not depend on the order of flows.
        """
        left, load, count = self._left, self._load, self._rising
        rates, weights = self._rates, self._weights
        for resource in touched:
            if self._capacities[resource] < inf and resource not in self._private:
                users, levels = self._users[resource], self._levels
                taken = sorted(levels[flow] * users[flow] for flow in users if flow not in rising)
                left[resource] = self._capacities[resource] - sum(taken)
        for resource in resources:
            load[resource], count[resource] = 0.0, 0
        fresh = set(touched)
        for flow in sorted(rising, key=rates.__getitem__):
            weight, rate = weights[flow], rates[flow]
            for resource, use in self._ways[flow]:
                load[resource] += weight * use
                count[resource] += 1
                if resource not in fresh:
                    left[resource] += rate * use

    def _fill(self, resources: Iterable[int], rising: dict[int, None], changed: list[int]) -> None:
        """Progressive filling; empties `rising`.

        The heap holds the share that each resource would give its rising flows, as of some moment. Shares
        only grow while flows freeze, so an entry that has become too small is put back when it surfaces.
        """
        users, ways, weights = self._users, self._ways, self._weights
        left, load, count = self._left, self._load, self._rising
        caps = {flow: self._own_cap(flow) for flow in rising}
        heap = [
            (max(0.0, left[resource]) / load[resource], resource)
            for resource in resources
            if count[resource] and self._capacities[resource] < inf and resource not in self._private
        ]
        # A cap is a private resource: its index is the complement of the flow's.
        heap += [(cap / weights[flow], ~flow) for flow, (cap, _) in caps.items() if cap < inf]
        heapify(heap)
        while rising and heap:
            level, index = heappop(heap)
            if index < 0:
                bound = [~index] if ~index in rising else []
            elif count[index]:
                share = max(0.0, left[index]) / load[index]
                if share > level:
                    if heap and share > heap[0][0]:
                        heappush(heap, (share, index))
                        continue
                    level = share
                bound = [flow for flow in users[index] if flow in rising]
            else:
                continue
            for flow in bound:
                weight, (cap, own) = weights[flow], caps[flow]
                rate = min(cap, level * weight)
                del rising[flow]
                for resource, use in ways[flow]:
                    left[resource] -= rate * use
                    load[resource] -= weight * use
                    count[resource] -= 1
                self._freeze(flow, level, rate, index if index >= 0 else own, changed)
        for flow in rising:
            self._freeze(flow, inf, inf, None, changed)

    def _freeze(self, flow: int, level: float, rate: float, bound: int | None, changed: list[int]) -> None:
        self._levels[flow], self._bounds[flow] = level, bound
        if self._rates[flow] != rate:
            self._rates[flow] = rate
            changed.append(flow)
