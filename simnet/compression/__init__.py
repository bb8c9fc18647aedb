"""Compression: codecs for tensors that are sent. They know nothing of who sends them.

    codec = Int4()
    packed = codec.encode(activations)          # real tensors, two entries in a byte
    packed.bytes                                # counted from them
    received = codec.decode(packed)             # shape and type as before

The last dimension is a token's (or a whole flat vector); all others are leading. A codec that draws is given
a seed, which the two ends share and nobody sends. On the wire it is `Encoded(packed, packed.bytes)`.
"""

from simnet.compression.absmax import Int4, Int8
from simnet.compression.casts import BFloat16, Identity
from simnet.compression.codec import Codec, Packed
from simnet.compression.config import CodecConfig, codecs
from simnet.compression.sparse import RandomK, TopK

__all__ = [
    "BFloat16",
    "Codec",
    "CodecConfig",
    "Identity",
    "Int4",
    "Int8",
    "Packed",
    "RandomK",
    "TopK",
    "codecs",
]
