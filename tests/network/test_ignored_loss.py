"""Loss that nothing heeds: refused, or said aloud, or asked for."""

import warnings

import pytest

from simnet.network import NetworkWarning, build_topology, transport_of
from simnet.scenario import ScenarioError, dump, load_text, network_names
from simnet.scenario.load import load_network

REST = """
name: lossy
workers: {device: cpu}
task: {name: quadratic, batch_size: 1, optimizer: {name: sgd, lr: 0.1}}
algorithms: [allreduce]
stop: {steps: 1}
network:
  topology: {kind: star, nodes: 3}
"""
LOSSY = "  link: {bandwidth: 1 Gbps, latency: 10 ms, loss: 0.001}\n"


def topology_of(network):
    document = load_text(REST + network)
    return document, build_topology(document.scenarios[0].scenario)


def test_loss_without_a_word_on_the_model_is_refused_at_its_line():
    document = load_text(REST + LOSSY)
    with pytest.raises(ScenarioError) as error:
        build_topology(document.scenarios[0].scenario)
    said = document.explain(error.value)
    assert ":9: network.link.loss: loss has no effect under the default transport model, ideal" in said
    assert "{loss: none}" in said


def test_one_lossy_link_of_an_explicit_topology_is_enough():
    text = REST.replace("  topology: {kind: star, nodes: 3}\n", "") + (
        "  topology:\n    nodes: [a, b]\n    links:\n"
        "      - {between: [a, b], bandwidth: 1 Gbps, latency: 1 ms, loss: 0.1}\n"
    )
    document = load_text(text)
    with pytest.raises(ScenarioError) as error:
        build_topology(document.scenarios[0].scenario)
    assert ":11: network.topology.links.0.loss" in document.explain(error.value)


@pytest.mark.parametrize("model", ["ideal", "receiver-serialised", "{window: 4 MiB}"])
def test_a_model_without_a_word_on_loss_is_warned_of(model):
    with pytest.warns(NetworkWarning, match="3 of 3 links lose packets, which has no effect"):
        _, topology = topology_of(f"{LOSSY}  model: {model}\n")
    assert any("lose packets" in note for note in topology.notes)


@pytest.mark.parametrize("model", ["tcp", "{loss: cubic}", "{loss: bbr}", "{loss: none}"])
def test_a_model_that_speaks_of_loss_is_not(model):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        topology_of(f"{LOSSY}  model: {model}\n")


def test_without_loss_nobody_asks():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        topology_of("  link: {bandwidth: 1 Gbps, latency: 10 ms, loss: 0}\n")


@pytest.mark.parametrize("name", network_names())
def test_networks_of_the_library_do_something_with_their_loss(name):
    workers = None if name.endswith("regions") else 8
    scenario = load_network(name, workers=workers)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build_topology(scenario)
    if name.rpartition("/")[2] in ("cellular", "satellite", "flaky"):
        assert transport_of(scenario.network.model).loss == "cubic"
    ideal = load_network(name, ["network.model=ideal"], workers=workers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NetworkWarning)
        build_topology(ideal)


def test_what_is_kept_with_the_results_loads_again():
    document, _ = topology_of(f"{LOSSY}  model: {{loss: none}}\n")
    again = load_text(dump(document.scenarios[0].scenario)).scenarios[0].scenario
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build_topology(again)
