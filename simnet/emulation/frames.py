"""What crosses a TCP connection: a length-prefixed JSON header, the tensors as safetensors, and padding.

No pickle: a frame can only hold what :func:`encode` knows. Its body is as long as the message is charged, so
that a model that stands for a larger one (`charge_as`) takes the larger one's time on the wire.
"""

import base64
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, fields
from math import ceil
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from simnet.compression.codec import Packed
from simnet.runtime.node import Encoded, Message
from simnet.runtime.stage_node import Bundle

PREFIX = struct.Struct("!IQQ")
"""Bytes of the header, of the tensors, and of the padding behind them."""
MOST_HEADER_BYTES = 1 << 24
RECORDS: Mapping[str, type] = {kind.__name__: kind for kind in (Encoded, Bundle, Packed)}
"""The dataclasses that may travel."""


class FrameError(Exception):
    """What arrived is no frame, or what should be sent cannot be one."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame's parts, ready to be written."""

    head: bytes
    """Prefix and header."""
    body: bytes
    padding: int
    """Zero bytes that follow the body."""

    @property
    def bytes(self) -> int:
        """On the connection, everything together."""
        return len(self.head) + len(self.body) + self.padding


def pack(message: Message, to: str, steps: int) -> Frame:
    """A message for the node `to` as a frame, from a node that has taken so many steps.

    The body is at least as long as the message's charged bytes. Raises :class:`FrameError` for a payload that
    holds what cannot travel.
    """
    tensors: dict[str, Tensor] = {}
    header = {
        "to": to,
        "sender": message.sender,
        "tag": encode(message.tag, tensors),
        "version": message.version,
        "steps": steps,
        "sent_at": message.sent_at,
        "bytes": message.bytes,
        "payload": encode(message.payload, tensors),
    }
    text = json.dumps(header, separators=(",", ":")).encode()
    body = save(tensors) if tensors else b""
    padding = max(0, ceil(message.bytes) - len(body))
    return Frame(PREFIX.pack(len(text), len(body), padding) + text, body, padding)


@dataclass(frozen=True, slots=True)
class Arrival:
    """What a frame held."""

    to: str
    message: Message
    steps: int
    """Optimizer steps that the sender had taken."""
    bytes: int
    """On the connection."""


@dataclass(frozen=True, slots=True)
class Beat:
    """A sign of life, or the news that a node is gone."""

    to: str
    sender: str
    gone: str | None
    """Of whom it tells that it is gone."""
    sent_at: float
    bytes: float
    """Of the whole frame, if its names are not longer."""


def beat_frame(beat: Beat) -> Frame:
    """A beat as a frame."""
    text = json.dumps([beat.to, beat.sender, beat.gone, round(beat.sent_at, 6), beat.bytes]).encode()
    padding = max(0, ceil(beat.bytes) - PREFIX.size - len(text))
    return Frame(PREFIX.pack(len(text), 0, padding) + text, b"", padding)


def unpack(header: bytes, body: bytes, padding: int) -> Arrival | Beat:
    """What is in a frame. Raises :class:`FrameError` where it is malformed."""
    try:
        told = json.loads(header)
        if isinstance(told, list):
            return Beat(*told)
        tensors = load(body) if body else {}
        message = Message(
            told["sender"],
            decode(told["tag"], tensors),
            decode(told["payload"], tensors),
            told["version"],
            told["sent_at"],
            told["bytes"],
        )
        size = PREFIX.size + len(header) + len(body) + padding
        return Arrival(told["to"], message, told["steps"], size)
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        raise FrameError(f"not a frame of simnet: {error}") from error


def lengths(prefix: bytes | bytearray) -> tuple[int, int, int]:
    """Bytes of header, body and padding. Raises :class:`FrameError` for a header of impossible size."""
    header, body, padding = PREFIX.unpack(prefix)
    if header > MOST_HEADER_BYTES:
        raise FrameError(f"a header of {header} bytes: not a frame of simnet")
    return header, body, padding


def encode(value: Any, tensors: dict[str, Tensor]) -> Any:
    """`value` as JSON values, its tensors put into `tensors` under new names.

    Numbers, text and None are themselves; anything else is a mapping with one key that says what it is.
    """
    match value:
        case None | bool() | int() | float() | str():
            return value
        case Tensor() if value.is_meta:
            return {"shape": [str(value.dtype), list(value.shape)]}
        case Tensor():
            name = str(len(tensors))
            tensors[name] = value.detach().cpu().clone(memory_format=torch.contiguous_format)
            return {"tensor": name}
        case torch.Size():
            return {"size": list(value)}
        case torch.dtype():
            return {"dtype": str(value)}
        case tuple():
            return {"tuple": [encode(item, tensors) for item in value]}
        case list():
            return {"list": [encode(item, tensors) for item in value]}
        case dict():
            return {"dict": [[encode(key, tensors), encode(item, tensors)] for key, item in value.items()]}
        case bytes():
            return {"bytes": base64.b64encode(value).decode()}
        case Encoded() | Bundle() | Packed():
            return {
                type(value).__name__: [encode(getattr(value, one.name), tensors) for one in fields(value)]
            }
    raise FrameError(
        f"a {type(value).__name__} cannot be sent over a real connection: send tensors, numbers, text, "
        "containers of them, or Encoded(content, raw_bytes)"
    )


def decode(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The inverse of :func:`encode`. Raises `ValueError` for what it never makes."""
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    match kind:
        case "tensor":
            return tensors[content]
        case "shape":
            return torch.empty(content[1], dtype=_dtype(content[0]), device="meta")
        case "size":
            return torch.Size(content)
        case "dtype":
            return _dtype(content)
        case "tuple":
            return tuple(decode(item, tensors) for item in content)
        case "list":
            return [decode(item, tensors) for item in content]
        case "dict":
            return {decode(key, tensors): decode(item, tensors) for key, item in content}
        case "bytes":
            return base64.b64decode(content)
        case _ if kind in RECORDS:
            return RECORDS[kind](*(decode(item, tensors) for item in content))
    raise ValueError(f"unknown kind of value {kind!r}")


def _dtype(name: str) -> torch.dtype:
    found = getattr(torch, name.removeprefix("torch."), None)
    if not isinstance(found, torch.dtype):
        raise ValueError(f"unknown dtype {name!r}")
    return found
