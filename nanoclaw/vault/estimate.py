"""What a request can cost at most, from its body: the amount that is reserved before it is made.

Pure. The body belongs to an agent, so everything that decides about money is read strictly: a
request whose top level names a key twice is refused, because two readers could disagree about it.
Text is taken at three bytes per token, which is more than any real text has; images and documents
at what they may cost, not at their length. What the provider may fetch from the web is in ``web``.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from nanoclaw.model_settings import Price
from nanoclaw.vault.prices import MILLION, SHIPPED, PriceTable
from nanoclaw.vault.web import WebTool, WebUse, tool_of, use_of

BYTES_PER_TOKEN = 3
IMAGE_TOKENS = 5000
DOCUMENT_BYTES_PER_TOKEN = 16
"""Of base64: a dense page of a document has some 50 kB and costs up to 3,000 tokens."""
FIXED_TOKENS = 1000
"""What the API adds of its own, above all for tools."""
MAX_TOKENS_UNSAID = 32_000
MAX_TOKENS = 10_000_000
MAX_SIGNS = 2_000_000
"""Brackets and commas in a body: each may become an object of 64 bytes while it is read."""
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@\[\]-]{0,127}")

Pairs = list[tuple[str, object]]


class UnreadableRequestError(Exception):
    """``args[0]`` says what is wrong with the body."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """``input`` and ``output`` are tokens; ``microusd`` is for both, and for ``web``.

    ``others`` are models that the request names besides its own, such as that of an adviser.
    ``acts``: it lets the provider call servers of others, so that repeating it may do twice.
    """

    model: str
    input: int
    output: int
    microusd: int
    others: tuple[str, ...] = ()
    acts: bool = False
    web: WebUse = field(default_factory=WebUse)
    """Its tokens are part of ``input``."""

    @property
    def tokens(self) -> int:
        return self.input + self.output


@dataclass(frozen=True, slots=True)
class _Part:
    """What is kept of an object: the model that it names, the media within it, the tool it is."""

    model: str | None = None
    media_bytes: int = 0
    media_tokens: int = 0
    tool: WebTool | None = None


class _Reader:
    """Keeps nothing of a body but its top level, and counts what is not priced by its length."""

    def __init__(self) -> None:
        self.top: Pairs = []
        self.writes_cache = False
        self.writes_hour = False

    def on_object(self, pairs: Pairs) -> object:
        self.top = pairs  # the outermost object is the last one
        values = dict(pairs)
        if "cache_control" in values:
            self.writes_cache = True
        if values.get("ttl") == "1h":
            self.writes_hour = True
        named = values.get("model")
        model = named if isinstance(named, str) else None
        media_bytes, media_tokens = _media_of(values)
        tool = tool_of(pairs)
        if model is None and not media_bytes and tool is None:
            return None
        return _Part(model, media_bytes, media_tokens, tool)


def estimate(body: bytes, prices: PriceTable = SHIPPED) -> Estimate:
    """Raises UnreadableRequestError. Takes a quarter of a second for the largest body."""
    if sum(body.count(sign) for sign in (b"[", b"{", b",")) > MAX_SIGNS:
        raise UnreadableRequestError("the body has too many parts")
    reader = _Reader()
    try:
        json.loads(body, object_pairs_hook=reader.on_object)
    except (ValueError, RecursionError) as error:
        raise UnreadableRequestError("the body is not JSON") from error
    if not body.lstrip()[:1] == b"{":
        raise UnreadableRequestError("the body is not a JSON object")
    top = dict(reader.top)
    if len(top) != len(reader.top):
        raise UnreadableRequestError("the body names a key twice")
    model = top.get("model")
    if not isinstance(model, str) or not _MODEL.fullmatch(model):
        raise UnreadableRequestError("the body names no model")
    media_bytes, media_tokens = _sum(_parts(top.get("messages")))
    text_bytes = max(0, len(body) - media_bytes)
    web = _web(top)
    input_tokens = -(-text_bytes // BYTES_PER_TOKEN) + media_tokens + FIXED_TOKENS + web.tokens
    output_tokens = _max_tokens(top.get("max_tokens"))
    others = _others(top)
    microusd = max(
        _price_in_full(prices.price_of(name).at(input_tokens), reader, input_tokens, output_tokens)
        for name in (model, *others)
    )
    acts = bool(top.get("mcp_servers"))
    return Estimate(model, input_tokens, output_tokens, microusd + web.fee, others, acts, web)


def _media_of(values: dict[str, object]) -> tuple[int, int]:
    """Bytes and tokens of what is in an object and not priced by its length."""
    kind = values.get("type")
    if isinstance(kind, str) and kind.endswith("tool_use"):
        return 0, 0  # its input is text for the model, whatever it looks like
    media_bytes, media_tokens = _sum(part for item in values.values() for part in _parts(item))
    data = values.get("data")
    if kind == "base64" and isinstance(data, str):
        is_image = str(values.get("media_type")).startswith("image/")
        media_bytes += len(data)
        media_tokens += IMAGE_TOKENS if is_image else len(data) // DOCUMENT_BYTES_PER_TOKEN
    return media_bytes, media_tokens


def _parts(value: object) -> Iterator[_Part]:
    if isinstance(value, _Part):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _parts(item)


def _sum(parts: Iterable[_Part]) -> tuple[int, int]:
    media_bytes = media_tokens = 0
    for part in parts:
        media_bytes += part.media_bytes
        media_tokens += part.media_tokens
    return media_bytes, media_tokens


def _price_in_full(price: Price, reader: _Reader, input_tokens: int, output_tokens: int) -> int:
    rate = price.input
    if reader.writes_hour:
        rate = price.write_1h
    elif reader.writes_cache:
        rate = price.write_5m
    return -(-(input_tokens * rate + output_tokens * price.output) // MILLION)


def _others(top: dict[str, object]) -> tuple[str, ...]:
    """Of everything but the conversation itself, where a model's name is only talk."""
    found = []
    for key, value in top.items():
        parts = value if isinstance(value, list) else [value]
        if key != "messages":
            found += [
                part.model for part in parts if isinstance(part, _Part) and part.model is not None
            ]
    return tuple(found)


def _web(top: dict[str, object]) -> WebUse:
    tools = (part.tool for part in _parts(top.get("tools")))
    try:
        return use_of(tool for tool in tools if tool is not None)
    except ValueError as error:
        raise UnreadableRequestError(str(error)) from error


def _max_tokens(value: object) -> int:
    if value is None:
        return MAX_TOKENS_UNSAID
    if isinstance(value, bool) or not isinstance(value, int):
        # Others may read 1e6 or "1000000" as a number: what is reserved has to be what is asked.
        raise UnreadableRequestError("max_tokens is no whole number")
    return min(max(value, 0), MAX_TOKENS)
