"""What a run records of each message, and of where the nodes' time went if something goes wrong."""

from collections.abc import Iterable

from simnet.network import Transfer
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


def record_transfer(recorder: Recorder, transfer: Transfer) -> None:
    """Write down what became of a transfer that has ended."""
    recorder.transfer(
        transfer.id,
        transfer.kind,
        transfer.source,
        transfer.target,
        transfer.raw_bytes,
        transfer.bytes,
        transfer.start,
        transfer.left_at,
        transfer.delivered_at,
        transfer.status,
        transfer.mean_rate,
        transfer.bound,
    )
