"""Removing what an emulation left behind, and nothing else.

Processes are recognised by pid and start time, or by the emulation's mark in their environment; devices by
the names that its state file holds. Nothing is guessed from what things look like.
"""

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from simnet.emulation import processes
from simnet.emulation.processes import Known
from simnet.emulation.state import State, states


@dataclass(frozen=True, slots=True)
class Swept:
    """What was removed of one emulation, and what could not be."""

    mark: str
    processes: int
    devices: int
    remaining: tuple[str, ...] = ()
    """Processes, devices and folders that are still there."""


def sweep(state: State, spare: Sequence[int] = ()) -> Swept:
    """Kill the processes of an emulation, delete its devices, its folders and its state file.

    Those whose pids are in `spare` live on. The file stays where something of it could not be removed.
    """
    ours = {process for process in state.processes if process.alive and process.pid not in spare}
    # What forks while it is looked for is found by looking again.
    killed: set[Known] = set()
    for _ in range(5):
        ours |= {process for process in processes.marked(state.mark) if process.pid not in spare}
        if ours <= killed:
            break
        processes.kill(ours - killed)
        killed |= ours
    there = [device for device in state.devices if _exists(device)]
    for device in there:
        if _exists(device):  # its peer may have taken it along
            subprocess.run(["ip", "link", "delete", device], capture_output=True, check=False)
    stubborn = [process for process in killed if process.alive]
    left = [f"process {process.pid} ({process.what})" for process in stubborn]
    left += [f"device {device}" for device in there if _exists(device)]
    for folder in state.folders:
        shutil.rmtree(folder, ignore_errors=True)
    left += [f"folder {folder}" for folder in state.folders if Path(folder).exists()]
    if not left:
        state.forget()
    return Swept(state.mark, len(killed) - len(stubborn), len(there), tuple(left))


def leftovers() -> list[State]:
    """Emulations that are written down and whose driver is gone."""
    return [state for state in states() if not state.owner.alive]


def running() -> list[State]:
    """Emulations whose driver lives."""
    return [state for state in states() if state.owner.alive]


def _exists(device: str) -> bool:
    return Path("/sys/class/net", device).exists()
