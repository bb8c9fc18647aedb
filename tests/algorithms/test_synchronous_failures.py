"""What synchronous methods do when workers go down: who goes on, with what, and what it costs."""

import pytest
import torch
from weather import DETECTION, MODEL_BYTES, STEP, weathered

METHODS = [
    {"name": "allreduce"},
    {"name": "allreduce", "overlap": "backward"},
    {"name": "local-sgd", "local_steps": 2},
    {"name": "diloco", "local_steps": 2},
    {"name": "diloco", "local_steps": 2, "overlap": "backward"},
]


def name_of(method):
    return "-".join(str(value) for value in method.values())


@pytest.fixture(params=METHODS, ids=name_of)
def method(request):
    return request.param


def assert_same_models(run, names=None):
    models = run.models
    first, *others = [models[name] for name in (names or models)]
    assert all(torch.equal(first, other) for other in others)
    return first


def test_the_others_go_on(method):
    """They take all their steps; the lost one has a part in none after its loss."""
    run = weathered(4, method, [(0.55, "n3", "down")])
    assert {name: node.steps for name, node in run.run.nodes.items()}["n0"] == 12
    assert run.run.nodes["n3"].steps < 12
    assert_same_models(run, ["n0", "n1", "n2"])
    assert run.run.nodes["n0"].view.members == ("n0", "n1", "n2")


@pytest.mark.parametrize("lost", ["n0", "n2"])
def test_a_crash_at_the_start_is_a_run_without_that_node(method, lost):
    """The same values as one in which its weight was never there: closed form, since optima are known."""
    crashed = weathered(3, method, [(0.0, lost, "down")])
    others = [name for name in crashed.models if name != lost]
    final = assert_same_models(crashed, others)
    alone = weathered(3, method, [(0.0, name, "down") for name in others])
    apart = weathered(3, method, [(0.0, lost, "down"), (0.0, others[1], "down")])
    # Gradients are affine in the model, with one curvature for all: means of models follow the mean optimum.
    second = weathered(3, method, [(0.0, lost, "down"), (0.0, others[0], "down")])
    mean = (apart.models[others[0]] + second.models[others[1]]) / 2
    assert torch.allclose(final, mean, atol=1e-5)
    assert not torch.allclose(final, alone.models[lost], atol=1e-3)


def test_a_rejoiner_has_the_others_model_for_one_download(method):
    run = weathered(4, method, [(0.33, "n1", "down"), (1.5, "n1", "up")], stop={"steps": 30, "time": "1 h"})
    assert_same_models(run)
    assert run.run.nodes["n1"].version == run.run.nodes["n0"].version
    state = MODEL_BYTES * (2 if method["name"] == "diloco" else 1)  # its outer momentum comes with it
    assert run.bytes_of("broadcast") == pytest.approx(state, rel=1e-3)
    assert run.run.nodes["n1"].steps < 30
    assert run.run.nodes["n0"].steps == 30


def test_a_crash_after_the_end_changes_nothing(method, without_accounts):
    calm = weathered(3, method)
    churn = {"churn": [{"kind": "crash", "node": "n1", "at": "500 s", "down": "50 s"}]}
    late = weathered(3, method, faults=churn)
    assert late.outcome.virtual_seconds == calm.outcome.virtual_seconds
    assert late.outcome.bytes_sent == calm.outcome.bytes_sent
    tables = [without_accounts(run.recorder.tables()["metrics"]).to_pylist() for run in (calm, late)]
    assert str(tables[0]) == str(tables[1])  # as text: NaN is not equal to itself


@pytest.mark.parametrize("disk", [True, False])
@pytest.mark.parametrize("at", [0.05, 0.42, 0.55, 0.61])
def test_waiting_gives_the_model_of_a_run_without_the_crash(method, disk, at):
    """The lost node comes back, catches up, and its step is repeated: nothing is missing in any mean."""
    wait = {**method, "on_failure": "wait"}
    calm, crashed = weathered(4, wait), weathered(4, wait, [(at, "n2", "down"), (3.0, "n2", "up")], disk=disk)
    done = crashed.run.nodes["n0"].version
    assert done >= calm.run.nodes["n0"].version - 1  # a step that was repeated counts in its budget
    if done == calm.run.nodes["n0"].version:
        assert torch.allclose(assert_same_models(crashed), assert_same_models(calm), atol=1e-6)
    assert crashed.outcome.virtual_seconds > 3.0


def test_waiting_without_end_says_for_whom():
    from simnet.runtime.simulated import DeadlockError

    method = {"name": "allreduce", "on_failure": "wait"}
    with pytest.raises(DeadlockError, match="n0 waits for a new view of 'worker'"):
        weathered(3, method, [(0.55, "n2", "down")], stop={"steps": 12})


def test_waiting_has_a_deadline():
    method = {"name": "allreduce", "on_failure": "wait", "deadline": "2 s"}
    run = weathered(3, method, [(0.55, "n2", "down")])
    assert "2 of at least 3 nodes" in run.outcome.aborted
    assert run.outcome.virtual_seconds == pytest.approx(0.55 + DETECTION + 2.0, abs=0.01)


def test_abort_ends_the_run_when_it_is_noticed(method):
    run = weathered(4, {**method, "on_failure": "abort"}, [(0.55, "n2", "down")])
    assert run.outcome.aborted.startswith("n2 went down")
    assert run.outcome.virtual_seconds == pytest.approx(0.55 + DETECTION, abs=2 * STEP)
    assert 0 < run.outcome.worker_steps < 48


def test_fewer_than_the_quorum_wait():
    method = {"name": "local-sgd", "local_steps": 2, "quorum": 3}
    down = [(0.3, "n1", "down"), (0.5, "n2", "down")]
    run = weathered(4, method, [*down, (20.0, "n1", "up")])
    assert run.outcome.virtual_seconds > 20.0
    assert run.run.nodes["n0"].steps == 12
    # One loss leaves enough, and nobody waits.
    assert weathered(4, method, down[:1]).outcome.virtual_seconds < 3.0


def test_all_go_down_and_come_back():
    for disk in (True, False):
        changes = [(0.5, f"n{i}", "down") for i in range(3)] + [
            (2.0 + i / 10, f"n{i}", "up") for i in range(3)
        ]
        run = weathered(3, {"name": "diloco", "local_steps": 2}, changes, disk=disk)
        assert_same_models(run)
        assert run.outcome.virtual_seconds > 2.0


def test_a_node_that_is_slow_to_come_is_left_out_and_taken_in():
    """A regroup has a deadline: whoever is in the middle of long work comes in later."""
    method = {"name": "local-sgd", "local_steps": 1, "deadline": "50 ms"}
    workers = [{"device": "cpu", "count": 3}, {"device": "cpu", "count": 1, "speed": 0.1}]
    run = weathered(4, method, [(0.35, "n0", "down")], workers=workers, stop={"steps": 20, "time": "100 s"})
    assert run.run.nodes["n1"].steps == 20
    assert_same_models(run, ["n1", "n2"])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"on_failure": "wait", "quorum": 2}, "a quorum is for on_failure: shrink"),
        ({"on_failure": "abort", "deadline": "1 s"}, "it has no deadline"),
        ({"on_failure": "shrug"}, "shrink"),
        ({"quorum": 0}, "quorum"),
    ],
)
def test_policies_that_make_no_sense(options, says):
    with pytest.raises(Exception, match=says):
        weathered(3, {"name": "allreduce", **options})


def test_a_quorum_that_can_never_be():
    with pytest.raises(ValueError, match="a quorum of 9 among 3 nodes"):
        weathered(3, {"name": "allreduce", "quorum": 9}, [(0.5, "n1", "down")])
