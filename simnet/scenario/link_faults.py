"""What a scenario says about links that fail, get worse, lose packets or come and go."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, Field, model_validator

from simnet.scenario.errors import ScenarioError
from simnet.scenario.fields import Number, Section
from simnet.scenario.kinds import known_kind, one_or_more
from simnet.scenario.links import Loss, PositiveSeconds
from simnet.scenario.spans import Span


class _Where(Section):
    """Which links a link fault is about: one, those of a node, or all."""

    link: str | None = Field(
        None,
        description="Which link: a-b for both directions, a->b for one, or a node alone where it has one "
        "link; all links if neither `link` nor `node` is given.",
        min_length=1,
    )
    node: str | None = Field(None, description="Instead of `link`: all links of this node.", min_length=1)

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.link is not None and self.node is not None:
            raise ScenarioError.at(
                ("node",), "a link and all links of a node at once", expected="either `link` or `node`"
            )
        return self


class LinkDown(_Where, Span):
    """Nothing passes. What is under way waits; with `network.rerouting` routes avoid the link."""

    kind: Literal["down"] = Field(description="What is wrong.")


class LinkDegraded(_Where, Span):
    """Less bandwidth, more latency, or both."""

    kind: Literal["degraded"] = Field(description="What is wrong.")
    bandwidth: Annotated[Number, Field(gt=0)] | None = Field(
        None, description="What the bandwidth is multiplied by, such as 0.1."
    )
    latency: Annotated[Number, Field(gt=0)] | None = Field(
        None, description="What the latency is multiplied by, such as 3."
    )

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if self.bandwidth is None and self.latency is None:
            raise ScenarioError.at(
                (), "a link that is degraded in nothing", expected="`bandwidth` or `latency`, as factors"
            )
        return self


class LinkLossy(_Where, Span):
    """Packets are lost, beside those that the link loses anyway. The transport says what that costs."""

    kind: Literal["lossy"] = Field(description="What is wrong.")
    loss: Annotated[Loss, Field(gt=0)] = Field(
        description="Probability that a packet is lost, above 0 and below 1."
    )


class LinkFlapping(_Where, Span):
    """A link comes and goes at random times (a Markov chain), each by its own luck. What is on it waits."""

    kind: Literal["flapping"] = Field(description="What is wrong.")
    mean_up: PositiveSeconds = Field(description="Mean time that it works; exponentially distributed.")
    mean_down: PositiveSeconds = Field(description="Mean time that it is down; exponentially distributed.")
    start: Literal["random", "up", "down"] = Field(
        "up", description="How it begins; random is down with its share of the time."
    )


LinkFault = LinkDown | LinkDegraded | LinkLossy | LinkFlapping
_KINDS: dict[str, type[BaseModel]] = {
    "down": LinkDown,
    "degraded": LinkDegraded,
    "lossy": LinkLossy,
    "flapping": LinkFlapping,
}
_LinkFault = Annotated[
    LinkFault,
    Field(discriminator="kind"),
    known_kind(
        _KINDS, "link fault", f"{{kind: down, link: a-b, at: 30 s, for: 10 s}}; kinds: {', '.join(_KINDS)}"
    ),
]
LinkFaultsConfig = Annotated[tuple[_LinkFault, ...], BeforeValidator(one_or_more)]
"""One entry or a list of them; what several do to one link adds up."""
