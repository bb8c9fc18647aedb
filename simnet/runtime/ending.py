"""How a run ends: when its target is reached, whether clock and work agree, and what it came to."""

from collections.abc import Iterable, Mapping, Sequence
from math import inf
from typing import TYPE_CHECKING

from simnet.network import FluidNetwork, InvariantError
from simnet.results import Recorder
from simnet.runtime.simulated_node import SimulatedNode
from simnet.runtime.world import Outcome
from simnet.scenario import StopConfig

if TYPE_CHECKING:
    from simnet.runtime.simulated import SimulatedRun


def target_moment(stop: StopConfig, loss: float, network: FluidNetwork, now: float, until: float) -> float:
    """When the loss or the bytes of `stop` are reached, if that is before the next event at `until`.

    `loss` is the latest that was evaluated. Infinite if neither is.
    """
    if stop.loss is not None and loss <= stop.loss:
        return now
    if stop.bytes is None:
        return inf
    sent = network.bytes_sent
    if sent >= stop.bytes:
        return now
    by_then = network.bytes_sent_at(until) if until < inf else sent
    if by_then < stop.bytes:
        return inf
    return now + (until - now) * (stop.bytes - sent) / (by_then - sent)  # bytes flow steadily till then


def check_work(counts: Mapping[str, int], done: str) -> None:
    """Raise `InvariantError` unless every charged step was really taken; if only timed, counted."""
    for kind in ("gradients", "steps"):
        charged, found = counts.get(f"{kind}_charged", 0), counts.get(f"{kind}_{done}", 0)
        if charged != found:
            raise InvariantError(f"{charged} {kind} were charged, {found} were {done}")


def work_seconds(nodes: Iterable[SimulatedNode], unfinished: float) -> dict[str, float]:
    """Computing time of all nodes, as far as it was charged, and what became of it.

    Of `unfinished` seconds nobody has the results yet. Raises `InvariantError` if that does not add up.
    """
    accounts = [node.computing for node in nodes]
    charged = sum(account.busy_seconds for account in accounts)
    wasted = sum(account.wasted_seconds for account in accounts)
    undone = sum(account.undone_seconds for account in accounts)
    used = sum(account.used_seconds for account in accounts) - unfinished - undone
    if abs(charged - used - wasted - undone - unfinished) > 1e-9 * max(1.0, charged):
        raise InvariantError(
            f"{charged} s of work were charged, but {used} s were used, {wasted} s wasted, "
            f"{undone} s undone and {unfinished} s unfinished"
        )
    return {
        "work_seconds_charged": charged,
        "work_seconds_used": used,
        "work_seconds_wasted": wasted,
        "work_seconds_undone": undone,
        "work_seconds_unfinished": unfinished,
    }


def close_network(network: FluidNetwork, recorder: Recorder) -> float:
    """Cut off what is still under way, and record what each link carried.

    Gives the bytes that were under way. Raises `InvariantError` if bytes appeared or vanished.
    """
    network.check()
    in_flight = network.bytes_in_flight
    network.close()
    network.check()
    use = network.link_use()
    recorder.links(
        use.resource, use.start.tolist(), use.end.tolist(), use.bytes.tolist(), use.capacity.tolist()
    )
    return in_flight


def outcome(
    run: "SimulatedRun",
    workers: Sequence[SimulatedNode],
    ended: float,
    final: dict[str, float],
    known: Mapping[str, float],
    aborted: str,
) -> Outcome:
    """What a run came to that is over.

    Args:
        run: The run, its network closed.
        workers: The nodes that trained.
        ended: When, in seconds.
        final: What was evaluated last.
        known: Counted or charged beside the run's own counts.
        aborted: Who gave up, when and why, if the method ended the run itself.
    """
    busy = sum(node.computing.busy_seconds for node in workers)
    return Outcome(
        virtual_seconds=ended,
        steps=run.worker_steps / len(workers),
        worker_steps=run.worker_steps,
        bytes_sent=run.network.bytes_sent,
        raw_bytes_sent=run.raw_bytes_sent,
        utilization=busy / (ended * len(workers)) if ended > 0 else 0.0,
        final=final,
        invariants={
            **run.counts,
            "bytes_sent": run.network.bytes_sent,
            "bytes_received": run.network.bytes_received,
            "bytes_lost": run.network.bytes_lost,
            **known,
        },
        aborted=aborted,
    )
