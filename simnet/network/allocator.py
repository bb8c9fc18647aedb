"""Weighted max-min fair rates of flows over shared resources, by progressive filling.

All rates rise together, each in proportion to its flow's weight. What saturates first, a resource or a flow's
own cap, freezes the flows that it limits; the others rise on. The result is the only allocation in which
nobody can gain without somebody who has no more (per weight) losing: every flow either has its cap or crosses
a saturated resource on which no flow has a larger rate per weight (Bertsekas and Gallager, *Data Networks*,
2nd edition, 1992, section 6.5.2).

`max_min` does that for a whole set of flows, in the plainest way: it is the reference. `Allocator` gives the
same rates when flows come and go, and works only on what a change can touch.
"""

from collections.abc import Iterable, Mapping, Sequence
from heapq import heapify, heappop, heappush
from math import inf
from types import MappingProxyType


def max_min(
    capacities: Sequence[float],
    routes: Sequence[Sequence[int]],
    caps: Sequence[float] | None = None,
    weights: Sequence[float] | None = None,
    uses: Sequence[Sequence[float]] | None = None,
) -> list[float]:
    """The weighted max-min fair rate of each flow, from scratch: O(rounds x (resources + path lengths)).

    Args:
        capacities: What each resource gives per second, 0 to infinity. The unit is the caller's.
        routes: For each flow the indices of the resources that it uses, each at most once.
        caps: The most that each flow may get; no cap if not given.
        weights: Flows that share a bottleneck get rates in these proportions; equal if not given.
        uses: How much of each resource on its route a flow takes per unit of its rate; 1 if not given.

    Returns:
        One rate per flow; infinite where neither a resource nor a cap limits it.

    Raises:
        ValueError: A capacity or cap is negative or NaN, a weight is not positive and finite, a route uses an
            unknown resource or one twice.
    """
    caps = [inf] * len(routes) if caps is None else caps
    weights = [1.0] * len(routes) if weights is None else weights
    all_uses = [[1.0] * len(route) for route in routes] if uses is None else uses
    for capacity in capacities:
        check_capacity(capacity)
    for route, cap, weight, shares in zip(routes, caps, weights, all_uses, strict=True):
        check_flow(route, cap, weight, len(capacities), shares)
    rates = [inf] * len(routes)
    left = list(capacities)
    users: list[dict[int, float]] = [{} for _ in capacities]
    for flow, route in enumerate(routes):
        for resource, use in zip(route, all_uses[flow], strict=True):
            users[resource][flow] = weights[flow] * use
    rising = set(range(len(routes)))
    while rising:
        shares = [
            left[resource] / sum(crossing.values()) if crossing else inf
            for resource, crossing in enumerate(users)
        ]
        level = min(shares, default=inf)
        level = min(level, *(caps[flow] / weights[flow] for flow in rising))
        if level == inf:
            break
        bound = {flow for flow in rising if caps[flow] / weights[flow] == level}
        bound.update(*(users[resource] for resource, share in enumerate(shares) if share == level))
        for flow in sorted(bound):
            rates[flow] = min(caps[flow], level * weights[flow])
            for resource, use in zip(routes[flow], all_uses[flow], strict=True):
                left[resource] = max(0.0, left[resource] - rates[flow] * use)
                users[resource].pop(flow, None)
        rising -= bound
    return rates


class Allocator:
    """Max-min fair rates that are kept up to date while flows come and go.

    Changes are collected until :meth:`solve`, which recomputes the connected components of the flow/resource
    graph that they touched and nothing else. Flows are named by integers of the caller's choice; their order
    does not matter.

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
        self._uses: dict[int, Sequence[float]] = {}
        self._caps: dict[int, float] = {}
        self._weights: dict[int, float] = {}
        self._rates: dict[int, float] = {}
        self._bounds: dict[int, int | None] = {}
        self._touched: set[int] = set()
        self._unrouted: list[int] = []
        self.work = 0
        """How many rates have been computed so far."""
        self.reached: tuple[set[int], list[int]] = set(), []
        """The resources and flows that the last :meth:`solve` went over."""
        # Scratch space of the filling, by resource: what is left of it, and for how many flows of what
        # weight.
        self._left = [0.0] * size
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
        self._uses[flow] = uses = (1.0,) * len(resources) if uses is None else uses
        self._caps[flow] = cap
        self._weights[flow] = weight
        self._rates[flow] = 0.0
        self._bounds[flow] = None
        for resource, use in zip(resources, uses, strict=True):
            self._users[resource][flow] = weight * use
        self._touch_flow(flow)

    def remove(self, flow: int) -> None:
        """A flow ends. Raises `KeyError` if it is not there."""
        resources = self._routes.pop(flow)
        del self._caps[flow], self._weights[flow], self._rates[flow], self._uses[flow], self._bounds[flow]
        for resource in resources:
            del self._users[resource][flow]
        self._touched.update(resources)

    def set_capacity(self, resource: int, capacity: float) -> None:
        """A resource gives more or less from now on; 0 stalls its flows until it gives something again."""
        check_capacity(capacity)
        if capacity != self._capacities[resource]:
            self._capacities[resource] = capacity
            self._touched.add(resource)

    def set_cap(self, flow: int, cap: float) -> None:
        """A flow may get more or less from now on. Raises `ValueError` if negative, `KeyError` if unknown."""
        check_flow((), cap, self._weights[flow], 0)
        if cap != self._caps[flow]:
            self._caps[flow] = cap
            self._touch_flow(flow)

    def set_weight(self, flow: int, weight: float) -> None:
        """A flow has another share from now on. Raises as :meth:`set_cap`."""
        check_flow((), self._caps[flow], weight, 0)
        if weight != self._weights[flow]:
            self._weights[flow] = weight
            for resource, use in zip(self._routes[flow], self._uses[flow], strict=True):
                self._users[resource][flow] = weight * use
            self._touch_flow(flow)

    def solve(self) -> list[int]:
        """Bring :attr:`rates` up to date; returns the flows whose rate changed.

        O(path lengths of the touched components x log resources).
        """
        changed: list[int] = []
        self._unrouted = [flow for flow in self._unrouted if flow in self._routes]
        for flow in self._unrouted:
            self._freeze(flow, self._caps[flow], -1, changed)
        resources, flows, seen = self._component()
        self.reached = seen, [*self._unrouted, *flows]
        self._touched, self._unrouted = set(), []
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

    def _touch_flow(self, flow: int) -> None:
        resources = self._routes[flow]
        if resources:
            self._touched.add(resources[0])  # it stands for the flow's component
        else:
            self._unrouted.append(flow)

    def _component(self) -> tuple[list[int], set[int], set[int]]:
        """The used resources and the flows that are connected with what was touched, and all these
        resources."""
        users, routes = self._users, self._routes
        seen = set(self._touched)
        waiting = sorted(seen)
        resources: list[int] = []
        flows: set[int] = set()
        while waiting:
            resource = waiting.pop()
            crossing = users[resource]
            if not crossing:
                continue
            resources.append(resource)
            for flow in crossing:
                if flow not in flows:
                    flows.add(flow)
                    for other in routes[flow]:
                        if other not in seen:
                            seen.add(other)
                            waiting.append(other)
        return resources, flows, seen

    def _fill(self, resources: list[int], rising: set[int], changed: list[int]) -> None:
        """Progressive filling of whole components; empties `rising`.

        The heap holds the share that each resource would give its rising flows, as of some moment. Shares
        only grow while flows freeze, so an entry that has become too small is put back when it surfaces.
        """
        users, routes, uses, weights = self._users, self._routes, self._uses, self._weights
        left, load, count = self._left, self._load, self._rising
        heap: list[tuple[float, int]] = []
        caps, private_bounds = self._caps_with_private(rising) if self._private else (self._caps, {})
        for resource in resources:
            left[resource] = self._capacities[resource]
            load[resource] = sum(users[resource].values())
            count[resource] = len(users[resource])
            if left[resource] < inf and resource not in self._private:
                heap.append((left[resource] / load[resource], resource))
        # A cap is a private resource: its index is the complement of the flow's.
        heap += [(caps[flow] / weights[flow], ~flow) for flow in rising if caps[flow] < inf]
        heapify(heap)
        while rising and heap:
            level, index = heappop(heap)
            if index < 0:
                bound = [~index] if ~index in rising else []
            elif count[index]:
                share = left[index] / load[index]
                if share > level:
                    if heap and share > heap[0][0]:
                        heappush(heap, (share, index))
                        continue
                    level = share
                bound = [flow for flow in users[index] if flow in rising]
            else:
                continue
            for flow in bound:
                weight = weights[flow]
                rate = min(caps[flow], level * weight)
                rising.discard(flow)
                for resource, use in zip(routes[flow], uses[flow], strict=True):
                    left[resource] -= rate * use
                    load[resource] -= weight * use
                    count[resource] -= 1
                self._freeze(flow, rate, index if index >= 0 else private_bounds.get(flow, -1), changed)
        for flow in rising:
            self._freeze(flow, inf, None, changed)

    def _caps_with_private(self, flows: set[int]) -> tuple[dict[int, float], dict[int, int]]:
        """The caps that flows have from themselves and private resources, and which of these says so."""
        caps, bounds = {}, {}
        for flow in flows:
            caps[flow] = self._caps[flow]
            for resource, use in zip(self._routes[flow], self._uses[flow], strict=True):
                if resource in self._private and self._capacities[resource] / use < caps[flow]:
                    caps[flow] = self._capacities[resource] / use
                    bounds[flow] = resource
        return caps, bounds

    def _freeze(self, flow: int, rate: float, bound: int | None, changed: list[int]) -> None:
        self._bounds[flow] = bound if rate < inf else None
        if self._rates[flow] != rate:
            self._rates[flow] = rate
            changed.append(flow)


def check_capacity(capacity: float) -> None:
    """Raise `ValueError` for a capacity that cannot be."""
    if not capacity >= 0:
        raise ValueError(f"a capacity is zero or more, not {capacity}")


def check_flow(
    resources: Sequence[int], cap: float, weight: float, size: int, uses: Sequence[float] | None = None
) -> None:
    """Raise `ValueError` for a flow that cannot be, on `size` resources."""
    if not cap >= 0:
        raise ValueError(f"a cap is zero or more, not {cap}")
    if not 0 < weight < inf:
        raise ValueError(f"a weight is more than zero and finite, not {weight}")
    if len(set(resources)) != len(resources):
        raise ValueError(f"a route uses each resource once, not {list(resources)}")
    if resources and (min(resources) < 0 or max(resources) >= size):
        raise ValueError(f"a route uses resources 0 to {size - 1}, not {list(resources)}")
    if uses is not None and not (len(uses) == len(resources) and all(0 < use < inf for use in uses)):
        raise ValueError(f"uses are one positive, finite number per resource, not {list(uses)}")
