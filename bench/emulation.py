"""How many torch hosts one machine carries: seconds until they are up, and memory per worker.

    sudo python bench/emulation.py [HOSTS ...]

Each size is one run of a few steps over the fabric. All is up once every worker is connected to all others
and has computed once; the network's share of that goes on beside the workers'. Processes are counted while
they train: private memory is what a worker takes for itself (`Private_Dirty` and `Private_Clean` of its
smaps), memory of all is what the machine has less than before, network and fabric among it.
"""

import json
import sys
import threading
import time
from pathlib import Path

from simnet.emulation.driver import open_driver
from simnet.emulation.emulate import emulate
from simnet.emulation.fidelity import FidelityMonitor
from simnet.emulation.nursery import Nursery
from simnet.plan import plans
from simnet.scenario import Scenario

MIB = 1 << 20


def scenario(hosts: int) -> Scenario:
    """Hosts of 20 Mbit/s that reduce a model of 200 kB ten times."""
    return Scenario.model_validate(
        {
            "name": "capacity",
            "threads": 1,
            "network": {
                "topology": {"kind": "star", "nodes": hosts},
                "link": {"bandwidth": "20 Mbps", "latency": "5 ms"},
                "model": "tcp",
            },
            "workers": {"device": "cpu"},
            "task": {
                "name": "classification",
                "dataset": "digits",
                "model": {"name": "mlp", "hidden": [64]},
                "batch_size": 16,
                "optimizer": {"name": "sgd", "lr": 0.1},
                "charge_as": {"parameters": "50k"},
            },
            "algorithms": ["allreduce"],
            "stop": {"steps": 10},
            "evaluate": {"every": "5 steps", "samples": 64},
        }
    )


def memory(pid: int) -> float:
    """Private bytes of a process; 0 once it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    sizes = {line.split(":")[0]: 1024.0 * float(line.split()[1]) for line in lines[1:]}
    return sizes["Private_Dirty"] + sizes["Private_Clean"]


def available() -> float:
    """Bytes that the kernel could give away."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return 1024.0 * next(float(line.split()[1]) for line in lines if line.startswith("MemAvailable"))


class Watch(threading.Thread):
    """Looks at the workers' memory four times a second, and keeps the most that each has had."""

    def __init__(self, zygote: int) -> None:
        super().__init__(daemon=True)
        self.zygote, self.over = zygote, threading.Event()
        self.most: dict[int, float] = {}
        self.least_available = available()

    def run(self) -> None:
        """Until `over` is set."""
        while not self.over.wait(0.25):
            self.least_available = min(self.least_available, available())
            children = Path(f"/proc/{self.zygote}/task/{self.zygote}/children").read_text().split()
            for pid in map(int, children):
                self.most[pid] = max(memory(pid), self.most.get(pid, 0.0))


def measure(hosts: int) -> dict[str, object]:
    """One row of the table."""
    (plan,) = plans(scenario(hosts))
    before = available()
    began = time.monotonic()
    with open_driver("fabric") as driver, Nursery(driver) as nursery:
        nursery.build(plan)
        driver.up(plan.world.topology)
        network_up = time.monotonic() - began
        monitor = FidelityMonitor(driver, plan.world.topology)
        monitor.begin()
        watch = Watch(nursery.zygote.pid)
        watch.start()
        course = emulate(plan, nursery, "paced").course
        watch.over.set()
        watch.join()
        fidelity = monitor.report()
    private = list(watch.most.values())
    return {
        "hosts": hosts,
        "network up, s": round(network_up, 2),
        "all up, s": round(course.started - began, 2),
        "run, s": round(course.seconds, 2),
        "private MiB per worker": round(sum(private) / len(private) / MIB),
        "MiB of all per worker": round((before - watch.least_available) / hosts / MIB),
        "wire, share of a core": round(fidelity.wire.cpu_share_max or 0.0, 2),
        "lateness p99, ms": round(1e3 * (fidelity.wire.lateness_p99 or 0.0), 2),
        "valid": fidelity.valid,
        "load": round(fidelity.load, 1),
    }


if __name__ == "__main__":
    for size in map(int, sys.argv[1:] or ["4", "16", "32"]):
        print(json.dumps(measure(size)), flush=True)
