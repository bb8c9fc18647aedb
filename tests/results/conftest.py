from __future__ import annotations

from typing import Any

import pytest

from simnet.results import Manifest, Recorder


@pytest.fixture
def fields() -> dict[str, Any]:
    """The fields of a valid manifest."""
    return {
        "label": "diloco",
        "algorithm": "diloco",
        "seed": 3,
        "versions": {"simnet": "0.1.0", "python": "3.11.7", "torch": "2.13.0", "numpy": "2.4.6"},
        "platform": "Linux",
        "device": "cpu",
        "engine": "stacked",
        "engine_settings": {"mode": "stacked", "dtype": "float32", "compile": False, "memory_bytes": 1e9},
        "torch_threads": 2,
        "wall_seconds": 12.5,
        "virtual_seconds": 60.0,
        "steps": 20.0,
        "worker_steps": 160,
        "bytes_sent": 8e9,
        "raw_bytes_sent": 4e6,
        "utilization": 0.75,
        "final": {"loss": 2.5, "accuracy": 0.5},
        "invariants": {"clock": 1000},
        "status": "complete",
    }


@pytest.fixture
def manifest(fields: dict[str, Any]) -> Manifest:
    return Manifest(**fields)


@pytest.fixture
def recorder() -> Recorder:
    """A little of everything."""
    recorder = Recorder()
    for number, loss in enumerate((4.0, 3.0, 2.5, 2.5)):
        recorder.metric(10.0 * number, "", number, "loss", loss)
        recorder.metric(10.0 * number, "", number, "accuracy", number / 8)
        recorder.metric(10.0 * number, "", number, "bytes", 100.0 * number)
        recorder.metric(10.0 * number, "w0", number, "loss", loss + 1)
    recorder.transfer(0, "all-reduce", "w0", "w1", 4.0, 400.0, 0.0, 1.0, 1.5, "delivered")
    recorder.transfer(1, "", "w1", "w0", 4.0, 400.0, 2.0, None, None, "cancelled")
    recorder.span("w0", "compute", "train", 0.0, 8.0)
    return recorder
