"""Small run folders for the tests of the report, made without running anything."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from simnet.results import Manifest, Recorder, Run, read_run, run_folder, write_run

LINKS = ("n0->hub", "hub->n1", "n1->hub", "hub->n0")
PRICES = {
    "nodes": [{"names": ["n0", "n1"], "dollars_per_hour": 1.8, "idle_watts": 100.0, "busy_watts": 300.0}],
    "links": [{"names": list(LINKS), "dollars_per_gb": 0.1}],
}


def write_small_run(
    root: Path,
    label: str,
    losses: Sequence[float],
    *,
    seed: int = 0,
    seconds: float = 10.0,
    bandwidth: str = "100 Mbps",
    priced: bool = False,
    accuracy: bool = False,
    timing_only: bool = False,
    bars: int = 3,
    nodes: int = 2,
    description: str = "Which one is first?",
    name: str = "made",
    version: str = "0.1.0",
) -> Run:
    """A run with an evaluation every ``seconds``, two nodes that compute, send and wait, and their links."""
    recorder = Recorder()
    end = seconds * max(len(losses) - 1, 1)
    for at, loss in enumerate(losses):
        if not timing_only:
            recorder.metric(seconds * at, "", at, "loss", loss)
        if accuracy:
            recorder.metric(seconds * at, "", at, "accuracy", 1 - loss / 4)
        recorder.metric(seconds * at, "", at, "steps", at)
        recorder.metric(seconds * at, "", at, "bytes", 1e6 * at)
    step = end / bars
    for at in range(bars):
        for node in range(nodes):
            recorder.span(f"n{node}", "compute", "train", at * step, (at + 0.4) * step)
            recorder.span(f"n{node}", "wait", "recv", (at + 0.4) * step, (at + 0.8) * step)
        bound = {LINKS[0]: 0.4 * step}
        recorder.transfer(
            at, "", "n0", "n1", 8.0, 1e6, (at + 0.4) * step, (at + 0.7) * step, (at + 0.8) * step,
            "delivered", 1e6, bound,
        )  # fmt: skip
    recorder.links(list(LINKS[:2]), [0.0, 0.0], [end, end], [1e6 * len(losses)] * 2, [12.5e6 * end] * 2)
    final = {} if timing_only else {"loss": losses[-1]}
    manifest = Manifest(
        label=label,
        algorithm=label.split("-v")[0],
        seed=seed,
        versions={"simnet": version, "python": "3.11", "torch": "2.6", "numpy": "2.0"},
        platform="a made machine",
        device="cpu",
        engine="loop",
        engine_settings={"mode": "loop"},
        torch_threads=1,
        wall_seconds=1.5,
        virtual_seconds=end,
        steps=float(len(losses) - 1),
        worker_steps=2 * (len(losses) - 1),
        bytes_sent=1e6 * (len(losses) - 1),
        raw_bytes_sent=8.0 * bars,
        utilization=0.4,
        final={**final, **({"accuracy": 1 - losses[-1] / 4} if accuracy else {})},
        invariants={"messages": bars},
        status="complete",
        scenario={
            "name": name,
            "description": description,
            "seed": seed,
            "network": {"topology": {"kind": "star", "nodes": 2}, "link": {"bandwidth": bandwidth}},
            "task": {"name": "quadratic"},
            "algorithms": [{"name": label.split("-v")[0], "label": label}],
        },
        prices=PRICES if priced else {},
    )
    digest = sha256(repr((label, seed, bandwidth, name, version)).encode()).hexdigest()
    text = f"name: {name}\nseed: {seed}\n# <script>alert('{label}')</script> & a marked comment\n"
    return read_run(write_run(run_folder(root, name, label, digest), recorder, text, manifest))
