"""The beginning of a TLS connection: which server name the client asks for (RFC 8446 4.1.2).

Pure; asked by ``tunnel`` with what a client has sent so far. Read just so far that the name is
known; everything else passes untouched, and what cannot be read for certain is not TLS here.
"""

from dataclasses import dataclass
from enum import Enum, auto

HANDSHAKE = 22
_CLIENT_HELLO = 1
_SERVER_NAME = 0
_HOST_NAME = 0
_RECORD_HEAD = 5
_MAX_RECORD = 16 * 1024
_MAX_RECORDS = 256
"""That one greeting may be cut into; it is read anew whenever more of it has come."""
_MESSAGE_HEAD = 4
_VERSION_AND_RANDOM = 34


class Opening(Enum):
    UNFINISHED = auto()
    """More bytes are needed."""
    NOT_TLS = auto()


@dataclass(frozen=True, slots=True)
class ClientHello:
    """``server_name`` in lower case; None when the client names none."""

    server_name: str | None


class _NotTlsError(Exception):
    pass


def read_hello(data: bytes) -> ClientHello | Opening:
    """``data``: everything since the connection's first byte."""
    try:
        message = _handshake(data)
        if message is None:
            return Opening.UNFINISHED
        return ClientHello(_server_name(_extensions(_Cursor(message))))
    except _NotTlsError:
        return Opening.NOT_TLS


class _Cursor:
    """Reads forward; what is not there is not TLS."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def take(self, size: int) -> bytes:
        if size > self.left:
            raise _NotTlsError
        self._at += size
        return self._data[self._at - size : self._at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def vector(self, size: int) -> "_Cursor":
        """What follows a length of ``size`` bytes."""
        return _Cursor(self.take(self.number(size)))


def _handshake(data: bytes) -> bytes | None:
    """The body of the first handshake message, put together from its records; None when it is not
    all there."""
    message = b""
    at = records = 0
    while len(data) - at >= _RECORD_HEAD:
        kind, major, length = data[at], data[at + 1], int.from_bytes(data[at + 3 : at + 5], "big")
        if kind != HANDSHAKE or major != 3 or not 0 < length <= _MAX_RECORD:
            raise _NotTlsError
        message += data[at + _RECORD_HEAD : at + _RECORD_HEAD + length]
        at += _RECORD_HEAD + length
        records += 1
        if records > _MAX_RECORDS:
            raise _NotTlsError
        if message[0] != _CLIENT_HELLO if message else False:
            raise _NotTlsError
        if len(message) >= _MESSAGE_HEAD:
            end = _MESSAGE_HEAD + int.from_bytes(message[1:_MESSAGE_HEAD], "big")
            if len(message) >= end:
                return message[_MESSAGE_HEAD:end]
    if data and data[0] != HANDSHAKE:
        raise _NotTlsError
    return None


def _extensions(hello: _Cursor) -> dict[int, bytes]:
    hello.take(_VERSION_AND_RANDOM)
    hello.vector(1)  # session
    hello.vector(2)  # cipher suites
    hello.vector(1)  # compression
    found: dict[int, bytes] = {}
    if not hello.left:
        return found
    listed = hello.vector(2)
    if hello.left:
        raise _NotTlsError
    while listed.left:
        kind = listed.number(2)
        if kind in found:
            raise _NotTlsError
        found[kind] = listed.take(listed.number(2))
    return found


def _server_name(extensions: dict[int, bytes]) -> str | None:
    if _SERVER_NAME not in extensions:
        return None
    body = _Cursor(extensions[_SERVER_NAME])
    names = body.vector(2)
    if body.left or names.number(1) != _HOST_NAME:
        raise _NotTlsError
    name = names.take(names.number(2))
    if names.left or not name or not name.isascii():
        raise _NotTlsError
    return name.decode().lower()
