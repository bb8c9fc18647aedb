"""Which nodes are Byzantine, what each does, and when: drawn before the run, whatever the method."""

from collections.abc import Mapping
from dataclasses import dataclass

from simnet.faults.attacks import (
    Alie,
    Attack,
    Behaviour,
    DataAttack,
    Dissensus,
    Equivocation,
    InformedAttack,
    Knowledge,
    MessageAttack,
    MinMax,
    MinSum,
    OptimalAlie,
    Replay,
)
from simnet.faults.attacks import attacks as shipped
from simnet.network import Topology
from simnet.scenario import Interval, Scenario, ScenarioError, choose, load_plugin, one_of, validated
from simnet.scenario.byzantine import ByzantineConfig
from simnet.scenario.errors import Path, nearest
from simnet.streams import Streams

_RANGE: tuple[Knowledge, ...] = ("own", "peers", "all")
_NEED_A_SPREAD = (Alie, MinMax, MinSum, OptimalAlie)


@dataclass(frozen=True, slots=True)
class Activity:
    """When a node attacks: within `[start, end)`, for `on` of every `on + off`; or `during` intervals.

    Times are seconds of the run. Steps are the optimizer steps that the node itself has taken.
    """

    start: Interval | None = None
    end: Interval | None = None
    on: Interval | None = None
    off: Interval | None = None
    during: tuple[tuple[float, float], ...] | None = None

    def active(self, now: float, steps: int) -> bool:
        """Whether it attacks at `now` seconds, after `steps` of its own."""
        if self.during is not None:
            return any(start <= now < end for start, end in self.during)
        if self.start is not None and not _reached(self.start, now, steps):
            return False
        if self.end is not None and _reached(self.end, now, steps):
            return False
        if self.on is None or self.off is None:
            return True
        at = _amount(self.on, now, steps) - (0.0 if self.start is None else _size(self.start))
        return at % (_size(self.on) + _size(self.off)) < _size(self.on)


def _reached(mark: Interval, now: float, steps: int) -> bool:
    return _amount(mark, now, steps) >= _size(mark)


def _amount(like: Interval, now: float, steps: int) -> float:
    return now if like.seconds is not None else steps


def _size(interval: Interval) -> float:
    return interval.seconds if interval.seconds is not None else interval.steps or 0


@dataclass(frozen=True, slots=True)
class Byzantine:
    """What one Byzantine node does."""

    attack: Attack
    activity: Activity
    knowledge: Knowledge
    fellows: tuple[str, ...]
    """Its group, itself among them: all whose honest vectors it knows; itself alone without collusion."""
    patience: float = 0.0
    """Seconds that it holds a message back, at most, for honest vectors of the same round."""
    path: Path = ()
    """Where the scenario says so."""


def byzantine_nodes(scenario: Scenario, topology: Topology) -> dict[str, Byzantine]:
    """The Byzantine workers by name.

    Which they are depends on the seed, the entry's place and the workers alone. Raises
    :class:`~simnet.scenario.ScenarioError` for a worker that does not exist or is in two entries, for more
    Byzantine workers than leave an honest one, and for an attack that cannot be made.
    """
    entries = scenario.faults.byzantine
    chosen: list[tuple[str, ...]] = []
    for index, entry in enumerate(entries):
        taken = {name for names in chosen for name in names}
        chosen.append(_chosen(scenario, topology.workers, entry, index, taken))
    groups = [entry.group or f"entry {index}" for index, entry in enumerate(entries)]
    found: dict[str, Byzantine] = {}
    for index, (entry, names) in enumerate(zip(entries, chosen, strict=True)):
        path = ("faults", "byzantine", index)
        group = tuple(
            name for place, those in enumerate(chosen) if groups[place] == groups[index] for name in those
        )
        attack = _attack(scenario, entry, (*path, "attack"))
        _check_knowledge(attack, entry, group, path)
        for name in names:
            found[name] = Byzantine(
                attack=attack,
                activity=Activity(entry.start, entry.end, entry.on, entry.off, entry.during),
                knowledge=attack.sees if isinstance(attack, InformedAttack) else entry.knowledge,
                fellows=group if entry.collude else (name,),
                patience=entry.patience or 0.0,
                path=path,
            )
    return found


def _chosen(
    scenario: Scenario, workers: tuple[str, ...], entry: ByzantineConfig, index: int, taken: set[str]
) -> tuple[str, ...]:
    path = ("faults", "byzantine", index)
    for place, name in enumerate(entry.nodes or ()):
        where = (*path, "nodes", place)
        if name not in workers:
            raise ScenarioError.at(
                where,
                "no such worker",
                given=name,
                expected=one_of(workers),
                suggestion=nearest(name, workers),
            )
        if name in taken:
            raise ScenarioError.at(where, "in two entries", given=name, expected="one attack per node")
    free = [name for name in workers if name not in taken]
    count = len(entry.nodes) if entry.nodes else entry.count or 1
    if count >= len(free):
        raise ScenarioError.at(
            (*path, "nodes" if entry.nodes else "count"),
            "leaves no honest worker",
            given=count,
            expected=f"at most {len(free) - 1} more of the {len(workers)} workers",
        )
    if entry.nodes:
        return entry.nodes
    drawn = Streams(scenario.seed).generator("byzantine", index).permutation(len(free))[:count]
    return tuple(free[place] for place in sorted(drawn.tolist()))


def _attack(scenario: Scenario, entry: ByzantineConfig, path: Path) -> Attack:
    """The entry's attack; one that says nothing of knowledge of its own takes the entry's."""
    name, options = entry.attack.name, entry.attack.options
    kind: object
    if ":" in name:
        kind = load_plugin(name, scenario.folder, (*path, "name"))
        if not (isinstance(kind, type) and issubclass(kind, Attack)):
            raise ScenarioError.at(
                (*path, "name"),
                "not an attack",
                given=name,
                expected="a subclass of MessageAttack, DataAttack or Behaviour of simnet.faults.attacks",
            )
    else:
        kind = choose(name, shipped, (*path, "name"), "attack")
    if issubclass(kind, InformedAttack) and "knowledge" not in options:
        options = {**options, "knowledge": entry.knowledge}
    return validated(kind, options, path)


def _check_knowledge(attack: Attack, entry: ByzantineConfig, group: tuple[str, ...], path: Path) -> None:
    needed: Knowledge = attack.sees if isinstance(attack, MessageAttack) else "own"
    if isinstance(attack, Dissensus) and needed == "own":
        needed = "peers"
    if _RANGE.index(needed) > _RANGE.index(entry.knowledge):
        raise ScenarioError.at(
            (*path, "knowledge"),
            f"{attack.name} needs to know more",
            given=entry.knowledge,
            expected=f"knowledge: {' or '.join(_RANGE[_RANGE.index(needed) :])}",
        )
    faces = attack.faces if isinstance(attack, Equivocation) else (attack,)
    alone = len(group) < 2 or not entry.collude
    for face in faces:
        if isinstance(face, _NEED_A_SPREAD) and face.sees == "own" and alone:
            raise ScenarioError.at(
                (*path, "knowledge"),
                f"{face.name} needs the spread of two vectors, and this node knows one: its own",
                given=entry.knowledge,
                expected="knowledge: peers or all, or two colluding nodes",
            )


def strikes_values(attack: Attack) -> bool:
    """Whether an attack is about what is sent or learned, as opposed to when and whether something is."""
    return not isinstance(attack, Behaviour) or isinstance(attack, Replay)


def has_data_attacks(nodes: Mapping[str, Byzantine]) -> bool:
    """Whether anybody trains on changed data."""
    return any(isinstance(node.attack, DataAttack) for node in nodes.values())
