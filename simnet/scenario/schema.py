"""The scenario's schema: what a YAML file may say, with every key documented where it is defined.

Only what needs no other room is checked here. The options of a topology, a task, a model and the like are
kept as they are, and checked by the room that owns them.
"""

import re
from pathlib import Path as FilePath
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PlainSerializer,
    PrivateAttr,
    Tag,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from simnet.scenario.axes import sweep_schema
from simnet.scenario.checkpoint import Mode
from simnet.scenario.engine import EngineConfig
from simnet.scenario.errors import Path, Problem, ScenarioError, describe
from simnet.scenario.expect import parse_expectation
from simnet.scenario.faults import FaultsConfig
from simnet.scenario.fields import (
    Bandwidth,
    BytesEach,
    Component,
    Integer,
    Label,
    Number,
    Open,
    Positive,
    PositiveInteger,
    Section,
    default_label,
)
from simnet.scenario.interval import Interval
from simnet.scenario.links import BandwidthValue
from simnet.scenario.network import NetworkConfig
from simnet.scenario.pipeline import PipelineConfig
from simnet.scenario.prices import RunningCosts
from simnet.scenario.source import Source
from simnet.units import Bytes, Count, FlopsPerSecond, Seconds


class AlgorithmEntry(Component):
    """An algorithm to run, with its hyperparameters."""

    name: str = Field(description="The algorithm's name, or module:Class for your own.", min_length=1)
    label: Label = Field(
        "",
        description="What it is called in results and in `expect`; its name if not given.",
        validate_default=False,
    )

    checkpoint: Mode | None = Field(
        None, description="How it takes checkpoints; as `faults.checkpoint.mode` says if not given."
    )

    @model_validator(mode="before")
    @classmethod
    def _with_label(cls, value: object) -> object:
        entry = {"name": value} if isinstance(value, str) else value
        if isinstance(entry, dict) and isinstance(entry.get("name"), str) and entry.get("label") is None:
            return {**entry, "label": default_label(entry["name"])}
        return entry


class DeviceConfig(Section):
    """A device described in place rather than by the name of a profile."""

    flops: Annotated[FlopsPerSecond, Positive] = Field(description="Peak rate, such as 35 TFLOP/s.")
    achieved: Annotated[Number, Field(gt=0, le=1)] = Field(
        description="Fraction of the peak that training achieves, above 0 and up to 1."
    )
    memory: Annotated[Bytes, Positive] | None = Field(
        None, description="Memory, such as 24 GiB; if not given, whether a model fits is not checked."
    )
    memory_bandwidth: Bandwidth | None = Field(
        None, description="Rate at which operations read and write memory; if not given, that is free."
    )
    pooling_bandwidth: Bandwidth | None = Field(
        None, description="The same for pooling; `memory_bandwidth` if not given."
    )
    operation_overhead: Annotated[Seconds, Field(ge=0)] | None = Field(
        None, description="Time that each operation of the model takes besides; none if not given."
    )
    convolution_overhead: Annotated[Seconds, Field(ge=0)] | None = Field(
        None, description="The same for a convolution; `operation_overhead` if not given."
    )
    attention_overhead: Annotated[Seconds, Field(ge=0)] | None = Field(
        None, description="The same for a fused attention; `operation_overhead` if not given."
    )
    costs: RunningCosts | None = Field(None, description="What such a machine costs: dollars and watts.")
    description: str = Field("", description="For people: which machine this is, and how it was measured.")


def _device_form(value: object) -> str:
    return "<inline>" if isinstance(value, dict | DeviceConfig) else "<name>"


Device = Annotated[
    Annotated[str, Tag("<name>"), Field(min_length=1)] | Annotated[DeviceConfig, Tag("<inline>")],
    Discriminator(_device_form),
]


class WorkerGroup(Section):
    """Workers that are alike."""

    count: PositiveInteger | None = Field(None, description="How many; the rest of the hosts if not given.")
    nodes: Annotated[tuple[str, ...], Field(min_length=1)] | None = Field(
        None, description="The hosts that are meant, by name, instead of a count."
    )
    device: Device | None = Field(
        None,
        description="A device profile's name (see `simnet list devices`), a file that `simnet calibrate` "
        "wrote (./my-machine.yaml), or one in place. Every task but synthetic needs it.",
    )
    speed: Annotated[Number, Field(gt=0)] = Field(
        1.0, description="Speed relative to the device; 0.5 is half as fast."
    )
    batch_size: PositiveInteger | None = Field(
        None, description="Samples per step of each of them; that of the task if not given."
    )
    uplink: BandwidthValue | None = Field(None, description="Bandwidth limit of what each of them sends.")
    downlink: BandwidthValue | None = Field(
        None, description="Bandwidth limit of what each of them receives."
    )
    costs: RunningCosts | None = Field(
        None, description="What each of them costs: dollars and watts; what is not given is the device's."
    )

    @model_validator(mode="after")
    def _count_or_nodes(self) -> Self:
        if self.count is not None and self.nodes is not None:
            raise ScenarioError.at(("count",), "given twice: `nodes` says how many", given=self.count)
        return self


class ServerConfig(Section):
    """The server, for algorithms that need one."""

    node: str | None = Field(
        None, description="The host that it runs on; chosen by the topology if not given."
    )
    device: Device = Field("cpu", description="A device profile's name or file, or one in place.")
    speed: Annotated[Number, Field(gt=0)] = Field(1.0, description="Speed relative to the device.")
    uplink: BandwidthValue | None = Field(None, description="Bandwidth limit of what it sends.")
    downlink: BandwidthValue | None = Field(None, description="Bandwidth limit of what it receives.")
    costs: RunningCosts | None = Field(
        None, description="What it costs: dollars and watts; what is not given is the device's."
    )


class ChargeAs(Section):
    """The larger task that the clock and the bytes pretend is being trained."""

    parameters: Annotated[Count, Positive] = Field(
        description="Parameters of the pretended model, such as 1.3B."
    )
    layers: PositiveInteger | None = Field(
        None,
        description="Its layers, for methods that send layer by layer; if not given, those of the model that "
        "is trained.",
    )
    tokens_per_step: Annotated[Count, Positive] | None = Field(
        None, description="Tokens that one step of one worker is charged for."
    )
    samples_per_step: Annotated[Count, Positive] | None = Field(
        None, description="Samples that one step of one worker is charged for."
    )
    step_seconds: Annotated[Seconds, Positive] | None = Field(
        None,
        description="Seconds of one training step at speed 1, gradient and optimizer together, instead of "
        "what a device takes for so many FLOPs.",
    )
    bytes_per_parameter: BytesEach | None = Field(
        None,
        description="What a parameter takes on the wire: 2, or 13.4 bit; as in the model that is trained (4) "
        "if not given.",
    )

    @model_validator(mode="after")
    def _one_size_of_a_step(self) -> Self:
        keys = ("tokens_per_step", "samples_per_step", "step_seconds")
        given = [key for key in keys if getattr(self, key) is not None]
        if len(given) > 1:
            raise ScenarioError.at(
                (given[1],),
                f"given beside `{given[0]}`",
                given=getattr(self, given[1]),
                expected=f"one of {', '.join(keys)}",
            )
        return self

    @model_validator(mode="after")
    def _parameters_for_all_layers(self) -> Self:
        if self.layers is not None and self.layers > self.parameters:
            raise ScenarioError.at(
                ("layers",),
                "more layers than parameters",
                given=self.layers,
                expected=f"at most {self.parameters:g}",
            )
        return self


SYNTHETIC = "synthetic"
"""The task of timing-only runs, which has no data, no optimizer, and needs no device."""


def _batch_size(value: object) -> object:
    whole = isinstance(value, int | float) and not isinstance(value, bool) and value % 1 == 0 and value > 0
    if value != "full" and not whole:
        expected = "a whole number above zero, or full"
        raise ScenarioError.at((), "not a batch size", given=value, expected=expected)
    return value


class TaskConfig(Open):
    """What is learned. Further keys belong to the task that is named."""

    model_config = ConfigDict(
        json_schema_extra={
            "if": {"properties": {"name": {"const": SYNTHETIC}}},
            "else": {"required": ["batch_size", "optimizer"]},
        }
    )

    name: str = Field(
        description="classification, language-model, quadratic, synthetic, or module:attribute.",
        min_length=1,
    )
    dataset: Component | None = Field(None, description="The dataset: a name, or a mapping with its options.")
    model: Component | None = Field(None, description="The model: a name, or a mapping with its options.")
    partition: Component = Field(
        Component(name="iid"),
        description="What each worker sees of the samples: iid, dirichlet, by-class, common, mixture, "
        "feature-shift.",
    )
    batch_size: Annotated[int | Literal["full"], BeforeValidator(_batch_size)] | None = Field(
        None,
        description="Samples per worker and step, or full for all of a worker's samples. Every task but "
        "synthetic needs it.",
    )
    optimizer: Component | None = Field(
        None,
        description="The workers' optimizer with its hyperparameters. Every task but synthetic needs it.",
    )
    charge_as: ChargeAs | None = Field(
        None, description="Pretend a larger model: its compute time and its bytes."
    )

    @model_validator(mode="after")
    def _data_and_optimizer(self) -> Self:
        if self.name != SYNTHETIC:
            problems = [
                Problem((key,), "missing key", expected=type(self).model_fields[key].description or "")
                for key in ("batch_size", "optimizer")
                if getattr(self, key) is None
            ]
            if problems:
                raise ScenarioError(problems)
        return self


class StopConfig(Section):
    """When a run ends: at the first of these that comes true. One of time, steps and bytes is needed."""

    time: Annotated[Seconds, Positive] | None = Field(None, description="Virtual time, such as 30 min.")
    steps: PositiveInteger | None = Field(None, description="Steps per worker (mean over the workers).")
    loss: Number | None = Field(
        None, description="Held-out loss of the model that the method would hand over."
    )
    bytes: Annotated[Bytes, Positive] | None = Field(None, description="Bytes sent in total, such as 10 GB.")

    @model_validator(mode="after")
    def _ends(self) -> Self:
        if self.time is None and self.steps is None and self.bytes is None:
            raise ScenarioError.at((), "a run might never end", expected="at least one of time, steps, bytes")
        return self


def _interval(value: object) -> Interval:
    return value if isinstance(value, Interval) else Interval.parse(value)


class EvaluateConfig(Section):
    """When the model is evaluated on held-out data, which costs no virtual time."""

    every: Annotated[
        Interval,
        BeforeValidator(_interval),
        PlainSerializer(str, return_type=str, when_used="json"),
        WithJsonSchema({"type": "string", "examples": ["30 s", "10 steps"]}),
    ] = Field(description="Interval in virtual time (30 s) or in steps (10 steps).")
    samples: PositiveInteger | None = Field(
        None, description="At most so many held-out samples; all if not given."
    )

    @property
    def seconds(self) -> float | None:
        """The interval in virtual seconds, or None where it is counted in steps."""
        return self.every.seconds

    @property
    def steps(self) -> int | None:
        """The interval in steps, or None where it is a time."""
        return self.every.steps


def _one_group_or_more(value: object) -> object:
    return [value] if isinstance(value, dict | WorkerGroup) else value


def _torch_device(value: str) -> str:
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", value):
        raise ScenarioError.at(
            (),
            "not a device to compute on",
            given=value,
            expected="one of auto, cpu, cuda, cuda:0, cuda:1, ...",
        )
    return value


class Scenario(Section):
    """A scenario, checked as far as the schema can: a network, machines, a task, algorithms to compare.

    Equality is that of what it says, not of where it was read.
    """

    name: Label = Field(description="Names the folder of its results.")
    description: str = Field("", description="For people: the question that it answers.")
    seed: Annotated[Integer, Field(ge=0)] = Field(0, description="Seed of all randomness.")
    device: Annotated[str, AfterValidator(_torch_device)] = Field(
        "auto",
        description="Where torch computes here: auto, cpu, cuda or cuda:i. Not part of the simulation.",
    )
    threads: PositiveInteger | None = Field(
        None, description="torch threads; if not given, one for small models and all cores for large ones."
    )
    engine: EngineConfig = Field(EngineConfig(), description="How torch does the workers' work.")
    network: NetworkConfig = Field(description="The network between the workers.")
    workers: Annotated[tuple[WorkerGroup, ...], BeforeValidator(_one_group_or_more), Field(min_length=1)] = (
        Field(description="The machines: one group of equal workers, or a list of groups.")
    )
    server: ServerConfig | None = Field(None, description="The server, for algorithms that need one.")
    pipeline: PipelineConfig | None = Field(
        None, description="How the model is cut into stages, for algorithms that train it as a pipeline."
    )
    faults: FaultsConfig = Field(FaultsConfig(), description="What goes wrong; nothing if not given.")
    task: TaskConfig = Field(description="What is learned.")
    algorithms: Annotated[tuple[AlgorithmEntry, ...], Field(min_length=1)] = Field(
        description="The algorithms to compare, each with its hyperparameters."
    )
    stop: StopConfig = Field(description="When a run ends.")
    evaluate: EvaluateConfig = Field(
        None,
        validate_default=True,
        description="When the model is evaluated on held-out data; if not given, twenty times over `stop`.",
    )
    sweep: Annotated[dict[str, Any], WithJsonSchema(sweep_schema())] = Field(
        default={},
        description="Dotted keys with lists or ranges of values: the scenario is run for every combination.",
    )
    expect: tuple[str, ...] = Field(
        (),
        description="Comparisons that must hold, such as final_loss(diloco) < 2.6, for `simnet check`.",
    )

    _source: Source | None = PrivateAttr(None)

    def __eq__(self, other: object) -> bool:
        """Whether ``other`` says the same."""
        return isinstance(other, Scenario) and self.__dict__ == other.__dict__

    __hash__ = None  # type: ignore[assignment]  # holds dicts

    @field_validator("evaluate", mode="before")
    @classmethod
    def _twenty_times(cls, value: object, info: ValidationInfo) -> object:
        stop = info.data.get("stop")  # absent where it is wrong itself
        if value is not None or stop is None:
            return value if value is not None else {"every": "1 steps"}
        if stop.steps is not None:
            return {"every": f"{max(1, stop.steps // 20)} steps"}
        if stop.time is not None:
            return {"every": f"{stop.time / 20!r} s"}
        raise ScenarioError.at(
            ("evaluate",), "missing key", expected="every: 30 s or 10 steps, where only bytes limit a run"
        )

    @field_validator("workers")
    @classmethod
    def _one_rest_at_most(cls, groups: tuple[WorkerGroup, ...]) -> tuple[WorkerGroup, ...]:
        rest = [i for i, group in enumerate(groups) if group.count is None and group.nodes is None]
        if len(rest) > 1:
            raise ScenarioError.at(
                (rest[1],),
                f"group {rest[0]} already takes the rest of the hosts",
                expected="`count` or `nodes` in every group but one",
            )
        return groups

    @field_validator("algorithms")
    @classmethod
    def _labels_differ(cls, entries: tuple[AlgorithmEntry, ...]) -> tuple[AlgorithmEntry, ...]:
        labels = [entry.label for entry in entries]
        problems = [
            Problem(
                (i,),
                f"a second algorithm called {label}",
                label,
                "a `label:` of its own",
                f"label: {label}-{i + 1}",
            )
            for i, label in enumerate(labels)
            if label in labels[:i]
        ]
        if problems:
            raise ScenarioError(problems)
        return entries

    @field_validator("expect")
    @classmethod
    def _expectations_parse(cls, lines: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        entries = info.data.get("algorithms")  # absent where they are wrong themselves
        labels = None if entries is None else [entry.label for entry in entries]
        problems: list[Problem] = []
        for i, line in enumerate(lines):
            try:
                parse_expectation(line, labels, (i,))
            except ScenarioError as error:
                problems += error.problems
        if problems:
            raise ScenarioError(problems)
        return lines

    @model_validator(mode="after")
    def _devices(self) -> Self:
        needed = () if self.task.name == SYNTHETIC else self.workers
        expected = WorkerGroup.model_fields["device"].description or ""
        problems = [
            Problem(("workers", index, "device"), "missing key", expected=expected)
            for index, group in enumerate(needed)
            if group.device is None
        ]
        if problems:
            raise ScenarioError(problems)
        return self

    @property
    def source(self) -> Source | None:
        """The file that it was read from, or None where it was made in Python."""
        return self._source

    @property
    def folder(self) -> FilePath | None:
        """The folder of its file, where plugins and data files named in it are looked for first."""
        return self._source.folder if self._source else None

    def folder_of(self, path: Path) -> FilePath | None:
        """The folder of the file that the value at ``path`` comes from: this one's, or one that it uses."""
        return self._source.folder_of(path) if self._source else None

    def read_from(self, source: Source) -> Self:
        """The same scenario, which knows where it was read."""
        copy = self.model_copy()
        copy._source = source
        return copy

    def explain(self, error: ScenarioError) -> str:
        """``error`` for people, with the file and lines of this scenario."""
        return describe(error, self._source)
