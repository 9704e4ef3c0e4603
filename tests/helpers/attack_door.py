"""Attacks through the door of an agent's container, as a program that runs inside it.

Sent there as it is by ``attack_scene`` and run with the image's Python, so it stands alone. Speaks
to the vault's socket byte by byte; what is returned are status codes, 0 for a connection that was
cut without a word.
"""

import base64
import contextlib
import json
import select
import socket
import sys
from pathlib import Path

DOOR = "/session/door/vault.sock"
SECONDS = 30.0
DRIPS = 60
PROMPT = json.dumps(
    {"model": "claude-haiku-4-5", "max_tokens": 100, "stream": True,
     "messages": [{"role": "user", "content": "hello"}]}
).encode()  # fmt: skip


def own_token() -> str:
    value = json.loads(Path("/session/in/session.json").read_text())
    return str(value["door"]["token"])


def _connect(path: str = DOOR) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(SECONDS)
    connection.connect(path)
    return connection


def _say(*pieces: bytes) -> bytes:
    """Everything that comes back until the connection is closed."""
    with contextlib.closing(_connect()) as connection:
        with contextlib.suppress(OSError):
            for piece in pieces:
                connection.sendall(piece)
        received = bytearray()
        with contextlib.suppress(OSError):
            while data := connection.recv(65536):
                received += data
        return bytes(received)


def _statuses(said: bytes) -> list[int]:
    """Of all answers, whatever lies between them."""
    return [
        int(part.split(b" ", 1)[0]) for part in said.split(b"HTTP/1.1 ")[1:] if part[:3].isdigit()
    ]


def _head(line: str, *headers: str, token: str | None = None) -> bytes:
    lines = [line, "host: door", f"authorization: Bearer {token or own_token()}", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


def ask(token: str = "", *headers: str) -> list[int]:
    """An honest request to the model, with the given token or the own one."""
    more = (f"content-length: {len(PROMPT)}", "connection: close", *headers)
    return _statuses(_say(_head("POST /v1/messages HTTP/1.1", *more, token=token) + PROMPT))


def ask_with_header(line: str) -> list[int]:
    """An honest request with one line more, given in hexadecimal: it may hold any byte."""
    return ask("", bytes.fromhex(line).decode())


def ask_at(path: str) -> str:
    """At another door, by its path."""
    try:
        _connect(path).close()
    except OSError as error:
        return type(error).__name__
    return "done"


def model(line: str, body: str, *headers: str) -> list[int]:
    """Bytes of the attacker's choice on the model's route."""
    return _statuses(_say(_head(line, *headers) + body.encode("latin-1")))


def proxied(line: str, token: str = "", *headers: str) -> list[int]:
    """CONNECT, or plain HTTP, to whatever the line names."""
    proof = base64.b64encode(f"agent:{token or own_token()}".encode()).decode()
    lines = [line, "host: x", f"proxy-authorization: Basic {proof}", "connection: close", *headers]
    return _statuses(_say("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"))


def slow_head() -> list[int]:
    """A byte of a head now and then, for as long as somebody listens."""
    with contextlib.closing(_connect()) as connection:
        connection.sendall(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\n")
        connection.settimeout(1.0)
        received = b""
        for _ in range(DRIPS):
            try:
                connection.sendall(b"x")
                data = connection.recv(65536)
            except TimeoutError:
                continue
            except OSError:
                break
            if not data:
                break
            received += data
        else:
            return [-1]
        return _statuses(received) or [0]


def slow_bodies(number: str, declared: str) -> None:
    """Says how much is to come and sends next to nothing, until its input is closed."""
    head = _head("POST /v1/messages HTTP/1.1", f"content-length: {declared}")
    held = []
    for _ in range(int(number)):
        with contextlib.suppress(OSError):
            held.append(_connect())
            held[-1].sendall(head + b"{")
    sys.stdout.write("held\n")
    sys.stdout.flush()
    while not select.select([sys.stdin], [], [], 1.0)[0]:
        for connection in held:
            with contextlib.suppress(OSError):
                connection.sendall(b" ")


def endless_body() -> list[int]:
    """As much as was promised and then more, without an end of its own."""
    length = f"content-length: {len(PROMPT)}"
    return _statuses(
        _say(_head("POST /v1/messages HTTP/1.1", length) + PROMPT, *[b"x" * 65536] * 400)
    )


def endless_chunks() -> list[int]:
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    head = _head("POST /v1/messages HTTP/1.1", "transfer-encoding: chunked")
    return _statuses(_say(head, *[chunk] * 400))


if __name__ == "__main__":
    attack, *arguments = sys.argv[1:]
    sys.stdout.write(json.dumps(globals()[attack](*arguments)) + "\n")
