"""Hold simnet's finish times against SimGrid's, live, on a file of flow cases.

    python bench/simgrid_check.py CASES.json [--simgrid PYTHON] [--tolerance 1e-9]

SimGrid runs in the Python that has it (`pip install simgrid`, or Debian's python3-simgrid), on what `simnet
transfers CASES.json --export-simgrid` writes. Two models are compared. `maxmin_latency_first`: SimGrid's
links get no latency, and each flow sleeps for its route's before it begins. `cm02_rtt_weighted`: SimGrid's
CM02 without corrections, in which a flow's share goes with the inverse of its latency.

Left out is what SimGrid models otherwise: cases whose bandwidths change (it keeps the cap of the moment at
which a flow began), and by the second model cases in which flows of different latencies cross a fatpipe (it
stops all of them once the one with the largest share has the whole bandwidth). Exit code 1 if a time differs.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from simnet.network.cases import MODELS, FlowCase, read_cases, run_case
from simnet.network.simgrid import platform_of_case, write_platform

REPLAY = """
import json, sys
import simgrid
from simgrid import Actor, Comm, Engine, Host, Semaphore, this_actor
old = int(simgrid.simgrid_version.split(".")[0]) < 4
time, work = ("surf/precision", "maxmin/precision") if old else ("precision/timing", "precision/work-amount")
folder, sleeps = sys.argv[1], json.loads(sys.argv[2])
engine = Engine(["check", "--log=root.thresh:critical",
                 "--cfg=network/model:CM02", "--cfg=network/crosstraffic:0", "--cfg=network/TCP-gamma:1e30",
                 "--cfg=network/weight-S:0", "--cfg=network/loopback-lat:0", f"--cfg={time}:1e-12",
                 f"--cfg={work}:" + sys.argv[3]])
engine.load_platform(folder + "/platform.xml")
rows = [line.rstrip("\\n").split("\\t") for line in open(folder + "/flows.txt")]
done = {row[0]: Semaphore(0) for row in rows}
dependents = {row[0]: 0 for row in rows}
for row in rows:
    for other in row[5].split(",") if row[5] != "-" else ():
        dependents[other] += 1
finish = {}
def carry(name, source, target, size, start, after):
    for other in after:
        done[other].acquire()
    if start + sleeps[name] > 0:
        this_actor.sleep_for(start + sleeps[name])
    Comm.sendto_async(Host.by_name(source), Host.by_name(target), size).wait()
    finish[name] = Engine.clock if isinstance(Engine.clock, float) else Engine.get_clock()
    for _ in range(dependents[name]):
        done[name].release()
for name, source, target, size, start, after in rows:
    after = after.split(",") if after != "-" else []
    host = Host.by_name(source)
    Actor.create(name, host, carry, name, source, target, int(float(size)), float(start), after)
engine.run()
print(json.dumps([finish[row[0]] for row in rows]))
"""
"""SimGrid has one engine per process."""


def simgrid_times(python: str, case: FlowCase, *, sleep: bool) -> list[float]:
    """When SimGrid says that each flow of a case finishes; with `sleep` no link has latency, and flows
    wait."""
    platform = platform_of_case(case)
    if sleep:
        links = {name: replace(link, latency=0.0) for name, link in platform.links.items()}
        platform = replace(platform, links=links)
    sleeps = {flow.id: case.latency(flow) if sleep else 0.0 for flow in case.flows}
    with tempfile.TemporaryDirectory() as folder:
        write_platform(platform, Path(folder))
        command = [python, "-c", REPLAY, folder, json.dumps(sleeps), "1e-9"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{case.id}: SimGrid failed:\n{done.stderr}")
    times: list[float] = json.loads(done.stdout.splitlines()[-1])
    return times


def has_uneven_fatpipe(case: FlowCase) -> bool:
    """Whether flows of different latencies cross a fatpipe."""
    latencies: dict[str, set[float]] = {}
    for flow in case.flows:
        for way in case.way(flow):
            latencies.setdefault(way, set()).add(case.latency(flow))
    return any(case.resources[way].policy == "fatpipe" and len(found) > 1 for way, found in latencies.items())


def main() -> int:
    """Compare, and say the largest relative difference of each case."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("cases", type=Path)
    parser.add_argument("--simgrid", default=sys.executable, help="the Python that has SimGrid")
    parser.add_argument("--tolerance", type=float, default=1e-9)
    options = parser.parse_args()
    worst = 0.0
    for case in read_cases(options.cases):
        if case.bandwidth_events:
            print(f"{case.id:28} left out: its bandwidths change")
            continue
        shown = []
        for model, sleep in (("maxmin_latency_first", True), ("cm02_rtt_weighted", False)):
            if not sleep and has_uneven_fatpipe(case):
                shown.append(f"{model} left out: an uneven fatpipe")
                continue
            ours = run_case(case, MODELS[model])["finish"]
            theirs = simgrid_times(options.simgrid, case, sleep=sleep)
            difference = max(abs(a - b) / b for a, b in zip(ours, theirs, strict=True))
            worst = max(worst, difference)
            shown.append(f"{model} {difference:.1e}")
        print(f"{case.id:28} {len(case.flows):4} flows  {'  '.join(shown)}", flush=True)
    print(f"largest relative difference: {worst:.1e} (at most {options.tolerance:g})")
    return int(worst > options.tolerance)


if __name__ == "__main__":
    sys.exit(main())
