"""What a scenario says about nodes that go and come: `faults.churn`, `faults.partitions`, `faults.detection`.

Who is meant, and who goes together, is said alike in every kind of churn. Names of nodes and sites are
checked where the network is known.
"""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, BeforeValidator, Discriminator, Field, Tag, model_validator

from simnet.scenario.errors import ScenarioError, nearest
from simnet.scenario.fields import BytesEach, Integer, Number, Positive, PositiveInteger, Section
from simnet.units import Seconds

PositiveSeconds = Annotated[Seconds, Positive]
Share = Annotated[Number, Field(ge=0, le=1)]
Names = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)]


class _Churn(Section):
    """What all kinds of churn have in common: whom it is about, and what a crash takes away."""

    of_all: ClassVar[bool] = True
    """Whether it is about all workers if nothing says whom."""

    node: str | None = Field(
        None, description="The one node that it is about: a host, or `server`.", min_length=1
    )
    nodes: Names | None = Field(None, description="The nodes that it is about: hosts, or `server`.")
    sites: Names | None = Field(
        None, description="All hosts of these sites (regions, racks), called as their switches."
    )
    count: PositiveInteger | None = Field(
        None,
        description="So many workers, drawn by the seed. If nothing says whom: all workers, "
        "but for a crash, leave, join or rejoin.",
    )
    together: Literal["alone", "site", "all"] = Field(
        "alone",
        description="Who shares their luck and goes at the same instants: alone: nobody; site: the nodes of "
        "one site; all: all of them.",
    )
    memory: Literal["lost", "disk"] = Field(
        "lost",
        description="What a node has when it comes back: lost: the model of the run's start; disk: its own "
        "model, as of the last time its method asked whether to go on.",
    )

    @model_validator(mode="after")
    def _says_once_whom(self) -> Self:
        keys = ("node", "nodes", "sites", "count")
        given = [key for key in keys if getattr(self, key) is not None]
        if len(given) > 1:
            raise ScenarioError.at(
                (given[1],),
                f"given beside `{given[0]}`",
                given=getattr(self, given[1]),
                expected=f"one of {', '.join(keys)}",
            )
        if not given and not self.of_all:
            raise ScenarioError.at((), "whom is it about?", expected=f"one of {', '.join(keys)}")
        return self

    @property
    def named(self) -> tuple[str, ...]:
        """The nodes that are named."""
        return (self.node,) if self.node is not None else self.nodes or ()


class ExponentialChurn(_Churn):
    """Up and down times that are exponentially distributed: a node is up for mean_up / (mean_up + mean_down)
    of the time."""

    kind: Literal["exponential"]
    mean_up: PositiveSeconds = Field(description="Mean time between coming up and going down.")
    mean_down: PositiveSeconds = Field(description="Mean time until it is up again.")
    start: Literal["up", "random"] = Field(
        "up", description="up: all are there at first; random: as many as in the long run."
    )


class WeibullChurn(_Churn):
    """Up and down times with Weibull distributions: with a shape below 1 who has been up for long stays."""

    kind: Literal["weibull"]
    mean_up: PositiveSeconds = Field(description="Mean time between coming up and going down.")
    mean_down: PositiveSeconds = Field(description="Mean time until it is up again.")
    shape: Annotated[Number, Field(gt=0)] = Field(
        description="Shape of the up times; 1 is exponential, below 1 has a heavier tail."
    )
    down_shape: Annotated[Number, Field(gt=0)] = Field(1.0, description="Shape of the down times.")
    start: Literal["up", "random"] = Field(
        "up", description="up: all are there at first; random: as many as in the long run."
    )


class TraceChurn(_Churn):
    """On and off times out of a file of devices."""

    form: ClassVar[str] = "trace"

    kind: Literal["trace"]
    trace: Annotated[str, Field(min_length=1)] = Field(
        description="A CSV file of device,on,off, or a JSON file of devices with `active`, `inactive` and "
        "`finish_time`; relative to the scenario."
    )
    match: Literal["drawn", "order", "name"] = Field(
        "drawn",
        description="Which device is which node: drawn by the seed, in the order of both, or by name.",
    )
    period: PositiveSeconds | None = Field(
        None,
        description="When a device's times begin again; if not given, at its `finish_time`, or never for a "
        "CSV file.",
    )
    at: Seconds = Field(0.0, ge=0, description="The time in the file at which the run begins.")
    scale: Annotated[Number, Field(gt=0)] = Field(
        1.0, description="What the file's times are multiplied by, before `at` and `period` apply."
    )


class DiurnalChurn(_Churn):
    """Up for a share of the local day, the same every day."""

    kind: Literal["diurnal"]
    period: PositiveSeconds = Field(86400.0, description="How long a day is.")
    on: Annotated[Number, Field(gt=0, lt=1)] = Field(
        description="The share of the day for which a node is up, above 0 and below 1."
    )
    rises: Annotated[Number, Field(ge=0, lt=1)] = Field(
        0.0, description="When nodes come up, as a share of the day, where it is not spread."
    )
    spread: Share = Field(
        1.0,
        description="Over which share of the day the nodes' mornings are spread, uniformly: 0 is one time "
        "zone, 1 all around the world.",
    )


class _Scheduled(_Churn):
    """What happens at a time, or once a node has taken so many steps."""

    of_all: ClassVar[bool] = False

    at: Seconds | None = Field(None, ge=0, description="When, in virtual time.")
    step: Annotated[Integer, Field(ge=1)] | None = Field(
        None, description="After how many optimizer steps of its own, instead of a time."
    )
    down: PositiveSeconds | None = Field(
        None, description="For how long; if not given, until a `rejoin`, or for good."
    )

    @model_validator(mode="after")
    def _says_when(self) -> Self:
        if (self.at is None) == (self.step is None):
            raise ScenarioError.at(
                ("step",) if self.step is not None else (),
                "when does it happen?",
                expected="either `at`, a time, or `step`",
            )
        return self


class Crash(_Scheduled):
    """Nodes go down without a word: what they send and compute is cut off."""

    kind: Literal["crash"]


class Leave(_Scheduled):
    """Nodes go, and say so: what they are sending still leaves, and the others need not find out."""

    kind: Literal["leave"]


class Join(_Churn):
    """Nodes that are not there at first."""

    of_all: ClassVar[bool] = False

    kind: Literal["join"]
    at: PositiveSeconds = Field(description="When they join, in virtual time.")


class Rejoin(_Churn):
    """Nodes that crashed or left come back."""

    of_all: ClassVar[bool] = False

    kind: Literal["rejoin"]
    at: PositiveSeconds = Field(description="When, in virtual time.")


ChurnConfig = ExponentialChurn | WeibullChurn | TraceChurn | DiurnalChurn | Crash | Leave | Join | Rejoin
KINDS: dict[str, type[_Churn]] = {
    "exponential": ExponentialChurn,
    "weibull": WeibullChurn,
    "trace": TraceChurn,
    "diurnal": DiurnalChurn,
    "crash": Crash,
    "leave": Leave,
    "join": Join,
    "rejoin": Rejoin,
}


def _kind(value: object) -> object:
    return value.get("kind") if isinstance(value, Mapping) else getattr(value, "kind", None)


def _known_kind(value: object) -> object:
    """Names the kinds and the nearest spelling."""
    kind = _kind(value)
    if not isinstance(value, BaseModel) and (not isinstance(value, Mapping) or kind not in KINDS):
        raise ScenarioError.at(
            ("kind",) if kind is not None and isinstance(value, Mapping) else (),
            "not a kind of churn" if kind is not None else "churn of no kind",
            given=value if kind is None else kind,
            expected=f"kind: one of {', '.join(KINDS)}",
            suggestion=nearest(str(kind), KINDS),
        )
    return value


ChurnEntry = Annotated[
    Annotated[ExponentialChurn, Tag("exponential")]
    | Annotated[WeibullChurn, Tag("weibull")]
    | Annotated[TraceChurn, Tag("trace")]
    | Annotated[DiurnalChurn, Tag("diurnal")]
    | Annotated[Crash, Tag("crash")]
    | Annotated[Leave, Tag("leave")]
    | Annotated[Join, Tag("join")]
    | Annotated[Rejoin, Tag("rejoin")],
    Discriminator(_kind),
    BeforeValidator(_known_kind),
]


def _one_or_more(value: object) -> object:
    return [value] if isinstance(value, Mapping | BaseModel) else value


ChurnEntries = Annotated[tuple[ChurnEntry, ...], BeforeValidator(_one_or_more)]


class Partition(Section):
    """Groups of nodes that cannot reach each other for a while."""

    at: Seconds = Field(ge=0, description="From when on, in virtual time.")
    until: PositiveSeconds | None = Field(None, description="When it heals; never if not given.")
    groups: Annotated[tuple[Names, ...], Field(min_length=1)] = Field(
        description="Who can still reach whom: lists of nodes or sites, or `server`. Who is in none is in "
        "one more group."
    )

    @model_validator(mode="after")
    def _separates(self) -> Self:
        if self.until is not None and self.until <= self.at:
            raise ScenarioError.at(("until",), "not after `at`", given=self.until, expected="a later time")
        names = [name for group in self.groups for name in group]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ScenarioError.at(
                ("groups",), f"in two groups at once: {', '.join(twice)}", expected="every name once"
            )
        return self


Partitions = Annotated[tuple[Partition, ...], BeforeValidator(_one_or_more)]


class DetectionConfig(Section):
    """How nodes find out that another one is gone."""

    kind: Literal["timeout", "heartbeats"] = Field(
        description="timeout: a fixed time after it went; heartbeats: when several of its beats are missing."
    )
    timeout: Seconds | None = Field(
        None, ge=0, description="timeout: the time; that of `network.detection_timeout` if not given."
    )
    period: PositiveSeconds | None = Field(None, description="heartbeats: time between two beats.")
    misses: PositiveInteger | None = Field(
        None, description="heartbeats: how many beats must be missing; 3 if not given."
    )
    bytes: BytesEach | None = Field(
        None, description="heartbeats: what a beat takes on the wire; 64 bytes if not given."
    )

    @model_validator(mode="after")
    def _options_of_its_kind(self) -> Self:
        others = ("period", "misses", "bytes") if self.kind == "timeout" else ("timeout",)
        for key in others:
            if getattr(self, key) is not None:
                raise ScenarioError.at(
                    (key,),
                    f"detection by {'a timeout' if self.kind == 'timeout' else self.kind} has no {key}",
                    given=getattr(self, key),
                )
        if self.kind == "heartbeats" and self.period is None:
            raise ScenarioError.at(("period",), "missing key", expected="period: 1 s")
        return self
