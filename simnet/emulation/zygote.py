"""Where the hosts' processes come from: one process that has imported torch, builds runs, and forks.

It reads JSON lines on its standard input. A run to build (:class:`Build`) can be told before its network is
up: it is built and computed with once. A :class:`Birth` has it fork a process for every host into its
namespace; `{"again": host}` has it fork one of them once more, `{"end": true}` kill all of them. When the
last of them has ended it writes their worst status on its standard output. Forks share what is there already:
32 of them take little more memory than one. The end of standard input ends it, and its children with it.
"""

import gc
import json
import os
import selectors
import signal
import socket
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import torch
import torch.fx.experimental.symbolic_shapes  # which the first computation would import, in every host

from simnet.compute import Engine, TimingEngine
from simnet.emulation.host_process import HostTask, main
from simnet.emulation.host_run import Past, warm_up
from simnet.emulation.namespaces import enter_namespace
from simnet.emulation.node import Pace
from simnet.emulation.processes import before_others, die_with_parent
from simnet.plan import Plan, make_engine, plans
from simnet.scenario import dump, load_text

COMMAND = "import gc; gc.disable(); from simnet.emulation.zygote import serve; serve()"
"""What Python is to run. Imports make next to no garbage, and looking for it is a sixth of their time."""


@dataclass(frozen=True, slots=True)
class Build:
    """What a zygote is to build: one run."""

    scenario: str
    """A resolved scenario of one algorithm, as YAML."""
    plugins: str | None
    """Folder where its plug-ins and data files are looked for."""

    @classmethod
    def of(cls, plan: Plan, folder: Path) -> Self:
        """A plan's run; files that it reads go to `folder`."""
        for place, content in plan.files.by_place.items():
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            (folder / place).write_bytes(content)
        places = {path: str(folder / place) for path, place in plan.files.places.items()}
        found = plan.scenario.folder
        return cls(dump(plan.scenario, places), None if found is None else str(found))

    def to_json(self) -> str:
        """One line."""
        return json.dumps({"build": asdict(self)})

    def built(self) -> Plan:
        """The plan again."""
        folder = None if self.plugins is None else Path(self.plugins)
        (plan,) = plans(load_text(self.scenario, folder=folder).scenarios[0].scenario)
        return plan


@dataclass(frozen=True, slots=True)
class Birth:
    """The hosts of the run that was built last."""

    control: str
    """The driver's Unix socket."""
    results: str
    """Folder under which each host gets one."""
    pace: Pace
    hosts: dict[str, tuple[str, int | None]]
    """Address of each host, and a process in its namespace; None: this one's own."""

    def to_json(self) -> str:
        """One line."""
        return json.dumps({"birth": asdict(self)})

    @classmethod
    def told(cls, told: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_json`, once it was read."""
        hosts = {host: (ip, pid) for host, (ip, pid) in told["hosts"].items()}
        return cls(**{**told, "hosts": hosts})


class Zygote:
    """The process's state: the run it has built, and the hosts that it has forked for it."""

    def __init__(self) -> None:
        self._birth: Birth | None = None
        self._plan: Plan | None = None
        self._engine: Engine | TimingEngine | None = None
        self._children: dict[int, str] = {}  # the host of each
        self._status = 0

    def told(self, line: str) -> None:
        """Do what a line says."""
        told = json.loads(line)
        if "end" in told:
            for pid in self._children:
                os.kill(pid, signal.SIGKILL)
        elif "again" in told:
            self._fork(told["again"], {name: Past(*past) for name, past in told["past"].items()})
        elif "build" in told:
            self._build(Build(**told["build"]))
        else:
            self._birth, self._status = Birth.told(told["birth"]), 0
            if self._plan is None:  # why was said
                _say(1)
                return
            for host in self._birth.hosts:
                self._fork(host, {})

    def reap(self) -> None:
        """Take leave of the processes that have ended; of the last one, tell the driver."""
        while self._children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            host, code = self._children.pop(pid), os.waitstatus_to_exitcode(status)
            if code < 0:
                print(f"{host}: its process was killed by {signal.Signals(-code).name}", file=sys.stderr)
            self._status = max(self._status, int(code > 0))  # killed is below 0
            if not self._children:
                _say(self._status)

    def _build(self, build: Build) -> None:
        """Do once what every host would do, its first computation too.

        Not where torch knows a GPU: a backward pass would start threads for it, which no fork survives.
        """
        self._plan = self._engine = None
        try:
            plan = build.built()
            if not torch.backends.cuda.is_built():
                self._engine = make_engine(plan)
                if "worker" in plan.method.roles():
                    warm_up(self._engine, 0)
        except Exception as error:
            print(error, file=sys.stderr, flush=True)
            return
        self._plan = plan
        gc.freeze()  # it is never garbage; looking at it would copy its pages in every process

    def _fork(self, host: str, past: Mapping[str, Past]) -> None:
        assert self._birth is not None, "nothing is to be forked before hosts are told"
        assert self._plan is not None, "it was built when it was told"
        parent = os.getpid()
        child = os.fork()
        if child == 0:
            os.close(0)
            os.dup2(2, 1)
            os._exit(_born(self._plan, self._engine, self._birth, host, past, parent))
        self._children[child] = host


def _say(status: int) -> None:
    print(json.dumps({"status": status}), flush=True)


def serve() -> None:
    """Do as the lines on standard input say, until they end."""
    die_with_parent()
    before_others()
    torch.set_num_threads(1)
    zygote, waker = Zygote(), socket.socketpair()
    for end in waker:
        end.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waker[1].fileno())
    lines = ""
    with selectors.DefaultSelector() as selector:
        selector.register(0, selectors.EVENT_READ)
        selector.register(waker[0], selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fd != 0:
                    waker[0].recv(4096)
                    zygote.reap()
                    continue
                read = os.read(0, 1 << 16)
                if not read:
                    return
                *whole, lines = (lines + read.decode()).split("\n")
                for line in whole:
                    zygote.told(line)


def _born(
    plan: Plan,
    engine: Engine | TimingEngine | None,
    birth: Birth,
    host: str,
    past: Mapping[str, Past],
    parent: int,
) -> int:
    """What a forked process does."""
    signal.set_wakeup_fd(-1)
    die_with_parent(parent)
    gc.enable()
    ip, pid = birth.hosts[host]
    if pid is not None:
        enter_namespace(pid)
    try:
        engine = engine or make_engine(plan)
    except Exception as error:
        print(f"{host}: {error}", file=sys.stderr)
        return 1
    folder = Path(birth.results, host.replace("/", "_"))
    status = main(
        HostTask(plan.world, plan.method, engine, host, ip, birth.pace, birth.control, folder, past)
    )
    sys.stdout.flush()
    sys.stderr.flush()
    return status
