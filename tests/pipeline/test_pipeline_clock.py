"""Time, staleness, memory and bytes of pipelines under the simulated clock."""

from fractions import Fraction

import pytest
from pipeline_runs import EVEN, NO_NETWORK

from simnet.pipeline.schedules import SCHEDULES, Forward, Update, continuous
from simnet.pipeline.timeline import timeline

BIG_LINKS = {**NO_NETWORK, **EVEN, "pipeline.replicas": 1, "task.optimizer": {"name": "sgd", "lr": 0.1}}
FAST = {"workers": {"device": {"flops": "1e9 PFLOP/s", "achieved": 1}}}
"""So that an optimizer's step takes no time, as near as makes no difference."""


def bubble(run):
    spans = run.spans()
    passes = spans[spans["name"] != "step"]
    whole = passes["end"].max() - passes["start"].min()
    return 1 - (passes["end"] - passes["start"]).sum() / (len(run.stages) * whole)


@pytest.mark.parametrize(
    ("options", "chunks"),
    [
        ({"schedule": "gpipe"}, 1),
        ({"schedule": "1f1b"}, 1),
        ({"schedule": "interleaved", "virtual_stages": 2}, 2),
    ],
)
@pytest.mark.parametrize(("stages", "microbatches"), [(2, 4), (4, 8)])
def test_bubble_fraction_through_the_simulator(pipe, options, chunks, stages, microbatches):
    """(P-1)/(K+P-1), and with v chunks (P-1)/(vK+P-1), with links that take no time."""
    changes = {
        **BIG_LINKS,
        **FAST,
        "pipeline.stages": stages,
        "stop.steps": 1,
        "task.model.layers": 2 * stages * chunks,
    }
    run = pipe("pipeline", {"microbatches": microbatches, **options}, changes)
    expected = Fraction(stages - 1, chunks * microbatches + stages - 1)
    assert bubble(run) == pytest.approx(float(expected), abs=1e-9)


@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_spans_are_those_of_the_schedule(pipe, name):
    """The simulator and the plain evaluation of the schedule agree on when every pass happens."""
    chunks = 2 if name == "interleaved" else 1
    changes = {
        **BIG_LINKS,
        **FAST,
        "network.link.latency": "0.25 s",
        "stop.steps": 1,
        "task.model.layers": 8,
        "pipeline.stages": 4,
    }
    run = pipe("pipeline", {"microbatches": 4, "schedule": name}, changes)
    programs = [SCHEDULES[name](4, stage, 4, chunks) for stage in range(4)]

    def seconds(stage, action):
        return 0.0 if isinstance(action, Update) else (1.0 if isinstance(action, Forward) else 2.0) / chunks

    # Between neighbours on a star a message crosses two links.
    expected = timeline(programs, seconds, 0.5, chunks)
    spans = run.spans()
    for stage in range(4):
        found = spans[(spans["node"] == f"replica0.stage{stage}") & (spans["name"] != "step")]
        wanted = [s for s in expected if s.stage == stage and not isinstance(s.action, Update)]
        assert found["start"].tolist() == pytest.approx([span.start for span in wanted], abs=1e-6)
        assert found["end"].tolist() == pytest.approx([span.end for span in wanted], abs=1e-6)


@pytest.mark.parametrize("stages", [1, 3, 4])
def test_staleness_of_the_continuous_schedule(pipe, stages):
    """P - i updates at stage i, from 1, once the pipeline is full."""
    run = pipe("pipedream", {}, {**BIG_LINKS, "pipeline.stages": stages, "stop.steps": 12})
    measured = run.metrics("staleness")
    for stage in range(stages):
        ages = measured[measured["node"] == f"replica0.stage{stage}"]["value"].tolist()
        after = stages - 1 - stage
        assert ages == [min(after, update) for update in range(12)]


def test_synchronous_pipelines_are_never_stale(pipe):
    assert set(pipe("pipeline", {"microbatches": 4}).metrics("staleness")["value"]) == {0.0}


def test_versions_held_by_pipedream(pipe):
    run = pipe("pipedream", {}, {**BIG_LINKS, "pipeline.stages": 4, "stop.steps": 12})
    held = run.metrics("weight_versions").groupby("node")["value"].max()
    assert held.to_dict() == {f"replica0.stage{stage}": 4 - stage for stage in range(3)}


@pytest.mark.parametrize(("schedule", "held"), [("gpipe", [6, 6, 6, 6]), ("1f1b", [4, 3, 2, 1])])
@pytest.mark.parametrize("recompute", [False, True])
def test_activation_memory(pipe, schedule, held, recompute):
    """So many microbatches at once; with recomputation only what entered of each."""
    run = pipe("pipeline", {"microbatches": 6, "schedule": schedule, "recompute": recompute})
    peaks = run.metrics("activation_bytes").groupby("node")["value"].max()
    for node, count in zip(run.stages, held, strict=True):
        cost = node.pieces[0].cost
        one = cost.input_bytes if recompute else cost.kept_bytes
        assert peaks[node.id] == count * one
        assert cost.input_bytes < cost.kept_bytes


def test_recomputation_takes_the_time_of_a_forward_pass(pipe):
    changes = {**BIG_LINKS, **FAST, "stop.steps": 1, "pipeline.stages": 2}
    plain = pipe("pipeline", {"microbatches": 4}, changes)
    again = pipe("pipeline", {"microbatches": 4, "recompute": True}, changes)
    assert plain.outcome.virtual_seconds == pytest.approx(5 * 3, abs=1e-6)
    assert again.outcome.virtual_seconds == pytest.approx(5 * 4, abs=1e-6)


def test_flops_of_the_stages_are_those_of_the_task(pipe):
    """Cutting a model adds no work: the counted passes add up to one gradient of the whole model."""
    run = pipe("pipeline")
    assert run.plan.world.pipeline.work_ratio == 1.0


@pytest.mark.parametrize(("codec", "number"), [("identity", 4), ("bf16", 2)])
def test_bytes_between_stages(pipe, codec, number):
    """Every microbatch crosses every cut twice: 2 x 16 tokens of width 16."""
    run = pipe("pipeline", {"microbatches": 4, "boundary": codec}, {"pipeline.replicas": 1, "stop.steps": 2})
    message = 2 * 16 * 16 * number
    assert run.outcome.bytes_sent == 2 * 4 * 2 * 3 * message


def test_charged_activations(pipe):
    """The network is charged for the larger activations, the results keep the real ones beside them."""
    charge = {"samples": 8, "tokens": 1024, "width": 1024}
    run = pipe(
        "pipeline", {"microbatches": 2, "boundary": "bf16"}, {"pipeline.charge_as": charge, "stop.steps": 1}
    )
    assert run.outcome.bytes_sent == 2 * 2 * 3 * 8 * 1024 * 1024 * 2
    assert run.outcome.raw_bytes_sent == 2 * 2 * 3 * 2 * 16 * 16 * 2


def test_continuous_pipeline_keeps_every_stage_busy(pipe):
    """Without a flush, the bubble is that of the first fill and the last drain alone."""
    run = pipe("pipedream", {}, {**BIG_LINKS, **FAST, "pipeline.stages": 4, "stop.steps": 24})
    programs = [list(continuous(4, stage, 24)) for stage in range(4)]
    assert len(run.spans()) == sum(map(len, programs))
    assert bubble(run) == pytest.approx(3 / 27, abs=1e-9)


def test_steps_of_a_pipeline_are_updates_of_each_stage(pipe):
    """Not of all stages together: what curves over steps are drawn against."""
    run = pipe("pipeline", {"microbatches": 2}, {"pipeline.replicas": 1, "stop.steps": 3})
    steps = run.metrics("steps")
    assert steps[steps["node"] == ""]["value"].max() == 3
