"""Speaks to a door as a container would: properly over ``http.client``, or byte by byte."""

import http.client
import json
import socket
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

SECONDS = 20.0
PROMPT: dict[str, object] = {
    "model": "claude-haiku-4-5",
    "max_tokens": 100,
    "stream": True,
    "messages": [{"role": "user", "content": "hello"}],
}


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> tuple[str, str]:
        """Type and text of an error in the API's shape."""
        value = json.loads(self.body)
        assert value["type"] == "error"
        return value["error"]["type"], value["error"]["message"]


class DoorConnection(http.client.HTTPConnection):
    """HTTP/1.1 through the socket of a door."""

    def __init__(self, path: Path) -> None:
        super().__init__("door", timeout=SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = raw(self._path)


@dataclass(frozen=True, slots=True)
class DoorClient:
    """One session's door and token."""

    socket: Path
    token: str

    def connect(self) -> DoorConnection:
        return DoorConnection(self.socket)

    def headers(self) -> dict[str, str]:
        return {
            "authorization": f"Bearer {self.token}",
            "content-type": "application/json",
            "anthropic-version": "2026-10-21",
        }

    def begin(
        self,
        value: object = None,
        *,
        method: str = "POST",
        target: str = "/v1/messages",
        headers: Mapping[str, str] | None = None,
    ) -> tuple[DoorConnection, http.client.HTTPResponse]:
        """The head of an answer; the caller reads on, and closes."""
        connection = self.connect()
        body = None if method == "GET" else json.dumps(PROMPT if value is None else value)
        sent = self.headers() if headers is None else dict(headers)
        connection.request(method, target, body=body, headers=sent)
        return connection, connection.getresponse()

    def ask(
        self,
        value: object = None,
        *,
        method: str = "POST",
        target: str = "/v1/messages",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        connection, response = self.begin(value, method=method, target=target, headers=headers)
        with closing(connection):
            found = {name.lower(): text for name, text in response.getheaders()}
            return Answer(response.status, found, response.read())

    def say(self, *pieces: bytes) -> bytes:
        """Bytes as they are; everything that comes back until the connection is closed."""
        with closing(raw(self.socket)) as connection:
            received = bytearray()
            try:
                for piece in pieces:
                    connection.sendall(piece)
            except OSError:
                pass  # it has heard enough
            try:
                while data := connection.recv(65536):
                    received += data
            except ConnectionResetError:
                pass
            return bytes(received)


def raw(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(SECONDS)
    try:
        connection.connect(str(path))
    except OSError:
        connection.close()
        raise
    return connection
