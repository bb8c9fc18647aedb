"""Weighted max-min fair rates of flows over shared resources, from scratch: the reference for `Allocator`.

All rates rise together, each in proportion to its flow's weight. What saturates first, a resource or a flow's
own cap, freezes the flows that it limits; the others rise on (progressive filling). The result is the only
allocation in which nobody can gain without somebody who has no more (per weight) losing: every flow either
has its cap or crosses a saturated resource on which no flow has a larger rate per weight (Bertsekas and
Gallager, *Data Networks*, 2nd edition, 1992, section 6.5.2).
"""

from collections.abc import Sequence
from math import inf


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
