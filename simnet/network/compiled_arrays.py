"""The arrays that the compiled solve works on, and the lists in them: which flows cross each resource.

Importing this imports numba.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numba
import numpy as np

FLOW = np.dtype(
    [("route", "i4"), ("mark", "i4"), ("cap", "f8"), ("weight", "f8"), ("level", "f8"), ("rate", "f8")]
)
"""A flow: its route (-1: none, the slot is free), the last solve that reached it, what it may get and
gets."""
DRAIN = np.dtype(
    [("remaining", "f8"), ("stamp", "f8"), ("finish", "f8"), ("since", "f8"), ("bound", "i8")],
)
"""What a flow has left, as of `stamp`; when it will be done; what binds it since when: a position on its
route, or `CAP` or `NOTHING`."""
RESOURCE = np.dtype(
    [
        *[
            ("capacity", "f8"),
            ("used", "f8"),
            ("carried", "f8"),
            ("stamp", "f8"),
            ("first", "i4"),
            ("mark", "i4"),
        ],
        *[("begin", "i4"), ("end", "i4"), ("shared", "i4"), ("touch", "i4")],
    ]
)
"""A resource: what it gives, what flows use of it since `stamp` and had carried until then, its first
crossing, the last solve that reached it and what happened to it in that, and where the filling keeps its
flows."""
LOAD = np.dtype([("left", "f8"), ("load", "f8"), ("rising", "i8"), ("owed", "i8")])
"""A resource while rates are filled in: what it has left, for how many flows of what weight, and whether
`left` still lacks what these flows had until now."""
ROUTE = np.dtype([("start", "i4"), ("length", "i4"), ("private", "i4"), ("plain", "i4")])
"""A route: where its hops are, whether one of its resources is not shared but caps each flow (`private`), and
whether one byte uses 1 of each (`plain`)."""
CROSSING = np.dtype([("next", "i4"), ("previous", "i4"), ("slot", "i8"), ("use", "f8")])
"""The flows of a resource are a list of crossings; number `slot * width + k` is hop k of a slot's route."""
ENTRY = np.dtype([("level", "f8"), ("index", "i8")])
"""What fills next: a resource, or the complement of a slot, whose cap is a private resource."""


class Arrays(NamedTuple):
    """All state, and scratch space."""

    flows: Any
    """By slot, as are `drains` and the rows of `seconds`."""
    drains: Any
    seconds: Any
    """How long each position of a flow's route has bound it; the last column is its cap."""
    least: Any
    """The least finish time of each block of 2^6 slots, or not a number where that is to be found out."""
    resources: Any
    loads: Any
    routes: Any
    hops: Any
    """Resources of all routes."""
    uses: Any
    """How much of each of these one byte uses."""
    crossings: Any
    heap: Any
    rising: Any
    """Slots of flows whose rates are to be computed."""
    queue: Any
    """Resources that a change reaches."""
    slots: Any
    """The rising flows of each resource."""


CAP, NOTHING = -1, -2
BLOCK = 6
TOUCHED, CHANGED = 1, 2
"""Of a resource: flows came or were altered; its capacity changed."""


def compiled(function: Callable[..., Any]) -> Any:
    """Compile a function once for this machine; without a place to keep it, once for each process."""
    try:
        return numba.njit(cache=True, error_model="numpy")(function)
    except RuntimeError:  # numba finds no folder that it may write to
        return numba.njit(error_model="numpy")(function)


@compiled
def width(a: Arrays) -> int:
    """The most hops that a route may have."""
    return len(a.crossings) // len(a.flows)


@compiled
def link(slot: int, a: Arrays) -> None:
    """Put a flow on the lists of its resources."""
    route = a.routes[a.flows[slot].route]
    for k in range(route.length):
        resource = a.hops[route.start + k]
        here, following = slot * width(a) + k, a.resources[resource].first
        a.crossings[here].next, a.crossings[here].previous = following, -1
        a.crossings[here].slot, a.crossings[here].use = slot, a.uses[route.start + k]
        if following >= 0:
            a.crossings[following].previous = here
        a.resources[resource].first = here


@compiled
def unlink(slot: int, a: Arrays) -> None:
    """Take a flow off the lists of its resources."""
    route = a.routes[a.flows[slot].route]
    for k in range(route.length):
        here = slot * width(a) + k
        following, previous = a.crossings[here].next, a.crossings[here].previous
        if following >= 0:
            a.crossings[following].previous = previous
        if previous >= 0:
            a.crossings[previous].next = following
        else:
            a.resources[a.hops[route.start + k]].first = following


@compiled
def relink(a: Arrays) -> None:
    """Make all lists of crossings anew, after their arrays have grown."""
    for resource in range(len(a.resources)):
        a.resources[resource].first = -1
    for slot in range(len(a.flows)):
        if a.flows[slot].route >= 0:
            link(slot, a)


@compiled
def own_cap(slot: int, a: Arrays) -> Any:
    """The most that a flow may get by itself, and the position of what says so: its cap or a private
    resource."""
    cap, bound = a.flows[slot].cap, CAP
    route = a.routes[a.flows[slot].route]
    if route.private:
        for k in range(route.length):
            resource = a.hops[route.start + k]
            if not a.resources[resource].shared:
                private = a.resources[resource].capacity / a.uses[route.start + k]
                if private < cap:
                    cap, bound = private, k
    return cap, bound
