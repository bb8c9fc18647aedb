"""A run's identity holds what its network's files say, and its folder has all to repeat it."""

import shutil

import pytest

import simnet
from simnet.experiment import load
from simnet.plan import plans

REST = """
name: kept
threads: 1
workers: {count: 3, device: cpu}
task:
  name: quadratic
  batch_size: 1
  optimizer: {name: sgd, lr: 0.1}
  charge_as: {parameters: 1M, samples_per_step: 1}
algorithms: [local-sgd]
stop: {steps: 2}
"""
NETWORK = """
network:
  topology: {kind: file, path: nets/three.gml}
  link: {bandwidth: {trace: traces/rate.csv, loop: true}, latency: 2 ms}
  events:
    - {at: 1 s, link: a-b, bandwidth: {trace: other/rate.csv}}
"""
GML = """graph [
  node [ id 0 label "a" ] node [ id 1 label "b" ] node [ id 2 label "c" ]
  edge [ source 0 target 1 ] edge [ source 1 target 2 ]
]"""
FILES = {
    "nets/three.gml": GML,
    "traces/rate.csv": "time [s],bandwidth [Mbps]\n0,10\n1,20\n2,5\n",
    "other/rate.csv": "0,50 Mbps\n",
}


@pytest.fixture
def folder(tmp_path):
    home = tmp_path / "home"
    for name, text in {"kept.yaml": REST + NETWORK, **FILES}.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text)
    return home


def digest(file):
    (plan,) = plans(load(file).scenarios[0].scenario)
    return plan.digest


def test_a_run_can_be_repeated_from_its_folder_alone(folder, tmp_path):
    (first,) = simnet.run(folder / "kept.yaml", tmp_path / "one")
    shutil.rmtree(folder)
    kept = sorted(file.relative_to(first.folder).as_posix() for file in (first.folder / "files").iterdir())
    assert len(kept) == 3
    assert {"files/three.gml", "files/rate.csv"} < set(kept)
    (again,) = simnet.run(first.folder / "scenario.yaml", tmp_path / "two")
    assert again.folder.name == first.folder.name
    for name in ("metrics.parquet", "transfers.parquet", "scenario.yaml", *kept):
        assert (again.folder / name).read_bytes() == (first.folder / name).read_bytes()


@pytest.mark.parametrize("name", FILES)
def test_what_a_file_says_is_part_of_the_identity(folder, name):
    before = digest(folder / "kept.yaml")
    assert digest(folder / "kept.yaml") == before
    text = (folder / name).read_text()
    (folder / name).write_text(text.replace("5", "6").replace('"c"', '"d"'))
    assert digest(folder / "kept.yaml") != before
    (folder / name).write_text(text)
    assert digest(folder / "kept.yaml") == before


def test_what_a_file_is_called_is_not(folder):
    before = digest(folder / "kept.yaml")
    (folder / "nets" / "three.gml").rename(folder / "moved.gml")
    text = (folder / "kept.yaml").read_text()
    (folder / "kept.yaml").write_text(text.replace("nets/three.gml", "moved.gml"))
    assert digest(folder / "kept.yaml") == before


def test_files_of_a_network_that_is_used_lie_beside_that(folder, tmp_path):
    used = tmp_path / "used.yaml"
    used.write_text(REST + "network: {use: home/kept.yaml}\n")
    assert digest(used) == digest(folder / "kept.yaml")
    (run,) = simnet.run(used, tmp_path / "results")
    assert (run.folder / "files" / "three.gml").read_text() == GML


def test_round_trips_and_uplinks_from_files(tmp_path):
    (tmp_path / "rtt.csv").write_text("site,x,y\nx,0,80\ny,80,0\n")
    (tmp_path / "up.csv").write_text("0,10 Mbps\n5,1 Mbps\n")
    file = tmp_path / "sites.yaml"
    file.write_text(
        REST.replace("{count: 3, device: cpu}", "{count: 4, device: cpu, uplink: {trace: up.csv}}")
        + "network:\n  topology: {kind: regions, rtt: rtt.csv}\n"
        "  link: {bandwidth: 1 Gbps, latency: 1 ms}\n"
    )
    (run,) = simnet.run(file, tmp_path / "results")
    assert {kept.name for kept in (run.folder / "files").iterdir()} == {"rtt.csv", "up.csv"}
    assert digest(run.folder / "scenario.yaml") == digest(file)


def test_without_files_nothing_is_kept(tmp_path):
    file = tmp_path / "plain.yaml"
    file.write_text(
        REST + "network:\n  topology: {kind: regions, rtt: 80 ms, sites: 3}\n"
        "  link: {bandwidth: 1 Gbps, latency: 1 ms}\n"
    )
    (run,) = simnet.run(file, tmp_path / "results")
    assert not (run.folder / "files").exists()


def test_a_trace_of_stragglers_belongs_to_the_run(folder, tmp_path):
    """What it says is in the identity, not what it is called; and the folder alone repeats the run."""
    faults = "faults: {stragglers: {kind: trace, trace: load.csv, nodes: [b]}}\n"
    (folder / "kept.yaml").write_text(REST + NETWORK + faults)
    (folder / "load.csv").write_text("0,1\n1,3\n")
    before = digest(folder / "kept.yaml")
    (folder / "load.csv").write_text("0,1\n1,4\n")
    assert digest(folder / "kept.yaml") != before
    (folder / "other.csv").write_text("0,1\n1,3\n")
    (folder / "kept.yaml").write_text(REST + NETWORK + faults.replace("load", "other"))
    assert digest(folder / "kept.yaml") == before
    (first,) = simnet.run(folder / "kept.yaml", tmp_path / "one")
    shutil.rmtree(folder)
    (again,) = simnet.run(first.folder / "scenario.yaml", tmp_path / "two")
    assert again.folder.name == first.folder.name
