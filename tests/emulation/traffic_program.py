"""What runs on emulated hosts: senders, receivers and echoes; the standard library alone."""

import contextlib
import json
import socket
import sys
import time


def say(what: object) -> None:
    print(json.dumps(what), flush=True)


def receive(address: str, port: str) -> None:
    server = socket.create_server((address, int(port)))
    say("ready")
    connection, _ = server.accept()
    count, marks, buffer = 0, [], bytearray(1 << 16)
    while size := connection.recv_into(buffer):
        count += size
        marks.append((time.monotonic(), count))
    say(marks)


def send(address: str, port: str, size: str) -> None:
    with socket.create_connection((address, int(port))) as connection:
        connection.sendall(bytes(int(size)))


def echo(address: str, port: str) -> None:
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((address, int(port)))
    say("ready")
    while True:
        data, sender = server.recvfrom(2048)
        server.sendto(data, sender)


def ping(address: str, port: str, count: str, gap: str) -> None:
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    found: list[float | None] = [None] * int(count)
    sent = {}
    for number in range(int(count)):
        sent[number] = time.monotonic()
        with contextlib.suppress(OSError):  # no route: lost as well
            client.sendto(number.to_bytes(4, "big"), (address, int(port)))
        end = sent[number] + float(gap)
        while (left := end - time.monotonic()) > 0:
            client.settimeout(left)
            collect(client, sent, found)
    client.settimeout(1.0)
    while None in found and collect(client, sent, found):
        pass
    say(found)


def collect(client: socket.socket, sent: dict[int, float], found: list[float | None]) -> bool:
    try:
        data = client.recv(2048)
    except OSError:
        return False
    number = int.from_bytes(data[:4], "big")
    found[number] = time.monotonic() - sent[number]
    return True


def blast(address: str, port: str, count: str, size: str) -> None:
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.connect((address, int(port)))
    for _ in range(int(count)):
        client.send(bytes(int(size)))
    say("done")


def count(address: str, port: str, quiet: str) -> None:
    """How many packets come, until none has come for so many seconds."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 21)
    server.bind((address, int(port)))
    say("ready")
    server.settimeout(10.0)
    arrived = 0
    try:
        while server.recv(2048):
            arrived += 1
            server.settimeout(float(quiet))
    except TimeoutError:
        say(arrived)


def hold(address: str, port: str) -> None:
    """Connect and say when the other side is gone."""
    connection = socket.create_connection((address, int(port)))
    say("ready")
    with contextlib.suppress(OSError):
        connection.recv(1)
    say("gone")


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
