"""A run in the Chrome trace format, which Perfetto (https://ui.perfetto.dev) and chrome://tracing show.

Nodes are processes. Their threads are what they do at the same time: computation, collectives and waits,
sends, receives, faults; a second lane ("sends 2") where two things of a kind overlap. Every message that
arrived has an arrow from its send to its receipt. Metrics of the whole system are counters of the process
"whole system".

Times are microseconds of the virtual clock, as the format wants them. The format: "Trace Event Format" of the
Chromium project (Duca and Sinclair, 2016).
"""

from __future__ import annotations

import gzip
import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from heapq import heappop, heappush
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simnet.results.errors import ResultsError

if TYPE_CHECKING:
    from simnet.results.run import Run

Event = dict[str, Any]

_MICRO = 1e6
_SYSTEM = 0  # the process of the whole system; nodes count from 1
_LANES = 1_000_000  # thread ids of one kind
_THREADS = ("computation", "collectives and waits", "sends", "receives", "faults")


def trace_events(run: Run) -> list[Event]:
    """The events of a run: names of processes and threads first, then all others in the order of time.

    Raises:
        ResultsError: A table of the run cannot be read.
    """
    slices = [*_spans(run), *_transfers(run), *_faults(run)]
    nodes = sorted({one["node"] for one in slices}, key=_natural)
    process = {node: number for number, node in enumerate(nodes, start=1)}
    events: list[Event] = []
    threads: dict[tuple[str, int], None] = {}
    place: dict[int, tuple[int, int]] = {}  # of slices, by identity
    for (node, thread), own in _by_thread(slices).items():
        for one, lane in zip(own, _lanes([(s["start"], s["end"]) for s in own]), strict=True):
            tid = thread * _LANES + lane
            threads[node, tid] = None
            place[id(one)] = (process[node], tid)
            events.append(_slice(one, *place[id(one)]))
    events += _arrows(slices, place)
    events += list(_counters(run))
    events.sort(key=lambda event: event["ts"])
    return [*_names(process, list(threads)), *events]


def write_trace(run: Run, path: Path) -> int:
    """Write the events of a run to a .json or .json.gz file; gives their number.

    Raises:
        ResultsError: The suffix is another one, or the file cannot be written.
    """
    if not path.name.endswith((".json", ".json.gz")):
        raise ResultsError(f"{path} is neither a .json nor a .json.gz file")
    events = trace_events(run)
    partial = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(partial, "wt", encoding="utf-8") as file:
            file.write('{"displayTimeUnit": "ms", "otherData": ')
            file.write(json.dumps({"label": run.label, "seed": run.manifest.seed}))
            file.write(', "traceEvents": [\n')
            file.write(",\n".join(json.dumps(event, allow_nan=False) for event in events))
            file.write("\n]}\n")
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        raise ResultsError(f"cannot write {path}: {error.strerror or error}") from error
    return len(events)


def _spans(run: Run) -> Iterator[Event]:
    columns = (run.spans[name].tolist() for name in ("node", "kind", "name", "start", "end"))
    for node, kind, name, start, end in zip(*columns, strict=True):
        thread = 0 if kind == "compute" else 1
        yield {
            "node": node,
            "thread": thread,
            "name": name,
            "cat": kind,
            "start": start,
            "end": end,
            "args": {},
        }


def _transfers(run: Run) -> Iterator[Event]:
    """The send and, if it arrived, the receipt of every message: two slices as long, a latency apart."""
    names = ("id", "kind", "source", "target", "raw_bytes", "bytes", "start", "left", "delivered", "status")
    columns = [run.transfers[name].tolist() for name in (*names, "mean_rate", "bound_by")]
    for number, row in enumerate(zip(*columns, strict=True)):
        own, kind, source, target, raw, charged, start, left, delivered, status, rate, bound = row
        end = left if left == left else run.manifest.virtual_seconds
        args = {"id": own, "bytes": charged, "raw_bytes": raw, "status": status}
        if rate == rate:
            args["mean_rate_bytes_per_second"] = rate
        if bound:
            args["bound_by"] = bound
        name = kind or "message"
        common = {"cat": "transfer", "args": args, "message": number}
        yield {
            **common, "node": source, "thread": 2, "name": f"{name} to {target}", "start": start,
            "end": max(start, end),
        }  # fmt: skip
        if delivered == delivered and left == left:
            yield {
                **common, "node": target, "thread": 3, "name": f"{name} from {source}",
                "start": start + (delivered - left), "end": delivered,
            }  # fmt: skip


_FAULT_ENDS = {
    "up": ("down", "absent"),
    "full-speed": ("slow",),
    "link-up": ("link-down",),
    "link-restored": ("link-degraded",),
    "link-lossless": ("link-lossy",),
    "unlisted": ("slow", "link-down", "link-degraded", "link-lossy"),
}
"""What is over with an event."""
_FAULTS_THAT_LAST = frozenset(name for names in _FAULT_ENDS.values() for name in names)


def _faults(run: Run) -> Iterator[Event]:
    """From ``down`` (or ``absent``) to ``up`` of a node, and so on; to the end of the run if it stays."""
    table = getattr(run, "faults", None)
    if table is None or table.empty:
        return
    since: dict[tuple[str, str, str], tuple[float, str, str]] = {}
    end = run.manifest.virtual_seconds
    columns = (table[name].tolist() for name in ("time", "node", "event", "cause"))
    for time, node, event, cause in zip(*columns, strict=True):
        over = _FAULT_ENDS.get(event, ())
        if event == "slow":
            over = ("slow",)  # by another factor from now on
        # Several faults of one kind may be on one link; each of them ends for itself.
        own = cause if event.startswith("link-") else ""
        for name in over:
            if (node, name, own) in since:
                yield _fault(node, since.pop((node, name, own)), time)
        if event in _FAULTS_THAT_LAST:
            since.setdefault((node, event, own), (time, event, cause))
        elif not over and event != "present":
            yield _fault(node, (time, event, cause), time)
    for (node, _, _), began in since.items():
        yield _fault(node, began, max(began[0], end))


def _fault(node: str, began: tuple[float, str, str], end: float) -> Event:
    start, event, cause = began
    args = {"cause": cause} if cause else {}
    return {
        "node": node, "thread": 4, "name": event, "cat": "fault", "start": start, "end": end, "args": args,
    }  # fmt: skip


def _by_thread(slices: Sequence[Event]) -> dict[tuple[str, int], list[Event]]:
    found: dict[tuple[str, int], list[Event]] = {}
    for one in sorted(slices, key=lambda one: (one["start"], one["end"])):
        found.setdefault((one["node"], one["thread"]), []).append(one)
    return found


def _lanes(times: Sequence[tuple[float, float]]) -> list[int]:
    """A lane for each interval, in the order of their starts, so that none overlap in one."""
    free: list[int] = []
    busy: list[tuple[float, int]] = []
    made, found = 0, []
    for start, end in times:
        while busy and busy[0][0] <= start:
            heappush(free, heappop(busy)[1])
        if free:
            lane = heappop(free)
        else:
            lane, made = made, made + 1
        heappush(busy, (end, lane))
        found.append(lane)
    return found


def _slice(one: Event, pid: int, tid: int) -> Event:
    return {
        "ph": "X",
        "name": one["name"],
        "cat": one["cat"],
        "pid": pid,
        "tid": tid,
        "ts": one["start"] * _MICRO,
        "dur": (one["end"] - one["start"]) * _MICRO,
        "args": one["args"],
    }


def _arrows(slices: Sequence[Event], place: dict[int, tuple[int, int]]) -> Iterator[Event]:
    """From the beginning of a send to that of its receipt."""
    sends: dict[int, Event] = {}
    for one in slices:
        if "message" not in one:
            continue
        if one["thread"] == 2:
            sends[one["message"]] = one
            continue
        sent = sends[one["message"]]
        for phase, end in (("s", sent), ("f", one)):
            pid, tid = place[id(end)]
            arrow = {"ph": phase, "name": "message", "cat": "transfer", "id": one["message"]}
            arrow |= {"pid": pid, "tid": tid, "ts": end["start"] * _MICRO}
            yield arrow | ({"bp": "e"} if phase == "f" else {})


def _counters(run: Run) -> Iterator[Event]:
    whole = run.metrics[run.metrics["node"] == ""]
    columns = (whole[name].tolist() for name in ("time", "name", "value"))
    for time, name, value in zip(*columns, strict=True):
        if isfinite(value):
            yield {
                "ph": "C", "name": name, "pid": _SYSTEM, "tid": 0, "ts": time * _MICRO, "args": {name: value},
            }  # fmt: skip


def _names(process: dict[str, int], threads: Sequence[tuple[str, int]]) -> Iterator[Event]:
    for name, pid in (("whole system", _SYSTEM), *process.items()):
        yield {"ph": "M", "name": "process_name", "pid": pid, "tid": 0, "args": {"name": name}}
        yield {"ph": "M", "name": "process_sort_index", "pid": pid, "tid": 0, "args": {"sort_index": pid}}
    for node, tid in sorted(threads, key=lambda one: (process[one[0]], one[1])):
        kind, lane = divmod(tid, _LANES)
        name = _THREADS[kind] + (f" {lane + 1}" if lane else "")
        common = {"ph": "M", "pid": process[node], "tid": tid}
        yield {**common, "name": "thread_name", "args": {"name": name}}
        yield {**common, "name": "thread_sort_index", "args": {"sort_index": tid}}


def _natural(name: str) -> list[tuple[int, str]]:
    """n2 before n10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]
