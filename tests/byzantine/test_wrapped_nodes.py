"""Byzantine nodes wrap nodes: honest code is unaware, and each hook does what it says, when it says."""

import pytest
import torch

from simnet.faults.attacks import alie_z
from simnet.runtime.node import Algorithm
from simnet.scenario import ScenarioError

METHODS = [
    {"name": "allreduce"},
    {"name": "local-sgd", "local_steps": 2},
    {"name": "diloco", "local_steps": 2},
    {"name": "d-psgd", "graph": "complete"},
    {"name": "gossip"},
    {"name": "ad-psgd", "graph": "complete"},
    {"name": "fedavg", "local_steps": 2},
    {"name": "fedbuff", "local_steps": 2},
    {"name": "robust-allreduce"},
    {"name": "robust-gossip", "graph": "complete"},
]


class Telling(Algorithm):
    """Every worker contributes a vector to collectives `rounds` times, a second apart; all is kept."""

    kept: dict
    rounds: int = 1
    width: int = 3

    def roles(self):
        return {"worker": self.does}

    async def does(self, node):
        for turn in range(self.rounds):
            own = torch.full((self.width,), float(node.rank + 1)) + torch.arange(self.width) * turn
            gathered = await node.all_gather(own)
            mean = await node.all_reduce(own, op="mean")
            self.kept[node.id, turn] = (node.now, gathered, mean)
            await node.sleep(1.0)


def told(attacked, byzantine, changes=None, **options):
    method = Telling(kept={}, **options)
    finished = attacked(method, byzantine, {"stop": {"time": "100 s"}, "evaluate": None, **(changes or {})})
    return finished, method.kept


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method["name"])
def test_an_attack_that_does_nothing_changes_nothing(attacked, method):
    """The wrappers themselves leave no trace: every model and every transfer are the same bits."""
    without = attacked(method)
    among = attacked(method, {"attack": "honest", "nodes": ["n1"]})
    assert among.byzantine == {"n1"}
    for name, model in without.models.items():
        assert torch.equal(model, among.models[name])
    plain, wrapped = without.tables(), among.tables()
    assert plain["transfers"] == wrapped["transfers"]
    assert plain["links"] == wrapped["links"]


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method["name"])
def test_every_method_runs_among_attackers(attacked, method):
    finished = attacked(method, {"attack": "sign-flip", "nodes": ["n1"]})
    assert finished.run.counts["attacks"] > 0
    honest = attacked(method)
    assert not torch.equal(finished.models["n0"], honest.models["n0"])


def test_a_sign_flip_shrinks_a_mean_by_two_f_of_n(attacked):
    """Of n equal vectors f are flipped: the mean is (n - 2f) / n of them."""

    class Equal(Algorithm):
        kept: dict

        def roles(self):
            return {"worker": self.does}

        async def does(self, node):
            self.kept[node.id] = await node.all_reduce(torch.ones(5), op="mean")
            await node.sleep(1.0)

    for n, f in ((4, 1), (10, 3), (7, 3)):
        method = Equal(kept={})
        changes = {"network.topology.nodes": n, "stop": {"time": "10 s"}}
        attacked(method, {"attack": "sign-flip", "count": f}, changes)
        for mean in method.kept.values():
            assert torch.allclose(mean, torch.full((5,), (n - 2 * f) / n))


def test_an_equivocator_tells_each_receiver_something_else(attacked):
    """Faces go round the receivers by rank, in blocks of all-gathers and in parts of all-reduces."""
    byzantine = {"attack": {"name": "equivocation", "faces": ["honest", "sign-flip"]}, "nodes": ["n2"]}
    _, kept = told(attacked, byzantine)
    for rank in (0, 1, 3):
        sign = 1.0 if rank % 2 == 0 else -1.0
        _, gathered, mean = kept[f"n{rank}", 0]
        assert torch.equal(gathered[2], torch.full((3,), sign * 3.0))
        assert torch.allclose(mean, torch.full((3,), (1 + 2 + sign * 3 + 4) / 4))


def test_an_equivocator_sends_neighbours_different_models(attacked):
    finished = attacked(
        {"name": "d-psgd", "graph": "complete"},
        {"attack": {"name": "equivocation", "faces": ["honest", "zero"]}, "nodes": ["n3"]},
        {"stop.steps": 2},
    )
    plain = attacked({"name": "d-psgd", "graph": "complete"}, None, {"stop.steps": 2})
    assert torch.equal(finished.models["n0"], plain.models["n0"]) is False
    # After one round: n0 and n2 (even ranks) heard the truth, n1 heard zero from n3.
    one = attacked(
        {"name": "d-psgd", "graph": "complete"},
        {"attack": {"name": "equivocation", "faces": ["honest", "zero"]}, "nodes": ["n3"]},
        {"stop.steps": 1},
    )
    honest = attacked({"name": "d-psgd", "graph": "complete"}, None, {"stop.steps": 1})
    assert torch.equal(one.models["n0"], honest.models["n0"])
    assert torch.equal(one.models["n2"], honest.models["n2"])
    start = one.run.engine.initial_params
    assert torch.allclose(one.models["n1"], honest.models["n1"] - start / 4, atol=1e-6)


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ({}, [1, 1, 1, 1, 1, 1]),
        ({"from": "2.5 s"}, [0, 0, 0, 1, 1, 1]),
        ({"to": "2.5 s"}, [1, 1, 1, 0, 0, 0]),
        ({"from": "0.5 s", "on": "1 s", "off": "2 s"}, [0, 1, 0, 0, 1, 0]),
        ({"during": [["0.5 s", "1.5 s"], ["4 s", "10 s"]]}, [0, 1, 0, 0, 1, 1]),
    ],
)
def test_an_attack_is_on_when_its_schedule_says_so(attacked, when, expected):
    finished, kept = told(attacked, {"attack": "zero", "nodes": ["n0"], **when}, rounds=6)
    seen = [int(bool((kept["n1", turn][1][0] == 0).all())) for turn in range(6)]
    assert seen == expected
    spans = finished.recorder.tables()["spans"].to_pandas()
    assert set(spans[spans.kind == "attack"].name) == {"zero"}


def test_a_schedule_in_steps_counts_the_nodes_own_steps(attacked):
    finished = attacked(
        "allreduce", {"attack": "sign-flip", "nodes": ["n0"], "from": "2 steps", "to": "5 steps"}
    )
    assert finished.run.counts["attacks"] == 3
    alternating = attacked(
        "allreduce", {"attack": "sign-flip", "nodes": ["n0"], "on": "1 steps", "off": "1 steps"}
    )
    assert alternating.run.counts["attacks"] == 3


def test_colluders_draw_the_same_numbers_and_others_do_not(attacked):
    together = {"attack": "gaussian", "nodes": ["n0", "n1"]}
    _, kept = told(attacked, together)
    assert torch.equal(kept["n3", 0][1][0], kept["n3", 0][1][1])
    _, kept = told(attacked, {**together, "collude": False})
    assert not torch.equal(kept["n3", 0][1][0], kept["n3", 0][1][1])
    apart = [
        {"attack": "gaussian", "nodes": ["n0"], "group": "g"},
        {"attack": "gaussian", "nodes": ["n1"], "group": "g"},
    ]
    _, kept = told(attacked, apart)
    assert torch.equal(kept["n3", 0][1][0], kept["n3", 0][1][1])


def test_the_seed_draws_the_same_attackers_for_every_method(attacked):
    changes = {"network.topology.nodes": 8, "stop.steps": 2}
    byzantine = {"attack": "gaussian", "count": 3}
    drawn = [attacked(name, byzantine, changes).byzantine for name in ("allreduce", "gossip", "fedavg")]
    assert drawn[0] == drawn[1] == drawn[2]
    assert len(drawn[0]) == 3
    other = attacked("allreduce", byzantine, {**changes, "seed": 1}).byzantine
    assert other != drawn[0]


def test_an_omniscient_attacker_sees_this_rounds_honest_vectors(attacked):
    """ALIE out of the contributions of n1, n2 and n3 (2, 3 and 4), though n0 comes first by rank."""
    _, kept = told(attacked, {"attack": {"name": "alie", "z": 2.0}, "knowledge": "all", "nodes": ["n0"]})
    expected = torch.tensor([2.0, 3.0, 4.0])
    value = expected.mean() - 2.0 * expected.std()
    assert torch.allclose(kept["n2", 0][1][0], value.expand(3))


def test_alie_reckons_with_its_group(attacked):
    changes = {"network.topology.nodes": 7}
    _, kept = told(attacked, {"attack": "alie", "knowledge": "all", "nodes": ["n0", "n1"]}, changes)
    honest = torch.arange(3.0, 8.0)
    value = honest.mean() - alie_z(7, 2) * honest.std()
    assert torch.allclose(kept["n5", 0][1][0], value.expand(3))
    assert torch.equal(kept["n5", 0][1][0], kept["n5", 0][1][1])


def test_replay_sends_what_was_sent_before(attacked):
    _, kept = told(attacked, {"attack": {"name": "replay", "rounds": 2}, "nodes": ["n0"]}, rounds=4)
    for turn, old in ((0, 0), (1, 0), (2, 0), (3, 1)):
        assert torch.equal(kept["n1", turn][1][0], 1.0 + torch.arange(3) * old)


def test_a_delay_holds_everybody_up_by_as_much(attacked):
    _, plain = told(attacked, None)
    _, late = told(attacked, {"attack": {"name": "delay", "seconds": 5.0}, "nodes": ["n0"]})
    # once at the all-gather, once at the all-reduce
    assert late["n1", 0][0] == pytest.approx(plain["n1", 0][0] + 10.0)


def test_a_slow_loris_is_as_late_as_its_bytes_stretched(attacked):
    """A client's upload alone on its links: stretch times as long."""
    wide = {"device": "cpu", "uplink": "10 Gbps", "downlink": "10 Gbps"}
    changes = {"task.charge_as": {"parameters": "10M"}, "stop.steps": 2, "server": wide}
    method = {"name": "fedavg", "local_steps": 2}
    plain = attacked(method, None, changes)
    slow = attacked(method, {"attack": {"name": "slow-loris", "stretch": 3}, "nodes": ["n0"]}, changes)
    bytes_each = 4 * 10e6
    more = slow.outcome.virtual_seconds - plain.outcome.virtual_seconds
    assert more == pytest.approx(2 * bytes_each / 12.5e6, rel=0.01)


def test_a_server_with_a_deadline_goes_on_without_those_who_drop(attacked):
    method = {"name": "fedavg", "local_steps": 2, "deadline": "10 s"}
    finished = attacked(method, {"attack": "dropping", "nodes": ["n0"]})
    assert set(finished.column("answers")) == {3.0}


def test_a_free_rider_computes_nothing_and_is_charged_nothing(attacked):
    plain = attacked("allreduce")
    riding = attacked("allreduce", {"attack": "free-rider", "nodes": ["n0"]})
    assert riding.run.counts["gradients_charged"] == plain.run.counts["gradients_charged"] * 3 / 4
    assert riding.run.nodes["n0"].computing.busy_seconds < plain.run.nodes["n0"].computing.busy_seconds
    assert riding.outcome.virtual_seconds == pytest.approx(plain.outcome.virtual_seconds)


def test_a_free_riders_drift_is_nothing(attacked):
    """One round of FedAvg from three clients and one that sends a zero drift."""
    method = {"name": "fedavg", "local_steps": 2, "weighting": "uniform"}
    changes = {"stop": {"time": "30 ms"}, "evaluate": None}  # between the first answers and the next model
    riding = attacked(method, {"attack": "free-rider", "nodes": ["n0"]}, changes)
    assert riding.column("answers") == [4.0]
    start = riding.run.engine.initial_params
    others = [riding.models[name] - start for name in ("n1", "n2", "n3")]
    assert torch.allclose(riding.models["server"] - start, sum(others) / 4, atol=1e-6)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method["name"])
def test_free_riders_end_with_every_method(attacked, method):
    attacked(method, {"attack": {"name": "free-rider", "noise": 0.01}, "nodes": ["n2"]})


@pytest.mark.parametrize("mode", ["stacked", "vmap", "loop"])
def test_a_flipped_label_reaches_the_engine_however_it_batches(attacked, mode):
    """The first gradient of the attacker is that at the flipped labels, and nobody else's has changed."""

    class First(Algorithm):
        kept: dict

        def roles(self):
            return {"worker": self.does}

        async def does(self, node):
            self.kept[node.id] = (await node.gradient()).vector

    plain, flipped = First(kept={}), First(kept={})
    changes = {"engine.mode": mode}
    clean = attacked(plain, None, changes)
    attacked(flipped, {"attack": "label-flip", "nodes": ["n1"]}, changes)
    inputs, targets = clean.run.task.batches(1, 0, 1)
    model = clean.run.task.make_model()
    torch.nn.functional.cross_entropy(model(inputs[0]), 9 - targets[0]).backward()
    expected = torch.cat([parameter.grad.reshape(-1) for parameter in model.parameters()])
    assert torch.allclose(flipped.kept["n1"], expected, atol=1e-5)
    for name in ("n0", "n2", "n3"):
        assert torch.allclose(flipped.kept[name], plain.kept[name], atol=1e-6)


def test_poisoned_batches_switch_with_the_schedule(attacked):
    finished = attacked(
        "allreduce", {"attack": "label-flip", "nodes": ["n1"], "from": "2 steps", "to": "4 steps"}
    )
    source = finished.run.task.source
    assert [source.is_changed(1, batch) for batch in range(6)] == [False, False, True, True, False, False]
    assert not source.is_changed(0, 2)


def test_only_honest_models_are_evaluated(attacked):
    finished = attacked({"name": "d-psgd", "graph": "complete"}, {"attack": "zero", "nodes": ["n1"]})
    metrics = finished.recorder.tables()["metrics"].to_pandas()
    evaluated = set(metrics[metrics.name == "accuracy"].node)
    assert evaluated == {"", "n0", "n2", "n3"}


@pytest.mark.parametrize(
    ("byzantine", "method", "words"),
    [
        ({"attack": "sing-flip"}, "allreduce", "sign-flip"),
        ({"attack": {"name": "sign-flip", "scael": 2}}, "allreduce", "scale"),
        ({"attack": "zero", "nodes": ["m0"]}, "allreduce", "no such worker"),
        ({"attack": "zero", "count": 4}, "allreduce", "leaves no honest worker"),
        ({"attack": "alie"}, "allreduce", "spread"),
        ({"attack": {"name": "alie", "knowledge": "all"}}, "allreduce", "needs to know more"),
        ({"attack": "dissensus"}, "d-psgd", "needs to know more"),
        ({"attack": "dissensus", "knowledge": "all"}, "allreduce", "averaging with neighbours"),
        ({"attack": "equivocation"}, "fedavg", "one receiver"),
        ({"attack": "dropping"}, "allreduce", "deadline"),
        ({"attack": "zero", "on": "1 s"}, "allreduce", "on and off"),
        ({"attack": "zero", "during": [["2 s", "1 s"]]}, "allreduce", "not an interval"),
        ({"attack": {"name": "poison", "features": [999]}}, "allreduce", "999"),
    ],
)
def test_what_makes_no_sense_is_an_error_before_the_run(attacked, byzantine, method, words):
    with pytest.raises(ScenarioError) as caught:
        attacked(method, byzantine)
    assert words in str(caught.value)


def test_value_attacks_need_values(attacked):
    synthetic = {
        "task": {"name": "synthetic", "parameters": "1M", "step_seconds": "10 ms"},
        "evaluate": None,
    }
    with pytest.raises(ScenarioError, match="no values"):
        attacked("allreduce", {"attack": "sign-flip"}, synthetic)


@pytest.mark.parametrize("per", ["step", "run"])
@pytest.mark.parametrize("method", [{"name": "local-sgd", "local_steps": 2}, "allreduce"], ids=str)
def test_a_free_rider_idles_for_as_long_as_its_slow_machine_would_compute(attacked, method, per):
    """With stragglers too nobody can tell by the clock; the optimizer's own seconds are next to none."""
    slow = [
        {"kind": "lognormal", "sigma": 1.0, "per": per},
        {"kind": "scheduled", "nodes": ["n0"], "factor": 9, "at": 0},
    ]
    rider = {"attack": "free-rider", "nodes": ["n0"]}
    plain = attacked(method, None, {"faults": {"stragglers": slow}})
    riding = attacked(method, None, {"faults": {"stragglers": slow, "byzantine": rider}})
    assert riding.outcome.virtual_seconds == pytest.approx(plain.outcome.virtual_seconds, rel=1e-3)
