"""Results brought from the device that computed them to where they are kept."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor


class Handover:
    """Moves the tensors of results to one device; results that are parts of one buffer stay that.

    A joint computation leaves the results of all its workers in one buffer per kind, so there is one copy per
    buffer and not one per worker.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._buffers: dict[tuple[torch.device, int, torch.dtype], tuple[Tensor, Tensor]] = {}

    def __call__(self, result: Any) -> Any:
        """`result` with every tensor in it on the device: tensors, dataclasses, mappings, lists, tuples."""
        if isinstance(result, Tensor):
            return self._tensor(result)
        if is_dataclass(result) and not isinstance(result, type):
            return type(result)(**{f.name: self(getattr(result, f.name)) for f in fields(result) if f.init})
        if isinstance(result, Mapping):
            return {name: self(value) for name, value in result.items()}
        if isinstance(result, tuple | list):
            return type(result)(map(self, result))
        return result

    def _tensor(self, value: Tensor) -> Tensor:
        if value.device == self._device:
            return value
        storage = value.untyped_storage()
        key = (value.device, storage.data_ptr(), value.dtype)
        if key not in self._buffers:
            whole = value.new_empty(0).set_(storage, 0, (storage.nbytes() // value.element_size(),), (1,))
            # The source is kept beside its copy, so that nothing else comes to lie at its address meanwhile.
            self._buffers[key] = (whole, whole.to(self._device))
        return self._buffers[key][1].as_strided(value.shape, value.stride(), value.storage_offset())
