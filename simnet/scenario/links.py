"""What a scenario says about links: their capacity and latency, how these change over time, and events.

A bandwidth or a latency is a quantity, or a mapping that says how it changes (`VaryingBandwidth`,
`VaryingLatency`). Which of the mappings is meant is told by its keys.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, BeforeValidator, Discriminator, Field, Tag, model_validator

from simnet.scenario.errors import ScenarioError, nearest
from simnet.scenario.fields import Bandwidth, Number, Positive, Section
from simnet.scenario.prices import NotNegative
from simnet.units import BytesPerSecond, Seconds

PositiveSeconds = Annotated[Seconds, Positive]
FileName = Annotated[str, Field(min_length=1)]


class TraceFile(Section):
    """Values that are read from a CSV file, each in force until the time of the next one."""

    trace: FileName = Field(description="A CSV file of time,value, relative to the scenario.")
    time_unit: str | None = Field(
        None, description="The times' unit where the file does not say it; s if not given."
    )
    loop: bool = Field(False, description="Whether it begins again at its end; else the last value stays.")
    period: PositiveSeconds | None = Field(
        None,
        description="When a looped trace begins again; if not given, its last value lasts as long as the one "
        "before.",
    )

    @model_validator(mode="after")
    def _period_is_of_a_loop(self) -> Self:
        if self.period is not None and not self.loop:
            raise ScenarioError.at(
                ("period",), "only a looped trace has one", expected="loop: true beside it"
            )
        return self


class Trace(TraceFile):
    """Values read from a CSV file of `time,value`, each in force until the time of the next one."""

    form: ClassVar[str] = "trace"

    unit: str | None = Field(
        None, description="The values' unit, such as Mbps or ms, where neither the header nor they say it."
    )


class Mahimahi(Section):
    """A capacity out of a Mahimahi trace: every line is the millisecond at which 1500 bytes can pass."""

    form: ClassVar[str] = "mahimahi"

    mahimahi: FileName = Field(description="A Mahimahi trace file, relative to the scenario.")
    window: PositiveSeconds = Field(description="Over what time the opportunities are averaged to a rate.")
    loop: bool = Field(
        True, description="Whether it begins again at its end; else the last window's rate stays."
    )


class _Wave(Section):
    """What bandwidths and latencies that swing have in common."""

    form: ClassVar[str] = "mean"

    amplitude: Annotated[Number, Field(ge=0, le=1)] = Field(
        description="How far it swings to either side, as a fraction of the mean, from 0 to 1."
    )
    period: PositiveSeconds = Field(description="Time from crest to crest, such as 1 day.")
    phase: Seconds = Field(
        0.0, description="How far into the period time 0 is; at 0 it rises through the mean."
    )
    step: PositiveSeconds | None = Field(
        None,
        description="It changes in steps of so long, each with its mean; 1/96 of the period if not given.",
    )

    @model_validator(mode="after")
    def _steps_are_short(self) -> Self:
        if self.step is not None and self.step > self.period / 2:
            raise ScenarioError.at(
                ("step",), "longer than half the period", expected="a step that shows the swing"
            )
        return self


class BandwidthWave(_Wave):
    """A bandwidth that swings as a sine, such as between day and night."""

    mean: Bandwidth = Field(description="The bandwidth that it swings around.")


class LatencyWave(_Wave):
    """A latency that swings as a sine."""

    mean: PositiveSeconds = Field(description="The latency that it swings around.")


class _OnOff(Section):
    """What bandwidths and latencies that flip between two values have in common."""

    form: ClassVar[str] = "on"

    mean_up: PositiveSeconds = Field(description="Mean time that `on` lasts; exponentially distributed.")
    mean_down: PositiveSeconds = Field(description="Mean time that `off` lasts; exponentially distributed.")
    start: Literal["random", "on", "off"] = Field(
        "random", description="How it begins; random is `on` with its share of the time."
    )


class BandwidthOnOff(_OnOff):
    """A bandwidth that flips between two values at random times (a Markov chain), each link by its luck."""

    on: Bandwidth = Field(description="The bandwidth while the link is up.")
    off: BytesPerSecond = Field(0.0, description="The bandwidth while it is down; 0 Mbps stalls messages.")


class LatencyOnOff(_OnOff):
    """A latency that flips between two values at random times (a Markov chain), per link by its own luck."""

    on: Seconds = Field(description="The latency in the one state.")
    off: Seconds = Field(description="The latency in the other state.")


VaryingBandwidth = Trace | Mahimahi | BandwidthWave | BandwidthOnOff
VaryingLatency = Trace | LatencyWave | LatencyOnOff
Varying = VaryingBandwidth | VaryingLatency
"""How a bandwidth or a latency changes over time."""

_QUANTITY = "quantity"
_FORMS = {
    "trace": "{trace: file.csv, unit: Mbps, loop: true}",
    "mahimahi": "{mahimahi: file, window: 1 s}",
    "mean": "{mean: 50 Mbps, amplitude: 0.5, period: 1 day}",
    "on": "{on: 100 Mbps, off: 0 Mbps, mean_up: 2 min, mean_down: 20 s}",
}


def _form(value: object) -> str:
    """The tag of the form that a value has: that of its telling key."""
    if isinstance(value, Section):
        return f"<{getattr(value, 'form', _QUANTITY)}>"
    if isinstance(value, Mapping):
        return next((f"<{form}>" for form in _FORMS if form in value), "<unknown>")
    return f"<{_QUANTITY}>"


def _known_form(forms: tuple[str, ...], quantity: str) -> BeforeValidator:
    """Refuses a mapping without a telling key, and one that cannot be meant here."""

    def check(value: object) -> object:
        form = _form(value).strip("<>")
        if isinstance(value, Mapping) and form not in forms:
            known = form in _FORMS
            spelled = next((near for key in value if (near := nearest(str(key), forms))), "")
            raise ScenarioError.at(
                (),
                f"a {quantity} has no {form}" if known else f"does not say how the {quantity} changes",
                given=dict(value),
                expected=f"one of {', '.join(_FORMS[form] for form in forms)}, or a {quantity} that stays",
                suggestion="" if known else spelled,
            )
        return value

    return BeforeValidator(check)


_OfBandwidth = _known_form(("trace", "mahimahi", "mean", "on"), "bandwidth")
_OfLatency = _known_form(("trace", "mean", "on"), "latency")

BandwidthValue = Annotated[
    Annotated[Bandwidth, Tag("<quantity>")]
    | Annotated[Trace, Tag("<trace>")]
    | Annotated[Mahimahi, Tag("<mahimahi>")]
    | Annotated[BandwidthWave, Tag("<mean>")]
    | Annotated[BandwidthOnOff, Tag("<on>")],
    Discriminator(_form),
    _OfBandwidth,
]
"""A bandwidth above zero, or how it changes."""
BandwidthOrZero = Annotated[
    Annotated[BytesPerSecond, Tag("<quantity>")]
    | Annotated[Trace, Tag("<trace>")]
    | Annotated[Mahimahi, Tag("<mahimahi>")]
    | Annotated[BandwidthWave, Tag("<mean>")]
    | Annotated[BandwidthOnOff, Tag("<on>")],
    Discriminator(_form),
    _OfBandwidth,
]
"""The same, or zero: from an event on."""
LatencyValue = Annotated[
    Annotated[Seconds, Tag("<quantity>")]
    | Annotated[Trace, Tag("<trace>")]
    | Annotated[LatencyWave, Tag("<mean>")]
    | Annotated[LatencyOnOff, Tag("<on>")],
    Discriminator(_form),
    _OfLatency,
]
"""A latency, or how it changes."""


class LognormalJitter(Section):
    """A message's latency on the link is multiplied by LogNormal(0, sigma): its median stays."""

    kind: Literal["lognormal"]
    sigma: Annotated[Number, Field(gt=0)] = Field(description="Standard deviation of the factor's logarithm.")


class GammaJitter(Section):
    """A message's latency on the link grows by a Gamma distributed time."""

    kind: Literal["gamma"]
    mean: PositiveSeconds = Field(description="Mean of what is added.")
    shape: Annotated[Number, Field(gt=0)] = Field(
        1.0, description="Shape: 1 is exponential; the standard deviation is mean / sqrt(shape)."
    )


class UniformJitter(Section):
    """A message's latency on the link grows by a time that is uniform between two."""

    kind: Literal["uniform"]
    low: Seconds = Field(0.0, description="The least that is added.")
    high: PositiveSeconds = Field(description="The most that is added.")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.low >= self.high:
            raise ScenarioError.at(("low",), "not below `high`", expected="low < high")
        return self


_JITTERS: dict[str, type[BaseModel]] = {
    "lognormal": LognormalJitter,
    "gamma": GammaJitter,
    "uniform": UniformJitter,
}


def _known_jitter(value: object) -> object:
    """Names the kinds and the nearest spelling, which a plain discriminator would not."""
    if isinstance(value, BaseModel):
        return value
    kind = value.get("kind") if isinstance(value, Mapping) else value
    if not isinstance(value, Mapping) or kind not in _JITTERS:
        raise ScenarioError.at(
            ("kind",) if isinstance(value, Mapping) and "kind" in value else (),
            "not a kind of jitter" if kind is not None else "jitter of no kind",
            given=kind if kind is not None else value,
            expected="{kind: lognormal, sigma: 0.3}, {kind: gamma, mean: 5 ms} or {kind: uniform, ...}",
            suggestion=nearest(str(kind), _JITTERS),
        )
    return value


Jitter = LognormalJitter | GammaJitter | UniformJitter
JitterConfig = Annotated[Jitter, Field(discriminator="kind"), BeforeValidator(_known_jitter)]
Duplex = Literal["full", "half", "simplex"]
Sharing = Literal["shared", "fatpipe"]
Efficiency = Annotated[Number, Field(gt=0, le=1)]
Loss = Annotated[Number, Field(ge=0, lt=1)]


class LinkConfig(Section):
    """What every link of the network is like, unless it says otherwise."""

    bandwidth: BandwidthValue = Field(
        description="Capacity in each direction, such as 100 Mbps or 12.5 MB/s, or how it changes over time."
    )
    latency: LatencyValue = Field(
        description="Time from one end to the other, such as 25 ms (0 is allowed), or how it changes."
    )
    duplex: Duplex = Field(
        "full",
        description="full: a capacity per direction; half: both directions share one; simplex: one direction "
        "only.",
    )
    sharing: Sharing = Field(
        "shared",
        description="shared: messages divide the bandwidth; fatpipe: each may have all of it, as in a wide "
        "backbone.",
    )
    efficiency: Efficiency = Field(
        1.0,
        description="The part of the bandwidth that carries payload, not headers; above 0, up to 1.",
    )
    jitter: JitterConfig | None = Field(
        None, description="What is added to the latency at random, for each message anew."
    )
    loss: Loss = Field(0.0, description="Probability that a packet is lost, from 0 to below 1.")
    dollars_per_gb: NotNegative | None = Field(
        None,
        description="Price of a GB (1e9 bytes) that enters it; from a switch to a host is free.",
    )

    @property
    def fatpipe(self) -> bool:
        """Whether messages do not share the bandwidth."""
        return self.sharing == "fatpipe"


class NetworkEvent(Section):
    """Something that happens to a link, or to all links of a node, at a certain time."""

    at: Seconds = Field(description="When, in virtual time, such as 30 s.")
    link: str | None = Field(
        None,
        description="Which: a-b for both directions, a->b for one, or the node alone where it has one link.",
        min_length=1,
    )
    node: str | None = Field(None, description="The node whose uplink or downlink changes.", min_length=1)
    bandwidth: BandwidthOrZero | None = Field(None, description="The link's bandwidth from then on.")
    uplink: BandwidthOrZero | None = Field(None, description="The bandwidth out of the node from then on.")
    downlink: BandwidthOrZero | None = Field(None, description="The bandwidth into the node from then on.")
    latency: LatencyValue | None = Field(None, description="The link's latency from then on.")
    down: bool | None = Field(None, description="true: nothing passes any more until it comes up.")
    up: bool | None = Field(None, description="true: the link works again, with what it had.")

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if (self.link is None) == (self.node is None):
            raise ScenarioError.at(
                (),
                "an event needs either `link` or `node`",
                given=self._written(),
                expected="link: a-b, or node: a",
            )
        for key in ("down", "up"):
            if getattr(self, key) is False:
                raise ScenarioError.at((key,), "false says nothing", expected="down: true, or up: true")
        allowed = ("bandwidth", "latency", "down", "up") if self.node is None else ("uplink", "downlink")
        given = [key for key in self.changes if getattr(self, key) is not None]
        what = "link" if self.node is None else "node"
        for key in given:
            if key not in allowed:
                raise ScenarioError.at(
                    (key,),
                    f"not something that a {what}'s event changes",
                    expected=f"one of {', '.join(allowed)}",
                )
        if not given:
            raise ScenarioError.at(
                (),
                "the event changes nothing",
                given=self._written(),
                expected=f"one of {', '.join(allowed)}",
            )
        if self.down and (self.up or self.bandwidth is not None):
            raise ScenarioError.at(("down",), "down and working at once", expected="one of the two")
        return self

    changes: ClassVar[tuple[str, ...]] = ("bandwidth", "uplink", "downlink", "latency", "down", "up")
    """The keys that say what changes."""

    def _written(self) -> dict[str, Any]:
        return self.model_dump(mode="json")
