"""What `faults.stragglers` says, as the slowdown of each host."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path as FilePath

import numpy as np
from numpy.typing import NDArray

from simnet.faults.slowdown import BLOCK, DrawBlock, Slowdown, StepFactors
from simnet.network import Topology
from simnet.network.profiles import Constant, OnOff, Profile, during
from simnet.network.shapes.shape import SERVER
from simnet.network.traces import TraceError, read_csv
from simnet.scenario import Scenario, ScenarioError, nearest
from simnet.scenario.errors import Path
from simnet.scenario.stragglers import (
    GREATEST_FACTOR,
    LEAST_FACTOR,
    BimodalStragglers,
    DrawnStragglers,
    Episodes,
    ExponentialStragglers,
    LognormalStragglers,
    ParetoStragglers,
    ScheduledStragglers,
    Stragglers,
    TraceStragglers,
    UniformStragglers,
)
from simnet.streams import Streams
from simnet.units import UnitError

PURPOSE = "stragglers"
"""What the random streams are for; further keys are the entry's index, the host, and the block of steps."""
_LISTED = 8

Factors = NDArray[np.float64]


def draw(entry: DrawnStragglers, generator: np.random.Generator, size: int) -> Factors:
    """So many independent factors `[size]` of an entry's distribution."""
    match entry:
        case LognormalStragglers():
            return generator.lognormal(0.0, entry.sigma, size)
        case ParetoStragglers():
            return 1.0 + generator.pareto(entry.alpha, size)  # numpy's begins at 0 (Lomax)
        case ExponentialStragglers():
            return 1.0 + generator.exponential(entry.mean, size)
        case UniformStragglers():
            return generator.uniform(entry.low, entry.high, size)
        case BimodalStragglers():
            return np.where(generator.random(size) < entry.probability, entry.factor, 1.0)


@dataclass(frozen=True)
class _Blocks:
    """The factors of a host's training steps that one entry draws."""

    entry: DrawnStragglers
    streams: Streams
    index: int
    host: str

    def __call__(self, block: int) -> Factors:
        """The factors `[BLOCK]` of a block."""
        return draw(self.entry, self.streams.generator(PURPOSE, self.index, self.host, block), BLOCK)


def build_slowdowns(scenario: Scenario, topology: Topology) -> Mapping[str, Slowdown]:
    """What slows hosts down, by their names; hosts that nothing slows down are not in it.

    The same for all algorithms of a scenario, for everything is drawn by (seed, entry, host).

    Raises:
        ScenarioError: An entry names what is no host of a worker or server, asks for more workers than there
            are, or has a trace that cannot be used.
    """
    entries = scenario.faults.stragglers
    streams = Streams(scenario.seed)
    constants: dict[str, list[float]] = {}
    drawn: dict[str, list[DrawBlock]] = {}
    profiles: dict[str, list[Profile]] = {}
    for index, entry in enumerate(entries):
        path: Path = ("faults", "stragglers", index)
        hosts = _selected(entry, topology, streams, index, path)
        if isinstance(entry, DrawnStragglers):
            for host in hosts:
                if entry.per == "run":
                    luck = streams.generator(PURPOSE, index, host)
                    constants.setdefault(host, []).append(float(draw(entry, luck, 1)[0]))
                else:
                    drawn.setdefault(host, []).append(_Blocks(entry, streams, index, host))
        else:
            make = _profile(entry, streams, index, scenario.folder_of((*path, "trace")), path)
            for host in hosts:
                profile = make(host)
                if isinstance(profile, Constant):
                    constants.setdefault(host, []).append(profile.value)
                else:
                    profiles.setdefault(host, []).append(profile)
    slowed = dict.fromkeys([*constants, *drawn, *profiles])
    return {
        host: Slowdown(
            prod(constants.get(host, ())),
            StepFactors(drawn[host]) if host in drawn else None,
            tuple(profiles.get(host, ())),
        )
        for host in slowed
    }


def timed_factors(scenario: Scenario, topology: Topology) -> Mapping[str, Sequence[tuple[str, Profile]]]:
    """The factors over time of each host that has some, each with the kind of its entry.

    What is drawn for each step, or once for the whole run, is not among them. The values are those of
    :func:`build_slowdowns`, whose errors this raises, too.
    """
    streams = Streams(scenario.seed)
    found: dict[str, list[tuple[str, Profile]]] = {}
    for index, entry in enumerate(scenario.faults.stragglers):
        path: Path = ("faults", "stragglers", index)
        if isinstance(entry, DrawnStragglers):
            continue
        make = _profile(entry, streams, index, scenario.folder_of((*path, "trace")), path)
        for host in _selected(entry, topology, streams, index, path):
            found.setdefault(host, []).append((entry.kind, make(host)))
    return found


def _selected(
    entry: Stragglers, topology: Topology, streams: Streams, index: int, path: Path
) -> tuple[str, ...]:
    """The hosts that an entry is about. Those chosen for a `count` are also chosen for a larger one."""
    workers = topology.workers
    if entry.nodes is not None:
        known = dict.fromkeys([*workers, SERVER if topology.server is None else topology.server])
        for position, name in enumerate(entry.nodes):
            if name not in known:
                raise ScenarioError.at(
                    (*path, "nodes", position),
                    "no worker or server lives on a host of this name",
                    given=name,
                    expected=f"a host such as {', '.join(list(known)[:_LISTED])}",
                    suggestion=nearest(name, known),
                )
        return tuple(name for name in known if name in entry.nodes)
    if entry.count is None:
        return workers
    if entry.count > len(workers):
        raise ScenarioError.at(
            (*path, "count"),
            "more stragglers than workers",
            given=entry.count,
            expected=f"at most {len(workers)}",
        )
    order = streams.generator(PURPOSE, index, "count").permutation(len(workers))
    return tuple(workers[rank] for rank in sorted(order[: entry.count].tolist()))


def _profile(
    entry: Episodes | TraceStragglers | ScheduledStragglers,
    streams: Streams,
    index: int,
    folder: FilePath | None,
    path: Path,
) -> Callable[[str], Profile]:
    """What gives the factor of a host over time."""
    match entry:
        case Episodes():
            start = {"slow": "off", "fast": "on"}.get(entry.start, entry.start)
            return lambda host: OnOff(
                1.0,
                entry.factor,
                entry.mean_fast,
                entry.mean_slow,
                streams.generator(PURPOSE, index, host),
                start,
            )
        case ScheduledStragglers():
            profile = during(entry.at, entry.end, entry.factor)
        case TraceStragglers():
            profile = _traced(entry, folder, (*path, "trace"))
    return lambda _: profile


def _traced(entry: TraceStragglers, folder: FilePath | None, path: Path) -> Profile:
    file = (folder or FilePath()) / entry.trace
    try:
        return read_csv(
            file, _factor, unit="", time_unit=entry.time_unit, loop=entry.loop, period=entry.period
        )
    except TraceError as error:
        raise ScenarioError.at(path, str(error), given=entry.trace) from None


def _factor(text: object) -> float:
    expected = f"a factor from {LEAST_FACTOR:g} to {GREATEST_FACTOR:g}, without a unit"
    try:
        value = float(str(text))
    except ValueError:
        raise UnitError("is not a number", text, expected) from None
    if not LEAST_FACTOR <= value <= GREATEST_FACTOR:
        raise UnitError("is no factor of time", text, expected)
    return value
