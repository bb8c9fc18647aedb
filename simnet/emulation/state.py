"""What an emulation has made, written down before it is made, so that it can be removed whatever happens.

One JSON file per emulation, in `$XDG_RUNTIME_DIR/simnet` or `/run/simnet`, or under the folder for temporary
files where neither can be written. It is there as long as the emulation is.
"""

import json
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Self

from simnet.emulation.processes import Known, known


@dataclass(frozen=True, slots=True)
class State:
    """One emulation: who runs it, and what there is of it."""

    mark: str
    """Sixteen hex digits that no other emulation has; its processes bear it in their environment."""
    driver: str
    owner: Known
    """The process that runs it: while it lives, nothing of this is to be removed."""
    processes: tuple[Known, ...] = ()
    devices: tuple[str, ...] = ()
    """Network interfaces in the root namespace, of which each is made by this emulation if it is there."""
    folders: tuple[str, ...] = ()
    """Folders for temporary files that belong to it."""
    folder: Path = field(default_factory=lambda: state_folder())

    @classmethod
    def new(cls, driver: str) -> Self:
        """A new emulation that this process runs, not written yet."""
        return cls(secrets.token_hex(8), driver, known(os.getpid(), "driver"))

    @property
    def path(self) -> Path:
        """Its file."""
        return self.folder / f"{self.mark}.json"

    @property
    def prefix(self) -> str:
        """What the names of its devices begin with: `sn` and four hex digits."""
        return f"sn{self.mark[:4]}"

    def write(self) -> Self:
        """Write it, at once or not at all; gives it."""
        content = {key: value for key, value in asdict(self).items() if key != "folder"}
        aside = self.path.with_suffix(".new")
        aside.write_text(json.dumps(content))
        aside.replace(self.path)
        return self

    def grown(self, *processes: Known, devices: tuple[str, ...] = (), folders: tuple[str, ...] = ()) -> Self:
        """It with more processes, devices and folders, written; processes that have ended are forgotten."""
        alive = tuple(process for process in self.processes if process.alive)
        return replace(
            self,
            processes=(*alive, *processes),
            devices=(*self.devices, *devices),
            folders=(*self.folders, *folders),
        ).write()

    def forget(self) -> None:
        """Remove the file."""
        self.path.unlink(missing_ok=True)


def state_folder() -> Path:
    """Where state files are; made if need be."""
    candidates = [Path("/run/simnet")]
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        candidates.insert(0, Path(runtime) / "simnet")
    for folder in candidates:
        with suppress(OSError):
            folder.mkdir(mode=0o700, exist_ok=True)
            if os.access(folder, os.W_OK):
                return folder
    folder = Path(tempfile.gettempdir()) / f"simnet-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.lstat().st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to someone else")
    return folder


def state_folders() -> list[Path]:
    """All folders in which there may be state files of this user, whatever their environment was."""
    candidates = [Path("/run/simnet"), Path(tempfile.gettempdir()) / f"simnet-{os.getuid()}", state_folder()]
    return [folder for folder in dict.fromkeys(candidates) if folder.is_dir()]


def read(path: Path) -> State:
    """A state file. Raises `ValueError` where it is none."""
    try:
        content = json.loads(path.read_text())
        return State(
            content["mark"],
            content["driver"],
            Known(**content["owner"]),
            tuple(Known(**process) for process in content["processes"]),
            tuple(content["devices"]),
            tuple(content.get("folders", ())),
            path.parent,
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} is no state of an emulation: {error}") from None


def states() -> Iterator[State]:
    """Every emulation that is written down; files that are none are passed over."""
    for folder in state_folders():
        for path in sorted(folder.glob("*.json")):
            with suppress(ValueError, FileNotFoundError):
                yield read(path)
