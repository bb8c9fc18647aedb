"""Lossy boundaries over real connections: encoded bytes are what is sent, and models are the simulated."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn

from simnet.compute.cutting import FREE
from simnet.compute.layout import Layout
from simnet.compute.pieces import Passage, Piece
from simnet.emulation.emulate import emulate
from simnet.emulation.frames import PREFIX, Frame, lengths, pack, unpack
from simnet.emulation.nursery import Nursery
from simnet.pipeline.boundaries import boundary_names, build_boundary
from simnet.pipeline.boundary import Boundary
from simnet.pipeline.constrained import Constraint
from simnet.pipeline.projection import random_basis
from simnet.plan import Plan, make_engine, plans
from simnet.results import Recorder
from simnet.runtime.node import Encoded, Message
from simnet.runtime.simulated import SimulatedRun
from simnet.runtime.stage_node import Bundle
from simnet.scenario import Scenario
from simnet.streams import Streams

WIDTH, TOKENS, VOCABULARY = 129, 24, 300
CODECS: list[Any] = [
    "identity",
    "bf16",
    "int8",
    {"name": "int8", "group": 32, "rounding": "stochastic"},
    "int4",
    {"name": "int4", "backward": {"name": "int4", "rounding": "stochastic"}},
    {"name": "top-k", "keep": 0.1},
    {"name": "top-k", "keep": 0.1, "values": "fp32"},
    {"name": "random-k", "keep": 0.25},
    {"name": "coded", "forward": "bf16", "backward": "int8"},
    {"name": "projection", "rank": 20},
    {"name": "subspace", "rank": 20},
    {"name": "subspace", "rank": 20, "realisation": "frozen", "wire": "float32"},
]
MOST_ENVELOPE_BYTES = 600
"""Header, names and shapes of a frame at most: what the charge does not count."""


def named(given: Any) -> str:
    if isinstance(given, str):
        return given
    return "-".join(str(part) for part in given.values() if not isinstance(part, dict))


def neighbours(given: Any) -> tuple[Boundary, Boundary]:
    """The codecs on both sides of a cut, built apart as in two processes."""
    shape = torch.Size((2, TOKENS, WIDTH))
    codecs = []
    for index in (1, 2):
        block = nn.Identity()
        constraint = Constraint(random_basis(WIDTH, 20, 7), torch.zeros(VOCABULARY, WIDTH))
        block.register_buffer("subspace_basis", constraint.basis)
        block.register_buffer("subspace_fixed", constraint.fixed)
        empty = Layout((), (), (), torch.float32)
        piece = Piece(index, 4, (("block", block),), empty, 0, shape, shape, False, FREE)
        codecs.append(build_boundary(given).build(piece, 0, Streams(3)))
    return codecs[0], codecs[1]


def values_bytes(frame: Frame) -> int:
    """What of a frame are the values of tensors: a safetensors body without its own header."""
    return len(frame.body) - 8 - int.from_bytes(frame.body[:8], "little")


@pytest.mark.parametrize("backward", [False, True], ids=["activations", "gradients"])
@pytest.mark.parametrize("given", CODECS, ids=named)
def test_a_frame_carries_the_encoded_bytes_and_no_others(given: Any, backward: bool) -> None:
    sender, receiver = neighbours(given)
    if backward:
        sender, receiver = receiver, sender
    torch.manual_seed(1)
    width = 20 if named(given).startswith(("projection", "subspace")) else WIDTH
    values, ids = torch.randn(2, TOKENS, width), torch.randint(VOCABULARY, (2, TOKENS))
    packed = sender.pack(values, Passage(backward, (0, 5), ids))
    charged = sender.wire_bytes((2, TOKENS, WIDTH), backward)
    assert packed.bytes == charged
    payload = Encoded(Bundle(5, (0, 5), packed, 0, charged, charged), charged, charged)
    frame = pack(Message("n0", ("activation", 0, 5), payload, 0, 0.0, charged), "n1", 0)
    assert values_bytes(frame) == charged
    assert frame.padding == 0
    assert frame.bytes - charged < MOST_ENVELOPE_BYTES
    header, _, padding = lengths(frame.head[: PREFIX.size])
    assert header == len(frame.head) - PREFIX.size
    bundle = unpack(frame.head[PREFIX.size :], frame.body, padding).message.payload.content
    held = receiver.unpack(bundle.packed, Passage(backward, bundle.samples))
    assert (held.shape, held.dtype) == (values.shape, values.dtype)
    assert torch.equal(held, sender.unpack(packed, Passage(backward, (0, 5))))


def test_no_codec_is_left_out() -> None:
    assert {given if isinstance(given, str) else given["name"] for given in CODECS} == set(boundary_names())


def test_a_frame_is_padded_only_to_what_a_larger_model_is_charged() -> None:
    sender, _ = neighbours("int4")
    packed = sender.pack(torch.randn(2, TOKENS, WIDTH), Passage(False, (0, 0)))
    charged = sender.wire_bytes((2, TOKENS, 16 * WIDTH), False)
    payload = Encoded(Bundle(0, (0, 0), packed, 0, packed.bytes, charged), packed.bytes, charged)
    frame = pack(Message("n0", "", payload, 0, 0.0, charged), "n1", 0)
    assert len(frame.body) + frame.padding == charged > 10 * packed.bytes


GPT: dict[str, Any] = {
    "name": "language-model",
    "model": {"name": "gpt", "layers": 2, "width": 16, "heads": 2, "context": 8, "tied": False},
    "batch_size": 2,
    "optimizer": {"name": "adamw", "lr": 0.003},
}
PIPELINE: dict[str, Any] = {"name": "pipeline", "schedule": "1f1b", "microbatches": 4}
TURNING: dict[str, Any] = {"name": "subspace", "rank": 4, "realisation": "projected", "refresh": 2}
RUNS: list[tuple[int, dict[str, Any]]] = [
    (2, {**PIPELINE, "boundary": "bf16"}),
    (3, {**PIPELINE, "boundary": {"name": "int8", "rounding": "stochastic"}}),
    (4, {**PIPELINE, "boundary": {"name": "int4", "backward": {"name": "int4", "rounding": "stochastic"}}}),
    (2, {**PIPELINE, "boundary": {"name": "top-k", "keep": 0.25}}),
    (2, {**PIPELINE, "boundary": {"name": "random-k", "keep": 0.5}}),
    (3, {**PIPELINE, "boundary": {"name": "projection", "rank": 8}}),
    (3, {**PIPELINE, "boundary": {"name": "subspace", "rank": 4}}),
    (2, {**PIPELINE, "boundary": TURNING}),
    (2, {"name": "pipeline", "schedule": "interleaved", "virtual_stages": 2, "boundary": "int8"}),
    (2, {"name": "pipedream", "boundary": {"name": "int4"}}),
]


@pytest.fixture(scope="module")
def loopback() -> Iterator[Nursery]:
    with Nursery(None) as nursery:
        yield nursery


def planned(mapping: dict[str, Any]) -> Plan:
    (plan,) = plans(Scenario.model_validate(mapping))
    return plan


@pytest.mark.parametrize(
    ("stages", "entry"), RUNS, ids=lambda one: named(one["boundary"]) if isinstance(one, dict) else str(one)
)
def test_models_are_those_of_the_simulation(
    stages: int, entry: dict[str, Any], small: Callable[..., dict[str, Any]], loopback: Nursery
) -> None:
    changes = {"algorithms": [entry], "pipeline": {"stages": stages}, "task": GPT, "stop": {"steps": 4}}
    plan = planned(small(changes | {"evaluate": {"every": "2 steps", "samples": 8}}))
    recorder = Recorder()
    expected = SimulatedRun(plan.world, plan.method, make_engine(plan), recorder).run()
    real = emulate(plan, loopback)
    assert real.outcome.worker_steps == expected.worker_steps
    assert real.outcome.bytes_sent == pytest.approx(expected.bytes_sent)
    assert real.outcome.raw_bytes_sent == pytest.approx(expected.raw_bytes_sent)
    assert real.outcome.final == pytest.approx(expected.final, abs=1e-4)
