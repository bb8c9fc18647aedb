"""Faults of links: when messages arrive, worked out by hand; luck; and what is refused."""

from typing import Any

import pytest

from simnet.network import Clock, FluidNetwork, build_topology, transport_of
from simnet.network.profiles import OnOff
from simnet.network.transport import cubic_rate, reno_rate
from simnet.scenario import Scenario, ScenarioError

MBPS = 125_000.0
SQUARE = {
    "kind": "explicit",
    "nodes": ["a", "b", "c", "d"],
    "links": [
        {"between": ["a", "b"]},
        {"between": ["b", "c"]},
        {"between": ["c", "d"], "duplex": "half"},
        {"between": ["d", "a"], "latency": "40 ms"},
    ],
}
DOWN = {"kind": "down", "link": "n1", "at": "1 s", "for": "2 s"}


@pytest.fixture
def scenario_of(small):
    """The small scenario, with links of 100 Mbps and 10 ms, with these faults."""

    def make(faults: Any, **network: Any) -> Scenario:
        changes = {f"network.{key}": value for key, value in network.items()}
        return Scenario.model_validate(
            small({"network.link.latency": "10 ms", "faults.links": faults, **changes})
        )

    return make


def sent(scenario: Scenario, *messages: tuple[float, str, str, float]) -> list[Any]:
    """Messages of (start, source, target, bytes), delivered."""
    env = Clock()
    topology = build_topology(scenario)
    network = FluidNetwork(env, topology, transport_of(scenario.network.model))
    transfers = []

    def send(start: float, source: str, target: str, size: float) -> Any:
        yield env.timeout(start)
        transfers.append(network.send(source, target, size))

    for message in messages:
        env.process(send(*message))
    env.run(until=1e4)
    network.check()
    assert all(transfer.status == "delivered" for transfer in transfers)
    return [transfer.delivered_at for transfer in transfers]


def test_a_message_waits_while_its_link_is_down(scenario_of) -> None:
    """1 s of 2.5 s flows, then 2 s of nothing, then the rest; two links of 10 ms."""
    (at,) = sent(scenario_of(DOWN), (0.0, "n0", "n1", 250 * MBPS))
    assert at == pytest.approx(2.5 + 2.0 + 0.02, rel=1e-12)
    (back,) = sent(scenario_of(DOWN), (1.5, "n1", "n0", 100 * MBPS))
    assert back == pytest.approx(3.0 + 1.0 + 0.02, rel=1e-12)
    (other,) = sent(scenario_of(DOWN), (0.0, "n0", "n2", 250 * MBPS))
    assert other == pytest.approx(2.52, rel=1e-12)


def test_one_direction_alone_may_be_down(scenario_of) -> None:
    there = [{**DOWN, "link": "n1->hub"}]
    to, back = sent(scenario_of(there), (0.0, "n0", "n1", 250 * MBPS), (0.0, "n1", "n0", 250 * MBPS))
    assert (to, back) == pytest.approx((2.52, 4.52), rel=1e-12)


def test_a_node_is_cut_off_with_all_its_links(scenario_of) -> None:
    cut = {"kind": "down", "node": "b", "at": "1 s", "for": "4 s"}
    first, second, third = sent(
        scenario_of(cut, topology=SQUARE),
        (0.0, "a", "b", 200 * MBPS),
        (0.0, "c", "b", 200 * MBPS),
        (0.0, "d", "c", 200 * MBPS),
    )
    assert (first, second, third) == pytest.approx((6.01, 6.01, 2.01), rel=1e-12)


def test_degraded_links_by_hand(scenario_of) -> None:
    """All links at a tenth of the bandwidth and three times the latency, from 1 s to 6 s."""
    worse = {"kind": "degraded", "at": "1 s", "for": "5 s", "bandwidth": 0.1, "latency": 3}
    before, across, within = sent(
        scenario_of(worse),
        (0.0, "n0", "n1", 50 * MBPS),
        (0.0, "n2", "n3", 300 * MBPS),  # 1 s, then 0.5 s worth in 5 s, then 1.5 s
        (2.0, "n1", "n0", 20 * MBPS),
    )
    assert before == pytest.approx(0.52, rel=1e-12)
    assert across == pytest.approx(7.5 + 0.02, rel=1e-12)  # latency is that of when it started
    assert within == pytest.approx(2.0 + 2.0 + 0.06, rel=1e-12)


def test_faults_add_up_with_each_other_and_with_events(scenario_of) -> None:
    faults = [
        {"kind": "degraded", "link": "n1", "bandwidth": 0.5},
        {"kind": "degraded", "node": "n1", "bandwidth": 0.5, "at": "2 s", "for": "2 s"},
        {**DOWN, "at": "1 s", "for": "1 s"},
        {**DOWN, "at": "1.5 s", "for": "1.5 s"},
    ]
    events = [{"at": "5 s", "link": "n1", "bandwidth": "10 Mbps"}]
    # Half for 1 s; nothing till 3 s; a quarter till 4 s; half till 5 s; then half of 10 Mbps.
    (at,) = sent(scenario_of(faults, events=events), (0.0, "n0", "n1", 150 * MBPS))
    assert at == pytest.approx(5.0 + (150 - 50 - 25 - 50) / 5 + 0.02, rel=1e-12)


def test_routes_avoid_a_link_that_is_down(scenario_of) -> None:
    """a-b is down from 1 s to 9 s: the rest goes over d and c, 60 ms instead of 10."""
    down = {"kind": "down", "link": "a-b", "at": "1 s", "for": "8 s"}
    patient = scenario_of(down, topology=SQUARE)
    assert sent(patient, (0.0, "a", "b", 300 * MBPS)) == pytest.approx([11.01], rel=1e-12)
    avoiding = scenario_of(down, topology=SQUARE, rerouting=True)
    assert sent(avoiding, (0.0, "a", "b", 300 * MBPS)) == pytest.approx([3.06], rel=1e-12)


def test_two_outages_of_one_link_count_once(scenario_of) -> None:
    """Where two overlap, routes avoid the link until the later one is over."""
    faults = [{"kind": "down", "link": "a-b", "at": f"{at} s", "for": "2 s"} for at in (1, 2)]
    topology = build_topology(scenario_of(faults, topology=SQUARE, rerouting=True))
    assert topology.dynamics is not None
    down = [(time, bool(resources)) for time, resources in topology.dynamics.outages]
    assert down == [(0.0, False), (1.0, True), (2.0, True), (3.0, True), (4.0, False)]


def test_flapping_links_pass_what_their_up_times_let_through(scenario_of) -> None:
    scenario = scenario_of({"kind": "flapping", "mean_up": "3 s", "mean_down": "1 s"})
    topology = build_topology(scenario)
    size = 100_000 * MBPS  # 1,000 s without faults
    (at,) = sent(scenario, (0.0, "n0", "n1", size))
    profiles = [topology.dynamics.capacities[r] for r in topology.route("n0", "n1").resources]
    passed, now = 0.0, 0.0
    while now < at - 0.02:
        change = min(at - 0.02, *(profile.next_change(now) for profile in profiles))
        passed += min(profile.at(now) for profile in profiles) * (change - now)
        now = change
    assert passed == pytest.approx(size, rel=1e-9)
    # Two links, each up for three quarters of the time, both for nine sixteenths of it.
    assert at == pytest.approx(1000 / (9 / 16), rel=0.1)


def test_each_link_flaps_by_its_own_luck_both_ways_together(scenario_of) -> None:
    flapping = {"kind": "flapping", "mean_up": "3 s", "mean_down": "1 s"}

    def flips(scenario: Scenario) -> dict[str, float]:
        topology = build_topology(scenario)
        assert topology.dynamics is not None
        return {
            topology.resource_names[index]: profile.next_change(20.0)
            for index, profile in topology.dynamics.capacities.items()
        }

    found = flips(scenario_of(flapping))
    assert len(found) == 8
    assert all(found[f"n{i}->hub"] == found[f"hub->n{i}"] for i in range(4))
    assert len(set(found.values())) == 4
    alone = flips(scenario_of({**flapping, "link": "n2"}))
    assert alone == {name: found[name] for name in ("hub->n2", "n2->hub")}
    assert flips(scenario_of(flapping).model_copy(update={"seed": 1})) != found
    begins = build_topology(scenario_of({**flapping, "start": "down"})).dynamics
    assert begins is not None
    assert all(profile.at(0.0) == 0 for profile in begins.capacities.values())
    assert not any(isinstance(profile, OnOff) for profile in begins.capacities.values())


@pytest.mark.parametrize("answer", ["reno", "cubic", "bbr"])
def test_lossy_links_slow_messages_while_they_are_lossy(scenario_of, answer: str) -> None:
    """From 1 s to 3 s at the rate that the transport has under loss; before and after at the link's own."""
    loss = 1 - (1 - 0.1) * (1 - 0.2)
    faults = [
        {"kind": "lossy", "link": "n1", "loss": 0.1, "at": "1 s", "for": "2 s"},
        {"kind": "lossy", "link": "n0", "loss": 0.2, "at": "1 s", "for": "2 s"},
        {"kind": "lossy", "link": "n3", "loss": 0.5},
    ]
    scenario = scenario_of(faults, model={"loss": answer})
    rates = {
        "reno": reno_rate(loss, 0.04),
        "cubic": cubic_rate(loss, 0.04),
        "bbr": 100 * MBPS * (1 - loss),
    }
    (at,) = sent(scenario, (0.0, "n0", "n1", 400 * MBPS))
    rest = 300 * MBPS - 2 * rates[answer]
    assert at == pytest.approx(3.0 + rest / (100 * MBPS) + 0.02, rel=1e-9)
    (within,) = sent(scenario, (1.5, "n0", "n1", rates[answer]))
    assert within == pytest.approx(2.5 + 0.02, rel=1e-9)


def test_a_link_that_is_always_lossy_is_one_with_that_loss(scenario_of) -> None:
    """Over all parts of the tcp model."""
    messages = ((0.0, "n0", "n1", 30 * MBPS), (0.2, "n2", "n1", 30 * MBPS), (1.0, "n0", "n1", 5 * MBPS))
    always = scenario_of({"kind": "lossy", "loss": 0.01}, model="tcp")
    plain = scenario_of([], model="tcp", **{"link.loss": 0.01})
    assert sent(always, *messages) == pytest.approx(sent(plain, *messages), rel=1e-9)
    twice = scenario_of({"kind": "lossy", "loss": 0.01}, model="tcp", **{"link.loss": 0.02})
    both = scenario_of([], model="tcp", **{"link.loss": 1 - 0.99 * 0.98})
    assert sent(twice, *messages) == pytest.approx(sent(both, *messages), rel=1e-9)


def test_what_is_down_for_good_is_waited_for_in_vain(scenario_of) -> None:
    """Nothing rings for ever on behalf of a message that can never pass."""
    faults = [
        {"kind": "down", "link": "n1", "at": "1 s"},
        {"kind": "flapping", "mean_up": "1 s", "mean_down": "1 s"},
    ]
    env = Clock()
    network = FluidNetwork(env, build_topology(scenario_of(faults)))
    transfer = network.send("n0", "n1", 1000 * MBPS)
    env.run()  # comes to an end
    assert env.now <= 10
    assert not transfer.delivered.triggered


@pytest.mark.parametrize(
    ("fault", "path", "message"),
    [
        ({"kind": "down", "link": "n9"}, ("link",), "no link of this name"),
        ({"kind": "down", "node": "n9"}, ("node",), "no node of this name"),
        ({"kind": "lossy", "loss": 0.1}, ("loss",), "no effect"),
        ({"kind": "down", "link": "n1", "node": "n1"}, ("node",), "either"),
        ({"kind": "degraded", "link": "n1"}, (), "degraded in nothing"),
        ({"kind": "degraded", "bandwidth": 0}, ("bandwidth",), "greater than 0"),
        ({"kind": "lossy", "loss": 1}, ("loss",), "less than 1"),
        ({"kind": "flaping"}, ("kind",), "flapping"),
        ({"kind": "flapping", "mean_up": "1 s"}, ("mean_down",), "mean_down"),
    ],
)
def test_what_makes_no_sense_is_refused(scenario_of, fault: Any, path: Any, message: str) -> None:
    with pytest.raises(Exception, match=message) as caught:
        build_topology(scenario_of([fault]))
    if isinstance(caught.value, ScenarioError):
        (problem,) = caught.value.problems
        assert problem.path in (("faults", "links", 0, *path), path)


def test_half_of_a_half_duplex_link_cannot_fail(scenario_of) -> None:
    with pytest.raises(ScenarioError, match="half-duplex"):
        build_topology(scenario_of({"kind": "down", "link": "c->d"}, topology=SQUARE))
    both = scenario_of({**DOWN, "link": "c-d"}, topology=SQUARE)
    assert sent(both, (0.0, "d", "c", 250 * MBPS)) == pytest.approx([4.51], rel=1e-12)


def test_no_effect_is_refused_unless_it_is_wanted(scenario_of) -> None:
    lossy = {"kind": "lossy", "loss": 0.1}
    for model in ("ideal", {"window": "1 MiB"}):
        with pytest.raises(ScenarioError, match="no effect"):
            build_topology(scenario_of(lossy, model=model))
    build_topology(scenario_of(lossy, model={"loss": "none"}))
    with pytest.raises(ScenarioError, match="do not change"):
        build_topology(scenario_of(DOWN, model="receiver-serialised"))


@pytest.mark.parametrize(
    ("fault", "seconds"),
    [
        ({"kind": "degraded", "bandwidth": 0.1}, 5.0 + 0.02),
        ({"kind": "degraded", "latency": 30}, 0.5 + 0.6),
        ({"kind": "down", "for": "4 s"}, 4.5 + 0.02),
    ],
)
def test_a_fault_may_be_there_from_the_start(scenario_of, fault, seconds) -> None:
    """Also where it stays to the end, so that the link never changes."""
    (at,) = sent(scenario_of(fault), (0.0, "n0", "n1", 50 * MBPS))
    assert at == pytest.approx(seconds, rel=1e-12)
