"""What both drivers share: Mininet hosts, processes on them, the state file, the guard, and the way down."""

import subprocess
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simnet.emulation import hosts as mininet_hosts
from simnet.emulation import processes
from simnet.emulation.driver import Driver, DriverOptions, EmulatedHost, EmulationError
from simnet.emulation.guard import guarded
from simnet.emulation.processes import known
from simnet.emulation.state import State
from simnet.emulation.sweeping import sweep

if TYPE_CHECKING:
    from simnet.network import Topology


class MininetHostsDriver(Driver):
    """A driver whose hosts are Mininet's; what joins them is a subclass's matter."""

    def __init__(self, options: DriverOptions | None = None, seed: int = 0) -> None:
        super().__init__(options, seed)
        self._network: Any = None
        self._nodes: dict[str, Any] = {}
        self._state: State | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._started: list[subprocess.Popen[Any]] = []

    def begin(self) -> None:
        """See :meth:`Driver.begin`."""
        if self._state is None:
            self._state = State.new(self.name).write()
            self._state, self._guard = guarded(self._state)

    def up(self, topology: "Topology", hosts: Iterable[str] | None = None) -> Mapping[str, EmulatedHost]:
        """See :meth:`Driver.up`."""
        if self.hosts:
            raise EmulationError("this driver is up already: one driver is one network")
        names = tuple(dict.fromkeys(hosts if hosts is not None else _used(topology)))
        if unknown := [name for name in names if name not in topology.hosts]:
            raise EmulationError(f"not hosts of this topology: {', '.join(unknown)}")
        try:
            self.begin()
            self.hosts = self._build(topology, names)
        except BaseException:
            self.down()
            raise
        return self.hosts

    @abstractmethod
    def _build(self, topology: "Topology", names: tuple[str, ...]) -> Mapping[str, EmulatedHost]:
        """Make hosts and what joins them."""

    @property
    def state(self) -> State:
        """What there is of the emulation. Raises `EmulationError` before `begin` and after `down`."""
        if self._state is None:
            raise EmulationError("this driver is not up")
        return self._state

    def popen(
        self,
        host: str | None,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        stdin: Any = subprocess.DEVNULL,
        stdout: Any = None,
        stderr: Any = None,
        text: bool = False,
    ) -> "subprocess.Popen[Any]":
        """See :meth:`Driver.popen`."""
        command = list(argv) if host is None else mininet_hosts.entering(self.hosts[host].pid, list(argv))
        process = processes.start(
            command, self.state.mark, env, cwd=cwd, stdin=stdin, stdout=stdout, stderr=stderr, text=text
        )
        self._started.append(process)
        self._remember(process, f"{host or 'root namespace'}: {argv[0]}")
        return process

    def own_folder(self, folder: Path) -> None:
        """See :meth:`Driver.own_folder`."""
        self._state = self.state.grown(folders=(str(folder),))

    def crash(self, host: str, *, silent: bool = False) -> None:
        """See :meth:`Driver.crash`."""
        pid = self.hosts[host].pid
        if silent:
            self._connect(host, False)
        namespace = Path(f"/proc/{pid}/ns/net").stat().st_ino
        inside = [
            process
            for process in processes.marked(self.state.mark)
            if process.pid != pid and _namespace(process.pid) == namespace
        ]
        processes.kill(inside)

    def revive(self, host: str) -> None:
        """See :meth:`Driver.revive`."""
        self._connect(host, True)

    @abstractmethod
    def _connect(self, host: str, connected: bool) -> None:
        """Cut a host off from its links, or join it to them again."""

    def cli(self) -> None:
        """See :meth:`Driver.cli`."""
        mininet_hosts.command_line(self._network)

    def down(self) -> None:
        """See :meth:`Driver.down`. Raises `EmulationError` if something cannot be removed."""
        if self._state is None:
            return
        state, self._state = self._state, None
        guard, self._guard = self._guard, None
        self._before_down()
        swept = sweep(state, spare=(guard.pid,) if guard else ())
        for node in self._nodes.values():
            node.cleanup()
        for process in self._started:
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=1.0)
        if guard is not None and guard.stdin is not None:
            guard.stdin.close()
            guard.wait()
        self._nodes, self._started, self._network, self.hosts = {}, [], None, {}
        if swept.remaining:
            raise EmulationError(f"could not be removed: {', '.join(swept.remaining)} (see {state.path})")

    def _before_down(self) -> None:
        """What is to be done while everything is still there."""

    # -- for subclasses -------------------------------------------------------------------------------

    def _add_hosts(self, names: Iterable[str], **options: Any) -> None:
        """Make Mininet hosts of these names, without addresses, and write down what they are."""
        kind = mininet_hosts.host_class(self.state.mark)
        made = {name: self._network.addHost(name, cls=kind, ip=None, **options) for name in names}
        self._nodes.update(made)
        self._remember_shells(made.values())

    def _remember_shells(self, nodes: Iterable[Any]) -> None:
        self._state = self.state.grown(*(known(node.pid, f"shell of {node.name}") for node in nodes))

    def _remember(self, process: "subprocess.Popen[Any]", what: str) -> None:
        with suppress(ProcessLookupError):  # it has ended already
            self._state = self.state.grown(known(process.pid, what))


def _used(topology: "Topology") -> tuple[str, ...]:
    return topology.workers if topology.server is None else (*topology.workers, topology.server)


def _namespace(pid: int) -> int | None:
    try:
        return Path(f"/proc/{pid}/ns/net").stat().st_ino
    except OSError:
        return None
