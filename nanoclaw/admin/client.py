"""The other end of the administration socket: one question, one answer, with a time limit.

Used by the command line. Blocks, and is therefore never used inside a host process.
"""

import socket
import time
import uuid
from pathlib import Path

from nanoclaw.admin.frames import BadFrameError, Request, Response, dump_request, parse_response
from nanoclaw.errors import NanoclawError

MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""An answer is not bounded by the line limit of requests; this one only guards our memory."""


class HostUnreachableError(NanoclawError):
    """Nobody listens on the socket."""


class TransportError(NanoclawError):
    """Somebody listens, but no answer came."""


def ask(path: Path, command: str, args: dict[str, str | bool], seconds: float) -> Response:
    """Raises HostUnreachableError or TransportError."""
    deadline = time.monotonic() + seconds
    request = Request(str(uuid.uuid4()), command, args)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as connection:
        connection.settimeout(seconds)
        try:
            connection.connect(str(path))
        except OSError as error:
            raise HostUnreachableError(f"{path}: {error.strerror or error}") from error
        try:
            connection.sendall(dump_request(request))
            line = _read_line(connection, deadline)
        except OSError as error:
            raise TransportError(str(error.strerror or error)) from error
    try:
        return parse_response(line)
    except BadFrameError as error:
        raise TransportError(str(error)) from error


def _read_line(connection: socket.socket, deadline: float) -> bytes:
    received = bytearray()
    while b"\n" not in received:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TransportError("the host did not answer in time")
        connection.settimeout(left)
        data = connection.recv(256 * 1024)
        if not data:
            raise TransportError("host closed connection before sending response")
        received += data
        if len(received) > MAX_ANSWER_BYTES:
            raise TransportError("the answer is too long")
    return bytes(received.partition(b"\n")[0])
