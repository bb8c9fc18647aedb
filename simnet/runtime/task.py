"""A coroutine that runs beside another one of the same node."""

from abc import ABC, abstractmethod
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Task(ABC, Generic[T]):
    """A coroutine that runs beside its parent; awaiting it gives its return value or raises its error.

    A :class:`GroupChanged` (or `PeerLost`) is kept until the task is awaited; any other error that nobody
    awaits ends the run.
    """

    @abstractmethod
    def __await__(self) -> Any: ...

    @property
    @abstractmethod
    def done(self) -> bool:
        """True once the coroutine has returned or was cancelled."""

    @abstractmethod
    def cancel(self) -> None:
        """Raise :class:`Cancelled` at the coroutine's `await`; a flow it was sending is cut off."""
