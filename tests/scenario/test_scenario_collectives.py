import pytest

from simnet.scenario import AllReduceConfig, ScenarioError, validated
from simnet.scenario.network import NetworkConfig

NETWORK = {"topology": "star", "link": {"bandwidth": "1 Gbps", "latency": "1 ms"}}


def network(**keys):
    return validated(NetworkConfig, {**NETWORK, **keys}, ("network",))


def problem(**keys):
    with pytest.raises(ScenarioError) as caught:
        network(**keys)
    (found,) = caught.value.problems
    return found


def test_defaults():
    config = network()
    assert (config.all_reduce, config.broadcast, config.all_to_all) == ("ring", "binomial", "at-once")
    assert (config.ring_order, config.detection_timeout) == ("rank", 5.0)


def test_a_name_or_a_name_with_options():
    assert network(all_reduce="halving-doubling").all_reduce == "halving-doubling"
    chosen = network(all_reduce={"name": "hierarchical", "group_size": 4}).all_reduce
    assert chosen == AllReduceConfig(name="hierarchical", group_size=4)
    assert network(broadcast={"name": "pipelined-chain"}).broadcast.chunks is None


def test_a_misspelt_algorithm_is_named():
    found = problem(all_reduce="rign")
    assert found.path == ("network", "all_reduce")
    assert found.suggestion == "ring"
    found = problem(all_reduce={"name": "hierarchic"})
    assert found.path == ("network", "all_reduce", "name")
    assert found.suggestion == "hierarchical"


@pytest.mark.parametrize(
    ("key", "entry", "option"),
    [
        ("all_reduce", {"name": "ring", "chunks": 4}, "chunks"),
        ("all_reduce", {"name": "tree", "servers": 2}, "servers"),
        ("all_reduce", {"name": "parameter-server", "group_size": 2}, "group_size"),
        ("broadcast", {"name": "binomial", "chunks": 4}, "chunks"),
    ],
)
def test_an_option_of_another_algorithm_is_refused(key, entry, option):
    found = problem(**{key: entry})
    assert found.path == ("network", key, option)
    assert "does not take it" in found.message


@pytest.mark.parametrize("option", ["chunks", "group_size", "servers"])
def test_options_are_positive(option):
    names = {"chunks": "pipelined-chain", "group_size": "hierarchical", "servers": "parameter-server"}
    assert problem(all_reduce={"name": names[option], option: 0}).path == ("network", "all_reduce", option)


def test_the_detection_timeout_is_a_time():
    assert network(detection_timeout="250 ms").detection_timeout == 0.25
    assert network(detection_timeout="0 s").detection_timeout == 0.0
    assert problem(detection_timeout="-1 s").path == ("network", "detection_timeout")
