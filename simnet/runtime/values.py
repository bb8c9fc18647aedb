"""What a node sends, gets and computes, as its algorithm sees it: values that nobody changes."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Encoded:
    """A payload that knows its own size: what a codec made, or a share of a larger tensor.

    `content` is what the receiver gets to decode, `raw_bytes` what it takes on the wire before
    `charge_as` scales it; `charged_bytes` is what the network is charged, where that is known otherwise.
    """

    content: Any
    raw_bytes: float
    charged_bytes: float | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """What arrived: the payload and where, when and from which version of the sender it left."""

    sender: str
    tag: Hashable
    payload: Any
    version: int
    sent_at: float
    bytes: float
    """Charged bytes, as the network carried them."""


@dataclass(frozen=True, slots=True)
class Gradient:
    """A minibatch gradient: its mean loss, and the flat vector of shape `[d]`."""

    loss: float
    vector: Tensor


@dataclass(frozen=True, slots=True)
class View:
    """Which nodes of a role take part in its collectives, as its members agreed."""

    epoch: int
    """Counts the views of a role, from 0: all of its nodes."""
    members: tuple[str, ...]
    """In rank order."""
    leader: str
    """The member that is furthest: whose state the others take over; the lowest rank of several."""
    version: int
    """The leader's."""
    behind: tuple[str, ...]
    """Members that are not as far as the leader, and those that come from elsewhere: they lack its state."""
    over: bool
    """Whether a node has done all of its work and those of this view have nothing left to do with it."""
