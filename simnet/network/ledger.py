"""The ledger: what has left its source, and what became of it."""

from simnet.network.invariants import InvariantError

UNITS = 2**20
"""The ledger counts whole units of 2^-20 bytes: integers add up exactly, in whatever order they come."""


def units(bytes: float) -> int:
    """So many whole units are in `bytes`."""
    return round(bytes * UNITS)


class Ledger:
    """Bytes (in units) and messages of one network."""

    def __init__(self) -> None:
        self.left = self.received = self.lost = self.local = 0
        self.started = self.ended = 0

    def check(self, in_transit: int, under_way: int) -> None:
        """Raise `InvariantError` unless all is accounted for: what has left and not arrived, and who is
        under way."""
        accounted = self.received + self.lost + in_transit
        if self.left != accounted:
            raise InvariantError(
                f"{self.left / UNITS} bytes were sent, but {accounted / UNITS} "
                "were received, lost or are in flight"
            )
        if self.started != self.ended + under_way:
            raise InvariantError(
                f"{self.started} messages started, {self.ended} ended, {under_way} are under way"
            )
