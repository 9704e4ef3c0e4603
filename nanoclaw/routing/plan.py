"""The redo log's description of session rows, and its JSON form.

Pure. ``routing.apply`` stores the rows of one event as text in ``inbound_events.targets_json``
and reads them back after a crash, possibly with an older program's text: unknown keys are
ignored, a broken entry raises BadContent and stops that event only.
"""

from dataclasses import dataclass

from contract.address import Address
from contract.clock import parse_text, to_text
from contract.errors import BadContent
from contract.inbound.row import NewInbound
from contract.jsontext import dump, parse_object

MAX_PLAN_BYTES = 16 * 1024 * 1024
MAX_PLAN_DEPTH = 8


@dataclass(frozen=True, slots=True)
class PlannedRow:
    """One row for one session; ``row.id`` makes a second insert a no-op."""

    session_id: str
    agent_group_id: str
    row: NewInbound


def dump_plan(rows: tuple[PlannedRow, ...]) -> str:
    """Compact JSON. Defaults are left out: most rows are plain chat."""
    return dump({"rows": [_entry(planned) for planned in rows]})


def parse_plan(text: str) -> tuple[PlannedRow, ...]:
    """The rows again; raises BadContent."""
    rows = parse_object(text, max_bytes=MAX_PLAN_BYTES, max_depth=MAX_PLAN_DEPTH).get("rows")
    if not isinstance(rows, list):
        raise BadContent("redo log entry has no rows")
    return tuple(_planned(entry) for entry in rows)


def _entry(planned: PlannedRow) -> dict[str, object]:
    row = planned.row
    entry: dict[str, object] = {
        "session": planned.session_id,
        "group": planned.agent_group_id,
        "id": row.id,
        "kind": row.kind,
        "time": to_text(row.timestamp),
        "content": row.content,
        "trigger": row.trigger,
    }
    optional = {
        "channel": row.address.channel_type,
        "chat": row.address.platform_id,
        "thread": row.address.thread_id,
        "taint": row.taint,
        "hint": row.reply_hint,
        "message": row.platform_message_id,
        "key": row.event_key,
    }
    entry.update({key: value for key, value in optional.items() if value is not None})
    return entry


def _planned(entry: object) -> PlannedRow:
    if not isinstance(entry, dict):
        raise BadContent("redo log row is not an object")
    timestamp = parse_text(entry.get("time"))
    if timestamp is None:
        raise BadContent("redo log row has no time")
    row = NewInbound(
        id=_text(entry, "id"),
        kind=_text(entry, "kind"),
        timestamp=timestamp,
        content=_text(entry, "content"),
        address=Address(_optional(entry, "channel"), _optional(entry, "chat"),
                        _optional(entry, "thread")),
        trigger=entry.get("trigger") is not False,
        taint=_optional(entry, "taint"),
        reply_hint=_optional(entry, "hint"),
        platform_message_id=_optional(entry, "message"),
        event_key=_optional(entry, "key"),
    )  # fmt: skip
    return PlannedRow(_text(entry, "session"), _text(entry, "group"), row)


def _text(entry: dict[object, object], key: str) -> str:
    value = entry.get(key)
    if not isinstance(value, str):
        raise BadContent(f"redo log row has no {key}")
    return value


def _optional(entry: dict[object, object], key: str) -> str | None:
    value = entry.get(key)
    return value if isinstance(value, str) else None
