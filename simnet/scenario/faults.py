"""What a scenario says about what goes wrong: one key for each kind of fault."""

from pydantic import Field

from simnet.scenario.byzantine import ByzantineEntries
from simnet.scenario.fields import Section


class FaultsConfig(Section):
    """What goes wrong: nothing, unless a key says otherwise."""

    byzantine: ByzantineEntries = Field(
        (), description="Nodes that lie, cheat or dawdle: one group of them, or a list."
    )
