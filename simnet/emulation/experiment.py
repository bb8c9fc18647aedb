"""From a scenario to the results of emulated runs."""

import hashlib
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

from simnet.emulation.driver import Driver, DriverName, DriverOptions, open_driver
from simnet.emulation.emulable import check_emulable
from simnet.emulation.emulate import emulate
from simnet.emulation.fidelity import FidelityMonitor
from simnet.emulation.node import Pace
from simnet.emulation.nursery import Nursery
from simnet.experiment import Watch, files_of, manifest_of
from simnet.plan import Plan, make_engine, plans
from simnet.results import Run, check_writable, read_run, run_folder, write_files
from simnet.scenario import Document

NetworkName = Literal[DriverName, "loopback"]
"""A driver, or this machine's loopback: real TCP on links that nobody shapes."""


def emulate_document(
    document: Document,
    results: str | Path = "results",
    driver: NetworkName = "fabric",
    pace: Pace = "real",
    watch: Watch | None = None,
    options: DriverOptions | None = None,
    before: Callable[[Driver], None] | None = None,
) -> list[Run]:
    """Run every algorithm of a scenario for real, and write a folder for each, labelled `<label>-emulated`.

    Args:
        document: The scenario.
        results: Where run folders go.
        driver: What carries packets.
        pace: Whether computations take their real time, or at least that of the scenario's devices.
        watch: Called with the algorithm's label and where it stands.
        options: How the driver emulates.
        before: Called with the driver once its network is up, such as `Driver.cli`.

    Raises `ScenarioError` for what cannot be emulated, before anything has run;
    :class:`~simnet.emulation.driver.EmulationError` where this machine cannot, or a host fails.
    """
    ready = [plan for point in document.scenarios for plan in plans(point.scenario)]
    for plan in ready:
        check_emulable(plan, pace, driver)
    for plan in ready:
        check_writable(folder_of(plan, results, driver, pace))
    return [_execute(plan, results, driver, pace, watch, options, before) for plan in ready]


def folder_of(plan: Plan, results: str | Path, driver: NetworkName, pace: Pace) -> Path:
    """Where an emulated run's folder will be: another one than that of the simulated run."""
    digest = hashlib.sha256(f"{plan.digest} {driver} {pace}".encode()).hexdigest()
    return run_folder(Path(results), plan.scenario.name, label_of(plan), digest)


def label_of(plan: Plan) -> str:
    """What an emulated run is called."""
    return f"{plan.label}-emulated"


def _execute(
    plan: Plan,
    results: str | Path,
    driver_name: NetworkName,
    pace: Pace,
    watch: Watch | None,
    options: DriverOptions | None,
    before: Callable[[Driver], None] | None,
) -> Run:
    started = time.perf_counter()
    progress = None if watch is None else lambda state: watch(label_of(plan), state)
    told: dict[str, Any] = {"driver": driver_name, "pace": pace}
    with ExitStack() as open_now:
        driver = None
        if driver_name != "loopback":
            driver = open_now.enter_context(open_driver(driver_name, options, plan.scenario.seed))
        nursery = open_now.enter_context(Nursery(driver))
        nursery.build(plan)
        if driver is not None:
            driver.up(plan.world.topology)
            if before is not None:
                before(driver)
        monitor = None if driver is None else FidelityMonitor(driver, plan.world.topology)
        if monitor is not None:
            monitor.begin()
        emulated = emulate(plan, nursery, pace, progress)
        if monitor is not None:
            told["fidelity"] = monitor.report().as_dict()
    wall_seconds = time.perf_counter() - started
    engine = make_engine(plan)
    manifest = manifest_of(plan, emulated.outcome, engine, wall_seconds, label=label_of(plan), emulation=told)
    files = files_of(plan, emulated.recorder, manifest)
    return read_run(write_files(folder_of(plan, results, driver_name, pace), files))
