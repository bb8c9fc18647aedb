"""Frames: what goes in comes out, nothing else can go in, and the wire carries what is charged."""

import json
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from simnet.compression.codec import Packed
from simnet.emulation.frames import PREFIX, FrameError, lengths, pack, unpack
from simnet.runtime.node import Encoded, Message
from simnet.runtime.stage_node import Bundle

DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.uint8, torch.bool]
tensors = st.builds(
    lambda shape, dtype: (torch.arange(float(torch.Size(shape).numel())) % 7).reshape(shape).to(dtype),
    st.lists(st.integers(0, 4), max_size=3),
    st.sampled_from(DTYPES),
)
leaves = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**60), 2**60), st.floats(), st.text(), st.binary(), tensors
)
keys = st.one_of(st.integers(), st.text(), st.tuples(st.text(), st.integers()))
payloads = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(keys, inner, max_size=3),
        inner.map(lambda content: Encoded(content, 12.0)),
    ),
    max_leaves=8,
)


def there_and_back(payload: Any, charged: float = 0.0, tag: Any = ("a", (1, "b"))) -> Message:
    frame = pack(Message("n0", tag, payload, 4, 1.5, charged), "n1", 9)
    header, body, padding = lengths(frame.head[: PREFIX.size])
    assert (header, body, padding) == (len(frame.head) - PREFIX.size, len(frame.body), frame.padding)
    arrival = unpack(frame.head[PREFIX.size :], frame.body, padding)
    assert (arrival.to, arrival.steps, arrival.bytes) == ("n1", 9, frame.bytes)
    return arrival.message


def same(a: Any, b: Any) -> bool:
    if type(a) is not type(b):
        return False
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, Encoded):
        return a.raw_bytes == b.raw_bytes and same(a.content, b.content)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    return bool(a == b or a != a)


@given(payload=payloads, tag=keys)
def test_any_payload_comes_out_as_it_went_in(payload: Any, tag: Any) -> None:
    message = there_and_back(payload, tag=tag)
    assert same(message.payload, payload)
    assert message.tag == tag
    assert (message.sender, message.version, message.sent_at) == ("n0", 4, 1.5)


def test_what_pipelines_and_codecs_send_comes_out() -> None:
    packed = Packed((torch.ones(3, dtype=torch.uint8),), torch.Size([2, 4]), torch.float32, 7)
    bundle = Bundle(3, (0, 3), packed, 1, 3.0, None)
    got = there_and_back([Encoded(bundle, 3.0), packed]).payload
    assert torch.equal(got[0].content.packed.parts[0], packed.parts[0])
    assert got[0].content.samples == (0, 3)
    assert (got[1].shape, got[1].dtype, got[1].seed) == (torch.Size([2, 4]), torch.float32, 7)


def test_a_view_carries_its_own_part_alone() -> None:
    whole = torch.arange(1000.0)
    assert len(pack(Message("n0", "", whole[10:20], 0, 0.0, 40.0), "n1", 0).body) < 200
    assert torch.equal(there_and_back(whole[::2]).payload, whole[::2])


@given(charged=st.floats(0, 1e6))
def test_the_body_is_as_long_as_the_charge_or_longer(charged: float) -> None:
    frame = pack(Message("n0", "", torch.ones(100), 0, 0.0, charged), "n1", 0)
    assert len(frame.body) + frame.padding >= charged
    assert frame.padding == 0 or len(frame.body) + frame.padding < charged + 1


def test_a_timing_only_vector_is_a_shape_on_the_wire() -> None:
    frame = pack(Message("n0", "", torch.empty(10**9, device="meta"), 0, 0.0, 5000.0), "n1", 0)
    assert frame.bytes < 5300
    assert there_and_back(torch.empty(7, 2, device="meta")).payload.shape == (7, 2)


class Foreign:
    """Nobody declared this."""


@pytest.mark.parametrize("payload", [Foreign(), {1, 2}, [Foreign()], print])
def test_what_nobody_declared_cannot_travel(payload: Any) -> None:
    with pytest.raises(FrameError, match="cannot be sent over a real connection"):
        there_and_back(payload)


TOLD = {"to": "n1", "sender": "n0", "tag": "", "version": 0, "steps": 0, "sent_at": 0, "bytes": 0}


@pytest.mark.parametrize(
    "header",
    [
        b"not json",
        b"{}",
        b"[]",
        json.dumps(TOLD | {"payload": {"tensor": "9"}}).encode(),
        json.dumps(TOLD | {"payload": {"os": "system"}}).encode(),
        json.dumps(TOLD | {"payload": {"Encoded": {"no": 1}}}).encode(),
    ],
)
def test_what_is_no_frame_is_refused(header: bytes) -> None:
    with pytest.raises(FrameError):
        unpack(header, b"", 0)


def test_a_header_of_impossible_size_is_refused_before_it_is_read() -> None:
    with pytest.raises(FrameError, match="header"):
        lengths(PREFIX.pack(1 << 31, 0, 0))
