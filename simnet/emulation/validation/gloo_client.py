"""All-reduces by `torch.distributed` with gloo on the hosts of an emulation: a client that is not ours.

`python -m simnet.emulation.validation.gloo_client` reads one JSON line: hosts (address, interface, a pid in
the namespace), a port, sizes in bytes, and how often. It forks a process into each host, and each prints one
line: for every size and repetition the instants at which it began and ended.
"""

import json
import os
import sys
import time
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from simnet.emulation.namespaces import enter_namespace
from simnet.emulation.processes import before_others, die_with_parent

TIMEOUT_SECONDS = 30.0
START_SECONDS = 0.2
"""From the word of the first to the common start."""


def main() -> int:
    """Fork, and wait for all."""
    torch.set_num_threads(1)
    told = json.loads(sys.stdin.readline())
    parent, children = os.getpid(), []
    for rank in range(len(told["hosts"])):
        child = os.fork()
        if child == 0:
            die_with_parent(parent)
            os._exit(_born(told, rank))
        children.append(child)
    return max(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0 for child in children)


def _born(told: dict[str, Any], rank: int) -> int:
    _, interface, pid = told["hosts"][rank]
    enter_namespace(pid)
    os.environ["GLOO_SOCKET_IFNAME"] = interface
    try:
        marks = _measure(told, rank)
    except Exception as error:
        print(f"gloo on rank {rank}: {error}", file=sys.stderr, flush=True)
        return 1
    os.write(1, json.dumps(marks).encode() + b"\n")
    return 0


def _measure(told: dict[str, Any], rank: int) -> list[tuple[int, float, float]]:
    """(size, begin, end) of each all-reduce, on the clock of `time.monotonic()`; a warm-up of each comes
    first."""
    size = len(told["hosts"])
    store = dist.TCPStore(
        told["hosts"][0][0], told["port"], size, rank == 0, timedelta(seconds=TIMEOUT_SECONDS)
    )
    dist.init_process_group(
        "gloo", store=store, rank=rank, world_size=size, timeout=timedelta(seconds=TIMEOUT_SECONDS)
    )
    dist.all_reduce(torch.zeros(max(told["sizes"]) // 4))
    marks = []
    for size_bytes in told["sizes"]:
        tensor = torch.zeros(size_bytes // 4)
        for _ in range(told["times"]):
            dist.barrier()
            start = torch.tensor([time.monotonic() + START_SECONDS], dtype=torch.float64)
            dist.broadcast(start, 0)
            time.sleep(max(0.0, float(start) - time.monotonic()))
            begin = time.monotonic()
            dist.all_reduce(tensor)
            marks.append((size_bytes, begin, time.monotonic()))
    dist.barrier()
    dist.destroy_process_group()
    return marks


if __name__ == "__main__":
    die_with_parent()
    before_others()
    sys.exit(main())
