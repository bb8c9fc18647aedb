"""Operations and training runs, simulated and for real; gloo for real."""

import json
import subprocess
import sys
from collections.abc import Sequence
from math import inf
from pathlib import Path

from simnet.emulation.driver import Driver, EmulationError
from simnet.emulation.emulate import emulate
from simnet.emulation.fidelity import Fidelity, FidelityMonitor
from simnet.emulation.nursery import Nursery
from simnet.emulation.processes import module_environment
from simnet.emulation.validation.probe import Operation
from simnet.network import build_topology
from simnet.network.transport import Transport
from simnet.plan import Plan, make_engine, plans
from simnet.results import Recorder
from simnet.runtime.simulated import SimulatedRun
from simnet.scenario import (
    AlgorithmEntry,
    EvaluateConfig,
    FaultsConfig,
    Scenario,
    StopConfig,
    TaskConfig,
)
from simnet.scenario.transport import TransportConfig

PROBE = "simnet.emulation.validation.probe:Probe"
GLOO_PORT = 29500
GLOO_SECONDS = 120.0
"""All that gloo may take beside its all-reduces."""


def parts_of(transport: Transport, host_overhead: float) -> TransportConfig:
    """A transport as a scenario writes it, with so many seconds per message."""
    return TransportConfig().model_copy(
        update={
            "window": None if transport.window == inf else transport.window,
            "streams": transport.streams,
            "loss": transport.loss or "none",
            "slow_start": transport.slow_start,
            "rtt_exponent": transport.rtt_exponent,
            "ack_load": transport.ack_load,
            "mss": transport.mss,
            "efficiency": transport.efficiency,
            "host_overhead": host_overhead,
            "latency": "first" if transport.latency_first else "last",
        }
    )


def with_model(scenario: Scenario, model: TransportConfig) -> Scenario:
    """The scenario with another transport."""
    network = scenario.network.model_copy(update={"model": model})
    return scenario.model_copy(update={"network": network})


def probing(scenario: Scenario, operations: Sequence[Operation]) -> Plan:
    """A run of nothing but these operations on the scenario's network."""
    topology = build_topology(scenario)
    routes = (topology.route(a, b).latency for a in topology.workers for b in topology.workers)
    options = {"operations": [one.model_dump() for one in operations], "rest": 0.1 + 2 * max(routes)}
    alone = scenario.model_copy(
        update={
            "network": scenario.network.model_copy(update={"all_reduce": "ring", "collectives": "stepwise"}),
            "task": TaskConfig.model_validate({"name": "synthetic", "parameters": 1, "step_seconds": "1 ms"}),
            "algorithms": (AlgorithmEntry.model_validate({"name": PROBE, "label": "probe", **options}),),
            "faults": FaultsConfig(),
            "pipeline": None,
            "stop": StopConfig(steps=1),
            "evaluate": EvaluateConfig.model_validate({"every": "1 steps"}),
            "sweep": {},
            "expect": (),
        }
    )
    (plan,) = plans(alone)
    return plan


def spans_of(recorder: Recorder, operations: Sequence[Operation]) -> dict[str, float]:
    """Seconds of each operation by its name: from the first begin to the last end."""
    table = recorder.tables()["metrics"].to_pandas()
    values = table.groupby("name")["value"]
    begins, ends = values.min(), values.max()
    return {one.name: float(ends[f"{one.name} end"] - begins[f"{one.name} begin"]) for one in operations}


def simulate(plan: Plan) -> tuple[float, Recorder]:
    """Virtual seconds of a run, and what it recorded."""
    recorder = Recorder()
    outcome = SimulatedRun(plan.world, plan.method, make_engine(plan), recorder).run()
    return outcome.virtual_seconds, recorder


def predicted(scenario: Scenario, operations: Sequence[Operation]) -> dict[str, float]:
    """Simulated seconds of each operation."""
    return spans_of(simulate(probing(scenario, operations))[1], operations)


def measured(
    scenario: Scenario, operations: Sequence[Operation], driver: Driver, nursery: Nursery
) -> tuple[dict[str, float], Fidelity]:
    """Real seconds of each operation, over the network that the driver has up."""
    plan = probing(scenario, operations)
    monitor = FidelityMonitor(driver, plan.world.topology)
    monitor.begin()
    recorder = emulate(plan, nursery, "paced").recorder
    return spans_of(recorder, operations), monitor.report()


def gloo_seconds(
    driver: Driver, hosts: Sequence[str], sizes: Sequence[float], times: int, log: Path
) -> dict[float, list[float]]:
    """Real seconds of gloo's all-reduces by size, each `times` times on warm connections.

    Raises `EmulationError` where gloo fails, with what it said.
    """
    told = {
        "hosts": [(driver.hosts[h].address, driver.hosts[h].interface, driver.hosts[h].pid) for h in hosts],
        "port": GLOO_PORT,
        "sizes": [int(size) for size in sizes],
        "times": times,
    }
    argv = [sys.executable, "-m", "simnet.emulation.validation.gloo_client"]
    environment = {**module_environment(), "OMP_NUM_THREADS": "1"}
    with log.open("wb") as said:
        process = driver.popen(
            None, argv, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True
        )
        try:
            out, _ = process.communicate(json.dumps(told) + "\n", timeout=GLOO_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            out = ""
    lines = [json.loads(line) for line in out.splitlines()]
    if process.returncode or len(lines) != len(hosts):
        raise EmulationError(f"gloo failed:\n{log.read_text(errors='replace')[-2000:]}")
    seconds: dict[float, list[float]] = {}
    for marks in zip(*lines, strict=True):
        begin, end = min(mark[1] for mark in marks), max(mark[2] for mark in marks)
        seconds.setdefault(float(marks[0][0]), []).append(end - begin)
    return seconds
