"""The compiled solve: max-min fair rates on arrays, and which flow will be done next.

The rates are those of `allocator.max_min`; what is computed is only what a change can reach:

* Below some level nothing changes. A flow's *level* is its rate per weight. When flows leave, every flow
  whose level is below theirs keeps its rate. When flows come, or resources give less, nothing changes below
  the least level x at which some touched resource is full: `sum_i use_i min(rate_i, weight_i x) = capacity`.
* Of the flows at or above that level, only those change that are connected with what was touched, over
  resources and other such flows. If that is a good part of all flows, looking for them costs more than it
  saves, and all flows at or above the level are computed again.

Importing this imports numba. Compiled code is kept on disk beside this file, or in numba's cache folder.
"""

from math import inf, isnan, nan
from typing import Any

from simnet.network.compiled_arrays import (
    BLOCK,
    CHANGED,
    NOTHING,
    TOUCHED,
    Arrays,
    compiled,
    link,
    own_cap,
    unlink,
)
from simnet.network.compiled_reach import reach, search, take_all, unchanged_below, weigh
from simnet.network.flows import NEGLIGIBLE


@compiled
def _set_finish(slot: int, finish: float, a: Arrays) -> None:
    block = slot >> BLOCK
    if finish <= a.least[block]:
        a.least[block] = finish
    elif a.drains[slot].finish == a.least[block]:
        a.least[block] = nan
    a.drains[slot].finish = finish


@compiled
def _sift_down(size: int, at: int, a: Arrays) -> None:
    heap = a.heap
    level, index = heap[at].level, heap[at].index
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size and (
            heap[child + 1].level < heap[child].level
            or (heap[child + 1].level == heap[child].level and heap[child + 1].index < heap[child].index)
        ):
            child += 1
        if heap[child].level > level or (heap[child].level == level and heap[child].index >= index):
            break
        heap[at].level, heap[at].index = heap[child].level, heap[child].index
        at = child
    heap[at].level, heap[at].index = level, index


@compiled
def _fill(now: float, solves: int, found: int, reached: int, a: Arrays) -> None:
    """Progressive filling of the rising flows, as `Allocator` does it."""
    size, end = 0, 0
    for i in range(reached):
        resource = a.queue[i]
        load = a.loads[resource]
        if load.rising and a.resources[resource].shared and a.resources[resource].capacity < inf:
            a.heap[size].level, a.heap[size].index = max(0.0, load.left) / load.load, resource
            size += 1
        a.resources[resource].begin = a.resources[resource].end = end
        end += load.rising
    for i in range(found):
        slot = a.rising[i]
        route = a.routes[a.flows[slot].route]
        for k in range(route.start, route.start + route.length):
            resource = a.hops[k]
            a.slots[a.resources[resource].end] = slot
            a.resources[resource].end += 1
        cap = own_cap(slot, a)[0]
        if cap < inf:
            a.heap[size].level, a.heap[size].index = cap / a.flows[slot].weight, ~slot
            size += 1
    for i in range(size // 2 - 1, -1, -1):
        _sift_down(size, i, a)
    while size:
        level, index = a.heap[0].level, a.heap[0].index
        if index >= 0 and a.loads[index].rising:
            share = max(0.0, a.loads[index].left) / a.loads[index].load
            if share > level:  # shares grow while flows freeze: it may come later
                a.heap[0].level = share
                _sift_down(size, 0, a)
                if a.heap[0].index != index:
                    continue
                level = share
        size -= 1
        a.heap[0].level, a.heap[0].index = a.heap[size].level, a.heap[size].index
        _sift_down(size, 0, a)
        begin, end = 0, 1
        if index >= 0:
            begin = a.resources[index].begin
            end = a.resources[index].end if a.loads[index].rising else begin
        for i in range(begin, end):
            slot = ~index if index < 0 else a.slots[i]
            if a.flows[slot].mark != solves:
                continue
            cap, bound = own_cap(slot, a)
            weight = a.flows[slot].weight
            rate = cap if index < 0 else min(cap, level * weight)
            route = a.routes[a.flows[slot].route]
            for k in range(route.start, route.start + route.length):
                resource, use = a.hops[k], 1.0 if route.plain else a.uses[k]
                a.loads[resource].left -= rate * use
                a.loads[resource].load -= weight * use
                a.loads[resource].rising -= 1
                if resource == index:
                    bound = k - route.start
            _commit(slot, level, rate, bound, now, a)
    for i in range(found):
        if a.flows[a.rising[i]].mark == solves:
            _commit(a.rising[i], inf, inf, NOTHING, now, a)


@compiled
def _commit(slot: int, level: float, rate: float, bound: int, now: float, a: Arrays) -> None:
    """A flow's rate is known: note what binds it, and predict its end."""
    drain = a.drains[slot]
    before = a.flows[slot].rate
    a.flows[slot].mark = 0
    a.flows[slot].level = level
    if bound != drain.bound:
        if drain.bound != NOTHING:
            a.seconds[slot, drain.bound] += now - drain.since
        a.drains[slot].bound, a.drains[slot].since = bound, now
    if rate == before:
        return
    remaining = drain.remaining
    if before > 0.0:
        remaining = max(0.0, remaining - before * (now - drain.stamp))
    a.drains[slot].remaining, a.drains[slot].stamp = remaining, now
    a.flows[slot].rate = rate
    if rate == inf:  # it is done now, and an infinite rate times no time is no number
        route = a.routes[a.flows[slot].route]
        for k in range(route.start, route.start + route.length):
            a.resources[a.hops[k]].carried += remaining * a.uses[k]
    finish = inf
    if rate > 0.0:
        finish = now if remaining <= rate * NEGLIGIBLE else now + remaining / rate
    _set_finish(slot, finish, a)


@compiled
def _account(now: float, reached: int, a: Arrays) -> None:
    """What resources carry from now on."""
    for i in range(reached):
        resource = a.queue[i]
        used = 0.0
        if a.resources[resource].first >= 0:
            if a.resources[resource].shared and a.resources[resource].capacity < inf:
                used = max(0.0, a.resources[resource].capacity - max(0.0, a.loads[resource].left))
            else:
                crossing = a.resources[resource].first
                while crossing >= 0:
                    rate = a.flows[a.crossings[crossing].slot].rate
                    if rate < inf:
                        used += rate * a.crossings[crossing].use
                    crossing = a.crossings[crossing].next
        if used != a.resources[resource].used:
            a.resources[resource].carried += a.resources[resource].used * (now - a.resources[resource].stamp)
            a.resources[resource].used, a.resources[resource].stamp = used, now


@compiled
def _next_finish(a: Arrays) -> float:
    finish = inf
    for block in range(len(a.least)):
        if isnan(a.least[block]):
            lowest = inf
            for slot in range(block << BLOCK, min(len(a.drains), (block + 1) << BLOCK)):
                lowest = min(lowest, a.drains[slot].finish)
            a.least[block] = lowest
        finish = min(finish, a.least[block])
    return finish


@compiled
def solve(
    now: float,
    solves: int,
    active: int,
    look: bool,
    arriving: Any,
    linked: int,
    leaving: Any,
    changed: Any,
    a: Arrays,
) -> Any:
    """Bring all rates up to date; gives when the next flow will be done, and how many rates were computed.

    Args:
        now: The time.
        solves: The how-manieth solve this is, from 1 on.
        active: How many flows there are.
        look: Whether to look for what the changes can reach. If that was too much, so is the second result,
            negated.
        arriving: Slots of flows that are new from number `linked` on; those before have another cap or
            weight.
        leaving: Slots of flows that end.
        changed: Resources that have another capacity.
        a: Everything else.
    """
    reached, found, level = 0, 0, inf
    for i in range(len(leaving)):
        slot = leaving[i]
        level = min(level, a.flows[slot].level)
        unlink(slot, a)
        route = a.routes[a.flows[slot].route]
        for k in range(route.start, route.start + route.length):
            reached = reach(a.hops[k], 0, solves, reached, a)
        a.flows[slot].route = -1
        a.flows[slot].level = a.flows[slot].rate = 0.0
        _set_finish(slot, inf, a)
    for i in range(len(arriving)):
        slot = arriving[i]
        if i >= linked:
            link(slot, a)
        else:
            level = min(level, min(a.flows[slot].level, a.flows[slot].cap / a.flows[slot].weight))
        a.flows[slot].level, a.flows[slot].mark = inf, solves
        a.rising[found] = slot
        found += 1
        route = a.routes[a.flows[slot].route]
        for k in range(route.start, route.start + route.length):
            reached = reach(a.hops[k], TOUCHED, solves, reached, a)
    for i in range(len(changed)):
        reached = reach(changed[i], CHANGED, solves, reached, a)
    for i in range(reached):
        level = min(level, unchanged_below(a.queue[i], a))
    if level < inf:
        level -= level * 1e-9  # a rounding error must not keep a flow that changes
    touched = reached
    if look:
        reached, found = search(level, solves, active, reached, found, a)
    missed = look and found < 0
    if missed or not look:
        reached, found = take_all(level, solves, reached, a)
    weigh(solves, touched, reached, found, a)
    _fill(now, solves, found, reached, a)
    _account(now, reached, a)
    return _next_finish(a), -found if missed else found


@compiled
def take_done(now: float, until: float, a: Arrays) -> Any:
    """End the flows that finish by `until` now; gives how many, and when the next of the others will.

    Their slots and times are the first entries of `heap`.
    """
    count = 0
    for block in range(len(a.least)):
        if a.least[block] > until:
            continue
        for slot in range(block << BLOCK, min(len(a.drains), (block + 1) << BLOCK)):
            if a.drains[slot].finish <= until:
                rate = a.flows[slot].rate
                if rate < inf:  # what is left of it, by a rounding error, or goes a nanosecond early
                    rest = a.drains[slot].remaining - rate * (now - a.drains[slot].stamp)
                    route = a.routes[a.flows[slot].route]
                    for k in range(route.start, route.start + route.length):
                        a.resources[a.hops[k]].carried += rest * a.uses[k]
                a.heap[count].level, a.heap[count].index = a.drains[slot].finish, slot
                count += 1
                a.drains[slot].remaining, a.drains[slot].stamp, a.drains[slot].finish = 0.0, now, inf
        a.least[block] = nan
    return count, _next_finish(a)


@compiled
def bytes_gone(now: float, sizes: Any, unit: int, a: Arrays) -> Any:
    """Bytes that have left of flows that are not done: whole ones, and units of a byte's parts, each cut
    off."""
    whole, parts = 0, 0
    for slot in range(len(a.flows)):
        if a.flows[slot].route >= 0:
            remaining = a.drains[slot].remaining
            if a.flows[slot].rate > 0.0:
                remaining = max(0.0, remaining - a.flows[slot].rate * (now - a.drains[slot].stamp))
            gone = sizes[slot] - remaining
            complete = int(gone)
            whole += complete
            parts += int((gone - complete) * unit)
    return whole, parts
