"""One request to OneCLI and its answer: HTTP/1.1 by h11, whole, bounded in time and size.

Used by ``onecli``. Each on a connection of its own: what is asked is rare, and a connection that
died between two questions is one trouble less. Redirects are not followed, because the key goes
to the configured address only.
"""

import asyncio
import ssl
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import h11

from contract.jsontext import dump

MAX_ANSWER_BYTES = 1024 * 1024
MAX_HEAD_BYTES = 64 * 1024
CHUNK_BYTES = 64 * 1024
CONNECT_SECONDS = 5.0


class WireError(Exception):
    """``args[0]`` says what failed, without what was sent."""


@dataclass(frozen=True, slots=True)
class Question:
    """``body`` is sent as JSON; None: nothing is."""

    method: str
    url: str
    key: str | None = field(default=None, repr=False)
    body: object = None


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    text: str = field(repr=False)


async def send(question: Question, seconds: float) -> Reply:
    """Raises WireError."""
    try:
        async with asyncio.timeout(seconds):
            return await _send(question)
    except TimeoutError:
        raise WireError(f"no answer within {seconds:g} seconds") from None
    except (OSError, EOFError) as error:
        text = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise WireError(text) from error
    except (h11.ProtocolError, ValueError) as error:
        raise WireError(f"it does not answer in HTTP ({type(error).__name__})") from error


async def _send(question: Question) -> Reply:
    parts = urlsplit(question.url)
    tls = ssl.create_default_context() if parts.scheme == "https" else None
    async with asyncio.timeout(CONNECT_SECONDS):
        reader, writer = await asyncio.open_connection(
            parts.hostname, parts.port or (443 if tls else 80), ssl=tls, limit=CHUNK_BYTES
        )
    try:
        http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)
        for piece in _events(question, parts.netloc.rpartition("@")[2]):
            writer.write(http.send(piece) or b"")
        await writer.drain()
        return await _reply(http, reader)
    finally:
        writer.transport.abort()


def _events(question: Question, authority: str) -> list[h11.Event]:
    parts = urlsplit(question.url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = [
        ("host", authority),
        ("user-agent", "nanoclaw"),
        ("accept", "application/json"),
        ("accept-encoding", "identity"),
        ("connection", "close"),
    ]
    if question.key is not None:
        headers.append(("authorization", f"Bearer {question.key}"))
    data = b"" if question.body is None else dump(question.body).encode()
    if data:
        headers.append(("content-type", "application/json"))
    if question.method != "GET":
        headers.append(("content-length", str(len(data))))
    events: list[h11.Event] = [h11.Request(method=question.method, target=target, headers=headers)]
    if data:
        events.append(h11.Data(data=data))
    return [*events, h11.EndOfMessage()]


async def _reply(http: h11.Connection, reader: asyncio.StreamReader) -> Reply:
    status = 0
    content = bytearray()
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            http.receive_data(await reader.read(CHUNK_BYTES))
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            content += event.data
            if len(content) > MAX_ANSWER_BYTES:
                raise WireError(f"the answer is over {MAX_ANSWER_BYTES} bytes")
        elif isinstance(event, h11.EndOfMessage):
            return Reply(status, content.decode("utf-8", "replace"))
        elif not isinstance(event, h11.InformationalResponse):
            raise WireError("the connection was closed without a whole answer")
