"""What a run writes down while it goes: tables of columns, appended to a row at a time."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Mapping, Sequence
from math import inf, isfinite, nan
from operator import index
from typing import TYPE_CHECKING

from simnet.results import parquet

if TYPE_CHECKING:
    import pyarrow as pa


class Recorder:
    """Keeps the metrics, transfers, spans and link use of one run in memory, in the order of recording.

    Appending is cheap (about a microsecond), because a run does it up to millions of times. Every row is
    checked before any column grows, so an exception never leaves a row half recorded.

    Every method raises ``ValueError`` for an impossible value (a time that is not finite, an empty name) and
    ``TypeError`` for one of the wrong kind.
    """

    def __init__(self) -> None:
        self._metric_time, self._metric_value = array("d"), array("d")
        self._metric_step, self._metric_series = array("q"), array("q")
        self._series: dict[tuple[str, str], int] = {}
        self._last_time = array("d")  # of each series

        self._transfer_id = array("q")
        self._transfer_text: tuple[list[str], ...] = ([], [], [], [])  # kind, source, target, status
        self._transfer_float = tuple(array("d") for _ in range(5))  # raw_bytes, bytes, start, left, delivered
        self._transfer_rate = array("d")
        # What bound transfers: names by their number, and for each transfer where its causes end.
        self._causes: dict[str, int] = {}
        self._cause, self._cause_seconds, self._causes_end = array("q"), array("d"), array("i", [0])
        self._bound_by: list[str] = []

        self._link_name: list[str] = []
        self._link_float = tuple(array("d") for _ in range(4))  # start, end, bytes, capacity

        self._fault_time = array("d")
        self._fault_text: tuple[list[str], ...] = ([], [], [])  # node, event, cause

        self._span_text: tuple[list[str], ...] = ([], [], [])  # node, kind, name
        self._span_start, self._span_end = array("d"), array("d")

    def metric(self, time: float, node: str, step: int, name: str, value: float) -> None:
        """Record that ``name`` was ``value`` at virtual ``time`` (seconds) on ``node``.

        ``node`` is "" for the whole system; ``step`` counts the node's optimizer steps. A value may be NaN or
        infinite: a diverged loss is data.

        Raises:
            ValueError: ``time`` is not finite or earlier than the previous one of the same node and name,
                ``name`` is empty or ``step`` is negative.
        """
        time, step, value = float(time), index(step), float(value)
        if not isfinite(time):
            raise ValueError(f"metric {name!r} at node {node!r}: time must be finite, not {time}")
        if step < 0:
            raise ValueError(f"metric {name!r} at node {node!r}: step must not be negative, not {step}")
        series = self._series.get((node, name))
        if series is None:
            _text("metric's node", node)
            _name("metric's name", name)
            series = self._series[node, name] = len(self._series)
            self._last_time.append(-inf)
        if time < self._last_time[series]:
            raise ValueError(
                f"metric {name!r} at node {node!r}: time runs backwards, "
                f"from {self._last_time[series]} s to {time} s"
            )
        self._last_time[series] = time
        self._metric_time.append(time)
        self._metric_series.append(series)
        self._metric_step.append(step)
        self._metric_value.append(value)

    def transfer(
        self,
        id: int,
        kind: str,
        source: str,
        target: str,
        raw_bytes: float,
        bytes: float,
        start: float,
        left: float | None,
        delivered: float | None,
        status: str,
        mean_rate: float | None = None,
        bound: Mapping[str, float] | None = None,
    ) -> None:
        """Record a message of ``source`` to ``target``.

        ``bytes`` is what the network was charged, ``raw_bytes`` what the payload really held. Times are
        virtual seconds: the first byte's ``start``, the last byte's departure (``left``) and the arrival
        (``delivered``); None (or NaN) for what never happened. ``kind`` may be "". ``mean_rate`` is in bytes
        per second, and ``bound`` says what bound it for how many seconds.

        Raises:
            ValueError: Bytes are negative or not finite, times are not finite or not in order, seconds are
                negative or not finite, or ``source``, ``target`` or ``status`` is empty.
        """
        bound = bound or {}
        if bound and not (min(bound.values()) >= 0 and isfinite(sum(bound.values()))):
            raise ValueError(f"transfer {id}: what binds does so for zero or more seconds, not {dict(bound)}")
        number = index(id)
        times = (
            float(start),
            nan if left is None else float(left),
            nan if delivered is None else float(delivered),
        )
        sizes = float(raw_bytes), float(bytes)
        if not (isfinite(sizes[0]) and isfinite(sizes[1]) and min(sizes) >= 0):
            raise ValueError(f"transfer {number}: bytes must be finite and not negative, not {sizes}")
        previous = -inf
        for what, time in zip(("start", "left", "delivered"), times, strict=True):
            if time != time and what != "start":  # NaN: it never happened
                continue
            if not isfinite(time):
                raise ValueError(f"transfer {number}: {what} must be finite, not {time}")
            if time < previous:
                raise ValueError(
                    f"transfer {number}: start, left and delivered must be in order, not {times}"
                )
            previous = time
        _text("transfer's kind", kind)
        _name("transfer's source", source)
        _name("transfer's target", target)
        _name("transfer's status", status)
        self._transfer_id.append(number)
        for text, texts in zip((kind, source, target, status), self._transfer_text, strict=True):
            texts.append(text)
        for value, column in zip((*sizes, *times), self._transfer_float, strict=True):
            column.append(value)
        self._transfer_rate.append(nan if mean_rate is None else mean_rate)
        for cause, seconds in bound.items():
            self._cause.append(self._causes.setdefault(cause, len(self._causes)))
            self._cause_seconds.append(seconds)
        self._causes_end.append(len(self._cause))
        self._bound_by.append(max(bound, key=bound.__getitem__) if bound else "")

    def span(self, node: str, kind: str, name: str, start: float, end: float) -> None:
        """Record that ``node`` was busy with ``name`` from ``start`` to ``end`` (virtual seconds).

        ``kind`` sorts what nodes do: "compute", "wait", "send", ... Spans of one node may overlap.

        Raises:
            ValueError: A time is not finite, ``end`` is before ``start``, or a name is empty.
        """
        start, end = float(start), float(end)
        if not (isfinite(start) and isfinite(end)):
            raise ValueError(f"span {name!r} of node {node!r}: times must be finite, not {start}, {end}")
        if end < start:
            raise ValueError(
                f"span {name!r} of node {node!r}: ends at {end} s, before its start at {start} s"
            )
        _name("span's node", node)
        _name("span's kind", kind)
        _name("span's name", name)
        for text, texts in zip((node, kind, name), self._span_text, strict=True):
            texts.append(text)
        self._span_start.append(start)
        self._span_end.append(end)

    def fault(self, time: float, node: str, event: str, cause: str) -> None:
        """Record that at virtual ``time`` something went wrong, or right again, at ``node``.

        ``event`` says what: "down", "up", ...; ``cause`` says which kind of fault, and may be "".

        Raises:
            ValueError: ``time`` is not finite, or ``node`` or ``event`` is empty.
        """
        time = float(time)
        if not isfinite(time):
            raise ValueError(f"fault {event!r} of node {node!r}: time must be finite, not {time}")
        _name("fault's node", node)
        _name("fault's event", event)
        _text("fault's cause", cause)
        for text, texts in zip((node, event, cause), self._fault_text, strict=True):
            texts.append(text)
        self._fault_time.append(time)

    def links(
        self,
        resource: Sequence[str],
        start: Collection[float],
        end: Collection[float],
        bytes: Collection[float],
        capacity: Collection[float],
    ) -> None:
        """Record what resources carried between times, and what they could have carried: columns of equal
        length.

        Raises:
            ValueError: The columns have different lengths.
        """
        if len({len(column) for column in (resource, start, end, bytes, capacity)}) > 1:
            raise ValueError("columns of different lengths")
        self._link_name += resource
        for values, column in zip((start, end, bytes, capacity), self._link_float, strict=True):
            column.extend(values)

    def tables(self) -> dict[str, pa.Table]:
        """The rows so far as Arrow tables "metrics", "transfers", "spans" and "links"; "faults" if any."""
        import numpy as np
        import pyarrow as pa

        series = np.array(self._metric_series)
        texts = [
            pa.DictionaryArray.from_arrays(pa.array(series), pa.array(labels, pa.string())).cast(pa.string())
            for labels in ([node for node, _ in self._series], [name for _, name in self._series])
        ]
        kind, source, target, status = (pa.array(column, pa.string()) for column in self._transfer_text)
        raw_bytes, charged, start, left, delivered = (
            pa.array(np.array(column), from_pandas=True) for column in self._transfer_float
        )
        metrics = [np.array(self._metric_time), texts[0], np.array(self._metric_step), texts[1]]
        columns = {
            "metrics": [*metrics, np.array(self._metric_value)],
            "transfers": [
                np.array(self._transfer_id),
                *(kind, source, target),
                *(raw_bytes, charged, start, left, delivered),
                status,
                pa.array(np.array(self._transfer_rate), from_pandas=True),
                pa.array(self._bound_by, pa.string()),
                self._bounds(),
            ],
            "spans": [
                *(pa.array(column, pa.string()) for column in self._span_text),
                np.array(self._span_start),
                np.array(self._span_end),
            ],
            "links": [pa.array(self._link_name, pa.string()), *map(np.array, self._link_float)],
        }
        if self._fault_time:
            times = np.array(self._fault_time)
            order = np.argsort(times, kind="stable")  # some were known beforehand, and told at the end
            faults = (pa.array([column[i] for i in order], pa.string()) for column in self._fault_text)
            columns["faults"] = [times[order], *faults]
        return {
            table: pa.Table.from_arrays([pa.array(c) for c in arrays], schema=parquet.schema(table))
            for table, arrays in columns.items()
        }

    def _bounds(self) -> pa.Array:
        """Of each transfer, what bound it for how long."""
        import numpy as np
        import pyarrow as pa

        names = pa.DictionaryArray.from_arrays(
            pa.array(np.array(self._cause)), pa.array(list(self._causes), pa.string())
        )
        return pa.MapArray.from_arrays(
            pa.array(np.array(self._causes_end, dtype=np.int32)),
            names.cast(pa.string()),
            pa.array(np.array(self._cause_seconds)),
        )

    def files(self) -> dict[str, bytes]:
        """The rows so far as files: name -> content, byte-identical for equal rows in equal order."""
        return {f"{table}.parquet": parquet.encode(data) for table, data in self.tables().items()}


def _text(what: str, value: str) -> None:
    if not isinstance(value, str):
        raise TypeError(f"a {what} must be a string, not {value!r}")


def _name(what: str, value: str) -> None:
    _text(what, value)
    if not value:
        raise ValueError(f"a {what} must not be empty")
