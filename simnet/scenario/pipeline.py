"""What a scenario says about pipelines: how many stages and replicas, where they stand, what they cost."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from simnet.scenario.errors import ScenarioError
from simnet.scenario.fields import Positive, PositiveInteger, Section
from simnet.units import Seconds


class StageCharge(Section):
    """The larger model that messages and clock pretend: its activations, and what its passes take."""

    samples: PositiveInteger = Field(description="Samples of a microbatch.")
    tokens: PositiveInteger = Field(1, description="Tokens of a sample.")
    width: PositiveInteger = Field(description="Numbers per token that cross from one stage to the next.")
    forward: Annotated[Seconds, Positive] | None = Field(
        None,
        description="Time of one sample's forward pass through one stage, on a machine of speed 1; counted "
        "in FLOPs and charged to the stage's device if not given.",
    )
    backward: Annotated[Seconds, Positive] | None = Field(
        None, description="The same of its backward pass, without computing the forward pass again."
    )

    @model_validator(mode="after")
    def _both_times(self) -> Self:
        if (self.forward is None) != (self.backward is None):
            missing = "backward" if self.backward is None else "forward"
            raise ScenarioError.at((missing,), "missing key: forward and backward come together")
        return self


class PipelineConfig(Section):
    """How models are cut into stages, for algorithms that train them as a pipeline."""

    stages: PositiveInteger = Field(description="Stages that the model is cut into, one host each.")
    replicas: PositiveInteger | None = Field(
        None, description="Pipelines side by side; as many as the hosts are enough for if not given."
    )
    placement: Literal["replica-major", "stage-major"] | tuple[tuple[str, ...], ...] = Field(
        "replica-major",
        description="Where stages stand, hosts taken in order: replica-major: the stages of one replica are "
        "neighbours; stage-major: the replicas of one stage are; or the hosts of each replica's stages: "
        "[[a, b], [c, d]].",
    )
    blocks: tuple[PositiveInteger, ...] | None = Field(
        None,
        description="How many of the model's blocks each stage gets (each piece, where an algorithm gives a "
        "stage several); so that the dearest is as cheap as can be if not given.",
    )
    charge_as: StageCharge | None = Field(
        None, description="Pretend larger activations, and optionally their time."
    )

    @model_validator(mode="after")
    def _hosts_of_every_stage(self) -> Self:
        if isinstance(self.placement, str):
            return self
        for replica, hosts in enumerate(self.placement):
            if len(hosts) != self.stages:
                raise ScenarioError.at(
                    ("placement", replica),
                    f"{len(hosts)} hosts",
                    list(hosts),
                    f"{self.stages}, one per stage",
                )
        every: list[Any] = [host for hosts in self.placement for host in hosts]
        twice = sorted({host for host in every if every.count(host) > 1})
        if twice:
            raise ScenarioError.at(("placement",), "a host has one stage", twice[0], "hosts that differ")
        if self.replicas not in (None, len(self.placement)):
            raise ScenarioError.at(
                ("replicas",), "not what `placement` says", self.replicas, str(len(self.placement))
            )
        return self
