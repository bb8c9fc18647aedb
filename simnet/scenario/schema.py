"""The scenario's schema: what a YAML file may say, with every key documented where it is defined.

Only what needs no other room is checked here. The options of a topology, a task, a model and the like are
kept as they are, and checked by the room that owns them.
"""

import re
from pathlib import Path as FilePath
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    PrivateAttr,
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
    Component,
    Integer,
    Label,
    Number,
    Positive,
    PositiveInteger,
    Section,
    default_label,
)
from simnet.scenario.interval import Interval
from simnet.scenario.machines import ServerConfig, WorkerGroup
from simnet.scenario.network import NetworkConfig
from simnet.scenario.pipeline import PipelineConfig
from simnet.scenario.source import Source
from simnet.scenario.task import SYNTHETIC, TaskConfig
from simnet.units import Bytes, Seconds


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
