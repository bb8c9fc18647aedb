"""How many bytes a payload takes on the wire."""

from collections.abc import Hashable
from typing import Any

from torch import Tensor

from simnet.runtime.node import Encoded

SCALAR_BYTES = 8


def payload_bytes(payload: Any) -> tuple[float, float]:
    """Bytes of `payload`: (of tensors and encoded content, of everything else).

    The first part stands for the model and is scaled by `charge_as`; the second (counts, losses, ids) is
    not. Raises `TypeError` for an object whose size nobody declared.
    """
    if payload is None:
        return 0.0, 0.0
    if isinstance(payload, Tensor):
        return float(payload.numel() * payload.element_size()), 0.0
    if isinstance(payload, Encoded):
        return payload.raw_bytes, 0.0
    if isinstance(payload, bool | int | float):
        return 0.0, float(SCALAR_BYTES)
    if isinstance(payload, str):
        return 0.0, float(len(payload.encode()))
    if isinstance(payload, bytes):
        return 0.0, float(len(payload))
    if isinstance(payload, dict):
        parts = [payload_bytes(item) for pair in payload.items() for item in pair]
    elif isinstance(payload, list | tuple):
        parts = [payload_bytes(item) for item in payload]
    else:
        raise TypeError(
            f"cannot tell the bytes of a {type(payload).__name__}: "
            "send tensors, numbers, text, containers of them, or Encoded(content, raw_bytes)"
        )
    return sum(model for model, _ in parts), sum(other for _, other in parts)


def kind_of(tag: Hashable) -> str:
    """What `transfers.parquet` calls a message: its tag, or the first name in it."""
    while isinstance(tag, tuple) and tag:
        tag = tag[0]
    return str(tag)
