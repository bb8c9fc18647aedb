import pytest
from typer.testing import CliRunner

from simnet.cli.main import app


def simnet(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_network_of_the_library_is_summarised_and_drawn(tmp_path):
    result = simnet("topology", "networks/dc-islands", "--workers", "8", "--output", tmp_path)
    assert result.exit_code == 0, result.output
    for text in (
        "nodes:        8 hosts, 4 switches; 8 workers",
        "links:        14",
        "3 hops, 60.05 ms one way at most",
        "idle pair:    200 Mbit/s to 10 Gbit/s",
        "site0->site1: 200 Mbit/s for 7.1% of the pairs",
        "spectral gap: 1 ",
    ):
        assert text in result.output
    assert {path.name for path in tmp_path.iterdir()} == {
        "topology-dc-islands.png",
        "topology-dc-islands.pdf",
    }


def test_a_scenario_with_overrides_and_without_a_map(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = simnet("topology", "quickstart", "--no-map", "--set", "network.link.bandwidth=7Mbps")
    assert result.exit_code == 0, result.output
    assert "idle pair:    7 Mbit/s\n" in result.output
    assert list(tmp_path.iterdir()) == []


def test_a_network_file_without_workers_gets_some(tmp_path):
    file = tmp_path / "net.yaml"
    file.write_text(
        "network:\n  topology: {kind: torus, dims: [3, 3]}\n  link: {bandwidth: 1 Gbps, latency: 1 ms}\n"
    )
    assert "9 workers" in simnet("topology", file, "--no-map").output
    assert "8 workers" in simnet("topology", "lan-1g", "--no-map").output


def test_what_is_wrong_is_told_with_its_line(tmp_path):
    file = tmp_path / "net.yaml"
    file.write_text(
        "network:\n  topology:\n    kind: torus\n    dims: [3, 0]\n  link: {bandwidth: 1 Gbps, latency: 0}\n"
    )
    result = simnet("topology", file)
    assert result.exit_code != 0
    assert "network.topology.dims.1" in str(result.exception)
    assert f"{file}:4" in str(result.exception)


@pytest.mark.parametrize(
    ("kind", "words"), [("topologies", ["torus", "any of networkx"]), ("networks", ["networks/wan-100m"])]
)
def test_lists(kind, words):
    output = simnet("list", kind).output
    assert all(word in output for word in words)
