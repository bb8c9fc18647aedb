"""One run for real: hosts come up, every process runs its nodes, and what they wrote becomes a run folder."""

import asyncio
import json
import tempfile
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from simnet.emulation.coordinator import Coordinator, Course
from simnet.emulation.driver import Driver, EmulationError
from simnet.emulation.node import Pace
from simnet.emulation.noticing import seconds_until_split
from simnet.emulation.nursery import Nursery
from simnet.emulation.rows import read_rows
from simnet.emulation.separation import partition_rows, separations
from simnet.emulation.zygote import Birth
from simnet.faults.planned import planned_events
from simnet.network import Topology
from simnet.plan import Plan, make_engine
from simnet.results import Recorder
from simnet.runtime.evaluation import Evaluation, HasModel
from simnet.runtime.pipeline_world import PipelineWorld
from simnet.runtime.placement import Placed, members_by_role, placements
from simnet.runtime.stage_node import STAGE
from simnet.runtime.world import Outcome, Progress
from simnet.streams import Streams

PACE = 1.1
"""Bytes per second that a sender's kernel hands to its link, for each that the path carries."""
MOST_PACED = 1.25e8
"""Bytes per second from which on it is left to the kernel: timers cost more than queues."""
LEAST_BUFFER_BYTES = 1 << 17
"""What a sender may have in the kernel at least, on top of what the path holds."""


@dataclass(frozen=True)
class Emulated:
    """An emulated run's outcome, its tables, and its course."""

    outcome: Outcome
    recorder: Recorder
    course: Course


def emulate(
    plan: Plan, nursery: Nursery, pace: Pace = "real", watch: Callable[[Progress], None] | None = None
) -> Emulated:
    """Run `plan` on real processes and real TCP, over the network that the nursery's driver has up.

    Raises :class:`~simnet.emulation.driver.EmulationError` where a host fails or waits for ever.
    """
    if plan.world.faults.partitions and nursery.driver is None:
        raise EmulationError("nobody holds packets on the loopback: partitions need the driver fabric")
    placed = placements(plan.method.roles(), plan.world.topology, plan.world.pipeline)
    with tempfile.TemporaryDirectory(prefix="run-", dir=nursery.folder) as name:
        folder = Path(name)
        course = asyncio.run(_through(plan, nursery, pace, placed, folder, watch))
        return _together(plan, placed, course, folder)


async def _through(
    plan: Plan,
    nursery: Nursery,
    pace: Pace,
    placed: tuple[Placed, ...],
    folder: Path,
    watch: Callable[[Progress], None] | None,
) -> Course:
    """Start the hosts' processes, take them through the run, and see them end."""
    nursery.build(plan)
    stop, trained, driver = plan.scenario.stop, _trained(placed), nursery.driver
    addresses: dict[str, tuple[str, int | None]] = {}
    for host in dict.fromkeys(one.host for one in placed):
        there = None if driver is None else driver.hosts[host]
        addresses[host] = ("127.0.0.1", None) if there is None else (there.address, there.pid)
    coordinator = Coordinator(
        placed,
        {host: ip for host, (ip, _) in addresses.items()},
        stop,
        None if stop.steps is None else stop.steps * len(trained),
        len(trained),
        _sending(plan.world.topology) if driver is not None else lambda _, __: (None, None),
        plan.world.faults.churn,
        lambda host, past: nursery.tell(json.dumps({"again": host, "past": past})),
        lambda: nursery.said,
        None if driver is None else partial(_begin, driver, plan),
        watch,
        separations(plan.world.faults.partitions, partial(seconds_until_split, plan.scenario)),
    )
    control = folder / "control"
    await coordinator.serve(control)
    nursery.tell(Birth(str(control), str(folder), pace, addresses).to_json())

    async def watch_processes() -> None:
        coordinator.processes_ended(await asyncio.to_thread(nursery.ended))

    ended = asyncio.ensure_future(watch_processes())
    try:
        return await coordinator.run()
    except BaseException:
        nursery.end()
        raise
    finally:
        coordinator.close()
        await asyncio.wait((ended,), timeout=5)


def _begin(driver: Driver, plan: Plan) -> float:
    """Let the network's clock begin, with the scenario's partitions ahead; gives that instant."""
    started = driver.start()
    for one in separations(plan.world.faults.partitions):
        driver.separate(one.groups, at=started + one.time)
    return started


def _trained(placed: tuple[Placed, ...]) -> tuple[str, ...]:
    members = members_by_role(placed)
    return members[STAGE if STAGE in members else "worker"]


def _sending(topology: Topology) -> Callable[[str, str], tuple[int | None, int | None]]:
    """How much a sender may have in the kernel, and how fast that sends it.

    What the path holds in flight, and a little: `send` returns when the kernel has the last byte, which so is
    not long before it leaves. And no faster than the path (unless that changes): a network card takes a few
    packets at a time and serves connections in turn, but the emulated link would get whole windows, and
    connections wait for one another.
    """

    def sending(source: str, target: str) -> tuple[int, int | None]:
        bandwidth = topology.nominal_bandwidth(source, target)
        in_flight = bandwidth * topology.route(source, target).rtt
        pace = int(PACE * bandwidth) if topology.dynamics is None and bandwidth < MOST_PACED else None
        return LEAST_BUFFER_BYTES + int(in_flight), pace

    return sending


# -- putting together -----------------------------------------------------------------------------------


def _together(plan: Plan, placed: tuple[Placed, ...], course: Course, folder: Path) -> Emulated:
    """One outcome and one set of tables of what the hosts wrote."""
    recorder = Recorder()
    folders = [folder / host.replace("/", "_") for host in course.hosts]
    rows = read_rows(sorted(folder.glob("*/rows-*.jsonl")))
    transfers = sorted(rows["transfer"], key=lambda row: (row[-1], row[1], row[2]))
    _record(recorder, rows, transfers)
    totals = [told for (told,) in rows["totals"]]
    counts = sum((Counter(told["counts"]) for told in totals), Counter[str]())
    raw, sent, received = _bytes(totals, transfers)
    for fault in course.faults:
        recorder.fault(fault.time, fault.node, fault.event, fault.cause)
    hosts_of = {one.name: one.host for one in placed}
    planned = planned_events(plan.scenario, plan.world.topology, hosts_of, course.seconds)
    for row in (*planned, *partition_rows(plan.world.faults.partitions, hosts_of, course.seconds)):
        recorder.fault(*row)
    trained = _trained(placed)
    busy = sum(told["busy"].get(name, 0.0) for told in totals for name in trained)
    final = _evaluate(plan, placed, course, folders, recorder, transfers, sent)
    seconds = course.seconds
    outcome = Outcome(
        virtual_seconds=seconds,
        steps=course.steps / len(trained),
        worker_steps=course.steps,
        bytes_sent=sent,
        raw_bytes_sent=raw,
        utilization=min(1.0, busy / (seconds * len(trained))) if seconds > 0 else 0.0,
        final=final,
        invariants={
            **counts,
            "bytes_sent": sent,
            "bytes_received": received,
            "bytes_lost": sent - received,
        },
        aborted=course.aborted,
    )
    return Emulated(outcome, recorder, course)


def _bytes(totals: Sequence[dict[str, Any]], transfers: Sequence[list[Any]]) -> tuple[float, float, float]:
    """Raw bytes sent, charged ones, and charged ones that were received, by all processes together.

    One that was killed had sent some more than it could tell: as much as others got of it, at least.
    """
    sent: Counter[str] = Counter()
    arrived: Counter[str] = Counter()
    for told in totals:
        sent[told["host"]] += told["bytes_sent"]
    for _, source, _, _, charged, *_ in transfers:
        arrived[source] += charged
    raw = sum(told["raw_bytes_sent"] for told in totals)
    return raw, sum((sent | arrived).values()), sum(arrived.values())


def _record(recorder: Recorder, rows: dict[str, list[list[Any]]], transfers: list[list[Any]]) -> None:
    """Everybody's rows, in the order of time."""
    for row in sorted(rows["metric"], key=lambda row: row[0]):
        recorder.metric(*row)
    for number, (kind, source, target, raw, charged, start, delivered) in enumerate(transfers):
        recorder.transfer(number, kind, source, target, raw, charged, start, None, delivered, "delivered")
    for row in sorted(rows["span"], key=lambda row: row[3]):
        recorder.span(*row)


@dataclass
class _Model:
    """A node's model at the moment that is evaluated."""

    id: str
    steps: int
    params: Tensor


@dataclass
class _Pipeline:
    """A replica's model, put together from its stages' parts, without what their boundaries train."""

    id: str
    world: PipelineWorld
    own: Sequence[int]
    """Trained parameters of the boundary of each piece, which follow the piece's."""
    stages: list[_Model]
    initial: Tensor

    @property
    def steps(self) -> int:
        return min(stage.steps for stage in self.stages)

    @property
    def params(self) -> Tensor:
        whole = self.initial.clone()
        for index, stage in enumerate(self.stages):
            if stage.params is self.initial:  # nothing was heard of it yet
                continue
            at = 0
            for piece in self.world.pieces_of(index):
                whole[piece.start : piece.start + piece.parameters] = stage.params[at : at + piece.parameters]
                at += piece.parameters + self.own[piece.index]
        return whole


def _evaluate(
    plan: Plan,
    placed: tuple[Placed, ...],
    course: Course,
    folders: list[Path],
    recorder: Recorder,
    transfers: list[list[Any]],
    bytes_sent: float,
) -> dict[str, float]:
    """Evaluate the models that the hosts kept, after the fact: evaluation took nobody's time.

    Bytes sent by then are told from the messages that had arrived.
    """
    engine = make_engine(plan)
    if not engine.has_values:
        return {}
    members = members_by_role(placed)
    nodes = {one.name: _Model(one.name, 0, engine.initial_params) for one in placed}
    local: Sequence[HasModel]
    evaluated: Sequence[HasModel]
    if plan.world.pipeline is not None and STAGE in members:
        pipeline = plan.world.pipeline
        stages, streams = pipeline.stages, Streams(plan.scenario.seed)
        own = [pipeline.codecs.build(piece, 0, streams).parameters for piece in pipeline.pieces]
        chains = [members[STAGE][at : at + stages] for at in range(0, len(members[STAGE]), stages)]
        local = evaluated = [
            _Pipeline(
                f"replica{replica}",
                pipeline,
                own,
                [nodes[name] for name in chain],
                engine.initial_params,
            )
            for replica, chain in enumerate(chains)
        ]
    else:
        lying = plan.world.faults.byzantine
        local = [nodes[name] for name in _trained(placed) if name not in lying]
        evaluated = [nodes[name] for name in members[plan.method.evaluated_role] if name not in lying]
    evaluation = Evaluation(
        engine, recorder, plan.scenario.evaluate, local, evaluated, stepping=len(_trained(placed))
    )
    sent_by = [row[-1] for row in transfers]
    total_by = list(accumulate(row[4] for row in transfers))
    shots: dict[int, list[tuple[float, str, int, Tensor]]] = {}
    for folder in folders:
        tensors = load_file(folder / "snapshots.safetensors")
        for number, (moment, index, node, steps) in enumerate(
            json.loads((folder / "snapshots.json").read_text())
        ):
            if moment <= course.seconds:
                shots.setdefault(index, []).append((moment, node, steps, tensors[str(number)]))
    evaluation.stage(0.0, 0, 0.0)
    last = 0.0
    for index in [*sorted(set(shots) - {0}), 0]:
        moment = course.seconds if index == 0 else max(last, *(one[0] for one in shots[index]))
        for _, node, steps, params in shots[index]:
            nodes[node].steps, nodes[node].params = steps, params
        steps = sum(nodes[name].steps for name in _trained(placed))
        if index == 0:
            evaluation.finish(moment, course.steps, bytes_sent)
        else:
            before = bisect_right(sent_by, moment)
            evaluation.stage(moment, steps, total_by[before - 1] if before else 0.0)
        last = moment
    return evaluation.latest
