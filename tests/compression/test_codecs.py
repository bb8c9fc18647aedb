"""Codecs: bytes counted from what was encoded, errors within their bounds, there and back."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError
from torch import Tensor

from simnet.compression import (
    BFloat16,
    Codec,
    CodecConfig,
    Identity,
    Int4,
    Int8,
    Packed,
    RandomK,
    TopK,
    codecs,
)

PLAIN: list[Codec] = [
    Identity(),
    BFloat16(),
    Int8(),
    Int4(),
    Int8(group=5),
    Int4(group=16, scale="fp16"),
    TopK(keep=0.1),
    TopK(keep=0.5, values="fp32"),
    RandomK(keep=0.3),
    RandomK(keep=0.3, rescale=False, values="fp32"),
]
DRAWING: list[Codec] = [Int8(rounding="stochastic"), Int4(rounding="stochastic", group=3)]
shapes = st.sampled_from([(1,), (7,), (64,), (3, 10), (2, 3, 33), (0, 4), (2, 1)])
magnitudes = st.sampled_from([1e-3, 1.0, 3e4])


def drawn(shape: tuple[int, ...], magnitude: float, seed: int, dtype: torch.dtype = torch.float32) -> Tensor:
    draws = torch.Generator().manual_seed(seed)
    return (torch.randn(shape, generator=draws) * magnitude).to(dtype)


def over_the_wire(packed: Packed) -> Packed:
    """Only what travels, in memory of its own, beside what both ends know."""
    parts = tuple(torch.tensor(part.tolist(), dtype=part.dtype).view(part.shape) for part in packed.parts)
    return Packed(parts, packed.shape, packed.dtype, packed.seed)


@settings(deadline=None, max_examples=150)
@given(
    codec=st.sampled_from(PLAIN + DRAWING),
    shape=shapes,
    magnitude=magnitudes,
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16]),
    seed=st.integers(0, 2**20),
)
def test_bytes_shape_and_type(
    codec: Codec, shape: tuple[int, ...], magnitude: float, dtype: torch.dtype, seed: int
) -> None:
    tensor = drawn(shape, magnitude, seed, dtype)
    before = tensor.clone()
    packed = codec.encode(tensor, seed)
    tokens = tensor.numel() // shape[-1]
    assert packed.bytes == sum(part.nbytes for part in packed.parts)
    assert packed.bytes == tokens * codec.token_bytes(shape[-1], dtype)
    decoded = codec.decode(over_the_wire(packed))
    assert decoded.shape == tensor.shape
    assert decoded.dtype == dtype
    assert torch.equal(decoded, codec.decode(packed))
    assert torch.equal(tensor, before)
    # Nothing that is sent or received shares memory with what it was made from.
    for part in packed.parts:
        part.zero_()
    assert torch.equal(tensor, before)


@settings(deadline=None, max_examples=80)
@given(codec=st.sampled_from(PLAIN), rows=st.integers(1, 4), seed=st.integers(0, 2**20))
def test_tokens_are_coded_one_by_one(codec: Codec, rows: int, seed: int) -> None:
    tensor = drawn((2, rows, 33), 1.0, seed)
    together = codec.decode(codec.encode(tensor, seed))
    for index in range(rows):
        alone = codec.decode(codec.encode(tensor[1, index], seed))
        assert torch.equal(together[1, index], alone)


@settings(deadline=None, max_examples=80)
@given(
    codec=st.sampled_from([codec for codec in PLAIN if not (isinstance(codec, RandomK) and codec.rescale)]),
    shape=shapes,
    magnitude=magnitudes,
    seed=st.integers(0, 2**20),
)
def test_what_was_decoded_is_coded_without_loss(
    codec: Codec, shape: tuple[int, ...], magnitude: float, seed: int
) -> None:
    once = codec.decode(codec.encode(drawn(shape, magnitude, seed), seed))
    assert torch.equal(codec.decode(codec.encode(once, seed)), once)


@pytest.mark.parametrize(
    ("codec", "bytes_per_token"),
    [
        (Identity(), 4096),
        (BFloat16(), 2048),
        (Int8(), 1026),
        (Int4(), 514),
        (Int4(group=128), 512 + 2 * 8),
        (TopK(keep=0.1), 408),
        (TopK(keep=0.1, values="fp32"), 102 * (4 + 2)),
        (RandomK(keep=0.25), 512),
    ],
)
def test_bytes_of_a_token_of_1024(codec: Codec, bytes_per_token: int) -> None:
    assert codec.encode(torch.randn(8, 3, 1024), 1).bytes == 8 * 3 * bytes_per_token


def test_an_index_of_two_bytes_while_it_fits() -> None:
    """The last place of 65,536 is found again; one more needs 4 bytes."""
    for width, index_bytes in ((2**16, 2), (2**16 + 1, 4)):
        tensor = torch.zeros(width)
        tensor[[5, 40_000, width - 1]] = torch.tensor([1.0, -2.0, 3.0])
        codec = TopK(keep=3 / width)
        packed = codec.encode(tensor)
        assert packed.bytes == 3 * (2 + index_bytes)
        assert torch.equal(codec.decode(packed), tensor)


def test_two_numbers_in_a_byte() -> None:
    """Low half first, each plus 8; an odd one leaves the high half 0."""
    packed = Int4().encode(torch.tensor([7.0, -7.0, 3.0, 0.0, -1.0]))
    whole, scale = packed.parts
    assert whole.tolist() == [15 | 1 << 4, 11 | 8 << 4, 7]
    assert scale.item() == 1.0
    assert packed.bytes == 3 + 2


@settings(deadline=None, max_examples=60)
@given(shape=shapes, magnitude=magnitudes, seed=st.integers(0, 2**20))
def test_casts_are_within_their_precision(shape: tuple[int, ...], magnitude: float, seed: int) -> None:
    tensor = drawn(shape, magnitude, seed)
    assert torch.equal(Identity().decode(Identity().encode(tensor)), tensor)
    error = (BFloat16().decode(BFloat16().encode(tensor)) - tensor).abs()
    assert bool((error <= tensor.abs() * 2**-8).all())


@settings(deadline=None, max_examples=150)
@given(
    kind=st.sampled_from([Int8, Int4]),
    group=st.one_of(st.none(), st.integers(1, 40)),
    scale=st.sampled_from(["bf16", "fp16"]),
    rounding=st.sampled_from(["nearest", "stochastic"]),
    shape=shapes,
    magnitude=magnitudes,
    seed=st.integers(0, 2**20),
)
def test_whole_numbers_are_within_a_step(
    kind: Any,
    group: int | None,
    scale: str,
    rounding: str,
    shape: tuple[int, ...],
    magnitude: float,
    seed: int,
) -> None:
    """Half a step of the group's scale; a whole one where chance rounds."""
    codec = kind(group=group, scale=scale, rounding=rounding)
    tensor = drawn(shape, magnitude, seed)
    error = (codec.decode(codec.encode(tensor, seed)) - tensor).abs()
    for start in range(0, shape[-1], group or shape[-1]):
        part = slice(start, start + (group or shape[-1]))
        peak = tensor[..., part].abs().amax(-1, keepdim=True)
        # A scale has 8 bits or more, to the nearest or up; below 2^-14, one in fp16 has steps of 2^-24.
        share, slack = (0.5, 2**-8) if rounding == "nearest" else (1.0, 2**-7)
        step = peak / codec.levels * (1 + slack) + (2**-24 if scale == "fp16" else 0)
        extra = 2**-25 * codec.levels if scale == "fp16" else 0
        assert bool((error[..., part] <= share * step * (1 + 1e-5) + extra).all())


@pytest.mark.parametrize("codec", [Int8(), Int4(), Int8(scale="fp16"), Int4(rounding="stochastic")])
def test_zeros_stay_zero_and_what_is_not_finite_is_seen(codec: Codec) -> None:
    tensor = torch.tensor([[0.0, 0.0], [1.0, torch.inf], [torch.nan, 1.0], [1.0, -1.0]])
    decoded = codec.decode(codec.encode(tensor, 1))
    assert decoded[0].tolist() == [0.0, 0.0]
    assert bool(decoded[1:3].isnan().all())
    assert bool(decoded[3].isfinite().all())


def test_the_peak_of_a_token_beyond_fp16_is_seen() -> None:
    codec = Int4(scale="fp16")
    assert bool(codec.decode(codec.encode(torch.tensor([1e6, 1.0]))).isnan().all())


@pytest.mark.parametrize(
    "codec", [Int8(rounding="stochastic"), Int4(rounding="stochastic"), RandomK(keep=0.25, values="fp32")]
)
def test_chance_is_right_on_average(codec: Codec) -> None:
    """The mean over seeds approaches the tensor; its standard error says how closely."""
    tensor = drawn((2, 8), 1.0, 3)
    decoded = torch.stack([codec.decode(codec.encode(tensor, seed)) for seed in range(4000)]).double()
    deviation = (decoded.mean(0) - tensor).abs()
    standard_error = decoded.std(0) / 4000**0.5
    assert bool((deviation <= 4.5 * standard_error + 1e-6).all())
    assert bool((standard_error.amax(-1) > 0).all())


@pytest.mark.parametrize("codec", [*DRAWING, RandomK(keep=0.5)])
def test_seeds_decide(codec: Codec) -> None:
    tensor = drawn((4, 50), 1.0, 5)
    same = [codec.decode(codec.encode(tensor, 11)) for _ in range(2)]
    assert torch.equal(*same)
    assert not torch.equal(same[0], codec.decode(codec.encode(tensor, 12)))
    assert codec.needs_seed
    with pytest.raises(ValueError, match="seed that both ends share"):
        codec.encode(tensor)


@settings(deadline=None, max_examples=50)
@given(keep=st.floats(0.01, 1.0), width=st.integers(1, 60), seed=st.integers(0, 2**20))
def test_top_k_keeps_the_largest(keep: float, width: int, seed: int) -> None:
    tensor = drawn((3, width), 1.0, seed)
    codec = TopK(keep=keep, values="fp32")
    decoded = codec.decode(codec.encode(tensor))
    for row, got in zip(tensor, decoded, strict=True):
        largest = row.abs().sort(descending=True).indices[: codec.kept(width)]
        expected = torch.zeros(width)
        expected[largest] = row[largest]
        assert torch.equal(got, expected)


@settings(deadline=None, max_examples=50)
@given(keep=st.floats(0.01, 1.0), width=st.integers(1, 60), seed=st.integers(0, 2**20))
def test_random_k_keeps_the_same_places_of_all_tokens(keep: float, width: int, seed: int) -> None:
    codec = RandomK(keep=keep, values="fp32", rescale=False)
    tensor = drawn((3, width), 1.0, seed)
    decoded = codec.decode(codec.encode(tensor, seed))
    kept = decoded != 0
    assert bool((kept == kept[0]).all())
    assert int(kept[0].sum()) == codec.kept(width) == max(1, round(keep * width))
    assert torch.equal(decoded[kept], tensor[kept])
    rescaled = RandomK(keep=keep, values="fp32")
    scale = width / codec.kept(width)
    torch.testing.assert_close(rescaled.decode(rescaled.encode(tensor, seed)), decoded * scale)


@pytest.mark.parametrize("codec", PLAIN + DRAWING)
@pytest.mark.parametrize("tensor", [torch.zeros(3, dtype=torch.int64), torch.tensor(1.0), torch.zeros(3, 0)])
def test_what_cannot_be_encoded(codec: Codec, tensor: Tensor) -> None:
    with pytest.raises(ValueError, match="float tensors"):
        codec.encode(tensor, 1)


class Holder(BaseModel):
    codec: CodecConfig = BFloat16()


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        ("int4", Int4()),
        ({"name": "int8", "group": 64}, Int8(group=64)),
        ({"name": "top-k", "keep": 0.1}, TopK(keep=0.1)),
        (RandomK(keep=0.5), RandomK(keep=0.5)),
    ],
)
def test_codecs_in_other_models(given_: object, expected: Codec) -> None:
    held = Holder.model_validate({"codec": given_})
    assert held.codec == expected
    assert Holder.model_validate_json(held.model_dump_json()) == held


@pytest.mark.parametrize(
    ("given_", "says"),
    [
        ("int5", "int5.*does not match.*'identity', 'bf16', 'int8'"),
        ("top-k", "keep"),
        ({"name": "top-k", "keep": 0}, "greater than 0"),
        ({"name": "top-k", "keep": 1.5}, "less than or equal to 1"),
        ({"name": "int8", "bits": 8}, "not permitted"),
        ({"name": "int8", "group": 0}, "greater than 0"),
        ({"keep": 0.1}, "name"),
    ],
)
def test_what_is_wrong_is_said(given_: object, says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Holder.model_validate({"codec": given_})


def test_codecs_by_name() -> None:
    assert codecs == {
        "identity": Identity,
        "bf16": BFloat16,
        "int8": Int8,
        "int4": Int4,
        "top-k": TopK,
        "random-k": RandomK,
    }
    names = Holder.model_json_schema()["properties"]["codec"]["anyOf"][0]["enum"]
    assert names == ["identity", "bf16", "int8", "int4"]
