"""Processes of this machine that stay: each has torch loaded and does one thing after another.

They are forked from a server process that has imported everything once (`warm`), so a new one is there in
some 10 ms. A process that dies is told about and replaced. All of them end with the process that made them,
however that one ends: each watches for it.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

Key = TypeVar("Key")


@dataclass(frozen=True)
class Call(Generic[Key]):
    """Something to be done: a function of a module (it is pickled by name), with its arguments.

    Its last argument, besides these, is a function that tells something while it is at work.
    """

    key: Key
    function: Callable[..., Any]
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Began:
    """A process took up the call."""


@dataclass(frozen=True)
class Told:
    """What the function told."""

    value: Any


@dataclass(frozen=True)
class Returned:
    """What the function gave."""

    value: Any


@dataclass(frozen=True)
class Raised:
    """What the function raised."""

    error: Exception


@dataclass(frozen=True)
class Died:
    """How the process ended in the middle of the call."""

    reason: str


Happening = Began | Told | Returned | Raised | Died


class Pool:
    """So many processes. A context manager: at its end all of them are gone."""

    def __init__(self, jobs: int, reused: bool = True) -> None:
        """``reused``: whether a process does more than one call."""
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["simnet.batch.warm"])
        self._jobs = jobs
        self._reused = reused
        self._workers: list[_Worker] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.process.join()
            worker.connection.close()
        self._workers.clear()

    def each(self, calls: list[Call[Key]]) -> Generator[tuple[Call[Key], Happening]]:
        """Do the calls in their order and give what happens; ``calls`` may grow meanwhile."""
        taken = 0
        while True:
            while taken < len(calls) and len(busy := self._busy()) < self._jobs:
                taken += 1
                self._give(calls[taken - 1])
                yield calls[taken - 1], Began()
            busy = self._busy()
            if not busy:
                return
            for ready in wait(list(busy)):
                worker = busy[ready]  # type: ignore[index]  # what was given to wait
                call: Any = worker.call
                yield call, self._heard(worker)

    def _busy(self) -> dict[Connection, "_Worker"]:
        return {worker.connection: worker for worker in self._workers if worker.call is not None}

    def _give(self, call: Call[Any]) -> None:
        for worker in [worker for worker in self._workers if worker.call is None]:
            with suppress(OSError):
                if worker.process.exitcode is None:
                    worker.connection.send((call.function, call.arguments))
                    worker.call = call
                    return
            self._remove(worker)  # it died while it had nothing to do
        worker = _Worker(*self._start(), call)
        self._workers.append(worker)
        with suppress(OSError):  # it died at once: that is heard as the end of the call
            worker.connection.send((call.function, call.arguments))

    def _start(self) -> tuple[Any, Connection]:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_work, args=(theirs,), daemon=True)
        with _single_threaded():
            process.start()
        theirs.close()
        return process, ours

    def _heard(self, worker: "_Worker") -> Happening:
        try:
            what, value = worker.connection.recv()
        except (EOFError, OSError):
            worker.process.join()
            self._remove(worker)
            return Died(_reason(worker.process.exitcode))
        if what == "told":
            return Told(value)
        worker.call = None
        if not self._reused:
            worker.process.kill()
            worker.process.join()
            self._remove(worker)
        return Returned(value) if what == "returned" else Raised(value)

    def _remove(self, worker: "_Worker") -> None:
        self._workers.remove(worker)
        worker.connection.close()


@dataclass(eq=False)
class _Worker:
    process: Any
    connection: Connection
    call: Call[Any] | None = None


class _single_threaded:  # noqa: N801  # a context manager
    """Numerical libraries that are loaded meanwhile start no threads of their own.

    A process with threads is not one to fork. A run that asks for several gets them later, from torch.
    """

    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")

    def __enter__(self) -> None:
        self.before = {name: os.environ.get(name) for name in self.names}
        os.environ.update(dict.fromkeys(self.names, "1"))

    def __exit__(self, *error: object) -> None:
        for name, value in self.before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _reason(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        out = "; the machine may have been out of memory" if name == "SIGKILL" else ""
        return f"its process was ended by {name}{out}"
    return f"its process ended with exit code {code}"


def _work(connection: Connection) -> None:
    """The life of a process: calls come in, what they give goes out."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who gave the work out, and ends us too
    threading.Thread(target=_end_with_parent, daemon=True).start()

    def tell(value: Any) -> None:
        connection.send(("told", value))

    while True:
        try:
            function, arguments = connection.recv()
        except EOFError:
            return
        try:
            answer = ("returned", function(*arguments, tell))
        except Exception as error:
            answer = ("raised", error)
        try:
            connection.send(answer)
        except (AttributeError, TypeError, ValueError) as error:  # what cannot be pickled
            connection.send(("raised", RuntimeError(f"{answer[1]!r} cannot be sent: {error}")))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None, "workers have one"
    wait([parent.sentinel])
    os._exit(1)
