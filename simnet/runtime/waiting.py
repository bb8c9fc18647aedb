"""Awaiting SimPy events from native coroutines, spawned tasks, and mailboxes."""

from collections import deque
from collections.abc import Collection, Coroutine, Generator, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, Protocol, TypeVar, cast

import simpy

from simnet.runtime.node import Cancelled, GroupChanged, Message, NodeDown, Task

T = TypeVar("T")


class Until(Generic[T]):
    """`await Until(event)`: SimPy resumes the coroutine with the event's value.

    An interrupt raises its cause, if that is a :class:`GroupChanged` (or `PeerLost`) or :class:`NodeDown`,
    and :class:`Cancelled` otherwise. What was told about something that is over by now changes nothing.
    """

    __slots__ = ("event",)

    def __init__(self, event: simpy.Event) -> None:
        self.event = event

    def __await__(self) -> Generator[simpy.Event, T, T]:
        while True:
            try:
                return (yield self.event)
            except simpy.Interrupt as interrupt:
                cause = interrupt.cause
                if isinstance(cause, Told):
                    if not cause.ticket.open:
                        continue
                    cause = cause.error
                if isinstance(cause, GroupChanged | NodeDown):
                    raise cause from None
                raise Cancelled from None


class Waiting(NamedTuple):
    """What a coroutine waits for, since when, and on which other node it depends."""

    what: object
    """Says so as `str(what)`."""
    since: float
    peer: str | None
    process: simpy.Process | None
    watching: Collection[str] = ()
    """Others whose loss it wants to know."""

    @property
    def peers(self) -> tuple[str, ...]:
        """All whose loss it is told of."""
        return (*self.watching,) if self.peer is None else (self.peer, *self.watching)


@dataclass(slots=True, eq=False)
class Ticket:
    """That a coroutine of a node is in a collective, until it has left it."""

    owner: Any
    open: bool = True


class Openable(Protocol):
    """Something that is over some time."""

    @property
    def open(self) -> bool:
        """Whether it is not over yet."""


@dataclass(frozen=True, slots=True)
class Still:
    """Whether somebody still waits for what they are told about: several may be lost at one instant."""

    entries: Mapping[Any, Any]
    key: Any
    entry: Any

    @property
    def open(self) -> bool:
        """Whether the entry is still there."""
        return self.entries.get(self.key) is self.entry


@dataclass(frozen=True, slots=True)
class Told:
    """The cause of an interrupt that is void once what it is about (a collective, a wait) is over."""

    error: GroupChanged
    ticket: Openable


@dataclass(frozen=True, slots=True)
class _Kept:
    """An error that is raised where the task is awaited."""

    error: GroupChanged


class SimulatedTask(Task[T]):
    """A coroutine running as a SimPy process.

    Args:
        env: Its simulation.
        coroutine: What it runs.
        owner: The node that it belongs to, and ends with; None for what belongs to the run.
        keep_errors: Whether a :class:`GroupChanged` waits for somebody to await the task; otherwise it ends
            the run.
    """

    def __init__(
        self,
        env: simpy.Environment,
        coroutine: Coroutine[Any, Any, T],
        owner: str | None = None,
        *,
        keep_errors: bool = False,
    ) -> None:
        self.owner = owner
        self.incarnation = 0
        """Which life of its owner it belongs to."""
        self._coroutine = coroutine
        self._guarded = _ending_quietly(coroutine, keep_errors)
        # SimPy drives a coroutine as it does a generator: by send() and throw().
        self._process = env.process(cast(Generator[simpy.Event, Any, Any], self._guarded))

    def __await__(self) -> Generator[simpy.Event, T, T]:
        result = yield from Until[Any](self._process).__await__()
        if isinstance(result, _Kept):
            raise result.error
        return cast(T, result)

    @property
    def done(self) -> bool:
        return self._process.triggered

    @property
    def event(self) -> simpy.Event:
        """Fires when the task has ended."""
        return self._process

    def cancel(self) -> None:
        if not self.done:
            self._process.interrupt()

    def go_down(self) -> None:
        """Raise :class:`NodeDown` at its `await`."""
        if not self.done:
            self._process.interrupt(NodeDown())

    def close(self) -> None:
        """Drop the coroutine where it stands: the run is over."""
        self._guarded.close()
        self._coroutine.close()


async def _ending_quietly(coroutine: Coroutine[Any, Any, T], keep_errors: bool) -> T | _Kept | None:
    try:
        return await coroutine
    except Cancelled:
        return None
    except GroupChanged as lost:
        if keep_errors:
            return _Kept(lost)
        raise


class Turns:
    """One at a time, in the order of asking: who has the device. As `simpy.Resource(capacity=1)`, at half its
    price."""

    def __init__(self, env: simpy.Environment) -> None:
        self._env = env
        self._holder: Turn | None = None
        self._queue: deque[Turn] = deque()

    def request(self) -> "Turn":
        """An event that fires when it is one's turn; a context manager, at whose end the next one has it."""
        turn = Turn(self._env, self)
        if self._holder is None:
            self._holder = turn
            turn.succeed()
        else:
            self._queue.append(turn)
        return turn

    def release(self, turn: "Turn") -> None:
        """It is over, or given up before it came."""
        if self._holder is not turn:
            self._queue.remove(turn)
            return
        self._holder = self._queue.popleft() if self._queue else None
        if self._holder is not None:
            self._holder.succeed()


class Turn(simpy.Event):
    """A turn that was asked for."""

    def __init__(self, env: simpy.Environment, turns: Turns) -> None:
        super().__init__(env)
        self._turns = turns

    def __enter__(self) -> "Turn":
        return self

    def __exit__(self, *_: object) -> None:
        self._turns.release(self)


class Mailbox:
    """Messages that arrived before anybody asked, and receivers that asked before anything arrived."""

    def __init__(self, env: simpy.Environment) -> None:
        self._env = env
        self._arrived: dict[Hashable, deque[Message]] = {}
        self._waiting: dict[Hashable, deque[tuple[str | None, simpy.Event]]] = {}

    def deliver(self, message: Message) -> None:
        """Hand `message` to the first receiver that wants it, or keep it."""
        waiting = self._waiting.get(message.tag)
        if waiting:
            for position, (sender, event) in enumerate(waiting):
                if sender is None or sender == message.sender:
                    del waiting[position]
                    if not waiting:
                        del self._waiting[message.tag]
                    event.succeed(message)
                    return
        self._arrived.setdefault(message.tag, deque()).append(message)

    def take(self, sender: str | None, tag: Hashable) -> Message | None:
        """The oldest kept message that fits, or None."""
        arrived = self._arrived.get(tag)
        if arrived:
            for position, message in enumerate(arrived):
                if sender is None or sender == message.sender:
                    del arrived[position]
                    if not arrived:
                        del self._arrived[tag]
                    return message
        return None

    def ask(self, sender: str | None, tag: Hashable) -> simpy.Event:
        """An event that fires with the next message that fits."""
        event = self._env.event()
        self._waiting.setdefault(tag, deque()).append((sender, event))
        return event

    def withdraw(self, tag: Hashable, event: simpy.Event) -> None:
        """Stop waiting: the receiver gave up or was cancelled."""
        waiting = self._waiting.get(tag)
        if waiting is None:
            return
        kept = deque(entry for entry in waiting if entry[1] is not event)
        if kept:
            self._waiting[tag] = kept
        else:
            del self._waiting[tag]
