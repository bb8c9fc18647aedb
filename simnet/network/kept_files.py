"""The files that a run's network and faults read (graphs, round trips, traces), kept with its results.

So a run can be repeated from its folder, and its identity holds what the files said.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path as FilePath

from simnet.network.files.rtt import shipped_names
from simnet.scenario import Path, Scenario
from simnet.scenario.links import Mahimahi, Trace
from simnet.scenario.walk import everything_below
from simnet.units import UnitError, seconds

FOLDER = "files"
"""Where in a run's folder they are."""


@dataclass(frozen=True)
class KeptFiles:
    """What files said when a run was planned, by the path of the key that names each."""

    names: Mapping[Path, str]
    contents: Mapping[Path, bytes]

    @property
    def hashes(self) -> dict[Path, str]:
        """What stands for each file in the identity of a run: what it says, not what it is called."""
        return {path: _hash(content) for path, content in self.contents.items()}

    @property
    def places(self) -> dict[Path, str]:
        """Where in the run's folder each one is; two files of one name that differ have their hash in it."""
        first: dict[str, str] = {}
        places = {}
        for path, digest in self.hashes.items():
            name = self.names[path]
            if first.setdefault(name, digest) != digest:
                name = f"{FilePath(name).stem}-{digest[:8]}{FilePath(name).suffix}"
            places[path] = f"{FOLDER}/{name}"
        return places

    @property
    def by_place(self) -> dict[str, bytes]:
        """What is to be written."""
        return {place: self.contents[path] for path, place in self.places.items()}


def kept_files(scenario: Scenario) -> KeptFiles:
    """What the files of a scenario's network say now. Raises `OSError` if one cannot be read."""
    found = named_files(scenario)
    return KeptFiles(
        {path: file.name for path, file in found.items()},
        {path: file.read_bytes() for path, file in found.items()},
    )


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


_TRACES = (Trace.form, Mahimahi.form)


def named_files(scenario: Scenario) -> dict[Path, FilePath]:
    """The files that are read to build the network and the faults, by the path of the key that names each.

    What comes with simnet (`rtt: aws-21-regions`) is not among them: its version says what it is. Raises
    nothing: whether a file is there and makes sense is found out by who reads it.
    """
    found: dict[Path, FilePath] = {}
    for top in ("network", "workers", "server", "faults"):
        for path, value in everything_below(getattr(scenario, top), (top,)):
            if path[-1] in _TRACES and isinstance(value, str):
                found[path] = (scenario.folder_of(path) or FilePath()) / value
    for key in ("topology", "overlay"):
        config = getattr(scenario.network, key)
        option = {"file": "path", "regions": "rtt"}.get(config.kind if config else "")
        name = (config.model_extra or {}).get(option) if option else None
        if isinstance(name, str) and not (option == "rtt" and _is_no_file(name)):
            folder = scenario.folder_of(("network", key)) or FilePath()
            found["network", key, str(option)] = folder / name
    return found


def _is_no_file(rtt: str) -> bool:
    if rtt in shipped_names():
        return True
    try:
        seconds(rtt)
    except UnitError:
        return False
    return True
