"""Where the nodes' time went in a run in which something goes wrong."""

from collections.abc import Iterable

from simnet.results import Recorder
from simnet.runtime.simulated_node import SimulatedNode

ACCOUNTS = ("useful_seconds", "wasted_seconds", "undone_seconds", "stalled_seconds")
"""What is recorded of every node at the end of a run: computing what counts, what was cut off or came to
nothing, and what all went back behind; and what checkpoints took of the device."""


def record_accounts(nodes: Iterable[SimulatedNode], recorder: Recorder, ended: float) -> None:
    """Write down the accounts of each node."""
    for node in nodes:
        for name in ACCOUNTS:
            recorder.metric(ended, node.id, node.steps, name, float(getattr(node.computing, name)))
