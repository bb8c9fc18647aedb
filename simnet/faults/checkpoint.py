"""What checkpoints cost, in closed form: stalls, when storage has them, how often they pay.

The model is that of DataStates-LLM (Maurya et al., HPDC 2024): a checkpoint of S bytes is copied from the
device to its host's memory, and from there to storage. Parameters and optimizer state do not change between
the end of one optimizer step and the next, so a lazy copy hides behind the forward and backward pass in
between.
"""

from dataclasses import dataclass
from math import sqrt
from typing import Literal

Mode = Literal["synchronous", "snapshot", "lazy"]


@dataclass(frozen=True)
class CheckpointCost:
    """What one node's checkpoint takes. Sizes in bytes, bandwidths in bytes per second."""

    bytes: float
    device_to_host: float
    storage: float
    """Of this node: its own bandwidth, or its share where all write at once."""
    mode: Mode = "synchronous"
    hidden_seconds: float = 0.0
    """Of the next forward and backward pass, behind which a lazy copy hides."""

    @property
    def copy_seconds(self) -> float:
        """Device to host."""
        return self.bytes / self.device_to_host

    @property
    def write_seconds(self) -> float:
        """Host to storage, or back."""
        return self.bytes / self.storage

    def stall_seconds(self, flush_left: float = 0.0) -> float:
        """How long the device does nothing else.

        `flush_left` is how long the host's memory is still full of earlier checkpoints. A synchronous
        checkpoint leaves nothing behind, so there it is always zero.
        """
        if self.mode == "synchronous":
            return self.copy_seconds + self.write_seconds
        if self.mode == "snapshot":
            return self.copy_seconds + flush_left
        return max(0.0, self.copy_seconds - self.hidden_seconds) + flush_left

    @property
    def commit_seconds(self) -> float:
        """From where the checkpoint begins, with room in the host's memory, until storage has all of it.

        A lazy one is written while it is copied.
        """
        if self.mode == "lazy":
            return max(self.copy_seconds, self.write_seconds)
        return self.copy_seconds + self.write_seconds

    @property
    def restore_seconds(self) -> float:
        """Storage to host to device."""
        return self.write_seconds + self.copy_seconds

    def cycle_seconds(self, work_seconds: float) -> float:
        """From one checkpoint to the next when there are `work_seconds` of work in between, in the long run,
        with room for one checkpoint in the host's memory.

        Storage may be what sets the pace: then the stall waits for it.
        """
        free_at = self.commit_seconds  # since the checkpoint before began
        return self.stall_seconds(max(0.0, free_at - work_seconds - self.stall_seconds())) + work_seconds

    def overhead_seconds(self, work_seconds: float) -> float:
        """What a checkpoint adds to `work_seconds` of work, in the long run."""
        return self.cycle_seconds(work_seconds) - work_seconds


def young_interval(stall_seconds: float, mean_seconds_between_failures: float) -> float:
    """`sqrt(2 C M)`: seconds of work between checkpoints that lose the least time (Young, 1974).

    C is what a checkpoint stalls, M the mean time between failures of everything that has to go back; it
    holds for C much less than M. Daly (2006) has the higher orders. Raises `ValueError` for a negative C and
    an M that is not positive.
    """
    if stall_seconds < 0 or not mean_seconds_between_failures > 0:
        raise ValueError(
            f"needs a stall of at least 0 s and a positive time between failures, not {stall_seconds} s "
            f"and {mean_seconds_between_failures} s"
        )
    return sqrt(2 * stall_seconds * mean_seconds_between_failures)


def optimal_interval(cost: CheckpointCost, mean_seconds_between_failures: float) -> float:
    """From the begin of one checkpoint to that of the next: Young's interval of work, and the stall itself.

    Never so short that storage cannot follow: where stalls cost next to nothing, more checkpoints are better
    until one would have to wait for the one before.
    """
    stall = cost.stall_seconds()
    return max(stall + young_interval(stall, mean_seconds_between_failures), cost.commit_seconds)
