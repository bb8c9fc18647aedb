"""What autograd keeps between forward and backward, measured where it happens."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def kept_for_backward(model: nn.Module) -> Iterator[dict[int, int]]:
    """While it is active, notes the bytes of each storage that autograd saves, by the storage's address.

    The model's own parameters are not among them. Storages stay alive, and addresses apart, as long as the
    graph does.
    """
    own = {value.untyped_storage().data_ptr() for value in model.parameters()}
    kept: dict[int, int] = {}

    def pack(saved: Tensor) -> Tensor:
        storage = saved.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return saved

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda saved: saved):
        yield kept
