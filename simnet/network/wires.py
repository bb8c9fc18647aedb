"""Receivers with one inbound wire each, that carries one message after another."""

from simnet.network.transfer import Transfer


class ReceiverWires:
    """Until when each receiver's wire is taken.

    Message j arrives at max(arrival of j - 1, sent) + bytes / bandwidth + latency: the latency is part of
    the time in which the wire is taken.
    """

    def __init__(self) -> None:
        self._free: dict[str, float] = {}

    def seconds(self, transfer: Transfer, bandwidth: float, now: float) -> float:
        """Put a message on its receiver's wire, behind what is there; gives the seconds until it arrives.

        Raises:
            ValueError: Nothing passes: a wire cannot wait until something does.
        """
        if bandwidth == 0:
            raise ValueError(
                f"nothing passes from {transfer.source} to {transfer.target}, and a wire cannot wait"
            )
        begin = max(self._free.get(transfer.target, now), now)
        arrival = begin + transfer.bytes / float(bandwidth) + transfer.latency
        self._free[transfer.target] = arrival
        return arrival - now
