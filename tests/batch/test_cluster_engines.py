"""The same batch on a Ray cluster, of which a machine dies, and through submitit."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small_batches import Notes, carried_out
from test_local_batches import contents

from simnet.batch import Report, carry_out_batch, survey
from simnet.batch.work import Ended
from simnet.scenario import load_file

ray = pytest.importorskip("ray")

from ray.cluster_utils import Cluster  # noqa: E402

from simnet.batch.on_ray import RayEngine  # noqa: E402


@pytest.fixture(scope="module")
def cluster():
    """A head that computes nothing, and two machines with one core each."""
    before = dict(os.environ)
    os.environ["RAY_DISABLE_IMPORT_WARNING"] = "1"
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    made.add_node(num_cpus=1)
    made.add_node(num_cpus=1)
    made.wait_for_nodes()
    ray.init(address=made.address, log_to_driver=False)
    yield made
    ray.shutdown()
    made.shutdown()
    os.environ.clear()
    os.environ.update(before)


class KillsANode(Notes):
    """Kills a machine when a run has ended and another one is going on there."""

    def __init__(self, cluster: Cluster, begin_log: Path) -> None:
        super().__init__()
        self.cluster, self.begin_log = cluster, begin_log
        self.killed = False

    def ended(self, run, ended: Ended) -> None:
        super().ended(run, ended)
        if self.killed:
            return
        raylets = {node.all_processes["raylet"][0].process.pid: node for node in self.cluster.worker_nodes}
        before = len(self.begin_log.read_text().split()) if self.begin_log.exists() else 0
        until = time.monotonic() + 30
        while time.monotonic() < until:
            begun = self.begin_log.read_text().split() if self.begin_log.exists() else []
            if len(begun) > before:
                self.killed = True
                self.cluster.remove_node(raylets[int(begun[-1])], allow_graceful=False)
                return
            time.sleep(0.01)


def test_results_come_back_from_a_cluster_that_loses_a_machine(cluster, scenario_file, tmp_path):
    log = tmp_path / "begun"
    mine = {"name": "mine:Mine", "pause": 0.2, "begin_log": str(log)}
    file = scenario_file({"algorithms": ["allreduce", mine]}, sweep={"seeds": 3})
    batch = survey([load_file(file)], tmp_path / "ray")
    report, notes = Report(batch), KillsANode(cluster, log)
    carry_out_batch(batch, RayEngine(None, "driver", {}), report, notes)
    cluster.add_node(num_cpus=1)
    assert report.all_fine, report.failed
    assert notes.killed
    assert len(log.read_text().split()) == 4  # three runs, one of them a second time
    carried_out(file, tmp_path / "local")
    assert contents(tmp_path / "ray") == contents(tmp_path / "local")
    assert survey([load_file(file)], tmp_path / "ray").to_do == ()


@pytest.mark.parametrize("where", ["shared", "url"])
def test_tasks_write_into_a_shared_folder_or_to_a_url(cluster, scenario_file, tmp_path, where):
    sweep = {"algorithms.mine.then": ["", "fail"]}
    file = scenario_file({"algorithms": ["allreduce", {"name": "mine:Mine"}]}, sweep=sweep)
    deliver = "shared" if where == "shared" else f"file://{tmp_path}/bucket"
    results = tmp_path / "results"
    batch = survey([load_file(file)], results)
    report = Report(batch)
    carry_out_batch(batch, RayEngine(None, deliver, {}), report, Notes())
    assert len(report.done) == 2
    ((_, message),) = report.failed.items()
    assert "the method gives up" in message
    carried_out(file, tmp_path / "local")
    expected = {name: data for name, data in contents(tmp_path / "local").items() if "/.failed/" not in name}
    place = results if where == "shared" else tmp_path / "bucket"
    assert {name: data for name, data in contents(place).items() if "/.failed/" not in name} == expected
    again, notes = survey([load_file(file)], results), Notes()
    report = Report(again)
    carry_out_batch(again, RayEngine(None, deliver, {}), report, notes)
    assert all(ended.status == "elsewhere" for ended in notes.outcomes.values())
    assert not report.seconds


def test_the_local_engine_imports_neither_ray_nor_submitit_nor_torch(scenario_file, tmp_path):
    file = scenario_file()
    code = f"""
import sys
from small_batches import carried_out
if __name__ == "__main__":
    from pathlib import Path
    _, report, _ = carried_out(Path({str(file)!r}), Path({str(tmp_path / "results")!r}), jobs=1)
    assert report.all_fine
    print([name for name in ("ray", "submitit", "torch") if name in sys.modules])
"""
    script = tmp_path / "script.py"
    script.write_text(code)
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    command = [sys.executable, str(script)]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_jobs_of_slurm_write_into_the_shared_folder(scenario_file, tmp_path):
    """With submitit's own executor for one machine in the place of Slurm."""
    pytest.importorskip("submitit")
    from simnet.batch.on_slurm import SlurmEngine

    sweep = {"algorithms.mine.then": ["", "die"]}
    file = scenario_file({"algorithms": [{"name": "mine:Mine"}]}, sweep=sweep)
    results = tmp_path / "results"
    batch = survey([load_file(file)], results)
    report, notes = Report(batch), Notes()
    carry_out_batch(batch, SlurmEngine(results, 2, {"time": "5"}, {}, cluster="local"), report, notes)
    assert len(report.done) == len(report.failed) == 1
    assert len(notes.begun) == 2
    (message,) = report.failed.values()
    assert message.startswith("job ")
    (record,) = (results / "small" / ".failed").iterdir()
    assert json.loads(record.read_text())["message"] == message
    assert len(survey([load_file(file)], results).finished) == 1
