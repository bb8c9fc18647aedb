"""What a scenario says about what goes wrong: one key for each kind of fault."""

from pydantic import Field

from simnet.scenario.checkpoint import CheckpointConfig
from simnet.scenario.fields import Section


class FaultsConfig(Section):
    """What goes wrong: nothing, unless a key says otherwise."""

    checkpoint: CheckpointConfig | None = Field(
        None, description="Checkpoints, and going back to them; none if not given."
    )
