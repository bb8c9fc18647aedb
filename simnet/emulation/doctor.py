"""What this machine can do for emulation and speed: probes that leave nothing behind, and a table of them.

Whatever a probe has to make to find out it makes in a network namespace of its own, which is gone with it.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from simnet.emulation.driver import DriverName

if TYPE_CHECKING:
    from rich.table import Table

Found = tuple[bool, str]
"""Whether it is there, and which or why not."""


@dataclass(frozen=True, slots=True)
class Probe:
    """Something that a machine may be able to do."""

    name: str
    enables: str
    remedy: str
    """How to get it on Debian or Ubuntu."""
    look: Callable[[], Found]


@dataclass(frozen=True, slots=True)
class Capability:
    """What a probe found."""

    name: str
    available: bool
    detail: str
    enables: str
    remedy: str


def _run(*command: str) -> Found:
    if shutil.which(command[0]) is None:
        return False, f"there is no {command[0]}"
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return False, str(error)
    said = (done.stderr or done.stdout).strip().splitlines()
    return done.returncode == 0, "" if done.returncode == 0 else (said[0] if said else "refused")


def _root() -> Found:
    return (True, "") if os.geteuid() == 0 else (False, f"user {os.geteuid()}")


def _in_namespace(*command: str) -> Found:
    return _run("unshare", "-n", *command)


def _qdisc(kind: str, *arguments: str) -> Callable[[], Found]:
    if shutil.which("tc") is None:
        return lambda: (False, "there is no tc")
    return lambda: _in_namespace("tc", "qdisc", "add", "dev", "lo", "root", kind, *arguments)


def _tun() -> Found:
    if not Path("/dev/net/tun").exists():
        return False, "there is no /dev/net/tun"
    code = (
        "from ipaddress import IPv4Interface as I; from simnet.emulation.namespaces import open_tun;"
        "open_tun('sim0', I('198.18.40.1/24'), 1500, True)"
    )
    from simnet.emulation.processes import module_environment

    done = subprocess.run(
        ["unshare", "-n", sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=module_environment(),
        check=False,
    )
    if done.returncode == 0:
        return True, "/dev/net/tun"
    return False, (done.stderr.strip().splitlines() or ["refused"])[-1]


def _fifo() -> Found:
    """Ask for it in a child that ends at once."""
    code = "import os; os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))"
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return False, (done.stderr.strip().splitlines() or ["refused"])[-1]
    limit = Path("/proc/sys/kernel/sched_rt_runtime_us")
    return True, f"at most {limit.read_text().strip()} us of each second" if limit.exists() else ""


def _cgroup(version_: int) -> Callable[[], Found]:
    def look() -> Found:
        kind = "cgroup2" if version_ == 2 else "cgroup"
        for line in Path("/proc/mounts").read_text().splitlines():
            _, folder, mounted, options, *_ = line.split()
            if mounted != kind:
                continue
            if version_ == 2:
                controllers = Path(folder, "cgroup.controllers").read_text().split()
                if "cpu" not in controllers:
                    return False, f"{folder} has no cpu controller"
            elif "cpu" not in options.split(","):
                continue
            return os.access(folder, os.W_OK), folder
        return False, "not mounted"

    return look


def _program(*names: str) -> Callable[[], Found]:
    def look() -> Found:
        absent = [name for name in names if shutil.which(name) is None]
        return (False, f"there is no {' and no '.join(absent)}") if absent else (True, ", ".join(names))

    return look


def _mininet() -> Found:
    found, detail = _package("mininet")()
    if found and find_spec("distutils") is None:
        return False, f"{detail} needs distutils, which this Python lacks: pip install setuptools"
    return found, detail


def _package(name: str) -> Callable[[], Found]:
    def look() -> Found:
        if find_spec(name) is None:
            return False, "not installed"
        try:
            return True, version(name)
        except PackageNotFoundError:
            return True, "installed"

    return look


def _cuda() -> Found:
    if find_spec("torch") is None:
        return False, "torch is not installed"
    import torch

    if torch.cuda.is_available():
        return True, torch.cuda.get_device_name(0)
    return False, "torch sees no device"


def _openvswitch() -> Found:
    found = _program("ovs-vsctl")()
    return _run("ovs-vsctl", "--timeout=2", "show") if found[0] else found


def _kernel() -> str:
    return f"linux-modules-extra-{os.uname().release}"


PROBES = (
    Probe("root", "all of emulation", "sudo -E env PATH=$PATH simnet ...", _root),
    Probe("namespaces", "hosts", "a kernel with CONFIG_NET_NS; root", lambda: _in_namespace("true")),
    Probe("TUN", "the fabric driver", "modprobe tun; in a container --device /dev/net/tun", _tun),
    Probe("mininet", "both drivers", "pip install 'simnet[emulation]'", _mininet),
    Probe("mnexec", "both drivers", "apt install mininet", _program("mnexec")),
    Probe("ifconfig", "both drivers (Mininet asks for it)", "apt install net-tools", _program("ifconfig")),
    Probe("iproute2", "the mininet driver, tidying up", "apt install iproute2", _program("ip", "tc")),
    Probe(
        "veth, bridge",
        "the mininet driver",
        "modprobe veth bridge",
        lambda: _in_namespace(
            "sh", "-c", "ip link add sim0 type veth peer name sim1 && ip link add sim2 type bridge"
        ),
    ),
    Probe("htb", "bandwidths with the mininet driver", "modprobe sch_htb", _qdisc("htb")),
    Probe(
        "netem",
        "delay, jitter and loss with the mininet driver",
        f"apt install {_kernel()} (Ubuntu); modprobe sch_netem",
        _qdisc("netem", "delay", "1ms"),
    ),
    Probe(
        "Open vSwitch",
        "nothing that simnet needs; Mininet's own switch",
        "apt install openvswitch-switch",
        _openvswitch,
    ),
    Probe("SCHED_FIFO", "timings that hold under load", "root, or CAP_SYS_NICE", _fifo),
    Probe(
        "cgroups v1",
        "CPU quotas by hand; simnet paces stragglers",
        "systemd.unified_cgroup_hierarchy=0",
        _cgroup(1),
    ),
    Probe(
        "cgroups v2",
        "CPU quotas by hand; simnet paces stragglers",
        "mount -t cgroup2; cpu in cgroup.controllers",
        _cgroup(2),
    ),
    Probe("CUDA", "training on a GPU", "an NVIDIA driver, and torch for CUDA", _cuda),
    Probe("numba", "the compiled network model", "pip install numba", _package("numba")),
    Probe("ray", "batches over many machines", "pip install 'simnet[ray]'", _package("ray")),
)
"""All of them, in the order of the table."""
_BOTH = ("root", "namespaces", "mininet", "mnexec", "ifconfig")
NEEDED: dict[DriverName, tuple[str, ...]] = {
    "fabric": (*_BOTH, "TUN"),
    "mininet": (*_BOTH, "iproute2", "veth, bridge", "htb"),
}
"""What each driver cannot do without."""


def capabilities(names: Iterable[str] | None = None) -> list[Capability]:
    """What this machine can do; all of it, or what is named."""
    wanted = None if names is None else set(names)
    found = []
    for probe in PROBES:
        if wanted is None or probe.name in wanted:
            available, detail = probe.look()
            found.append(Capability(probe.name, available, detail, probe.enables, probe.remedy))
    return found


def missing_for(driver: DriverName) -> list[Capability]:
    """What a driver needs and this machine lacks; empty where it can run."""
    return [capability for capability in capabilities(NEEDED[driver]) if not capability.available]


def table(found: Iterable[Capability]) -> "Table":
    """What was found, for people."""
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("", "what", "found", "enables", "how to get it"):
        drawn.add_column(column, overflow="fold", no_wrap=column == "what")
    for capability in found:
        mark = Text("yes", style="green") if capability.available else Text("no", style="red")
        remedy = "" if capability.available else capability.remedy
        cells = (capability.name, capability.detail, capability.enables, remedy)
        drawn.add_row(mark, *map(Text, cells))
    return drawn


def as_text(found: Iterable[Capability], width: int = 110) -> str:
    """The same table as plain text."""
    from io import StringIO

    from rich.console import Console

    written = StringIO()
    Console(file=written, width=width).print(table(found))
    return "\n".join(line.rstrip() for line in written.getvalue().splitlines())
