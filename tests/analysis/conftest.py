from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

import pytest

from simnet.results import Manifest, Recorder, Run, read_run, run_folder, write_run

MakeRun = Callable[..., Run]


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Write a run whose evaluations are rows (time, steps, bytes, loss) and read it back."""

    def make(
        label: str,
        rows: Sequence[tuple[float, float, float, float]],
        *,
        seed: int = 0,
        metric: str = "loss",
        bandwidth: str = "100 Mbps",
        utilization: float = 0.5,
    ) -> Run:
        recorder = Recorder()
        for time, steps, sent, value in rows:
            recorder.metric(time, "", int(steps), metric, value)
            recorder.metric(time, "", int(steps), "steps", steps)
            recorder.metric(time, "", int(steps), "bytes", sent)
        time, steps, sent, value = rows[-1]
        manifest = Manifest(
            label=label,
            algorithm=label,
            seed=seed,
            versions={"simnet": "0", "python": "3", "torch": "2", "numpy": "2"},
            platform="test",
            device="cpu",
            engine="loop",
            engine_settings={},
            torch_threads=1,
            wall_seconds=1.0,
            virtual_seconds=time,
            steps=steps,
            worker_steps=int(8 * steps),
            bytes_sent=sent,
            raw_bytes_sent=sent,
            utilization=utilization,
            final={metric: value},
            invariants={"clock": 10},
            status="complete",
        )
        scenario = f"name: made\nseed: {seed}\nnetwork:\n  link: {{bandwidth: {bandwidth}, latency: 1 ms}}\n"
        digest = sha256(repr((label, seed, bandwidth)).encode()).hexdigest()
        folder = run_folder(tmp_path / "results", "made", label, digest)
        return read_run(write_run(folder, recorder, scenario, manifest))

    return make
