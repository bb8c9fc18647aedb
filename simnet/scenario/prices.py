"""What a scenario says about money and power: of machines by the hour, of links by the gigabyte."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from simnet.scenario.errors import ScenarioError
from simnet.scenario.fields import Number, Section

NotNegative = Annotated[Number, Field(ge=0)]


class RunningCosts(Section):
    """What a machine costs while it is in a run. What is not given is not known, which is not zero."""

    dollars_per_hour: NotNegative | None = Field(
        None, description="Rent of one machine, from the start of a run to its end; 0 for one's own."
    )
    idle_watts: NotNegative | None = Field(None, description="Power that it draws while it does not compute.")
    busy_watts: NotNegative | None = Field(None, description="Power that it draws while it computes.")

    @model_validator(mode="after")
    def _busy_draws_more(self) -> Self:
        if self.idle_watts is not None and self.busy_watts is not None and self.busy_watts < self.idle_watts:
            raise ScenarioError.at(
                ("busy_watts",),
                "less than idle_watts",
                given=self.busy_watts,
                expected=f"at least {self.idle_watts:g}",
            )
        return self

    def over(self, other: "RunningCosts | None") -> "RunningCosts":
        """These costs, and where they say nothing those of ``other``."""
        if other is None:
            return self
        given = self.model_dump(exclude_none=True)
        return other.model_copy(update=given)
