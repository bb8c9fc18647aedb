"""Partitions on real connections: packets stand still, nodes notice, sides go on alone and find back."""

from collections.abc import Callable
from math import inf
from pathlib import Path
from typing import Any

import pytest
from emulated_networks import CI
from hypothesis import given
from hypothesis import strategies as st
from runs_for_real import STREAM, for_real, planned, simulated, table

from simnet.emulation.emulable import check_emulable
from simnet.emulation.meetings import Meetings, Report, view_of
from simnet.emulation.separation import separations
from simnet.faults.partitions import Split
from simnet.plan import plans
from simnet.runtime.node import View
from simnet.scenario import Scenario, ScenarioError

SOON = 0.25
"""Seconds within which a busy machine does what is due."""
SIDES = {"n0": 0, "n1": 0, "n2": 1, "n3": 1}


@pytest.mark.usefixtures("fabric_machine")
def test_what_heals_before_it_is_noticed_goes_on_where_it_stood(
    small: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    (tmp_path / "stream.py").write_text(STREAM)
    changes = {
        "network.topology": {"kind": "star", "nodes": 2},
        "network.link": {"bandwidth": "20 Mbps", "latency": "5 ms"},
        "network.model": "tcp",
        "faults": {"partitions": {"at": "0.5 s", "until": "1.7 s", "groups": [["n0"]]}},
        "algorithms": ["stream:Stream"],
    }
    plan = planned(small(changes), tmp_path)
    real = for_real(plan)
    ends = []
    for recorder in (real.recorder, simulated(plan)):
        parts = table(recorder, "transfers").query("kind == 'part'")
        assert len(parts) == 24
        assert not ((parts.delivered > 0.5 + 0.02) & (parts.delivered < 1.7)).any()
        ends.append([parts.delivered[parts.delivered < 1.0].max(), parts.delivered.max()])
    assert ends[0] == pytest.approx(ends[1], rel=CI)
    assert real.outcome.invariants["bytes_lost"] == 0


@pytest.mark.usefixtures("fabric_machine")
@pytest.mark.parametrize(
    ("entry", "detection"),
    [
        ({"name": "gossip"}, {"kind": "timeout", "timeout": "200 ms"}),
        ({"name": "local-sgd", "local_steps": 2}, {"kind": "heartbeats", "period": "80 ms", "misses": 3}),
        ({"name": "local-sgd", "on_failure": "wait"}, {"kind": "timeout", "timeout": "200 ms"}),
    ],
    ids=["gossip", "shrink", "wait"],
)
def test_sides_that_have_noticed_go_on_by_themselves_and_find_back(
    entry: dict[str, Any],
    detection: dict[str, Any],
    small: Callable[..., dict[str, Any]],
    tmp_path: Path,
) -> None:
    changes = {
        "workers": [{"device": {"flops": "20 MFLOP/s", "achieved": 0.5}}],
        "algorithms": [entry],
        "faults": {
            "partitions": {"at": "1 s", "until": "2.5 s", "groups": [["n0", "n1"]]},
            "detection": detection,
        },
        "stop": {"time": "4.5 s"},
    }
    plan = planned(small(changes), tmp_path)
    real, expected = for_real(plan).recorder, simulated(plan)
    for recorder in (real, expected):
        messages = table(recorder, "transfers").query("status == 'delivered' and kind != 'heartbeat'")
        crosses = messages.source.map(SIDES) != messages.target.map(SIDES)
        while_apart = messages.delivered.between(1.0 + 0.02, 2.5)
        assert not (crosses & while_apart).any()
        assert (crosses & (messages.delivered < 1.0)).sum() > 5
        assert (crosses & (messages.delivered > 2.5)).sum() > 5
        going_on = ~crosses & messages.delivered.between(1.2 + SOON, 2.5)
        assert set(messages[going_on].source) == (set() if "on_failure" in entry else set(SIDES))
    faults = [table(one, "faults").query("event in ('split', 'healed')") for one in (real, expected)]
    told = [sorted(map(tuple, one[["time", "node", "event", "cause"]].values)) for one in faults]
    assert told[0] == told[1]


def test_a_driver_or_a_scenario_that_cannot_says_so_before(small: Callable[..., dict[str, Any]]) -> None:
    split = {"partitions": {"at": "1 s", "groups": [["n0"]]}}
    (plan,) = plans(Scenario.model_validate(small({"faults": split})))
    check_emulable(plan, "real", "fabric")
    for driver in ("mininet", "loopback"):
        with pytest.raises(ScenarioError, match=rf"{driver} cannot hold packets.*\n.*--driver fabric"):
            check_emulable(plan, "real", driver)
    churning = split | {"churn": {"kind": "crash", "node": "n2", "at": "1 s", "down": "1 s"}}
    (plan,) = plans(Scenario.model_validate(small({"faults": churning})))
    with pytest.raises(ScenarioError, match="partitions without churn"):
        check_emulable(plan, "real")


moments = st.integers(0, 12).map(float)
splits = st.lists(
    st.builds(
        lambda at, length, group: Split(at, at + length, {"a": 0, **group}),
        moments,
        st.one_of(st.integers(1, 6).map(float), st.just(inf)),
        st.dictionaries(st.sampled_from("bcd"), st.integers(0, 2)),
    ),
    max_size=4,
)


@given(splits=splits, after=st.sampled_from([0.0, 1.0, 2.5]), now=st.floats(0, 30))
def test_who_is_apart_is_what_the_partitions_of_that_moment_say(
    splits: list[Split], after: float, now: float
) -> None:
    """Those that have lasted for as long as it takes to notice them, and no others, at every moment."""
    there = [one.group for one in splits if one.at + after <= now < one.until]
    latest = [one for one in separations(splits, lambda _: after) if one.time <= now]
    groups = list(latest[-1].groups) if latest else []
    assert groups == there
    for other in "bcd":
        apart = bool(latest) and latest[-1].side("a") != latest[-1].side(other)
        assert apart == any(group["a"] != group.get(other) for group in there)


def test_sides_agree_on_views_of_their_own_and_then_on_one() -> None:
    names = ("n0", "n1", "n2", "n3")
    told: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    meetings = Meetings({"worker": names}, lambda name, news: told[name].append(news), lambda *_: None)

    def come(*who: str, epoch: int, version: int) -> None:
        for name in who:
            meetings.comes(name, Report(epoch, version, in_view=True), 1, None)

    def views() -> dict[str, View]:
        return {name: view_of(news[-1]["view"]) for name, news in told.items() if "view" in news[-1]}

    come("n0", "n2", epoch=0, version=3)
    assert views() == {}
    meetings.separate(SIDES)
    come("n1", epoch=0, version=3)
    assert {name: view.members for name, view in views().items()} == dict.fromkeys(names[:2], names[:2])
    come("n3", epoch=0, version=3)
    assert views()["n3"].members == names[2:]
    for name, version in (("n0", 7), ("n1", 7), ("n2", 5), ("n3", 5)):
        meetings.stands(name, Report(views()[name].epoch, version, in_view=True))
    epochs = {name: view.epoch for name, view in views().items()}
    meetings.separate({})
    for name in names:
        asked = {tuple(news["ask"]) for news in told[name] if "ask" in news}
        assert {("worker", epochs["n0"], 8), ("worker", epochs["n2"], 6)} <= asked
    come("n2", "n3", epoch=epochs["n2"], version=6)
    come("n0", "n1", epoch=epochs["n0"], version=8)
    together = views()
    assert {(view.members, view.leader, view.behind) for view in together.values()} == {
        (names, "n0", ("n2", "n3"))
    }
