"""Where checkpoints go: all who read or write it share it."""

from math import inf

import simpy

_SLACK = 1e-9
"""Relative: what is left of a write by rounding alone is nothing."""


class Access:
    """One read or write under way."""

    __slots__ = ("bytes", "done", "left")

    def __init__(self, bytes: float, done: simpy.Event) -> None:
        self.bytes = self.left = bytes
        self.done = done


class Storage:
    """Storage that each node reaches at `each` bytes per second, and all together at `together`.

    Whoever reads or writes gets the same: `min(each, together / n)` with n of them at once. It is no part of
    the network that messages travel on.
    """

    def __init__(self, env: simpy.Environment, each: float, together: float = inf) -> None:
        self._env = env
        self._each = each
        self._together = together
        self._accesses: dict[Access, None] = {}
        self._as_of = 0.0
        self._timer: simpy.Event | None = None

    def access(self, bytes: float) -> Access:
        """Begin to read or write; its `done` fires when all bytes have passed."""
        self._advance()
        access = Access(bytes, self._env.event())
        self._accesses[access] = None
        self._plan()
        return access

    def abandon(self, access: Access) -> None:
        """Whoever did it is gone."""
        self._advance()
        self._accesses.pop(access, None)
        self._plan()

    @property
    def _rate(self) -> float:
        return min(self._each, self._together / max(1, len(self._accesses)))

    def _advance(self) -> None:
        passed = (self._env.now - self._as_of) * self._rate
        self._as_of = self._env.now
        for access in self._accesses:
            access.left -= passed

    def _plan(self) -> None:
        if not self._accesses:
            self._timer = None
            return
        least = max(0.0, min(access.left for access in self._accesses))
        timer = self._timer = self._env.timeout(least / self._rate)
        timer.callbacks.append(self._ended)

    def _ended(self, timer: simpy.Event) -> None:
        if timer is not self._timer:  # somebody came or went since
            return
        self._advance()
        least = min(access.left for access in self._accesses)
        for access in [one for one in self._accesses if one.left <= least + _SLACK * one.bytes]:
            del self._accesses[access]
            access.done.succeed()
        self._plan()
