"""The manifest of a run: what ran, with which versions, how far it came and how it ended."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from math import inf, isfinite, isnan, nan
from typing import Any

from simnet.results.errors import ResultsError
from simnet.results.migrations import migrated
from simnet.results.parquet import SCHEMA_VERSION

VERSIONS = ("simnet", "python", "torch", "numpy")
"""What ``Manifest.versions`` names at least."""

_NON_FINITE = {"NaN": nan, "Infinity": inf, "-Infinity": -inf}  # JSON has no numbers for them


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Everything about a run that is not a table. All times are seconds, all sizes bytes.

    Raises ``ResultsError``, naming the field, when a value is of the wrong kind or impossible.
    """

    schema: int = SCHEMA_VERSION
    """Version of the run folder's layout."""
    label: str
    """What the scenario calls this entry of ``algorithms``; by default the algorithm's name."""
    algorithm: str
    """Name of the method (or ``module:Class``)."""
    seed: int
    """The scenario's seed."""
    versions: Mapping[str, str]
    """Version of simnet, python, torch and numpy, and of whatever else took part."""
    platform: str
    """Operating system and machine, as ``platform.platform()`` says it."""
    device: str
    """Where torch really computed: "cpu", "cuda:0"."""
    engine: str
    """How work was batched: "stacked", "vmap" or "loop"."""
    torch_threads: int
    """Threads of torch's CPU pool; part of what makes a run repeatable."""
    wall_seconds: float
    """Real time that the run took."""
    virtual_seconds: float
    """The simulated clock at the end."""
    steps: float
    """Optimizer steps per worker, mean over the workers."""
    worker_steps: int
    """Optimizer steps of all workers together."""
    bytes_sent: float
    """Bytes that the network was charged with (see ``charge_as``), over all senders."""
    raw_bytes_sent: float
    """Bytes that the payloads really held."""
    utilization: float
    """Share of virtual time that the workers' devices computed, mean over the workers; 0 to 1."""
    final: Mapping[str, float]
    """The last evaluation: metric -> value. May hold NaN and infinities."""
    invariants: Mapping[str, float]
    """How often each invariant was checked, and the counts that it held."""
    status: str
    """How the run ended, in one word: "complete", or "aborted" if the method gave up (see ``reason``)."""
    engine_settings: Mapping[str, Any]
    """How torch computed: mode, dtype, whether compiled, bytes of a joint computation, devices."""
    reason: str = ""
    """Of an aborted run: who gave up, when and why."""
    scenario: Mapping[str, Any] = field(default_factory=dict)
    """The resolved scenario as plain data, as in ``scenario.yaml``; empty where only that file has it."""
    emulation: Mapping[str, Any] = field(default_factory=dict)
    """Of a run on real processes: driver, pace, and how far its times may be believed; else empty."""
    prices: Mapping[str, Any] = field(default_factory=dict)
    """What nodes and links cost, where the scenario says so (see `simnet.results.costs`)."""

    def __post_init__(self) -> None:
        if self.schema != SCHEMA_VERSION:
            raise ResultsError(f"schema is {self.schema!r}; this simnet knows {SCHEMA_VERSION}")
        for name in ("label", "algorithm", "platform", "device", "engine", "status"):
            value = getattr(self, name)
            if not isinstance(value, str) or not value:
                raise ResultsError(f"{name} must be a non-empty string, not {value!r}")
        if not isinstance(self.reason, str):
            raise ResultsError(f"reason must be a string, not {self.reason!r}")
        for name, least in (("seed", None), ("torch_threads", 1), ("worker_steps", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or (least is not None and value < least):
                bound = "" if least is None else f" of at least {least}"
                raise ResultsError(f"{name} must be a whole number{bound}, not {value!r}")
        for name in (
            *("wall_seconds", "virtual_seconds", "steps", "bytes_sent", "raw_bytes_sent"),
            "utilization",
        ):
            value = _number(name, getattr(self, name))
            if not isfinite(value) or value < 0:
                raise ResultsError(f"{name} must be finite and not negative, not {value!r}")
            object.__setattr__(self, name, value)
        if self.utilization > 1 + 1e-9:  # sums of floats may exceed 1 by their rounding
            raise ResultsError(f"utilization is a share between 0 and 1, not {self.utilization!r}")
        for name in ("versions", "final", "invariants", "engine_settings", "scenario", "emulation", "prices"):
            value = getattr(self, name)
            if not isinstance(value, Mapping) or not all(isinstance(key, str) and key for key in value):
                raise ResultsError(f"{name} must be a mapping with names as keys, not {value!r}")
        missing = [name for name in VERSIONS if name not in self.versions]
        if missing or not all(isinstance(version, str) for version in self.versions.values()):
            raise ResultsError(f"versions must name {', '.join(VERSIONS)} as strings, not {self.versions!r}")
        object.__setattr__(self, "versions", dict(self.versions))
        for name in ("final", "invariants"):
            numbers = {key: _number(f"{name}.{key}", value) for key, value in getattr(self, name).items()}
            object.__setattr__(self, name, numbers)

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Manifest:
        """A manifest of exactly these keys.

        Raises:
            ResultsError: A key is unknown, one without a default is missing, or a value is impossible.
        """
        known = {one.name for one in fields(cls)}
        needed = {
            one.name for one in fields(cls) if one.default is MISSING and one.default_factory is MISSING
        }
        unknown, missing = sorted(set(mapping) - known), sorted(needed - set(mapping))
        if unknown or missing:
            parts = [f"unknown: {', '.join(unknown)}"] * bool(unknown)
            parts += [f"missing: {', '.join(missing)}"] * bool(missing)
            raise ResultsError(f"not the keys of a manifest ({'; '.join(parts)})")
        return cls(**mapping)

    def to_json(self) -> str:
        """Valid JSON with sorted keys; NaN and infinities are the strings "NaN", "Infinity", "-Infinity"."""
        return json.dumps(_encoded(asdict(self)), indent=2, sort_keys=True, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        """The inverse of ``to_json``.

        Raises:
            ResultsError: Not JSON, or not exactly a manifest of this version or of one that can be migrated.
        """
        return cls.from_json_of(text)[0]

    @classmethod
    def from_json_of(cls, text: str) -> tuple[Manifest, int]:
        """The same, with the version of the schema in which it was written."""
        try:
            data = json.loads(text)
        except ValueError as error:
            raise ResultsError(f"not valid JSON: {error}") from None
        if not isinstance(data, dict):
            raise ResultsError(f"a manifest is a JSON object, not a {type(data).__name__}")
        version: Any = data.get("schema")
        data = migrated(data)  # first of all: another version has other keys
        lacking = [name for name in ("scenario", "prices") if name not in data]
        if lacking:
            raise ResultsError(f"not the keys of a manifest (missing: {', '.join(lacking)})")
        for name in ("final", "invariants"):
            if isinstance(data.get(name), dict):
                data[name] = {key: _decoded(value) for key, value in data[name].items()}
        return cls.from_mapping(data), version


def _number(name: str, value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ResultsError(f"{name} must be a number, not {value!r}")
    return float(value)


def _encoded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _encoded(item) for key, item in value.items()}
    if isinstance(value, float) and not isfinite(value):
        return "NaN" if isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _decoded(value: Any) -> Any:
    return _NON_FINITE.get(value, value) if isinstance(value, str) else value
