"""What the test server answers: messages, and everything that can go wrong with one.

Values only. ``say``, ``use`` and ``think`` make content blocks; ``answer`` puts them together;
``failing`` is an error instead of a message; the fields of ``Answer`` break its stream.
"""

import itertools
import threading
from dataclasses import dataclass, field
from typing import Any

Block = dict[str, Any]

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Answer:
    """One streamed message and the faults of its stream.

    Positions count the events of the stream from 0. ``gate`` holds the event at ``gate_at`` back
    until it is set. ``pings`` are sent before the first event, ``ping_seconds`` apart.
    """

    blocks: tuple[Block, ...] = ()
    stop_reason: str | None = "end_turn"
    stop_details: Block | None = None
    usage: dict[str, Any] = field(default_factory=dict)
    first_byte_seconds: float = 0.0
    between_seconds: float = 0.0
    pings: int = 0
    ping_seconds: float = 0.0
    cut_at: int | None = None
    cut_cleanly: bool = False
    """The body ends as if it were complete, as a proxy does it whose upstream went away."""
    error_at: int | None = None
    error_type: str = "overloaded_error"
    raw_at: int | None = None
    raw: bytes = b""
    skip: frozenset[int] = frozenset()
    gate: threading.Event | None = None
    gate_at: int = 0
    chunk: int = 20
    """Characters of one text delta."""


@dataclass(frozen=True, slots=True)
class Failing:
    """An answer with an error status. ``body`` replaces the API's own error object."""

    status: int
    kind: str = "api_error"
    message: str = "made up by the test"
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Silence:
    """The connection is closed without an answer, after some time."""

    seconds: float = 0.0


Reply = Answer | Failing | Silence


def say(text: str) -> Block:
    return {"type": "text", "text": text}


def think(text: str) -> Block:
    """The server signs it for the conversation that it belongs to."""
    return {"type": "thinking", "thinking": text, "signature": ""}


def use(name: str, /, *, call_id: str | None = None, **arguments: object) -> Block:
    return {
        "type": "tool_use",
        "id": call_id or f"toolu_test{next(_numbers):06d}",
        "name": name,
        "input": arguments,
    }


def answer(*blocks: Block | str, **fields: Any) -> Answer:
    """The stop reason follows from the blocks unless it is given."""
    made = tuple(say(block) if isinstance(block, str) else block for block in blocks)
    if "stop_reason" not in fields:
        calls = any(block["type"] == "tool_use" for block in made)
        fields["stop_reason"] = "tool_use" if calls else "end_turn"
    return Answer(made, **fields)


def to(name: str, text: str, **fields: Any) -> Answer:
    """An answer that is one message to one destination."""
    return answer(f'<message to="{name}">{text}</message>', **fields)


def refusal(category: str | None = None, explanation: str | None = None) -> Answer:
    details = {"type": "refusal", "category": category, "explanation": explanation}
    return Answer((), stop_reason="refusal", stop_details=details)


def search(query: str, *results: tuple[str, str]) -> tuple[Block, Block]:
    """A web search that the API itself has carried out: its call and its result."""
    call_id = f"srvtoolu_test{next(_numbers):06d}"
    return (
        {"type": "server_tool_use", "id": call_id, "name": "web_search", "input": {"query": query}},
        {
            "type": "web_search_tool_result",
            "tool_use_id": call_id,
            "content": [
                {
                    "type": "web_search_result",
                    "title": title,
                    "url": url,
                    "encrypted_content": f"enc:{title}",
                    "page_age": None,
                }
                for title, url in results
            ],
        },
    )


def summary(text: str | None) -> Answer:
    """What a request with ``compaction`` gets; None: the summary failed."""
    block: Block = {"type": "compaction", "content": text, "encrypted_content": f"enc:{text}"}
    return Answer((block,), stop_reason="compaction")


def failing(status: int, kind: str, message: str = "made up by the test", **more: Any) -> Failing:
    headers = tuple((name.replace("_", "-"), str(value)) for name, value in more.items())
    return Failing(status, kind, message, headers)


def rate_limited(retry_after: float | None = None, milliseconds: int | None = None) -> Failing:
    headers: list[tuple[str, str]] = []
    if retry_after is not None:
        headers.append(("retry-after", str(retry_after)))
    if milliseconds is not None:
        headers.append(("retry-after-ms", str(milliseconds)))
    text = "This request would exceed your organization's rate limit"
    return Failing(429, "rate_limit_error", text, tuple(headers))


def overloaded() -> Failing:
    return Failing(529, "overloaded_error", "Overloaded")


def wrong_key() -> Failing:
    return Failing(401, "authentication_error", "invalid x-api-key")


def no_credit() -> Failing:
    text = "Your credit balance is too low to access the API. Please go to Plans & Billing."
    return Failing(400, "invalid_request_error", text)


def html_page(status: int = 502) -> Failing:
    page = b"<html><head><title>Bad gateway</title></head><body>nginx</body></html>"
    return Failing(status, body=page, content_type="text/html")
