import pytest

from simnet.scenario import (
    ScenarioError,
    dump,
    load_file,
    load_network,
    load_text,
    network_descriptions,
    network_names,
)

REST = """
name: test
workers: {count: 4, device: cpu}
task: {name: quadratic, batch_size: 1, optimizer: sgd}
algorithms: [allreduce]
stop: {steps: 1}
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "nets").mkdir()
    (tmp_path / "nets" / "slow.yaml").write_text(
        "description: slow\nnetwork:\n  topology: {kind: star, nodes: 4}\n"
        "  link:\n    bandwidth: 1 Mbps\n    latency: 9 ms\n"
    )
    return tmp_path


def load(text, folder, overrides=()):
    return load_text(text + REST, overrides, name="mine.yaml", folder=folder)


def network(text, folder, overrides=()):
    return load(text, folder, overrides).scenarios[0].scenario.network


def message(text, folder, overrides=()):
    with pytest.raises(ScenarioError) as raised:
        load(text, folder, overrides)
    return str(raised.value)


@pytest.mark.parametrize("name", ["nets/slow.yaml", "nets/slow"])
@pytest.mark.parametrize("form", ["network: {}", "network: {{use: {}}}"])
def test_a_network_out_of_another_file(folder, name, form):
    used = network(form.format(name), folder)
    assert (used.topology.options, used.link.bandwidth, used.link.latency) == ({"nodes": 4}, 125e3, 0.009)


def test_own_keys_come_on_top(folder):
    used = network(
        "network: {use: nets/slow, link: {latency: 1 ms}, topology: {nodes: 6}, routing: hops}", folder
    )
    assert (used.link.bandwidth, used.link.latency) == (125e3, 0.001)
    assert (used.topology.kind, used.topology.options, used.routing) == ("star", {"nodes": 6}, "hops")


@pytest.mark.parametrize("topology", ["{kind: ring}", "ring"])
def test_another_kind_of_topology_replaces_the_whole(folder, topology):
    used = network(f"network: {{use: nets/slow, topology: {topology}}}", folder)
    assert (used.topology.kind, used.topology.options) == ("ring", {})


def test_overrides_and_sweeps_reach_into_it(folder):
    used = network("network: nets/slow", folder, ["network.link.latency=2ms", "network.topology.nodes=5"])
    assert (used.link.latency, used.topology.options) == (0.002, {"nodes": 5})
    text = "network: {use: nets/slow}\n"
    text += "sweep: {network.use: [nets/slow, wan-100m], network.link.latency: [1 ms, 2 ms]}"
    points = [point.scenario.network.link for point in load(text, folder).scenarios]
    assert [(link.bandwidth, link.latency) for link in points] == [
        (125e3, 0.001), (125e3, 0.002), (12.5e6, 0.001), (12.5e6, 0.002)
    ]  # fmt: skip


def test_the_result_names_no_other_file_any_more(folder):
    scenario = load("network: nets/slow", folder).scenarios[0].scenario
    assert "use" not in dump(scenario)
    assert load_text(dump(scenario)).scenarios[0].scenario == scenario


def test_files_may_use_each_other_but_not_in_a_circle(folder):
    (folder / "nets" / "slower.yaml").write_text("network: {use: slow, link: {bandwidth: 1 kbps}}")
    assert network("network: nets/slower", folder).link.bandwidth == 125
    (folder / "nets" / "slow.yaml").write_text("network: {use: slower}")
    assert "in a circle" in message("network: nets/slower", folder)


def test_what_is_wrong_in_the_other_file_is_told_with_its_line(folder):
    file = folder / "nets" / "slow.yaml"
    file.write_text("network:\n  topology: star\n  link:\n    bandwidth: 1 Mpbs\n    latency: 9 ms\n")
    text = message("network: nets/slow", folder)
    assert f"{file}:4: network.link.bandwidth" in text
    assert message("network: {use: nets/slow, link: {bandwidth: soon}}", folder).startswith("mine.yaml:1:")
    assert message("network: nets/slow", folder, ["network.link.bandwidth=x"]).startswith("--set")
    file.write_text("network:\n  topology: star\n  link: [\n")
    assert f"{file}:" in message("network: nets/slow", folder)
    file.write_text("network:\n  topology: star\n  link: {latency: 1 ms}\n")
    assert f"{file}:3: network.link.bandwidth: missing key" in message("network: nets/slow", folder)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("network: nets/slw", "no such file"),
        ("network: {use: wan-100}", "did you mean `networks/wan-100m`"),
        ("network: {use: 5}", "not a file"),
        ("network: {use: empty}", "no network in this file"),
    ],
)
def test_what_cannot_be_used(folder, text, word):
    (folder / "empty.yaml").write_text("name: x\n")
    assert word in message(text, folder)


def test_files_named_in_a_network_are_looked_for_beside_it(folder):
    from simnet.network import build_topology

    (folder / "nets" / "rtt.csv").write_text(",a,b\na,,10\nb,10,\n")
    (folder / "nets" / "two.yaml").write_text(
        "network: {topology: {kind: file, path: rtt.csv}, link: {bandwidth: 1 Mbps, latency: 0 s}}"
    )
    text = REST.replace("count: 4, ", "") + "network: nets/two\n"
    scenario = load_text(text, name="mine.yaml", folder=folder).scenarios[0].scenario
    assert build_topology(scenario).route("a", "b").latency == 0.005
    own = load_text(text, ["network.topology.path=rtt.csv"], folder=folder).scenarios[0].scenario
    with pytest.raises(ScenarioError, match="no such file"):
        build_topology(own)


# -- the library ------------------------------------------------------------------------------------------


def test_the_library_of_networks():
    assert {"networks/wan-100m", "networks/aws-21-regions", "networks/home-broadband"} <= set(network_names())
    assert all(network_descriptions().values())


@pytest.mark.parametrize("name", network_names())
def test_every_network_of_the_library_can_be_built(name):
    from simnet.network import build_topology

    topology = build_topology(load_network(name, workers=None if "aws" in name or "data" in name else 8))
    assert topology.route(topology.workers[0], topology.workers[-1]).latency > 0
    assert not topology.notes or "aws" in name


def test_named_networks_are_what_they_say():
    from simnet.network import build_topology

    def built(name, workers=8):
        return build_topology(
            load_network(f"networks/{name}", workers=workers), with_server=name == "fl-edge"
        )

    assert built("lan-1g").route("n0", "n1").latency == pytest.approx(0.2e-3)
    assert built("wan-100m").route("n0", "n1").latency == pytest.approx(0.04)
    hetero = built("wan-hetero", 5)
    rates = [hetero.nominal_bandwidth(host, "hub") / 125e3 for host in hetero.hosts]
    assert rates == pytest.approx([5, 10, 10 * 40 ** (1 / 3), 10 * 40 ** (2 / 3), 400])
    islands = built("dc-islands")
    assert islands.route("site0-0", "site0-1").latency == pytest.approx(0.05e-3)
    assert islands.route("site0-0", "site3-1").latency == pytest.approx(0.06005)
    assert islands.nominal_bandwidth("site0-0", "site3-1") == 200 * 125e3
    assert islands.nominal_bandwidth("site0-0", "site0-1") == 10_000 * 125e3
    edge = built("fl-edge")
    assert edge.route("n0", "server").latency == pytest.approx(0.05)
    assert all(5 <= edge.nominal_bandwidth(host, "server") / 125e3 <= 20 for host in edge.workers)
    assert all(20 <= edge.nominal_bandwidth("server", host) / 125e3 <= 80 for host in edge.workers)
    assert built("flaky").route("n0", "n1").loss == pytest.approx(0.005, rel=1e-4)


def test_a_whole_scenario_has_a_network_too(folder):
    (folder / "whole.yaml").write_text("network: nets/slow" + REST)
    assert (
        load_network(folder / "whole.yaml").network
        == load_file(folder / "whole.yaml").scenarios[0].scenario.network
    )
    with pytest.raises(ScenarioError, match="no such file"):
        load_network("nowhere")


def test_the_json_schema_knows_both_forms():
    from simnet.scenario import json_schema

    bare, whole = json_schema({})["$defs"]["NetworkConfig"]["anyOf"]
    assert bare["type"] == "string"
    assert "use" in whole["properties"]
    assert whole["anyOf"] == [{"required": ["use"]}, {"required": ["topology"]}]
