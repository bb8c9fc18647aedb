"""The golden timing: a step of a public record, and the same scenario with another codec, batch and K."""

from pathlib import Path

import pytest

from simnet.experiment import make_engine, plans
from simnet.pipeline.schedules import Forward, one_forward_one_backward
from simnet.results import Recorder
from simnet.runtime.simulated import SimulatedRun
from simnet.scenario import load_file

SCENARIO = Path(__file__).parents[2] / "scenarios" / "pipeline" / "golden.yaml"
BANDWIDTH, LATENCY = 200e6 / 8, 0.05


def step_seconds(*changes):
    (plan,) = plans(load_file(SCENARIO, ["stop.steps=1", *changes]).scenarios[0].scenario)
    run = SimulatedRun(plan.world, plan.method, make_engine(plan), Recorder())
    return run.run().virtual_seconds


def metered(microbatches, forward, backward, message_bytes, stages=8):
    """The record's own meter: each stage takes its messages off one wire in the order of its program."""
    programs = [one_forward_one_backward(stages, stage, microbatches)[:-1] for stage in range(stages)]
    taken = message_bytes / BANDWIDTH + LATENCY
    now, wire, place, sent = [0.0] * stages, [0.0] * stages, [0] * stages, {}
    while any(place[stage] < len(programs[stage]) for stage in range(stages)):
        for stage, program in enumerate(programs):
            while place[stage] < len(program):
                action = program[place[stage]]
                ahead = isinstance(action, Forward)
                if stage != (0 if ahead else stages - 1):
                    message = (stage, ahead, action.microbatch)
                    if message not in sent:
                        break
                    wire[stage] = max(wire[stage], sent[message]) + taken
                    now[stage] = max(now[stage], wire[stage])
                now[stage] += forward if ahead else backward
                sent[stage + (1 if ahead else -1), ahead, action.microbatch] = now[stage]
                place[stage] += 1
    return max(now)


def test_dense_step_is_that_of_the_record():
    assert step_seconds() == pytest.approx(100.475, rel=0.03)


@pytest.mark.parametrize(
    ("samples", "microbatches", "codec", "bytes_per_token"),
    [
        (8, 64, "bf16", 2048),
        (16, 32, "bf16", 2048),
        (4, 128, "bf16", 2048),
        (8, 64, "identity", 4096),
        (8, 64, "int8", 1026),
        (16, 32, "int4", 514),
        (16, 32, "{name: subspace, rank: 160}", 322),  # the record's compressed run
    ],
)
def test_nothing_is_fitted(samples, microbatches, codec, bytes_per_token):
    """Other codecs, microbatches and K follow the record's meter, which takes messages in program order;
    the simulator's wire takes them in the order in which they are sent."""
    found = step_seconds(
        f"pipeline.charge_as.samples={samples}",
        f"algorithms.0.microbatches={microbatches}",
        f"algorithms.0.boundary={codec}",
    )
    message = samples * 1024 * bytes_per_token
    expected = metered(microbatches, samples * 0.375e-3, samples * 0.75e-3, message)
    assert found == pytest.approx(expected, rel=1e-3)


def test_one_message_on_the_wire():
    """The record's checks of the meter: dense for 8 sequences, and compressed for 16."""
    assert pytest.approx(0.721, abs=5e-4) == 8 * 1024 * 2048 / BANDWIDTH + LATENCY
    assert pytest.approx(0.261, abs=5e-4) == 16 * 1024 * 322 / BANDWIDTH + LATENCY
