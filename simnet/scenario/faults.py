"""What a scenario says about what goes wrong: one key for each kind of fault."""

from simnet.scenario.fields import Section


class FaultsConfig(Section):
    """What goes wrong: nothing, unless a key says otherwise."""
