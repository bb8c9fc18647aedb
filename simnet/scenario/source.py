"""Where the values of a scenario come from: a line of a file, an override, a point of a sweep."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path as FilePath

from simnet.scenario.errors import Path


@dataclass(frozen=True)
class Source:
    """A scenario's file, with the line of every value, and what replaced values of it.

    ``lines`` maps the path of every key and list entry to its line, counted from 1. ``origins`` says of a
    path, and of all below it, that the value is not the file's: the text of an override, or the path inside
    ``sweep`` that gave it. ``used`` says of the paths that another file gave (by ``use``) which one that is.
    """

    name: str
    folder: FilePath | None = None
    lines: Mapping[Path, int] = field(default_factory=dict)
    origins: Mapping[Path, str | Path] = field(default_factory=dict)
    used: Mapping[Path, "Source"] = field(default_factory=dict)

    def line(self, path: Path) -> int | None:
        """The line of ``path``, or of the nearest key above it that the file has."""
        return next((self.lines[above] for above in _upwards(path) if above in self.lines), None)

    def origin(self, path: Path) -> str | Path | None:
        """Where the value at ``path`` comes from, if not from the file's own key."""
        found = next((self.origins[above] for above in _upwards(path) if above in self.origins), None)
        if found is None and path not in self.lines:  # a key that was made on the way to the one set
            found = next((origin for at, origin in self.origins.items() if at[: len(path)] == path), None)
        return found

    def place(self, path: Path, line: int | None = None) -> str:
        """``file:line`` of a value for an error message, or the override that it comes from."""
        origin = self.origin(path)
        if isinstance(origin, str):
            return f"--set {origin}"
        if origin is not None:
            return self.place(origin)
        other = self._given_by(path)
        if other is not None:
            return other.place(path, line)
        line = line or self.line(path)
        return f"{self.name}:{line}" if line else self.name

    def folder_of(self, path: Path) -> FilePath | None:
        """The folder of the file that gave the value at ``path``."""
        other = self._given_by(path)
        return self.folder if other is None or self.origin(path) is not None else other.folder_of(path)

    def _given_by(self, path: Path) -> "Source | None":
        """The other file that gave the value at ``path``, or the nearest key above it that any file has."""
        known = next((above for above in _upwards(path) if above in self.used or above in self.lines), None)
        return None if known is None else self.used.get(known)

    def with_origin(self, path: Path, origin: str | Path) -> "Source":
        """The same source, with what stands at ``path`` coming from ``origin``."""
        kept = {at: earlier for at, earlier in self.origins.items() if at[: len(path)] != path}
        return replace(self, origins={**kept, path: origin})


def _upwards(path: Path) -> list[Path]:
    return [path[:end] for end in range(len(path), -1, -1)]
