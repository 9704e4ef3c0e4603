"""What the redo log says is still to be done for one event, and its JSON form.

Pure. Stored in ``inbound_events.targets_json`` when the event is committed and read back after a
crash, possibly an older program's text: unknown keys are ignored, a broken entry raises BadContent
and stops that event only. Row ids, file names and addresses are fixed in it, so carrying a plan
out twice does nothing the second time.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from contract.address import Address
from contract.clock import parse_text, to_text
from contract.errors import BadContent
from contract.inbound.row import NewInbound
from contract.jsontext import dump, parse_object
from nanoclaw.routing.incoming_files import PlannedFile

MAX_PLAN_BYTES = 16 * 1024 * 1024
MAX_PLAN_DEPTH = 8


@dataclass(frozen=True, slots=True)
class PlannedRow:
    """One row for one session; ``row.id`` makes a second insert a no-op.

    ``files`` are placed below ``in/files/<folder>`` before the row is written.
    """

    session_id: str
    agent_group_id: str
    row: NewInbound
    folder: str = ""
    files: tuple[PlannedFile, ...] = ()


@dataclass(frozen=True, slots=True)
class StatusOf:
    """One agent that ``/status`` tells about; None: there is no conversation yet."""

    agent_group_id: str
    session_id: str | None


@dataclass(frozen=True, slots=True)
class PlannedStatus:
    """An answer that needs a look at session files, so it is made after the commit."""

    occasion: str
    address: Address
    agents: tuple[StatusOf, ...]
    reply_hint: str | None = None
    reply_to: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """``taken`` are the event's files, to be let go once all rows are written."""

    rows: tuple[PlannedRow, ...] = ()
    status: PlannedStatus | None = None
    taken: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        return not self.rows and self.status is None


NOTHING = Plan()


def dump_plan(plan: Plan) -> str:
    """Compact JSON. Defaults are left out: most rows are plain chat."""
    value: dict[str, object] = {"rows": [_entry(planned) for planned in plan.rows]}
    if plan.status is not None:
        value["status"] = _status_entry(plan.status)
    if plan.taken:
        value["taken"] = list(plan.taken)
    return dump(value)


def parse_plan(text: str) -> Plan:
    """The plan again; raises BadContent."""
    value = parse_object(text, max_bytes=MAX_PLAN_BYTES, max_depth=MAX_PLAN_DEPTH)
    rows, taken = value.get("rows"), value.get("taken", [])
    if not isinstance(rows, list) or not isinstance(taken, list):
        raise BadContent("redo log entry has no rows")
    status = value.get("status")
    return Plan(
        rows=tuple(_planned(entry) for entry in rows),
        status=None if status is None else _planned_status(status),
        taken=tuple(name for name in taken if isinstance(name, str)),
    )


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
        **_address_entry(row.address),
        "taint": row.taint,
        "hint": row.reply_hint,
        "message": row.platform_message_id,
        "key": row.event_key,
        "folder": planned.folder or None,
        "files": [_file_entry(file) for file in planned.files] or None,
    }
    entry.update({key: value for key, value in optional.items() if value is not None})
    return entry


def _address_entry(address: Address) -> dict[str, object]:
    return {
        "channel": address.channel_type, "chat": address.platform_id, "thread": address.thread_id,
    }  # fmt: skip


def _file_entry(file: PlannedFile) -> list[object]:
    return [file.index, file.spool, file.size, file.sha256, file.name]


def _status_entry(status: PlannedStatus) -> dict[str, object]:
    return {
        "occasion": status.occasion,
        **_address_entry(status.address),
        "agents": [[agent.agent_group_id, agent.session_id] for agent in status.agents],
        "hint": status.reply_hint,
        "to": status.reply_to,
    }


def _planned(value: object) -> PlannedRow:
    entry = _object(value)
    timestamp = parse_text(entry.get("time"))
    if timestamp is None:
        raise BadContent("redo log row has no time")
    row = NewInbound(
        id=_text(entry, "id"),
        kind=_text(entry, "kind"),
        timestamp=timestamp,
        content=_text(entry, "content"),
        address=_address(entry),
        trigger=entry.get("trigger") is not False,
        taint=_optional(entry, "taint"),
        reply_hint=_optional(entry, "hint"),
        platform_message_id=_optional(entry, "message"),
        event_key=_optional(entry, "key"),
    )
    files = entry.get("files", [])
    if not isinstance(files, list):
        raise BadContent("redo log row has no list of files")
    return PlannedRow(
        session_id=_text(entry, "session"),
        agent_group_id=_text(entry, "group"),
        row=row,
        folder=_optional(entry, "folder") or "",
        files=tuple(_planned_file(file) for file in files),
    )


def _planned_file(value: object) -> PlannedFile:
    match value:
        case [int(index), str(spool), int(size), str(sha256), str(name)]:
            return PlannedFile(index, spool, size, sha256, name)
        case _:
            raise BadContent("redo log row has an unreadable file")


def _planned_status(value: object) -> PlannedStatus:
    entry = _object(value)
    agents = entry.get("agents")
    if not isinstance(agents, list):
        raise BadContent("redo log entry has a status of no agents")
    return PlannedStatus(
        occasion=_text(entry, "occasion"),
        address=_address(entry),
        agents=tuple(_status_of(agent) for agent in agents),
        reply_hint=_optional(entry, "hint"),
        reply_to=_optional(entry, "to"),
    )


def _status_of(value: object) -> StatusOf:
    match value:
        case [str(group), str() | None as session]:
            return StatusOf(group, session)
        case _:
            raise BadContent("redo log entry has a status of an unreadable agent")


def _object(value: object) -> Mapping[object, object]:
    if not isinstance(value, dict):
        raise BadContent("redo log row is not an object")
    return value


def _address(entry: Mapping[object, object]) -> Address:
    return Address(
        _optional(entry, "channel"), _optional(entry, "chat"), _optional(entry, "thread")
    )


def _text(entry: Mapping[object, object], key: str) -> str:
    value = entry.get(key)
    if not isinstance(value, str):
        raise BadContent(f"redo log row has no {key}")
    return value


def _optional(entry: Mapping[object, object], key: str) -> str | None:
    value = entry.get(key)
    return value if isinstance(value, str) else None
