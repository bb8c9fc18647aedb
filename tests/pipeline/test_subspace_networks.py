"""Subspace Networks: what crosses a cut is exact, and so are the constrained weights' gradients."""

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from simnet.compute.cutting import FREE
from simnet.compute.layout import Layout
from simnet.compute.pieces import Piece, Rows
from simnet.optim import SGD, AdamW
from simnet.pipeline.boundary import Boundary, Passage
from simnet.pipeline.constrained import constrained_axis, project
from simnet.pipeline.projection import Projection, random_basis
from simnet.pipeline.subspace import Subspace, turned
from simnet.streams import Streams
from simnet.tasks.models.gpt import GPT

VOCABULARY, WIDTH, CONTEXT, BATCH, RANK = 17, 16, 6, 3, 4
STAGES = (("embedding", "layers.0"), ("layers.1",), ("layers.2", "head"))
REALISATIONS = ("factored", "frozen", "projected")


@pytest.fixture(autouse=True)
def _double_precision():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def gpt(positions: str = "learned") -> GPT:
    torch.manual_seed(3)
    model = GPT(VOCABULARY, layers=3, width=WIDTH, heads=2, context=CONTEXT, positions=positions, tied=False)
    with torch.no_grad():
        for value in model.parameters():
            value.add_(0.1 * torch.randn_like(value))
    return model


def pieces(model: GPT) -> list[Piece]:
    blocks = dict(model.blocks())
    made = []
    for index, names in enumerate(STAGES):
        own = tuple((name, blocks[name]) for name in names)
        named = [(f"{n}.{key}", value) for n, block in own for key, value in block.named_parameters()]
        layout = Layout(
            tuple(name for name, _ in named),
            tuple(value.shape for _, value in named),
            tuple(value.numel() for _, value in named),
            torch.float64,
        )
        shape = torch.Size((BATCH, CONTEXT, WIDTH))
        entering = torch.Size((BATCH, CONTEXT)) if index == 0 else shape
        cost = FREE
        made.append(Piece(index, len(STAGES), own, layout, 0, entering, shape, True, cost))
    return made


def built(options: Subspace | Projection, model: GPT) -> tuple[list[Piece], list[Boundary]]:
    options.transform(model, STAGES)
    parts = pieces(model)
    return parts, [options.build(part, 0, Streams(0)) for part in parts]


def flat(piece: Piece) -> Tensor:
    values = [value.detach().reshape(-1) for _, block in piece.blocks for value in block.parameters()]
    return torch.cat(values)


def rows(codec: Boundary, ids: Tensor) -> Rows:
    return Rows(None, {name: value[None] for name, value in codec.state.items()}, ids[None])


def trained_a_little(options: Subspace, parts: list[Piece], codecs: list[Boundary]) -> None:
    """Steps along random gradients, as the stages take them."""
    torch.manual_seed(5)
    for piece, codec in zip(parts, codecs, strict=True):
        optimizer = options.optimizer(AdamW(lr=0.05), piece)
        params = flat(piece)
        state = optimizer.init(params)
        for _ in range(7):
            gradient = codec.constrain_gradient(torch.randn_like(params), params)
            params, state = optimizer.step(params, gradient, state)
            params = codec.constrain_params(params)
        values = [value for _, block in piece.blocks for value in block.parameters()]
        torch.nn.utils.vector_to_parameters(params, values)


def through(parts: list[Piece], codecs: list[Boundary], ids: Tensor, compressed: bool) -> Tensor:
    """Logits through all stages, with the codec at each cut or without."""
    stream = ids
    for piece, codec in zip(parts, codecs, strict=True):
        if compressed and not piece.first:
            stream = codec.decode(stream[None], rows(codec, ids))[0]
        for _, block in piece.blocks:
            stream = block(stream)
        if compressed and not piece.last:
            stream = codec.encode(stream[None], rows(codec, ids))[0]
    return stream


@pytest.mark.parametrize("positions", ["learned", "rotary"])
@pytest.mark.parametrize("realisation", REALISATIONS)
def test_what_is_decoded_is_the_dense_activation_also_after_training(realisation: str, positions: str):
    options = Subspace(rank=RANK, realisation=realisation, embedding_std=0.5)
    parts, codecs = built(options, gpt(positions))
    trained_a_little(options, parts, codecs)
    ids = torch.randint(VOCABULARY, (BATCH, CONTEXT))
    stream = ids
    for piece, codec in zip(parts[:-1], codecs[:-1], strict=True):
        for _, block in piece.blocks:
            stream = block(stream)
        sent = codec.encode(stream[None], rows(codec, ids))
        assert sent.shape == (1, BATCH, CONTEXT, RANK)
        received = codecs[piece.index + 1].decode(sent, rows(codecs[piece.index + 1], ids))[0]
        assert torch.linalg.norm(received - stream) <= 1e-9 * torch.linalg.norm(stream)


@pytest.mark.parametrize("realisation", REALISATIONS)
def test_gradients_of_constrained_weights_are_those_without_compression(realisation: str):
    options = Subspace(rank=RANK, realisation=realisation, embedding_std=0.5)
    model = gpt()
    parts, codecs = built(options, model)
    ids = torch.randint(VOCABULARY, (BATCH, CONTEXT))
    found = {}
    for compressed in (False, True):
        loss = through(parts, codecs, ids, compressed).square().mean()
        named = dict(model.named_parameters())
        found[compressed] = dict(zip(named, torch.autograd.grad(loss, list(named.values())), strict=True))
    basis = codecs[0].state["basis"]
    constrained = 0
    for name, dense in found[False].items():
        axis = constrained_axis(name)
        if axis is None or name.startswith(STAGES[-1]):
            continue
        constrained += 1
        wire = found[True][name]
        if realisation != "factored":
            dense, wire = project(dense, basis, axis), project(wire, basis, axis)
        torch.testing.assert_close(wire, dense, rtol=1e-10, atol=1e-14)
    assert constrained == 2 + 2 * 4  # the embedding's two, and weight and bias of two writers in two layers


@pytest.mark.parametrize("realisation", ["frozen", "projected"])
def test_dense_realisations_start_where_the_factored_one_does(realisation: str):
    ids = torch.randint(VOCABULARY, (BATCH, CONTEXT))
    logits = []
    for kind in ("factored", realisation):
        parts, codecs = built(Subspace(rank=RANK, realisation=kind), gpt())
        logits.append(through(parts, codecs, ids, compressed=True))
    torch.testing.assert_close(logits[1], logits[0])


def test_a_factored_model_stacks_as_it_runs_alone():
    models = [Subspace(rank=RANK).transform(gpt(), STAGES) for _ in range(2)]
    with torch.no_grad():
        for value in models[1].parameters():
            value.mul_(1.1)
    ids = torch.randint(VOCABULARY, (2, BATCH, CONTEXT))
    params = {
        name: torch.stack([dict(model.named_parameters())[name] for model in models])
        for name, _ in models[0].named_parameters()
    }
    stacked = models[0].stacked_forward(params, ids)
    for row, model in enumerate(models):
        torch.testing.assert_close(stacked[row], model(ids[row]))


def test_a_full_rank_changes_nothing_but_the_embeddings_start():
    model, dense = gpt(), gpt()
    options = Subspace(rank=WIDTH, embedding_std=0.5)
    parts, codecs = built(options, model)
    fixed = codecs[0].state["fixed"]
    ids = torch.randint(VOCABULARY, (BATCH, CONTEXT))
    shifted = {"embedding.tokens.weight": dense.embedding.tokens.weight + fixed}
    wanted = functional_call(dense, {**dict(dense.named_parameters()), **shifted}, (ids,))
    torch.testing.assert_close(through(parts, codecs, ids, compressed=True), wanted)


def test_bytes_are_coordinates_and_ids_both_ways():
    _parts, codecs = built(Subspace(rank=RANK), gpt())
    values, ids = torch.randn(BATCH, CONTEXT, RANK), torch.randint(VOCABULARY, (BATCH, CONTEXT))
    for backward in (False, True):
        passage = Passage(backward, (0, 0), ids)
        packed = codecs[0].pack(values, passage)
        assert torch.equal(packed.parts[1].to(ids.dtype), ids)
        assert packed.bytes == BATCH * CONTEXT * (2 * RANK + 2)
        assert packed.bytes == codecs[0].wire_bytes((BATCH, CONTEXT, WIDTH), backward)
        torch.testing.assert_close(codecs[1].unpack(packed, passage), values, rtol=2**-8, atol=0)
        wide = codecs[0].wire_bytes((BATCH, CONTEXT, 8 * WIDTH), backward)
        assert wide == BATCH * CONTEXT * (2 * 8 * RANK + 2)


def test_a_row_wise_step_stays_in_the_subspace_where_adamw_leaves_it():
    options = Subspace(rank=RANK, realisation="projected")
    parts, codecs = built(options, gpt())
    piece, codec = parts[1], codecs[1]
    torch.manual_seed(1)
    params = flat(piece)
    gradient = codec.constrain_gradient(torch.randn_like(params), params)
    for optimizer, stays in (
        (options.optimizer(AdamW(lr=0.1, weight_decay=0.0), piece), True),
        (AdamW(lr=0.1, weight_decay=0.0), False),
    ):
        after, _ = optimizer.step(params, gradient, optimizer.init(params))
        left = codec.constrain_params(after)
        assert (float((left - after).abs().max()) < 1e-9) is stays


def test_the_basis_turns_towards_the_gradients():
    basis = random_basis(WIDTH, 1, seed=0)
    direction = torch.nn.functional.normalize(torch.randn(WIDTH, 1), dim=0)
    moment = direction @ direction.mT
    for _ in range(60):
        basis = turned(basis, moment, 1.0)
    assert abs(float((basis.mT @ direction).squeeze())) > 1 - 1e-9
    torch.testing.assert_close(turned(basis, torch.zeros(WIDTH, WIDTH), 1.0), basis)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="only the realisation `projected`"):
        Subspace(rank=2, refresh=10)
    with pytest.raises(ValueError, match=r"embedding\.tokens\.weight"):
        Subspace(rank=2).transform(nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3)), (("0",), ("1",)))
    with pytest.raises(ValueError, match="from 1 to 16"):
        Subspace(rank=WIDTH + 1).transform(gpt(), STAGES)
    parts, _ = built(Subspace(rank=2, realisation="projected"), gpt())
    with pytest.raises(ValueError, match="needs adamw"):
        Subspace(rank=2, realisation="projected").optimizer(SGD(lr=0.1), parts[0])


def test_a_projection_keeps_the_part_in_its_subspace():
    _parts, codecs = built(Projection(rank=RANK), gpt())
    ids = torch.zeros(BATCH, CONTEXT, dtype=torch.int64)
    given = torch.randn(1, BATCH, CONTEXT, WIDTH)
    basis = codecs[0].state["basis"]
    sent = codecs[0].encode(given, rows(codecs[0], ids))
    received = codecs[1].decode(sent, rows(codecs[1], ids))
    torch.testing.assert_close(received, project(given, basis, -1))
    torch.testing.assert_close(basis.mT @ basis, torch.eye(RANK))
    packed = codecs[0].pack(sent[0], Passage(False, (0, 0)))
    assert packed.bytes == 2 * RANK * BATCH * CONTEXT
    assert packed.bytes == codecs[0].wire_bytes((BATCH, CONTEXT, WIDTH), False)
