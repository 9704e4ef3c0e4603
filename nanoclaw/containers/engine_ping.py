"""Asks a Docker engine whether it is there and whether it has our image, without the SDK.

Used by the sweep until the first container is wanted, and by the demo: importing the SDK costs
120 ms and memory that an idle host does not need. Plain HTTP over the engine's socket, one short
request at a time, always with a time limit. Other addresses than unix and tcp need the SDK.
"""

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from nanoclaw.containers.runtime import EngineDown

PING_SECONDS = 2.0
MAX_ANSWER_BYTES = 4 * 1024 * 1024
PLAIN_PORT = 2375
OK, NOT_FOUND = 200, 404
NAMELESS = "<none>:<none>"
"""How older engines write "no name"."""
OLDEST_API = (1, 41)
"""The first version with everything we use, of Docker 20.10."""


@dataclass(frozen=True, slots=True)
class EnginePing:
    """What an engine says about itself."""

    api_version: str

    @property
    def is_new_enough(self) -> bool:
        return version_pair(self.api_version) >= OLDEST_API


def ping(address: str, *, seconds: float = PING_SECONDS) -> EnginePing:
    """Raises EngineDown with a reason for people."""
    answer = _get(address, "/_ping", seconds)
    if answer.status != OK:
        raise EngineDown(f"{address} answers {answer.status} to a ping")
    return EnginePing(answer.api_version or "1.41")


def find_image(address: str, label: str, *, seconds: float = PING_SECONDS) -> str | None:
    """Id of an image with a name that carries the label ``name=value``; raises EngineDown.

    A build that failed leaves its last step behind: without a name, and with inherited labels.
    """
    filters = json.dumps({"label": [label]})
    answer = _get(address, f"/images/json?filters={quote(filters)}", seconds)
    images = _parsed(answer, address)
    for image in images if isinstance(images, list) else ():
        if isinstance(image, dict) and isinstance(image.get("Id"), str) and has_name(image):
            return str(image["Id"])
    return None


def ask(address: str, path: str, *, seconds: float = PING_SECONDS) -> object:
    """What the engine answers, or None when there is no such thing; raises EngineDown."""
    answer = _get(address, path, seconds)
    return None if answer.status == NOT_FOUND else _parsed(answer, address)


def has_name(image: Mapping[str, object]) -> bool:
    """Whether an entry of the engine's list is an image that somebody has named."""
    tags = image.get("RepoTags")
    return isinstance(tags, list) and any(tag != NAMELESS for tag in tags)


def find_image_by_name(address: str, name: str, *, seconds: float = PING_SECONDS) -> str | None:
    """Id of the image of that name, or None when there is none; raises EngineDown."""
    answer = _get(address, f"/images/{quote(name)}/json", seconds)
    if answer.status == NOT_FOUND:
        return None
    image = _parsed(answer, address)
    return str(image["Id"]) if isinstance(image, dict) and "Id" in image else None


def version_pair(text: str) -> tuple[int, int]:
    """``1.41`` as numbers; (0, 0) for anything else."""
    major, _, minor = text.partition(".")
    return (int(major), int(minor)) if major.isdecimal() and minor.isdecimal() else (0, 0)


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    api_version: str | None
    body: bytes


def _connect(address: str, seconds: float) -> socket.socket:
    parts = urlsplit(address)
    if parts.scheme == "unix":
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        connection.settimeout(seconds)
        try:
            connection.connect(address.removeprefix("unix://"))
        except OSError:
            connection.close()
            raise
        return connection
    if parts.scheme in ("tcp", "http"):
        place = (parts.hostname or "", parts.port or PLAIN_PORT)
        return socket.create_connection(place, seconds)
    raise EngineDown(f"{address}: only unix:// and tcp:// addresses are supported")


def _get(address: str, path: str, seconds: float) -> _Answer:
    """HTTP/1.0, so that the answer is plain bytes up to the end of the connection. By hand: the
    standard library's client brings along TLS and mail parsing, three megabytes for each sweep."""
    try:
        with _connect(address, seconds) as connection:
            connection.sendall(f"GET {path} HTTP/1.0\r\nHost: docker\r\n\r\n".encode())
            received = bytearray()
            while data := connection.recv(65536):
                received += data
                if len(received) > MAX_ANSWER_BYTES:
                    raise EngineDown(f"{address} does not stop answering")
    except OSError as error:
        reason = error.strerror or str(error) or type(error).__name__
        raise EngineDown(f"no engine answers at {address}: {reason}") from error
    return _parse_answer(bytes(received), address)


def _parse_answer(received: bytes, address: str) -> _Answer:
    head, _, body = received.partition(b"\r\n\r\n")
    first, *fields = head.decode("latin-1").split("\r\n")
    words = first.split(" ", 2)
    if len(words) < 2 or not words[0].startswith("HTTP/") or not words[1].isdecimal():
        raise EngineDown(f"{address} does not speak HTTP")
    headers = {name.strip().lower(): value.strip() for name, _, value in
               (field.partition(":") for field in fields)}  # fmt: skip
    return _Answer(int(words[1]), headers.get("api-version"), body)


def _parsed(answer: _Answer, address: str) -> object:
    try:
        value: object = json.loads(answer.body)
    except ValueError as error:
        raise EngineDown(f"{address} does not speak the Docker API") from error
    if answer.status != OK:
        raise EngineDown(f"{address} answers {answer.status}")
    return value
