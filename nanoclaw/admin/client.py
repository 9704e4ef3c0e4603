"""The other end of the administration socket: one question, one answer, with a time limit.

Used by the command line. Blocks, and is therefore never used inside a host process.
"""

import errno
import socket
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from nanoclaw.admin.frames import (
    MAX_LINE_BYTES,
    BadFrameError,
    Request,
    Response,
    dump_request,
    parse_response,
)
from nanoclaw.errors import NanoclawError

MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""An answer is not bounded by the line limit of requests; this one only guards our memory."""


_NOBODY_THERE = (errno.ENOENT, errno.ECONNREFUSED)


class HostUnreachableError(NanoclawError):
    """Nobody listens on the socket."""


class TransportError(NanoclawError):
    """Somebody listens, but no answer came."""


def ask(
    path: Path,
    command: str,
    args: Mapping[str, str | bool],
    seconds: float,
    positionals: tuple[str, ...] | None = None,
) -> Response:
    """Raises HostUnreachableError or TransportError."""
    deadline = time.monotonic() + seconds
    line = dump_request(Request(str(uuid.uuid4()), command, args, positionals))
    if len(line) > MAX_LINE_BYTES:
        raise TransportError(f"the command is longer than {MAX_LINE_BYTES} bytes")
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(seconds)
        try:
            connection.connect(str(path))
        except OSError as error:
            text = f"{path}: {error.strerror or error}"
            if error.errno in _NOBODY_THERE:
                raise HostUnreachableError(text) from error
            raise TransportError(text) from error
        try:
            answer = _exchange(connection, line, deadline)
        except TimeoutError as error:
            raise TransportError(f"timed out: no answer within {seconds:g} seconds") from error
        except OSError as error:
            raise TransportError(str(error.strerror or error)) from error
    try:
        return parse_response(answer)
    except BadFrameError as error:
        raise TransportError(str(error)) from error


def _exchange(connection: socket.socket, line: bytes, deadline: float) -> bytes:
    with suppress(BrokenPipeError):  # a host that refuses us answers without reading
        connection.sendall(line)
    return _read_line(connection, deadline)


def _read_line(connection: socket.socket, deadline: float) -> bytes:
    received = bytearray()
    while b"\n" not in received:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        connection.settimeout(left)
        data = connection.recv(256 * 1024)
        if not data:
            raise TransportError("host closed connection before sending response")
        received += data
        if len(received) > MAX_ANSWER_BYTES:
            raise TransportError("the answer is too long")
    return bytes(received.partition(b"\n")[0])
