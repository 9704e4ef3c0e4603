"""``ncl usage``: what model requests cost, one by one or summed up. Written by the vault."""

import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from nanoclaw.admin.arguments import Arguments
from nanoclaw.admin.context import CommandContext
from nanoclaw.admin.problems import InvalidArgsError
from nanoclaw.admin.registry import Access, ArgumentSpec, ColumnSpec, Kind, Operation, ResourceSpec
from nanoclaw.admin.shown import LIMIT, dollars, limit_of, moment
from nanoclaw.db import reading_books
from nanoclaw.db.reading_books import SUM_KEYS, UsageQuery

_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)

_FILTERS = (
    ArgumentSpec("agent_group_id", "only of this agent group"),
    ArgumentSpec("session", "only of this session"),
    ArgumentSpec("since", "first day, like 2026-01-31, or today"),
    ArgumentSpec("until", "last day, like 2026-01-31, or today"),
    LIMIT,
)


def _list(context: CommandContext, arguments: Arguments) -> object:
    return [
        {
            "started_at": moment(row.started_at),
            "agent_group_id": row.agent_group_id,
            "session_id": row.session_id,
            "series_id": row.series_id,
            "provider": row.provider,
            "model": row.model,
            "state": row.state,
            "tokens": row.tokens,
            "usd": dollars(row.microusd),
            "reserved_usd": dollars(row.reserved_microusd),
        }
        for row in reading_books.list_usage(context.conn, _query(context, arguments))
    ]


def _sum(context: CommandContext, arguments: Arguments) -> object:
    by = arguments.text("by", SUM_KEYS[0])
    return [
        {
            by: row.key,
            "requests": row.requests,
            "under_way": row.open_requests,
            "tokens": row.tokens,
            "usd": dollars(row.microusd),
        }
        for row in reading_books.sum_usage(context.conn, by, _query(context, arguments))
    ]


def _query(context: CommandContext, arguments: Arguments) -> UsageQuery:
    return UsageQuery(
        agent_group_id=context.only_group or arguments.optional("agent_group_id"),
        session_id=arguments.optional("session"),
        day=_day(context, "--since", arguments.optional("since")),
        last_day=_day(context, "--until", arguments.optional("until")),
        limit=limit_of(arguments),
    )


def _day(context: CommandContext, flag: str, text: str | None) -> str | None:
    """Days are those of the installation's time zone, as the vault counts them."""
    if text is None:
        return None
    if text == "today":
        return context.now.astimezone(ZoneInfo(context.config.timezone)).date().isoformat()
    try:
        if not _DAY.fullmatch(text):
            raise ValueError
        datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError as error:
        raise InvalidArgsError(
            f"{flag} {text[:100]!r} is no day; write 2026-01-31, or today"
        ) from error
    return text


RESOURCE = ResourceSpec(
    name="request",
    plural="usage",
    id_column="started_at",
    description="tokens and money that model requests have used",
    columns=(
        ColumnSpec("started_at", "when it was made", generated=True),
        ColumnSpec("agent_group_id", "by which agent", generated=True),
        ColumnSpec("session_id", "in which conversation", generated=True),
        ColumnSpec("series_id", "for which task, if for one", generated=True),
        ColumnSpec("provider", "whom it went to", generated=True),
        ColumnSpec("model", "which model", generated=True),
        ColumnSpec("state", "reserved, settled or charged", generated=True),
        ColumnSpec("tokens", "all kinds together", Kind.INTEGER, generated=True),
        ColumnSpec("usd", "what it cost", Kind.NUMBER, generated=True),
        ColumnSpec("reserved_usd", "what was set aside for it", Kind.NUMBER, generated=True),
    ),
    operations=(
        Operation("list", Access.OPEN, "single requests, newest first", _list, _FILTERS),
        Operation(
            "sum", Access.OPEN, "sums by day, agent group, session, model or task, or of all", _sum,
            (ArgumentSpec("by", "what is summed up", choices=SUM_KEYS, default=SUM_KEYS[0]),
             *_FILTERS),
            examples=("ncl usage sum --by group --since today",),
        ),
    ),
)  # fmt: skip
