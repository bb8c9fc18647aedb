"""Runs over links that change: when they end, that deadlocks show, that all methods meet the same network."""

import pytest

from simnet.runtime.node import Encoded
from simnet.runtime.simulated import DeadlockError

MEGABIT = 1e6 / 8
FLIPPING = {"on": "100 Mbps", "off": "10 Mbps", "mean_up": "3 s", "mean_down": "2 s"}
CHANGING = {
    "network.link.bandwidth": {"on": "100 Mbps", "off": "0 Mbps", "mean_up": "5 s", "mean_down": "3 s"},
    "network.link.jitter": {"kind": "gamma", "mean": "5 ms"},
    "network.events": [
        {"at": "3 s", "link": "n2", "latency": "50 ms"},
        {"at": "7 s", "link": "n0", "down": True},
        {"at": "11 s", "link": "n0", "up": True},
    ],
}


async def one_message(node):
    if node.rank == 0:
        await node.send("n1", Encoded(None, 200 * MEGABIT))
    elif node.rank == 1:
        await node.recv("n0")


async def synchronous(node):
    while node.running:
        await node.train(2)
        node.params = await node.all_reduce(node.params)


def events_of(*events):
    return {"network.events": list(events), "stop": {"steps": 4}}


def test_a_link_that_is_down_for_a_while_prolongs_the_run_by_that(simulate):
    plain = simulate(one_message, {"stop": {"steps": 4}})
    failing = simulate(
        one_message,
        events_of({"at": "1 s", "link": "n0", "down": True}, {"at": "601 s", "link": "n0", "up": True}),
    )
    assert plain.outcome.virtual_seconds == pytest.approx(2.01)
    assert failing.outcome.virtual_seconds == pytest.approx(602.01)


@pytest.mark.parametrize("stop", [{"steps": 4}, {"time": "10 s"}, {"steps": 4, "time": "10 h"}])
def test_changes_still_to_come_do_not_prolong_a_run_that_is_done(simulate, stop):
    done = simulate(
        one_message,
        {
            "network.link.bandwidth": {"mean": "100 Mbps", "amplitude": 0, "period": "1 min"},
            "network.events": [{"at": "3 s", "link": "n0", "bandwidth": "1 Mbps"}],
            "stop": stop,
        },
    )
    assert done.outcome.virtual_seconds == pytest.approx(2.01)


@pytest.mark.parametrize("stop", [{"steps": 4}, {"steps": 4, "time": "1 h"}])
def test_changes_to_come_do_not_hide_a_deadlock(simulate, stop):
    async def stuck(node):
        await one_message(node)
        await node.recv("n3", "never sent")

    with pytest.raises(DeadlockError, match="n0 waits for a message 'never sent' from n3"):
        simulate(stuck, {"network.link.bandwidth": FLIPPING, "stop": stop})


def test_a_link_that_is_down_for_good_is_a_deadlock_although_others_change(simulate):
    events = [{"at": "1 s", "link": "n0", "down": True}]
    with pytest.raises(DeadlockError, match="n0 waits for its message to n1 to leave"):
        simulate(one_message, {"network.link.bandwidth": FLIPPING, **events_of(*events)})


def test_a_run_that_waits_for_a_link_lasts_to_its_stop_time(simulate):
    down = [{"at": "1 s", "link": "n0", "down": True}, {"at": "1 h", "link": "n0", "up": True}]
    done = simulate(one_message, {"network.events": down, "stop": {"time": "1 min"}})
    assert done.outcome.virtual_seconds == 60
    assert done.outcome.invariants["bytes_lost"] == pytest.approx(100 * MEGABIT)


@pytest.mark.parametrize("collectives", ["fluid", "stepwise"])
def test_luck_repeats_to_the_last_bit(simulate, collectives):
    changes = {
        **CHANGING,
        "network.collectives": collectives,
        "task.charge_as": {"parameters": "1M"},
    }
    first, second = (simulate(synchronous, changes) for _ in range(2))
    assert first.recorder.tables()["transfers"].equals(second.recorder.tables()["transfers"])
    assert first.recorder.tables()["metrics"].equals(second.recorder.tables()["metrics"])
    other = simulate(synchronous, {**changes, "seed": 1})
    assert other.outcome.virtual_seconds != first.outcome.virtual_seconds


def test_two_methods_meet_the_same_network(simulate):
    """Whatever a method sends: at every time the links of both runs are the same."""

    async def gossip(node):
        while node.running:
            await node.train(1)
            await node.exchange(f"n{node.rank ^ 1}", node.params)

    runs = [simulate(method, CHANGING | {"stop": {"time": "20 s"}}).run for method in (synchronous, gossip)]
    histories = []
    for run in runs:
        profiles = run.topology.dynamics.capacities
        found = []
        for resource in sorted(profiles):
            time, flips = 0.0, []
            while time < 100:
                flips.append((time, profiles[resource].at(time)))
                time = profiles[resource].next_change(time)
            found.append((run.topology.resource_names[resource], flips))
        histories.append(found)
    assert runs[0] is not runs[1]
    assert histories[0] == histories[1]
    assert len(histories[0]) == 8
    assert all(len(flips) > 3 for _, flips in histories[0])


def test_nothing_changes_where_the_scenario_says_that_nothing_does(simulate):
    plain = simulate(synchronous, {"task.charge_as": {"parameters": "1M"}})
    steady = simulate(
        synchronous,
        {
            "task.charge_as": {"parameters": "1M"},
            "network.link.bandwidth": {
                "on": "100 Mbps",
                "off": "1 Mbps",
                "mean_up": "1e6 s",
                "mean_down": "1 s",
                "start": "on",
            },
        },
    )
    assert plain.run.topology.dynamics is None
    assert steady.run.topology.dynamics is not None
    assert plain.recorder.tables()["metrics"].equals(steady.recorder.tables()["metrics"])
    assert plain.recorder.tables()["transfers"].equals(steady.recorder.tables()["transfers"])


def test_a_fluid_ring_has_the_latency_of_its_start_in_every_round(simulate):
    """2 (p - 1) rounds of one latency each, beside the bytes: 6 rounds over two links of 50 ms, not 5 ms."""

    async def reduce_once(node):
        await node.sleep(10)
        await node.all_reduce(node.params)

    slow = [{"at": "5 s", "link": f"n{i}", "latency": "50 ms"} for i in range(4)]
    ends = [simulate(reduce_once, {"network.events": e}).outcome.virtual_seconds for e in ([], slow)]
    assert ends[1] - ends[0] == pytest.approx(6 * 2 * 0.045, rel=1e-9)
