"""What is learned, and what the clock and the bytes pretend of it."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from simnet.scenario.errors import Problem, ScenarioError
from simnet.scenario.fields import BytesEach, Component, Open, Positive, PositiveInteger, Section
from simnet.units import Count, Seconds


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
