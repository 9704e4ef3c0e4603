"""What a request can cost at most, from its body: the amount that is reserved before it is made.

Pure. The body belongs to an agent, so everything that decides about money is read strictly: a
request whose top level names a key twice is refused, because two readers could disagree about it.
Text is taken at three bytes per token, which is more than any real text has; images and documents
at what they may cost, not at their length.
"""

import json
import re
from dataclasses import dataclass

from nanoclaw.model_settings import Price
from nanoclaw.vault.prices import MILLION, SHIPPED, PriceTable

BYTES_PER_TOKEN = 3
IMAGE_TOKENS = 5000
DOCUMENT_BYTES_PER_TOKEN = 16
"""Of base64: a dense page of a document has some 50 kB and costs up to 3,000 tokens."""
FIXED_TOKENS = 1000
"""What the API adds of its own, above all for tools."""
MAX_TOKENS_UNSAID = 32_000
MAX_TOKENS = 10_000_000
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@\[\]-]{0,127}")

Pairs = list[tuple[str, object]]


class UnreadableRequestError(Exception):
    """``args[0]`` says what is wrong with the body."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """``input`` and ``output`` are tokens; ``microusd`` is for both.

    ``others`` are models that the request names besides its own, such as that of an adviser.
    ``acts``: it lets the provider call servers of others, so that repeating it may do twice.
    """

    model: str
    input: int
    output: int
    microusd: int
    others: tuple[str, ...] = ()
    acts: bool = False

    @property
    def tokens(self) -> int:
        return self.input + self.output


@dataclass(frozen=True, slots=True)
class _Named:
    """What is kept of an object that names a model."""

    model: str


class _Reader:
    """Keeps nothing of a body but its top level, and counts what is not priced by its length."""

    def __init__(self) -> None:
        self.top: Pairs = []
        self.media_bytes = 0
        self.media_tokens = 0
        self.writes_cache = False
        self.writes_hour = False

    def on_object(self, pairs: Pairs) -> object:
        self.top = pairs  # the outermost object is the last one
        values = dict(pairs)
        data = values.get("data")
        if values.get("type") == "base64" and isinstance(data, str):
            self._count_media(data, str(values.get("media_type")))
        if "cache_control" in values:
            self.writes_cache = True
        if values.get("ttl") == "1h":
            self.writes_hour = True
        model = values.get("model")
        return _Named(model) if isinstance(model, str) else None

    def _count_media(self, data: str, media_type: str) -> None:
        self.media_bytes += len(data)
        if media_type.startswith("image/"):
            self.media_tokens += IMAGE_TOKENS
        else:
            self.media_tokens += len(data) // DOCUMENT_BYTES_PER_TOKEN


def estimate(body: bytes, prices: PriceTable = SHIPPED) -> Estimate:
    """Raises UnreadableRequestError. Takes a quarter of a second for the largest body."""
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
    text_bytes = max(0, len(body) - reader.media_bytes)
    input_tokens = -(-text_bytes // BYTES_PER_TOKEN) + reader.media_tokens + FIXED_TOKENS
    output_tokens = _max_tokens(top.get("max_tokens"))
    others = _others(top)
    microusd = max(
        _price_in_full(prices.price_of(name).at(input_tokens), reader, input_tokens, output_tokens)
        for name in (model, *others)
    )
    acts = bool(top.get("mcp_servers"))
    return Estimate(model, input_tokens, output_tokens, microusd, others, acts)


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
            found += [part.model for part in parts if isinstance(part, _Named)]
    return tuple(found)


def _max_tokens(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        return MAX_TOKENS_UNSAID
    return min(max(value, 0), MAX_TOKENS)
