"""What a host records, in a file as it goes: a process that is killed leaves what it had recorded."""

import json
from collections.abc import Iterable, Mapping
from operator import index
from pathlib import Path
from typing import Any

from simnet.results import Recorder

FLUSH_SECONDS = 0.25
"""How often rows are handed to the kernel: a process that is killed loses what is younger."""


class Rows:
    """The rows of one process, in the order of recording; its methods are those of :class:`Recorder`.

    Written as lines of JSON, and not as tables: the first table of a process makes pyarrow import pandas,
    which takes each host longer than the run of a small model.

    Args:
        path: The file, which must not be there yet.
    """

    def __init__(self, path: Path) -> None:
        self._checked = Recorder()  # raises where a row is impossible
        self._file = path.open("x")

    def metric(self, time: float, node: str, step: int, name: str, value: float) -> None:
        """See :meth:`Recorder.metric`."""
        self._checked.metric(time, node, step, name, value)
        self._write("metric", float(time), node, index(step), name, float(value))

    def transfer(
        self,
        kind: str,
        source: str,
        target: str,
        raw_bytes: float,
        bytes: float,
        start: float,
        delivered: float,
    ) -> None:
        """A message that was delivered: see :meth:`Recorder.transfer`."""
        sizes = float(raw_bytes), float(bytes)
        self._checked.transfer(0, kind, source, target, *sizes, start, None, delivered, "delivered")
        self._write("transfer", kind, source, target, *sizes, float(start), float(delivered))

    def span(self, node: str, kind: str, name: str, start: float, end: float) -> None:
        """See :meth:`Recorder.span`."""
        self._checked.span(node, kind, name, start, end)
        self._write("span", node, kind, name, float(start), float(end))

    def flush(self, totals: Mapping[str, Any]) -> None:
        """Hand all rows to the kernel, and what this process has counted until now: from now on they outlive
        it."""
        self._write("totals", dict(totals))
        self._file.flush()

    def close(self) -> None:
        """No row follows."""
        self._file.close()

    def _write(self, *row: Any) -> None:
        self._file.write(json.dumps(row) + "\n")


def read_rows(paths: Iterable[Path]) -> dict[str, list[list[Any]]]:
    """The rows of several processes by their kind, one process after the other; of `totals` each one's last.

    A last line without an end is that of a process that was killed while it wrote, and is left out.
    """
    found: dict[str, list[list[Any]]] = {"metric": [], "transfer": [], "span": [], "totals": []}
    for path in paths:
        *whole, _ = path.read_text().split("\n")
        totals: list[list[Any]] = []
        for line in whole:
            kind, *row = json.loads(line)
            if kind == "totals":
                totals = [row]
            else:
                found[kind].append(row)
        found["totals"] += totals
    return found
