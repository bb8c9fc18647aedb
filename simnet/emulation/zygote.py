"""Where the hosts' processes come from: one process that has imported torch and built the run, and forks.

`python -m simnet.emulation.zygote` reads one JSON line that says what to run, forks a process for every host
into its namespace, and waits for them. Forks share what is there already: 32 of them take little more memory
than one. The end of standard input ends it, and with it its children.
"""

import json
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from simnet.emulation.host_process import HostTask, main
from simnet.emulation.namespaces import enter_namespace
from simnet.emulation.node import Pace
from simnet.emulation.processes import die_with_parent
from simnet.plan import Plan, make_engine, plans
from simnet.scenario import load_text


@dataclass(frozen=True, slots=True)
class Birth:
    """What a zygote is told: one run, and its hosts."""

    scenario: str
    """A resolved scenario of one algorithm, as YAML."""
    folder: str | None
    """Where its plug-ins and data files are looked for."""
    control: str
    """The driver's Unix socket."""
    results: str
    """Folder under which each host gets one."""
    pace: Pace
    hosts: dict[str, tuple[str, int | None]]
    """Address of each host, and a process in its namespace; None: this one's own."""

    def to_json(self) -> str:
        """One line."""
        return json.dumps({name: getattr(self, name) for name in self.__slots__})

    @classmethod
    def from_json(cls, line: str) -> "Birth":
        """The inverse of :meth:`to_json`."""
        told: dict[str, Any] = json.loads(line)
        told["hosts"] = {host: (ip, pid) for host, (ip, pid) in told["hosts"].items()}
        return cls(**told)


def born_from(plan: Plan, folder: Path) -> tuple[str, str | None]:
    """A plan's scenario as text, and the folder of its plug-ins; files that it reads are copied to `folder`."""
    from simnet.scenario import dump

    for place, content in plan.files.by_place.items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_bytes(content)
    places = {path: str(folder / place) for path, place in plan.files.places.items()}
    found = plan.scenario.folder
    return dump(plan.scenario, places), None if found is None else str(found)


def run(birth: Birth) -> int:
    """Fork every host's process and wait for all; gives 0 if each ended well."""
    torch.set_num_threads(1)
    folder = None if birth.folder is None else Path(birth.folder)
    scenario = load_text(birth.scenario, folder=folder).scenarios[0].scenario
    (plan,) = plans(scenario)
    parent, children = os.getpid(), set()
    for host, (ip, pid) in birth.hosts.items():
        child = os.fork()
        if child == 0:
            os._exit(_born(plan, birth, host, ip, pid, parent))
        children.add(child)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    failed = 0
    for _ in children:
        _, status = os.wait()
        failed += os.waitstatus_to_exitcode(status) != 0
    return min(1, failed)


def _born(plan: Plan, birth: Birth, host: str, ip: str, pid: int | None, parent: int) -> int:
    """What a forked process does."""
    die_with_parent(parent)
    if pid is not None:
        enter_namespace(pid)
    try:
        engine = make_engine(plan)
    except Exception as error:
        print(f"{host}: {error}", file=sys.stderr)
        return 1
    folder = Path(birth.results, host.replace("/", "_"))
    status = main(HostTask(plan.world, plan.method, engine, host, ip, birth.pace, birth.control, folder))
    sys.stdout.flush()
    sys.stderr.flush()
    return status


if __name__ == "__main__":
    die_with_parent()
    sys.exit(run(Birth.from_json(sys.stdin.readline())))
