"""What a change can reach: the level below which no rate changes, and the flows and resources above it.

Importing this imports numba.
"""

from math import inf
from typing import Any

from simnet.network.compiled_arrays import CHANGED, Arrays, compiled, own_cap

_FEW, _LOCAL = 32, 16
"""Look for what a change reaches up to so many flows, and this part of all of them."""


@compiled
def _full_at(resource: int, a: Arrays) -> float:
    """A level up to which a resource is not full if its flows go no higher than they are; infinite if never.

    Newton's method on a concave function, from the left: each iterate is a valid answer.
    """
    capacity, level = a.resources[resource].capacity, 0.0
    if capacity == inf:
        return inf
    for _ in range(8):
        below, load = 0.0, 0.0
        crossing = a.resources[resource].first
        while crossing >= 0:
            slot = a.crossings[crossing].slot
            weight = a.flows[slot].weight * a.crossings[crossing].use
            limit = a.flows[slot].level
            if limit == inf:
                limit = own_cap(slot, a)[0] / a.flows[slot].weight
            if limit < level:
                below += weight * limit
            else:
                load += weight
            crossing = a.crossings[crossing].next
        if load == 0.0:
            return inf
        following = max(0.0, capacity - below) / load
        if following <= level * (1 + 1e-9):
            break
        level = following
    return level


@compiled
def unchanged_below(resource: int, a: Arrays) -> float:
    """The level below which nothing changes for what happened to a resource, but for flows that left it."""
    shared, touch = a.resources[resource].shared, a.resources[resource].touch
    level = _full_at(resource, a) if shared and touch else inf
    if touch & CHANGED:
        highest = 0.0
        crossing = a.resources[resource].first
        while crossing >= 0:
            flow = a.flows[a.crossings[crossing].slot]
            if flow.level < inf:
                highest = max(highest, flow.level)
            if not shared:
                own = a.resources[resource].capacity / (a.crossings[crossing].use * flow.weight)
                level = min(level, min(own, flow.level))
            crossing = a.crossings[crossing].next
        if shared:
            level = min(level, highest)
    return level


@compiled
def reach(resource: int, touch: int, solves: int, reached: int, a: Arrays) -> int:
    """Note that a change reaches a resource; gives how many it has reached by now."""
    if a.resources[resource].mark != solves:
        a.resources[resource].mark, a.resources[resource].touch = solves, 0
        a.queue[reached] = resource
        reached += 1
    a.resources[resource].touch |= touch
    return reached


@compiled
def search(level: float, solves: int, active: int, reached: int, found: int, a: Arrays) -> Any:
    """What is connected with what was touched, over flows at or above the level.

    Gives how many resources and flows that is; flows -1 if it is too much to be worth it.
    """
    at = 0
    while at < reached:
        if found > _FEW + active // _LOCAL:
            return reached, -1
        resource = a.queue[at]
        at += 1
        separate = a.resources[resource].capacity == inf or not a.resources[resource].shared
        if separate and not a.resources[resource].touch & CHANGED:
            continue  # its flows have nothing to do with each other
        crossing = a.resources[resource].first
        while crossing >= 0:
            slot = a.crossings[crossing].slot
            if a.flows[slot].level >= level and a.flows[slot].mark != solves:
                a.flows[slot].mark = solves
                a.rising[found] = slot
                found += 1
                route = a.routes[a.flows[slot].route]
                for k in range(route.start, route.start + route.length):
                    reached = reach(a.hops[k], 0, solves, reached, a)
            crossing = a.crossings[crossing].next
    return reached, found


@compiled
def take_all(level: float, solves: int, reached: int, a: Arrays) -> Any:
    """Take all flows at or above the level, and their resources; gives how many resources and flows."""
    found = 0
    for slot in range(len(a.flows)):
        if a.flows[slot].level >= level and a.flows[slot].route >= 0:
            a.flows[slot].mark = solves
            a.rising[found] = slot
            found += 1
            route = a.routes[a.flows[slot].route]
            for k in range(route.start, route.start + route.length):
                reached = reach(a.hops[k], 0, solves, reached, a)
    return reached, found


@compiled
def weigh(solves: int, touched: int, reached: int, found: int, a: Arrays) -> None:
    """What resources have for their rising flows.

    The first `touched` of those reached have other flows than before: what the flows take that do not rise is
    added up. The others have what they had left, and what their rising flows had.
    """
    for i in range(reached):
        resource = a.queue[i]
        left = a.resources[resource].capacity
        if i < touched:
            crossing = a.resources[resource].first
            while crossing >= 0:
                flow = a.flows[a.crossings[crossing].slot]
                if flow.mark != solves:
                    left -= flow.rate * a.crossings[crossing].use
                crossing = a.crossings[crossing].next
        else:
            left -= a.resources[resource].used
        a.loads[resource].left, a.loads[resource].load = left, 0.0
        a.loads[resource].rising, a.loads[resource].owed = 0, i >= touched
    for i in range(found):
        flow = a.flows[a.rising[i]]
        route = a.routes[flow.route]
        for k in range(route.start, route.start + route.length):
            resource, use = a.hops[k], 1.0 if route.plain else a.uses[k]
            a.loads[resource].load += flow.weight * use
            a.loads[resource].rising += 1
            if a.loads[resource].owed:
                a.loads[resource].left += flow.rate * use
