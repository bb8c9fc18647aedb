"""What a scenario says about hosts that are slower than their device, always or at times.

Every kind gives a *factor*: what the time of a piece of work is multiplied by. 1 changes nothing, 2 takes
twice as long, 0.5 half as long. It is always above 0.
"""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, Field, model_validator

from simnet.scenario.errors import ScenarioError
from simnet.scenario.fields import Number, PositiveInteger, Section
from simnet.scenario.kinds import known_kind, one_or_more
from simnet.scenario.links import PositiveSeconds, TraceFile
from simnet.scenario.spans import Span

LEAST_FACTOR, GREATEST_FACTOR = 1e-3, 1e6
"""What a factor that a scenario states may be: beyond them, something else is meant."""
Factor = Annotated[Number, Field(ge=LEAST_FACTOR, le=GREATEST_FACTOR)]
Per = Literal["step", "run"]
NodeNames = Annotated[tuple[str, ...], Field(min_length=1)]


class _Selection(Section):
    """Which hosts a straggler entry is about."""

    nodes: NodeNames | None = Field(
        None,
        description="The hosts that it slows down, by name, also the server's; all workers if not given.",
    )
    count: PositiveInteger | None = Field(
        None, description="Instead of `nodes`: so many workers, chosen at random by the seed."
    )

    @model_validator(mode="after")
    def _one_selection(self) -> Self:
        if self.nodes is not None and self.count is not None:
            raise ScenarioError.at(
                ("count",), "chosen by name and at random at once", expected="either `nodes` or `count`"
            )
        return self


class _Drawn(_Selection):
    """A factor that is drawn from a distribution."""

    per: Per = Field(
        "step",
        description="step: a draw for every training step; run: one for each host, which stays all run long.",
    )


class LognormalStragglers(_Drawn):
    """The factor is LogNormal(0, sigma): its median is 1, its mean exp(sigma^2 / 2)."""

    kind: Literal["lognormal"] = Field(description="What the factor is like.")
    sigma: Annotated[Number, Field(gt=0, le=10)] = Field(
        description="Standard deviation of the factor's logarithm."
    )


class ParetoStragglers(_Drawn):
    """P(factor > x) = x^-alpha from 1 on: a heavy tail, of mean alpha / (alpha - 1)."""

    kind: Literal["pareto"] = Field(description="What the factor is like.")
    alpha: Annotated[Number, Field(gt=1)] = Field(
        description="Index of the tail, above 1: only then is there a mean. Below 2 the variance is infinite."
    )


class ExponentialStragglers(_Drawn):
    """The factor is 1 + an exponential excess: the most of n is 1 + mean (1 + 1/2 + ... + 1/n) on average."""

    kind: Literal["exponential"] = Field(description="What the factor is like.")
    mean: Factor = Field(description="Mean of what is added to 1.")


class UniformStragglers(_Drawn):
    """The factor is uniform between two values."""

    kind: Literal["uniform"] = Field(description="What the factor is like.")
    low: Factor = Field(1.0, description="The least factor.")
    high: Factor = Field(description="The greatest factor.")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.low >= self.high:
            raise ScenarioError.at(("low",), "not below `high`", given=self.low, expected="low < high")
        return self


class BimodalStragglers(_Drawn):
    """The factor is `factor` with a probability, and 1 otherwise."""

    kind: Literal["bimodal"] = Field(description="What the factor is like.")
    probability: Annotated[Number, Field(gt=0, le=1)] = Field(description="How likely the slow value is.")
    factor: Factor = Field(description="The slow value.")


class Episodes(_Selection):
    """A host is fast and slow in turns (a Markov chain), each by its own luck; also within a computation."""

    kind: Literal["episodes"] = Field(description="What the factor is like.")
    factor: Factor = Field(description="The factor while it is slow; it is 1 while it is fast.")
    mean_slow: PositiveSeconds = Field(description="Mean length of a slow time; exponentially distributed.")
    mean_fast: PositiveSeconds = Field(description="Mean length of a fast time; exponentially distributed.")
    start: Literal["random", "slow", "fast"] = Field(
        "random", description="How it begins; random is slow with its share of the time."
    )


class TraceStragglers(_Selection, TraceFile):
    """The factor follows a CSV file of `time,factor`, each in force until the time of the next one."""

    kind: Literal["trace"] = Field(description="What the factor is like.")


class ScheduledStragglers(_Selection, Span):
    """A factor for a time that is named."""

    kind: Literal["scheduled"] = Field(description="What the factor is like.")
    factor: Factor = Field(description="The factor during that time; it is 1 before and after.")


Stragglers = (
    LognormalStragglers
    | ParetoStragglers
    | ExponentialStragglers
    | UniformStragglers
    | BimodalStragglers
    | Episodes
    | TraceStragglers
    | ScheduledStragglers
)
DrawnStragglers = (
    LognormalStragglers | ParetoStragglers | ExponentialStragglers | UniformStragglers | BimodalStragglers
)
_KINDS: dict[str, type[BaseModel]] = {
    "lognormal": LognormalStragglers,
    "pareto": ParetoStragglers,
    "exponential": ExponentialStragglers,
    "uniform": UniformStragglers,
    "bimodal": BimodalStragglers,
    "episodes": Episodes,
    "trace": TraceStragglers,
    "scheduled": ScheduledStragglers,
}
_Straggler = Annotated[
    Stragglers,
    Field(discriminator="kind"),
    known_kind(_KINDS, "straggler", f"{{kind: lognormal, sigma: 0.5}}; kinds: {', '.join(_KINDS)}"),
]
StragglersConfig = Annotated[tuple[_Straggler, ...], BeforeValidator(one_or_more)]
"""One entry or a list of them; the factors of several are multiplied."""
