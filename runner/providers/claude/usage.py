"""One row of the usage log from a response, and what may still be spent (R-318 to R-322). Pure.

The rows are information for people and for the runner's own limits; what is billed is counted by
the vault. A number that the API does not give is zero, a price that nobody knows is None.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, tzinfo
from enum import StrEnum

from contract.outbound.row import UsageEntry
from runner.providers.claude.prices import PriceTable, Tokens

_BESIDES = frozenset({"compaction", "fallback_message", "advisor_message"})
"""Iterations that the totals of a response leave out, so that all of them are summed instead."""


class UsageKind(StrEnum):
    MAIN = "main"
    SUBAGENT = "subagent"
    COMPACTION = "compaction"


@dataclass(frozen=True, slots=True)
class Call:
    """What the engine knows of a call besides the response's ``usage``."""

    at: datetime
    conversation: str
    turn: str
    kind: UsageKind
    model: str
    duration_ms: int = 0
    stop_reason: str | None = None
    retries: int = 0
    inbound_id: str | None = None


def usage_entry(call: Call, usage: Mapping[str, object], prices: PriceTable) -> UsageEntry:
    """R-319."""
    samples = _samples(call.model, usage)
    tokens = _total([tokens for _, tokens in samples])
    server = _object(usage.get("server_tool_use"))
    searches = _count(server.get("web_search_requests"))
    costs = [prices.cost(model, one) for model, one in samples]
    known = [cost for cost in costs if cost is not None]
    cost = sum(known) + prices.search_cost(searches) if len(known) == len(costs) else None
    return UsageEntry(
        at=call.at,
        conversation=call.conversation,
        turn=call.turn,
        kind=call.kind.value,
        model=call.model,
        input_tokens=tokens.input,
        output_tokens=tokens.output,
        thinking_tokens=_count(_object(usage.get("output_tokens_details")).get("thinking_tokens")),
        cache_read_tokens=tokens.read,
        cache_write_5m_tokens=tokens.write_5m,
        cache_write_1h_tokens=tokens.write_1h,
        web_searches=searches,
        web_fetches=_count(server.get("web_fetch_requests")),
        cost_usd=cost,
        duration_ms=call.duration_ms,
        stop_reason=call.stop_reason,
        retries=call.retries,
        inbound_id=call.inbound_id,
    )


def day_start(now: datetime, zone: tzinfo) -> datetime:
    """Midnight of the day that people live in, as UTC: where the daily cap begins anew."""
    return datetime.combine(now.astimezone(zone).date(), time(), zone).astimezone(UTC)


def _samples(model: str, usage: Mapping[str, object]) -> list[tuple[str, Tokens]]:
    """Every sampling of the response with the model that did it."""
    iterations = usage.get("iterations")
    items = iterations if isinstance(iterations, list) else []
    parts = [item for item in items if isinstance(item, dict)]
    if not any(part.get("type") in _BESIDES for part in parts):
        return [(model, _tokens(usage))]
    return [(str(part.get("model") or model), _tokens(part)) for part in parts]


def _tokens(usage: Mapping[str, object]) -> Tokens:
    split = _object(usage.get("cache_creation"))
    short = _count(split.get("ephemeral_5m_input_tokens"))
    long = _count(split.get("ephemeral_1h_input_tokens"))
    if not short and not long:
        short = _count(usage.get("cache_creation_input_tokens"))
    return Tokens(
        input=_count(usage.get("input_tokens")),
        output=_count(usage.get("output_tokens")),
        write_5m=short,
        write_1h=long,
        read=_count(usage.get("cache_read_input_tokens")),
    )


def _total(parts: Sequence[Tokens]) -> Tokens:
    return Tokens(
        input=sum(part.input for part in parts),
        output=sum(part.output for part in parts),
        write_5m=sum(part.write_5m for part in parts),
        write_1h=sum(part.write_1h for part in parts),
        read=sum(part.read for part in parts),
    )


def _object(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _count(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0
