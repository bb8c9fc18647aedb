"""Any schedule of crashes and returns: every run ends properly, or says who waits for what."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from weather import weathered

from simnet.runtime.simulated import DeadlockError

NEVER_STUCK = [
    {"name": "allreduce"},
    {"name": "allreduce", "overlap": "backward", "deadline": "50 ms"},
    {"name": "local-sgd", "local_steps": 2},
    {"name": "local-sgd", "local_steps": 2, "deadline": "0.3 s"},
    {"name": "diloco", "local_steps": 2},
    {"name": "diloco", "local_steps": 2, "overlap": "backward"},
    {"name": "gossip", "local_steps": 1},
    {"name": "d-psgd", "graph": "ring"},
    {"name": "d-psgd", "graph": "complete"},
    {"name": "ad-psgd"},
    {"name": "fedavg", "local_steps": 2},
    {"name": "fedavg", "local_steps": 2, "clients": 2, "over_selection": 1.5, "deadline": "0.3 s"},
    {"name": "fedbuff", "local_steps": 2, "buffer": 2, "concurrency": 2},
]
SURVIVORS_MAY_WAIT = [
    {"name": "allreduce", "on_failure": "wait"},
    {"name": "diloco", "local_steps": 2, "on_failure": "wait"},
    {"name": "local-sgd", "local_steps": 2, "quorum": 3},
]
END = 3600.0

moments = st.one_of(st.sampled_from([0.0, 0.05, 0.1, 0.4]), st.floats(0.0, 1.5))


@st.composite
def weather(draw, *, everybody_returns):
    """So many workers, and when which of them go down and come back; the server as well, if it returns."""
    nodes = draw(st.integers(3, 8))
    names = [f"n{index}" for index in range(nodes)] + ["server"]
    changes = []
    for name in draw(st.lists(st.sampled_from(names), min_size=1, unique=True)):
        moment = 0.0
        for _ in range(draw(st.integers(1, 3))):
            moment += draw(moments)
            changes.append((moment, name, "down"))
            moment += 0.001 + draw(moments)
            changes.append((moment, name, "up"))
        # One worker at least stays or comes back, so that somebody can go on.
        if not everybody_returns and name not in ("n0", "server") and draw(st.booleans()):
            changes.pop()
    return nodes, sorted(changes, key=lambda change: change[0])


def run(method, nodes, changes, timed, disk, collectives, bandwidth):
    has_server = method["name"].startswith("fed")
    network = {
        "topology": {"kind": "star", "nodes": nodes},
        "link": {"bandwidth": bandwidth, "latency": "1 ms"},
        "detection_timeout": "0.4 s",
        "collectives": collectives,
    }
    done = weathered(
        nodes,
        method,
        [change for change in changes if has_server or change[1] != "server"],
        timed=timed,
        disk=disk,
        network=network,
        stop={"steps": 12, "time": f"{END} s"},
    )
    counts = done.outcome.invariants
    received, lost = counts["bytes_received"], counts["bytes_lost"]
    assert counts["bytes_sent"] == pytest.approx(received + lost, rel=1e-9, abs=1e-3)
    return done


settings_of_runs = {
    "timed": st.booleans(),
    "disk": st.booleans(),
    "collectives": st.sampled_from(["fluid", "stepwise"]),
    "bandwidth": st.sampled_from(["100 Mbps", "10 Mbps", "1 Mbps"]),
}


@settings(max_examples=60, deadline=None)
@given(method=st.sampled_from(NEVER_STUCK), weather=weather(everybody_returns=False), **settings_of_runs)
def test_every_run_ends(method, weather, timed, disk, collectives, bandwidth):
    done = run(method, *weather, timed, disk, collectives, bandwidth)
    assert done.outcome.virtual_seconds < END
    assert not done.outcome.aborted
    if not method["name"].startswith("fed"):
        assert not done.run.lifecycle.unfinished


@pytest.mark.parametrize("disk", [False, True])
def test_a_report_that_comes_after_its_meeting_was_dissolved_is_for_nobody(disk):
    # n0 finishes while n2's report to it is under way; n2 then meets alone, and finishes before that comes.
    changes = [
        (0.0, "n1", "down"),
        (0.0, "n2", "down"),
        (0.0, "n4", "down"),
        (0.001, "n1", "up"),
        (0.001, "n4", "up"),
        (0.05, "n0", "down"),
        (1.0, "n3", "down"),
        (1.001, "n3", "up"),
        (1.051, "n0", "up"),
        (1.501, "n2", "up"),
        (2.751, "n2", "down"),
        (2.802, "n2", "up"),
    ]
    done = run({"name": "diloco", "local_steps": 2}, 6, changes, True, disk, "fluid", "100 Mbps")
    assert not done.run.lifecycle.unfinished


@settings(max_examples=25, deadline=None)
@given(
    method=st.sampled_from(SURVIVORS_MAY_WAIT), weather=weather(everybody_returns=True), **settings_of_runs
)
def test_who_waits_goes_on_when_all_are_back(method, weather, timed, disk, collectives, bandwidth):
    done = run(method, *weather, timed, disk, collectives, bandwidth)
    assert done.outcome.virtual_seconds < END


@settings(max_examples=15, deadline=None)
@given(
    method=st.sampled_from(SURVIVORS_MAY_WAIT), weather=weather(everybody_returns=False), timed=st.booleans()
)
def test_who_waits_in_vain_says_for_whom(method, weather, timed):
    nodes, changes = weather
    workers = [change for change in changes if change[1] != "server"]
    said = None
    try:
        weathered(nodes, method, workers, timed=timed, stop={"steps": 12})
    except DeadlockError as stuck:
        said = str(stuck)
    assert said is None or ("waits for a new view of 'worker'" in said and "is down since" in said)


@settings(max_examples=15, deadline=None)
@given(weather=weather(everybody_returns=True), timed=st.booleans())
def test_abort_ends_the_run(weather, timed):
    nodes, changes = weather
    workers = [change for change in changes if change[1] != "server"]
    done = weathered(nodes, {"name": "allreduce", "on_failure": "abort"}, workers, timed=timed)
    first = min((moment for moment, _, what in workers if what == "down"), default=END)
    assert bool(done.outcome.aborted) == (first < done.outcome.virtual_seconds or first == 0.0)
