"""What a message at a cut takes on the wire, from the codecs' own encodings."""

import pytest
import torch
from torch import Tensor, nn

from simnet.compute.cutting import FREE
from simnet.compute.layout import Layout
from simnet.compute.pieces import Piece
from simnet.pipeline.boundaries import boundary_names, build_boundary
from simnet.pipeline.boundary import Boundary, Passage
from simnet.pipeline.coded import Coded
from simnet.pipeline.constrained import Constraint
from simnet.streams import Streams

WIDTH, TOKENS = 1024, 8


def piece(width: int = WIDTH) -> Piece:
    """A middle piece without blocks that does nothing but know its width, and a subspace."""
    block = nn.Identity()
    shape = torch.Size((1, TOKENS, width))
    empty = Layout((), (), (), torch.float32)
    return Piece(1, 3, (("middle", block),), empty, 0, shape, shape, False, FREE)


def codec(given: object, width: int = WIDTH) -> Boundary:
    middle = piece(width)
    rank = given.get("rank", 1) if isinstance(given, dict) else 1
    constraint = Constraint(torch.empty(width, rank), torch.empty(256, width))
    constraint.announce(nn.Sequential(), [])
    block = middle.blocks[0][1]
    block.register_buffer("subspace_basis", constraint.basis)
    block.register_buffer("subspace_fixed", constraint.fixed)
    return build_boundary(given).build(middle, 0, Streams(0))


def sent(given: object, width: int) -> Tensor:
    """Values of the shape that the codec puts on the wire."""
    rank = given.get("rank") if isinstance(given, dict) else None
    return torch.randn(1, TOKENS, rank or width)


def passage(backward: bool, microbatch: int = 0) -> Passage:
    return Passage(backward, (0, microbatch), torch.arange(TOKENS).unsqueeze(0))


@pytest.mark.parametrize(
    ("given", "per_token"),
    [
        ("bf16", 2048),
        ("int8", 1026),
        ("int4", 514),
        ({"name": "top-k", "keep": 0.1}, 408),
        ({"name": "subspace", "rank": 160}, 322),
        ({"name": "subspace", "rank": 10}, 22),
    ],
)
def test_the_byte_table_of_the_methods_page(given: object, per_token: float):
    """d = 1024, 2 bytes per number and id: bytes per token and direction."""
    made = codec(given)
    for backward in (False, True):
        packed = made.pack(sent(given, WIDTH), passage(backward))
        assert packed.bytes / TOKENS == per_token
        assert made.wire_bytes((1, TOKENS, WIDTH), backward) == packed.bytes


def test_dense_numbers_take_four_bytes():
    packed = codec("identity").pack(sent("identity", WIDTH), passage(False))
    assert packed.bytes == 4 * WIDTH * TOKENS == codec("identity").wire_bytes((1, TOKENS, WIDTH), False)


def test_each_direction_may_have_its_own_codec():
    made = codec({"name": "int4", "backward": {"name": "int8", "rounding": "stochastic"}})
    values = torch.randn(1, TOKENS, 64)
    forward, backward = made.pack(values, passage(False, 5)), made.pack(values, passage(True, 5))
    assert (forward.bytes, backward.bytes) == (TOKENS * (32 + 2), TOKENS * (64 + 2))
    again, other = made.pack(values, passage(True, 5)), made.pack(values, passage(True, 6))
    assert torch.equal(made.unpack(again, passage(True)), made.unpack(backward, passage(True)))
    assert not torch.equal(made.unpack(other, passage(True)), made.unpack(backward, passage(True)))


def test_stochastic_rounding_is_right_on_average():
    made = codec({"name": "int4", "rounding": "stochastic"})
    values = torch.linspace(-1, 1, 64).view(1, 1, 64)
    held = [made.unpack(made.pack(values, passage(True, index)), passage(True)) for index in range(2000)]
    mean, scale = torch.stack(held).mean(0), 1 / 7
    assert float((mean - values).abs().max()) < 4 * scale / 2 / 2000**0.5 + 0.02 * scale


def test_every_codec_is_written_and_read_again():
    options = {"top-k": {"keep": 0.5}, "random-k": {"keep": 0.5}, "projection": {"rank": 2}}
    options |= {"subspace": {"rank": 2}, "coded": {"forward": "int8"}}
    for name in boundary_names():
        made = build_boundary({"name": name, **options.get(name, {})})
        assert build_boundary(made.model_dump(mode="json")) == made


def test_what_is_no_codec_is_refused():
    with pytest.raises(ValueError, match="did you mean 'int4'"):
        build_boundary("int44")
    with pytest.raises(ValueError, match="a codec is a name"):
        build_boundary(3)
    with pytest.raises(ValueError, match="ronding"):
        build_boundary({"name": "int4", "ronding": "nearest"})
    assert isinstance(build_boundary("int4"), Coded)
