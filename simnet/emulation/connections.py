"""TCP between the hosts: one connection for each direction of a pair, frames one after the other."""

import asyncio
import socket
import struct
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from simnet.emulation.frames import PREFIX, Arrival, Beat, Frame, lengths, unpack

ZEROS = memoryview(bytes(1 << 16))
HELLO_BYTES = 2
SO_MAX_PACING_RATE = 47
"""Linux's, which Python's socket module does not name."""
NO_LINGERING = struct.pack("ii", 1, 0)
WHOLE_BYTES = 1 << 14
"""A frame up to this size is written at once."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a host listens."""

    ip: str
    port: int
    send_buffer: int | None = None
    """Bytes that may have been taken by the kernel and not be acknowledged yet; None: the kernel's own."""
    pace: int | None = None
    """Bytes per second that the kernel spreads what it sends at; None: whole windows at once."""


class Connections:
    """A host's connections.

    Args:
        host: This host's name.
        deliver: Called with what a frame held.
        lost: Called once with a host whose connection ended while nobody had said that the run is over.
        failed: Called with an error of a connection itself, such as a frame that is none.
    """

    def __init__(
        self,
        host: str,
        deliver: Callable[[Arrival | Beat], None],
        lost: Callable[[str], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        self._host = host
        self._deliver = deliver
        self._lost = lost
        self._failed = failed
        self._outgoing: dict[str, asyncio.Queue[tuple[Frame, Callable[[], None]]]] = {}
        self._sockets: dict[str, socket.socket] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener: socket.socket | None = None
        self._addresses: dict[str, Address] = {}
        self._between: dict[str, list[tuple[asyncio.Task[None], socket.socket]]] = {}
        """The tasks that send to and read from each host."""
        self._gone: set[str] = set()
        self._over = False

    async def listen(self, ip: str) -> int:
        """Take connections from now on; gives the port."""
        self._listener = socket.create_server((ip, 0), backlog=1024)
        self._listener.setblocking(False)
        self._start(self._accept(self._listener))
        return int(self._listener.getsockname()[1])

    async def connect(self, peers: Mapping[str, Address]) -> None:
        """Connect to every peer, one that was gone too; raises `OSError` where one does not answer."""
        self._gone.difference_update(peers)
        await asyncio.gather(*(self._connect(peer, address) for peer, address in peers.items()))

    def send(self, host: str, frame: Frame, sent: Callable[[], None]) -> None:
        """Send a frame behind those for the same host; `sent` is called once the kernel has all of it.

        To a host that is gone nothing is sent, and `sent` is never called.
        """
        if host not in self._gone:
            self._outgoing[host].put_nowait((frame, sent))

    def cut(self, host: str) -> None:
        """Break off the connections with a host that is out of reach: what has not arrived never will."""
        self._gone.add(host)
        for task, one in self._between.pop(host, ()):
            # A socket that is closed like this forgets what it has not sent; others go on sending it.
            with suppress(OSError):
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGERING)
            task.cancel()
            task.add_done_callback(partial(_close, one))

    async def connect_again(self, hosts: Iterable[str]) -> None:
        """Connect to hosts that can be reached again."""
        await self.connect({host: self._addresses[host] for host in hosts})

    def close(self) -> None:
        """The run is over: connections end, and nobody is lost by that."""
        self._over = True
        for task in self._tasks:
            task.cancel()
        for one in self._sockets.values():
            one.close()
        if self._listener is not None:
            self._listener.close()

    # -- the inside -----------------------------------------------------------------------------------

    def _start(self, coroutine: "asyncio.Future[None] | object") -> "asyncio.Task[None]":
        task: asyncio.Task[None] = asyncio.ensure_future(coroutine)  # type: ignore[arg-type]
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._failed(error)

    async def _connect(self, peer: str, address: Address) -> None:
        one = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        one.setblocking(False)
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if address.send_buffer is not None:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, address.send_buffer)
        if address.pace is not None:
            one.setsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE, address.pace)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(one, (address.ip, address.port))
        name = self._host.encode()
        await loop.sock_sendall(one, len(name).to_bytes(HELLO_BYTES, "big") + name)
        self._sockets[peer] = one
        self._outgoing[peer] = asyncio.Queue()
        self._addresses[peer] = address
        self._between.setdefault(peer, []).append((self._start(self._write(peer, one)), one))

    async def _write(self, peer: str, one: socket.socket) -> None:
        loop, queue = asyncio.get_running_loop(), self._outgoing[peer]
        try:
            while True:
                frame, sent = await queue.get()
                left = frame.padding
                if frame.bytes <= WHOLE_BYTES:  # one packet in place of three
                    await loop.sock_sendall(one, frame.head + frame.body + ZEROS[:left])
                    left = 0
                else:
                    await loop.sock_sendall(one, frame.head)
                    await loop.sock_sendall(one, frame.body)
                while left:
                    part = ZEROS[: min(left, len(ZEROS))]
                    await loop.sock_sendall(one, part)
                    left -= len(part)
                sent()
        except OSError:
            self._peer_gone(peer)

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            one, _ = await loop.sock_accept(listener)
            one.setblocking(False)
            self._start(self._read(one))

    async def _read(self, one: socket.socket) -> None:
        peer = None
        try:
            with one:
                size = int.from_bytes(await _exactly(one, HELLO_BYTES), "big")
                peer = (await _exactly(one, size)).decode()
                task = asyncio.current_task()
                assert task is not None
                self._between.setdefault(peer, []).append((task, one))
                while True:
                    header_bytes, body_bytes, padding = lengths(await _exactly(one, PREFIX.size))
                    header = await _exactly(one, header_bytes)
                    body = await _exactly(one, body_bytes)
                    await _skip(one, padding)
                    arrival = unpack(bytes(header), bytes(body), padding)
                    self._deliver(arrival)
        except (OSError, EOFError):
            if peer is not None:
                self._peer_gone(peer)

    def _peer_gone(self, peer: str) -> None:
        if not self._over and peer not in self._gone:
            self._gone.add(peer)
            self._lost(peer)


def _close(one: socket.socket, _: object) -> None:
    one.close()


async def _exactly(one: socket.socket, size: int) -> bytearray:
    """The next `size` bytes; raises `EOFError` where the connection ends before."""
    data = bytearray(size)
    view, at, loop = memoryview(data), 0, asyncio.get_running_loop()
    while at < size:
        read = await loop.sock_recv_into(one, view[at:])
        if read == 0:
            raise EOFError("the connection ended")
        at += read
    return data


async def _skip(one: socket.socket, size: int) -> None:
    """Read so many bytes and forget them."""
    scratch, loop = memoryview(bytearray(min(size, 1 << 16))), asyncio.get_running_loop()
    while size:
        read = await loop.sock_recv_into(one, scratch[: min(size, len(scratch))])
        if read == 0:
            raise EOFError("the connection ended")
        size -= read
