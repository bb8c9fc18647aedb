"""A connection over which something else than frames comes says so; it does not fall silent."""

import asyncio
import socket

from simnet.emulation.connections import HELLO_BYTES, Connections
from simnet.emulation.frames import PREFIX, FrameError


def test_what_is_no_frame_is_told() -> None:
    async def talk(sent: bytes) -> list[BaseException]:
        errors: list[BaseException] = []
        wire = Connections("n0", lambda _: None, lambda _: None, errors.append)
        port = await wire.listen("127.0.0.1")
        with socket.create_connection(("127.0.0.1", port)) as stranger:
            stranger.sendall((2).to_bytes(HELLO_BYTES, "big") + b"n1" + sent)
            for _ in range(200):
                if errors:
                    break
                await asyncio.sleep(0.01)
        wire.close()
        return errors

    for sent in (PREFIX.pack(1 << 31, 0, 0), PREFIX.pack(2, 0, 0) + b"{}"):
        (error,) = asyncio.run(talk(sent))
        assert isinstance(error, FrameError)
