"""What an adversary can have seen: the vectors that nodes handed to the runtime, round by round."""

from collections import deque
from collections.abc import Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass, field

import simpy
from torch import Tensor

ROUNDS_KEPT = 4
"""Rounds of each kind that are remembered of a node: neighbours in gossip may be a round or two apart."""


@dataclass(slots=True)
class Sighting:
    """The vectors that one node sends in one round, and to whom."""

    turn: Hashable
    vectors: list[Tensor]
    receivers: set[str]


@dataclass(slots=True)
class _Watcher:
    missing: set[str]
    event: simpy.Event


@dataclass(eq=False)
class Sightings:
    """The honest vectors of a run by kind (the name of a message's tag, or a collective and its group).

    A vector is seen from the instant at which its node hands it over, before a byte of it has left: the
    adversary is a worst case, not a process, so that seeing takes no time and no bytes.
    """

    env: simpy.Environment
    _seen: dict[Hashable, dict[str, deque[Sighting]]] = field(default_factory=dict)
    _heard: dict[tuple[Hashable, str], dict[str, None]] = field(default_factory=dict)
    _watchers: dict[tuple[Hashable, Hashable], list[_Watcher]] = field(default_factory=dict)

    def saw(
        self, sender: str, kind: Hashable, turn: Hashable, vectors: list[Tensor], receivers: Iterable[str]
    ) -> None:
        """`sender` hands over what it would send as an honest node."""
        rounds = self._seen.setdefault(kind, {}).setdefault(sender, deque(maxlen=ROUNDS_KEPT))
        sighting = next((one for one in rounds if one.turn == turn), None)
        if sighting is None:
            sighting = Sighting(turn, vectors, set())
            rounds.append(sighting)
        sighting.vectors = vectors
        for receiver in receivers:
            sighting.receivers.add(receiver)
            self._heard.setdefault((kind, receiver), {})[sender] = None
        waiting = self._watchers.get((kind, turn), [])
        for watcher in waiting:
            watcher.missing.discard(sender)
            if not watcher.missing and not watcher.event.triggered:
                watcher.event.succeed()
        if waiting and all(watcher.event.triggered for watcher in waiting):
            del self._watchers[kind, turn]

    def all_here(self, kind: Hashable, turn: Hashable, senders: Collection[str]) -> simpy.Event:
        """An event that fires when all `senders` have been seen in this round."""
        event = self.env.event()
        missing = {sender for sender in senders if self._find(kind, turn, sender) is None}
        if missing:
            self._watchers.setdefault((kind, turn), []).append(_Watcher(missing, event))
        else:
            event.succeed()
        return event

    def of_round(
        self, kind: Hashable, turn: Hashable, senders: Iterable[str], receiver: str | None = None
    ) -> dict[str, Sighting]:
        """What each of `senders` sends in this round, as far as it was seen; with `receiver`, to it alone."""
        found = {sender: self._find(kind, turn, sender) for sender in senders}
        return {
            sender: sighting
            for sender, sighting in found.items()
            if sighting is not None and (receiver is None or receiver in sighting.receivers)
        }

    def latest(
        self, kind: Hashable, senders: Iterable[str], receiver: str | None = None
    ) -> dict[str, Sighting]:
        """The newest of this kind from each of `senders`, whatever its round."""
        newest = {sender: rounds[-1] for sender in senders if (rounds := self._rounds(kind, sender))}
        return {
            sender: sighting
            for sender, sighting in newest.items()
            if receiver is None or receiver in sighting.receivers
        }

    def heard(self, kind: Hashable, receiver: str) -> tuple[str, ...]:
        """Who has ever sent something of this kind to `receiver`, in the order of first times."""
        return tuple(self._heard.get((kind, receiver), ()))

    def _rounds(self, kind: Hashable, sender: str) -> Sequence[Sighting]:
        return self._seen.get(kind, {}).get(sender, ())

    def _find(self, kind: Hashable, turn: Hashable, sender: str) -> Sighting | None:
        return next((one for one in self._rounds(kind, sender) if one.turn == turn), None)
