"""What a scenario says about collective operations."""

from typing import Annotated, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from simnet.scenario.errors import ScenarioError
from simnet.scenario.fields import PositiveInteger, Section

AllReduceName = Literal[
    "ring",
    "tree",
    "pipelined-chain",
    "pipelined-tree",
    "recursive-doubling",
    "halving-doubling",
    "hierarchical",
    "parameter-server",
    "auto",
]
BroadcastName = Literal["binomial", "scatter-all-gather", "pipelined-chain", "pipelined-tree", "auto"]

_TAKES = {
    "chunks": ("pipelined-chain", "pipelined-tree"),
    "group_size": ("hierarchical", "auto"),
    "servers": ("parameter-server",),
}
"""Which algorithms an option belongs to."""


class _WithOptions(Section):
    name: str

    @model_validator(mode="after")
    def _options_belong(self) -> Self:
        for option, names in _TAKES.items():
            if getattr(self, option, None) is not None and self.name not in names:
                raise ScenarioError.at(
                    (option,),
                    f"{self.name} does not take it",
                    given=getattr(self, option),
                    expected=f"only with {' or '.join(names)}",
                )
        return self


class AllReduceConfig(_WithOptions):
    """An all-reduce algorithm with its options."""

    name: AllReduceName = Field(description="The algorithm.")
    chunks: PositiveInteger | None = Field(
        None, description="Pipelined: how many pieces the tensor is cut into; by formula if not given."
    )
    group_size: PositiveInteger | None = Field(
        None,
        description="Hierarchical: members per local group, in rank order; those on one switch if not given.",
    )
    servers: PositiveInteger | None = Field(
        None, description="Parameter server: how many of the members, from the first, serve; 1 if not given."
    )


class BroadcastConfig(_WithOptions):
    """A broadcast algorithm with its options."""

    name: BroadcastName = Field(description="The algorithm.")
    chunks: PositiveInteger | None = Field(
        None, description="Pipelined: how many pieces the tensor is cut into; by formula if not given."
    )


def _form(value: object) -> str:
    return "<options>" if isinstance(value, dict | Section) else "<name>"


AllReduce = Annotated[
    Annotated[AllReduceName, Tag("<name>")] | Annotated[AllReduceConfig, Tag("<options>")],
    Discriminator(_form),
]
Broadcast = Annotated[
    Annotated[BroadcastName, Tag("<name>")] | Annotated[BroadcastConfig, Tag("<options>")],
    Discriminator(_form),
]
