"""What the registries of this room hold."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from simnet.scenario import Path as KeyPath
from simnet.streams import Streams

T = TypeVar("T")


class Options(BaseModel):
    """Base of the options that a scenario may set: immutable; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class Entry(Generic[T]):
    """Something that a scenario chooses by name."""

    options: type[Options]
    """The keys that it understands, with their descriptions and defaults."""
    build: Callable[..., T]
    """Makes it out of its options (and what else its registry gives)."""
    summary: str
    """One line for `simnet list`."""
    tasks: tuple[str, ...] = ()
    """The names of the tasks that can use it; for a task itself, nothing."""


@dataclass(frozen=True)
class Origin:
    """Where something stands that a scenario names: for files beside it, seeds and error messages."""

    task: str
    """The name of the task that wants it."""
    path: KeyPath
    """The key path in the scenario."""
    folder: Path | None
    """The folder of the scenario's file, if it has one."""
    streams: Streams
    """The run's random streams."""

    def at(self, *keys: str) -> KeyPath:
        """The key path of something below."""
        return (*self.path, *keys)

    def locate(self, file: str) -> Path:
        """A file that the scenario names: relative to the scenario's folder, else to the current one."""
        given = Path(file).expanduser()
        return given if self.folder is None else self.folder / given


AnyEntry = Entry[Any]
