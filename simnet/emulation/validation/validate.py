"""One validation of a scenario's network, from its calibration to its table."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

from simnet.emulation.driver import Driver, DriverName, DriverOptions, open_driver
from simnet.emulation.emulable import check_emulable
from simnet.emulation.emulate import emulate
from simnet.emulation.fidelity import Fidelity, FidelityMonitor
from simnet.emulation.nursery import Nursery
from simnet.emulation.validation.measuring import (
    gloo_seconds,
    measured,
    parts_of,
    predicted,
    simulate,
    with_model,
)
from simnet.emulation.validation.operations import LOOSE, MB, TIGHT, planned, promised, small_rings
from simnet.emulation.validation.probe import Operation
from simnet.network import build_topology
from simnet.network.transport import TCP, transport_of
from simnet.plan import plans
from simnet.results.validation import Comparison, Validation
from simnet.scenario import Scenario, ScenarioError, StopConfig
from simnet.scenario.transport import TransportConfig

SIZES = (1 * MB, 4 * MB, 16 * MB)
CALIBRATION_ROUNDS = 25
Say = Callable[[str], None]


def validate_network(
    scenario: Scenario,
    *,
    driver: DriverName = "fabric",
    options: DriverOptions | None = None,
    sizes: Sequence[float] = SIZES,
    repeats: int = 3,
    steps: int | None = None,
    gloo: bool = True,
    training: bool = True,
    say: Say = lambda _: None,
) -> Validation:
    """Hold the simulator against real processes on the scenario's own network.

    Args:
        scenario: One without a sweep. Its network carries operations of its workers and runs of its first two
            algorithms.
        driver: What carries packets.
        options: How the driver emulates.
        sizes: Bytes of transfers and of tensors that are reduced.
        repeats: How often everything is measured, each time with new processes and connections.
        steps: Training steps; those of the scenario's `stop` if not given.
        gloo: Whether `torch.distributed` reduces too.
        training: Whether algorithms run.
        say: Called with what is done next.

    Raises `ScenarioError` for what cannot be emulated, before anything has run;
    :class:`~simnet.emulation.driver.EmulationError` where this machine cannot, or a host fails.
    """
    load = os.getloadavg()[0]
    trained = _trained(scenario, steps) if training else []
    say("calibrating: small messages without latency")
    overhead, gloo_overhead = calibrate(len(build_topology(scenario).workers), options, gloo=gloo)
    model = model_of(scenario, overhead)
    scenario = with_model(scenario, model)
    topology = build_topology(scenario)
    what, notes = planned(topology, sizes)
    operations = [one.operation for one in what]
    expected = predicted(scenario, operations)
    found: list[Comparison] = []
    reports: list[Fidelity] = []
    with open_driver(driver, options, scenario.seed) as network:
        network.up(topology)
        with Nursery(network) as nursery:
            for repeat in range(repeats):
                say(f"operations, {repeat + 1} of {repeats}")
                real, report = measured(scenario, operations, network, nursery)
                reports.append(report)
                found += [
                    Comparison(
                        one.title,
                        one.size,
                        repeat,
                        expected[one.operation.name],
                        real[one.operation.name],
                        one.limit,
                    )
                    for one in what
                    if one.title
                ]
            if gloo:
                say("gloo")
                network.start()
                its_scenario = with_model(scenario, parts_of(transport_of(model), gloo_overhead))
                found += _gloo(its_scenario, network, topology.workers, sizes, repeats, nursery.folder)
    for one in trained:
        runs, its_reports = _training(with_model(one, model), driver, options, repeats, say)
        found += runs
        reports += its_reports
    invalid = dict.fromkeys(reason for report in reports for reason in report.reasons)
    return Validation(
        scenario.name,
        driver,
        len(topology.workers),
        model.model_dump(exclude_none=True),
        overhead,
        gloo_overhead,
        sorted(found, key=lambda one: one.repeat),
        load,
        tuple(invalid),
        notes,
    )


def calibrate(hosts: int, options: DriverOptions | None = None, *, gloo: bool = False) -> tuple[float, float]:
    """Seconds that hosts need for each message, with so many of them on this machine: ours, and gloo's.

    Measured with small messages around a ring of links without latency, where the network takes no time; a
    round of the ring is one message behind another. Without `gloo` its seconds are 0.
    """
    scenario = Scenario.model_validate(
        {
            "name": "calibration",
            "network": {
                "topology": {"kind": "star", "nodes": hosts},
                "link": {"bandwidth": "10 Gbps", "latency": "0 s"},
                "model": "ideal",
            },
            "workers": {"count": hosts},
            "task": {"name": "synthetic", "parameters": 1, "step_seconds": "1 ms"},
            "algorithms": ["allreduce"],
            "stop": {"steps": 1},
        }
    )
    once = small_rings(hosts, CALIBRATION_ROUNDS)
    again = once.model_copy(update={"name": "small messages again"})
    its_seconds = 0.0
    with open_driver("fabric", options) as driver:
        topology = build_topology(scenario)
        driver.up(topology)
        with Nursery(driver) as nursery:
            real, _ = measured(scenario, [once, again], driver, nursery)
            if gloo:
                size = 4.0 * 2 * hosts
                ring = Operation(name="ring", kind="gloo", bytes=size)
                slow = with_model(scenario, TransportConfig().model_copy(update={"host_overhead": 1.0}))
                messages = predicted(slow, [ring])[ring.name]  # how many are one behind another
                log = nursery.folder / "gloo"
                seconds = gloo_seconds(driver, topology.workers, [size], CALIBRATION_ROUNDS, log)
                its_seconds = median(seconds[size]) / messages
    return real[again.name] / (CALIBRATION_ROUNDS * 2 * (hosts - 1)), its_seconds


def model_of(scenario: Scenario, host_overhead: float) -> TransportConfig:
    """The scenario's transport with a measured overhead; `tcp` where it names none.

    A network that has an overhead of its own keeps that.
    """
    network = scenario.network
    transport = transport_of(network.model) if "model" in network.model_fields_set else TCP
    if transport.serialised:
        raise ScenarioError.at(
            ("network", "model"), "real receivers read all connections at once", given="receiver-serialised"
        )
    return parts_of(transport, transport.host_overhead or host_overhead)


def _trained(scenario: Scenario, steps: int | None) -> list[Scenario]:
    """Scenarios of the first two algorithms alone, with so many steps; raises for what cannot be emulated."""
    stop = scenario.stop if steps is None else StopConfig(steps=steps)
    alone = [
        scenario.model_copy(update={"algorithms": (entry,), "stop": stop, "sweep": {}, "expect": ()})
        for entry in scenario.algorithms[:2]
    ]
    for one in alone:
        for plan in plans(one):
            check_emulable(plan, "paced")
    return alone


def _gloo(
    scenario: Scenario,
    driver: Driver,
    workers: Sequence[str],
    sizes: Sequence[float],
    repeats: int,
    folder: Path,
) -> list[Comparison]:
    operations = {size: Operation(name=f"gloo {size:g}", kind="gloo", bytes=size) for size in sizes}
    warm = Operation(name="warm gloo", kind="gloo", bytes=max(sizes))
    expected = predicted(scenario, [warm, *operations.values()])
    real = gloo_seconds(driver, workers, sizes, repeats, folder / "gloo")
    return [
        Comparison(
            "gloo all-reduce",
            f"{size / MB:g} MB",
            repeat,
            expected[operations[size].name],
            one,
            promised(TIGHT, size),
        )
        for size in sizes
        for repeat, one in enumerate(real[size])
    ]


def _training(
    scenario: Scenario, driver: DriverName, options: DriverOptions | None, repeats: int, say: Say
) -> tuple[list[Comparison], list[Fidelity]]:
    (plan,) = plans(scenario)
    expected, _ = simulate(plan)
    size = "" if scenario.stop.steps is None else f"{scenario.stop.steps} steps"
    found, reports = [], []
    with open_driver(driver, options, scenario.seed) as network:
        network.up(plan.world.topology)
        with Nursery(network) as nursery:
            for repeat in range(repeats):
                say(f"{plan.label}, {repeat + 1} of {repeats}")
                monitor = FidelityMonitor(network, plan.world.topology)
                monitor.begin()
                real = emulate(plan, nursery, "paced").outcome.virtual_seconds
                reports.append(monitor.report())
                found.append(Comparison(plan.label, size, repeat, expected, real, LOOSE))
    return found, reports
