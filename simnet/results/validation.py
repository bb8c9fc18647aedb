"""What was measured beside what was predicted, as it is kept in a results folder."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

FILE = "validation.json"


@dataclass(frozen=True, slots=True)
class Comparison:
    """One operation, once."""

    operation: str
    """What people call it: ring all-reduce."""
    size: str
    """What it moved: 4 MB; or how many rounds a training run had."""
    repeat: int
    predicted: float
    """Seconds, by the simulator."""
    measured: float
    """Seconds, from the first begin to the last end."""
    limit: float | None
    """The relative error that is promised on a quiet machine; None: nothing is."""

    @property
    def ratio(self) -> float:
        """Measured over predicted."""
        return self.measured / self.predicted


@dataclass(frozen=True, slots=True)
class Summary:
    """The repeats of one operation."""

    operation: str
    size: str
    predicted: float
    """Seconds; the median, as are the next two."""
    measured: float
    ratio: float
    least: float
    """Of the ratios of all repeats."""
    most: float
    limit: float | None

    @property
    def held(self) -> bool | None:
        """Whether the median ratio is within the limit; None where there is none."""
        return None if self.limit is None else abs(self.ratio - 1) <= self.limit


@dataclass(frozen=True, slots=True)
class Validation:
    """All that one validation found."""

    scenario: str
    driver: str
    hosts: int
    model: Mapping[str, Any]
    """The transport that predictions were made with, `host_overhead` as it was calibrated."""
    host_overhead: float
    """Seconds per message, measured on links without latency."""
    gloo_overhead: float
    """The same of gloo; 0 if it was not measured."""
    comparisons: Sequence[Comparison]
    load: float
    """The machine's load before it began."""
    invalid: Sequence[str]
    """What speaks against what was measured."""
    notes: Sequence[str]
    """What was left out, and why."""

    def summaries(self) -> list[Summary]:
        """One per operation and size, in the order in which they were measured."""
        groups: dict[tuple[str, str], list[Comparison]] = {}
        for one in self.comparisons:
            groups.setdefault((one.operation, one.size), []).append(one)
        return [
            Summary(
                operation,
                size,
                median(one.predicted for one in ones),
                median(one.measured for one in ones),
                median(one.ratio for one in ones),
                min(one.ratio for one in ones),
                max(one.ratio for one in ones),
                ones[0].limit,
            )
            for (operation, size), ones in groups.items()
        ]

    def write(self, folder: Path) -> Path:
        """Write it into a folder; gives the file."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / FILE
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")
        return path


def read_validation(path: Path) -> Validation:
    """What :meth:`Validation.write` wrote: the file, or the folder that it is in.

    Raises `ValueError` where it is none.
    """
    file = path / FILE if path.is_dir() else path
    try:
        told = json.loads(file.read_text())
        told["comparisons"] = [Comparison(**one) for one in told["comparisons"]]
        return Validation(**told)
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"{file} is no validation of a network: {error}") from None
