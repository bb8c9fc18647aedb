"""Pipelines on slow machines: a stage's passes take as long as its host's slowdown says."""

import pytest
from pipeline_runs import EVEN, NO_NETWORK

EVEN_STAGES = {**NO_NETWORK, **EVEN, "pipeline.replicas": 1, "task.optimizer": {"name": "sgd", "lr": 0.1}}
FAST = {"workers": {"device": {"flops": "1e9 PFLOP/s", "achieved": 1}}}
WHOLE = {**EVEN_STAGES, **FAST, "task.model.layers": 8, "stop.steps": 2}


def lengths(run, node, name):
    spans = run.spans()
    spans = spans[(spans["node"] == node) & (spans["name"] == name)]
    return (spans["end"] - spans["start"]).tolist()


def test_passes_take_their_microbatchs_factor(pipe):
    changes = {**WHOLE, "faults.stragglers": {"kind": "lognormal", "sigma": 0.5}}
    run = pipe("pipeline", {"microbatches": 3}, changes)
    for stage, node in enumerate(run.stages):
        slowdown = run.simulated.faults.slowdowns[node.host]
        factors = [slowdown.of_step(microbatch) for microbatch in range(6)]
        name = f"replica0.stage{stage}"
        assert lengths(run, name, "forward") == pytest.approx(factors, rel=1e-9)
        assert lengths(run, name, "backward") == pytest.approx([2 * f for f in factors], rel=1e-9)


def test_a_slow_stage_sets_the_pace(pipe):
    """A last stage that is five times as slow: the pipeline waits for its 4 x 5 x 3 s in every step."""
    plain = pipe("pipeline", {"microbatches": 4}, WHOLE)
    host = plain.stages[-1].host
    slow = {**WHOLE, "faults.stragglers": {"kind": "scheduled", "nodes": [host], "factor": 5}}
    run = pipe("pipeline", {"microbatches": 4}, slow)
    fill = 3 * 1.0 + 3 * 2.0  # the first microbatch's way there, the last one's way back
    assert run.outcome.virtual_seconds == pytest.approx(2 * (fill + 4 * 5 * 3), rel=1e-6)
    assert plain.outcome.virtual_seconds == pytest.approx(2 * (fill + 4 * 3), rel=1e-6)
    assert run.outcome.final == plain.outcome.final
