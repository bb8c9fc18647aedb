"""What must hold in every run, whatever a scenario says."""


class InvariantError(Exception):
    """simnet contradicts itself: time ran backwards, or bytes do not add up. Never a user's mistake."""
