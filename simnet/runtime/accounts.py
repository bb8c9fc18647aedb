"""Where the nodes' time went in a run in which something goes wrong."""

from collections.abc import Iterable

from simnet.results import Recorder
from simnet.runtime.simulated_node import SimulatedNode

ACCOUNTS = ("useful_seconds", "wasted_seconds", "undone_seconds", "stalled_seconds")
"""What is recorded of every node at the end of a run: computing what counts, what was cut off or came to
nothing, and what all went back behind; and what checkpoints took of the device."""


def record_accounts(nodes: Iterable[SimulatedNode], recorder: Recorder, ended: float) -> dict[str, float]:
    """Write down the accounts of each node; gives their sums over all of them."""
    totals = dict.fromkeys(ACCOUNTS, 0.0)
    for node in nodes:
        for name in ACCOUNTS:
            value = float(getattr(node, name))
            totals[name] += value
            recorder.metric(ended, node.id, node.steps, name, value)
    return totals
