"""Heartbeats on real connections: frames as long as they are charged, and a crash is noticed without them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from simnet.emulation.driver import open_driver
from simnet.emulation.emulate import emulate
from simnet.emulation.frames import PREFIX, Beat, beat_frame, lengths, unpack
from simnet.emulation.nursery import Nursery
from simnet.plan import make_engine, plans
from simnet.results import Recorder
from simnet.runtime.simulated import SimulatedRun
from simnet.scenario import Scenario, dump, load_text

SOON = 0.25
"""Seconds within which a busy machine does what is due."""
PERIOD, MISSES, CRASH = 0.2, 3, 1.1
WATCH = """
from simnet.algorithms import Algorithm
from simnet.runtime.node import PeerLost

class Watch(Algorithm):
    async def worker(self, node):
        try:
            await node.recv("n2" if node.id != "n2" else "n0", "a word")
        except PeerLost as lost:
            node.record(**{f"missed_{lost.peer}": node.now})
        await node.sleep(60)
"""


@pytest.mark.parametrize("gone", [None, "n17"])
def test_a_beat_is_as_long_as_it_is_charged(gone: str | None) -> None:
    beat = Beat("n2", "n1", gone, 12.5, 64.0)
    frame = beat_frame(beat)
    header, body, padding = lengths(frame.head[: PREFIX.size])
    assert (frame.bytes, body) == (64, 0)
    assert unpack(frame.head[PREFIX.size :], b"", padding) == beat
    assert header + padding == 64 - PREFIX.size


def test_names_may_be_longer_than_a_beat() -> None:
    beat = Beat("n" * 100, "n1", None, 12.5, 64.0)
    frame = beat_frame(beat)
    assert (frame.padding, frame.bytes > 100) == (0, True)
    assert unpack(frame.head[PREFIX.size :], b"", 0) == beat


@pytest.mark.usefixtures("fabric_machine")
def test_a_crash_is_noticed_when_its_beats_are_missing(
    small: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    """n3 listens to n2, and tells the others; n1's beats go to n3 from then on."""
    (tmp_path / "watch.py").write_text(WATCH)
    crash = {"kind": "crash", "node": "n2", "at": f"{CRASH} s", "down": "1 min"}
    changes = {
        "faults": {
            "churn": crash,
            "detection": {"kind": "heartbeats", "period": f"{PERIOD} s", "misses": MISSES},
        },
        "network.detection_timeout": "30 s",
        "algorithms": ["watch:Watch"],
        "stop": {"time": "3 s"},
    }
    text = dump(Scenario.model_validate(small(changes)))
    (plan,) = plans(load_text(text, folder=tmp_path).scenarios[0].scenario)
    with open_driver("fabric") as driver:
        driver.up(plan.world.topology)
        with Nursery(driver) as nursery:
            real = emulate(plan, nursery, "paced").recorder
    expected = Recorder()
    SimulatedRun(plan.world, plan.method, make_engine(plan), expected).run()
    last = CRASH - CRASH % PERIOD
    for recorder in (real, expected):
        metrics, transfers = (recorder.tables()[name].to_pandas() for name in ("metrics", "transfers"))
        missed = metrics.query("name == 'missed_n2'").set_index("node").value
        assert set(missed.index) == {"n0", "n1", "n3"}
        assert missed.between(last + MISSES * PERIOD, last + MISSES * PERIOD + SOON).all()
        beats = transfers.query("kind == 'heartbeat' and status == 'delivered'")
        assert set(beats.bytes) == {64.0}
        before = _counts(beats[beats.start < CRASH - 0.05])
        before.pop(("n1", "n2"), None)  # a process that is killed takes along what it has written down
        assert before == dict.fromkeys([("n0", "n1"), ("n2", "n3"), ("n3", "n0")], 5)
        after = beats[(beats.start > CRASH + 1.0)]
        assert set(_counts(after)) == {("n0", "n1"), ("n1", "n3"), ("n3", "n0")}
        news = transfers.query("kind == 'gone' and status == 'delivered'")
        assert _counts(news) == {("n3", "n0"): 1, ("n3", "n1"): 1}


def _counts(transfers: pd.DataFrame) -> dict[Any, int]:
    return {pair: len(rows) for pair, rows in transfers.groupby(["source", "target"])}
