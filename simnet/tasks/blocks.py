"""A model as a chain of blocks, so that it can be cut between them."""

import torch
from torch import Tensor, nn

from simnet.scenario import Path, ScenarioError
from simnet.tasks.models.chain import Blocks, chain

EXPECTED = (
    "a method blocks() that gives [(name, module), ...] in order, each parameter `<name>.<...>` of the model "
    "in exactly one of them"
)


def model_blocks(model: nn.Module, inputs: Tensor | None = None, path: Path = ("task", "model")) -> Blocks:
    """The blocks of `model`, by name, in the order in which an input goes through them.

    Each block takes one tensor and gives one. Its parameters are those of the model with the same names
    behind `<block name>.`, and they lie in the flat vector in the blocks' order; so a block, or a run of
    blocks, is one slice of it. Given `inputs` `[batch, ...]`, the chain is run and compared with `forward`.

    Raises `ScenarioError` at `path` where the model gives no blocks, or blocks that break these promises.
    """
    kind = type(model).__name__
    if not callable(getattr(model, "blocks", None)):
        raise ScenarioError.at(path, f"{kind} has no blocks(), so it cannot be cut", expected=EXPECTED)
    try:
        blocks = model.blocks()  # type: ignore[operator]
    except Exception as error:  # a user's code may raise anything, and a shipped model explains itself
        raise ScenarioError.at(path, f"{kind} cannot be cut: {error}") from error
    problem = _not_blocks(blocks) or _not_the_models(model, blocks)
    if not problem and inputs is not None:
        problem = _not_forward(model, blocks, inputs)
    if problem:
        raise ScenarioError.at(path, f"{kind}.blocks(): {problem}", expected=EXPECTED)
    return list(blocks)


def _not_blocks(blocks: object) -> str:
    if not isinstance(blocks, list | tuple) or not blocks:
        return f"gives {blocks!r}" if isinstance(blocks, list | tuple) else f"gives a {type(blocks).__name__}"
    for pair in blocks:
        if (
            not isinstance(pair, tuple)
            or len(pair) != 2
            or not isinstance(pair[0], str)
            or not isinstance(pair[1], nn.Module)
        ):
            return f"{pair!r} is not a pair (name, module)"
    names = [name for name, _ in blocks]
    twice = sorted({name for name in names if names.count(name) > 1})
    return f"two blocks are called {twice[0]}" if twice else ""


def _not_the_models(model: nn.Module, blocks: Blocks) -> str:
    owned = [
        (f"{name}.{key}", value)
        for name, block in blocks
        for key, value in block.named_parameters(remove_duplicate=False)
    ]
    owners: dict[int, str] = {}
    for name, value in owned:
        other = owners.setdefault(id(value), name)
        if other != name:
            return f"{other} and {name} are one parameter"
    own = dict(model.named_parameters())
    for name, value in owned:
        if own.get(name) is not value:
            return f"the model has no parameter {name}, or it is another one"
    missing = [name for name in own if name not in dict(owned)]
    if missing:
        return f"no block has the parameter {missing[0]}"
    for (name, _), wanted in zip(owned, own, strict=True):
        if name != wanted:
            return f"where the model has {wanted}, the blocks have {name}: their order is another one"
    return ""


def _not_forward(model: nn.Module, blocks: Blocks, inputs: Tensor) -> str:
    devices = [inputs.device] if inputs.device.type == "cuda" else []
    try:
        with torch.no_grad(), torch.random.fork_rng(devices):
            state = torch.get_rng_state()
            whole = model(inputs)
            torch.set_rng_state(state)
            parts = chain(blocks, inputs)
    except Exception as error:  # the user's code may raise anything
        return f"fails on inputs of shape {list(inputs.shape)}: {type(error).__name__}: {error}"
    if not isinstance(parts, Tensor) or parts.shape != whole.shape:
        return "give something of another shape than forward"
    if not torch.allclose(parts, whole, rtol=1e-4, atol=1e-5):
        return f"give other values than forward (by up to {(parts - whole).abs().max().item():.3g})"
    return ""
