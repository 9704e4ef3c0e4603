"""Carries routing decisions out: the redo log first, session files second.

``commit`` puts events, decisions and target rows into the central database in one transaction;
only then may the channel be told "committed". ``SessionWriter`` puts the rows into session files,
which is safe to repeat because row ids are fixed in the log (design section 4). Called by
``routing.loop``; at start the unrouted part of the log is written first.
"""

import hashlib
import logging
import sqlite3
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from contract.address import Address
from contract.clock import parse_text
from contract.errors import SchemaMismatch, SessionFileBusy, SessionFileError
from contract.ids import new_id
from contract.inbound.row import NewInbound
from contract.inbound.writer import open_inbound
from contract.killpoint import reached
from nanoclaw.db import inbound_events, sessions
from nanoclaw.db.connection import transaction
from nanoclaw.events import InboundEvent, Outcome
from nanoclaw.model import NewInboundEvent, NewSession, Session, SessionMode
from nanoclaw.paths import HostPaths
from nanoclaw.routing.decide import (
    Ignore,
    Reject,
    Route,
    RouteDecision,
    Target,
    decide_route,
    render_content,
)
from nanoclaw.routing.facts import read_facts
from nanoclaw.routing.plan import PlannedRow, dump_plan
from nanoclaw.sessions.folder import SessionFolder

WRITE_THREADS = 4
MAX_ID_BYTES = 180
"""A row id also names a folder; longer or unsafe ones are replaced by a hash (W-12, C-10)."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Arrival:
    """One event as a worker handed it over."""

    instance: str
    supports_threads: bool
    event: InboundEvent


@dataclass(frozen=True, slots=True)
class Decided:
    """What the log now says about one arrival."""

    outcome: Outcome
    reason: str | None = None
    event_id: int | None = None
    rows: tuple[PlannedRow, ...] = ()


def commit(conn: sqlite3.Connection, arrivals: Sequence[Arrival], now: datetime) -> list[Decided]:
    """All arrivals in one transaction; a copy of an earlier event changes nothing."""
    with transaction(conn):
        return [_commit_one(conn, arrival, now) for arrival in arrivals]


def _commit_one(conn: sqlite3.Connection, arrival: Arrival, now: datetime) -> Decided:
    event = arrival.event
    known = inbound_events.outcome_of(conn, arrival.instance, event.event_key)
    if known is not None:
        return Decided(Outcome.DUPLICATE)
    facts = read_facts(conn, arrival.instance, event, supports_threads=arrival.supports_threads)
    decision = decide_route(facts)
    rows: tuple[PlannedRow, ...] = ()
    if isinstance(decision, Route):
        address = _answer_address(arrival, facts.channel_type)
        planned: list[PlannedRow] = []
        for target in decision.targets:
            session = _find_or_create(conn, target, now)
            if target.trigger:
                sessions.mark_due(conn, session.id, now)
            planned.append(_plan_row(arrival, target, session, address))
        rows = tuple(planned)
    outcome, reason = _outcome(decision)
    event_id = inbound_events.insert(
        conn,
        NewInboundEvent(
            instance=arrival.instance,
            event_key=event.event_key,
            received_at=now,
            outcome=outcome.value,
            reason=reason,
            event_json=None,
            targets_json=dump_plan(rows) if rows else None,
        ),
    )
    return Decided(outcome, reason, event_id, rows)


@dataclass(frozen=True, slots=True)
class Unwritten:
    """Sessions whose rows stay in the log: locked for now, or damaged (with the reason)."""

    busy: frozenset[str]
    damaged: dict[str, str]


class SessionWriter:
    """Puts planned rows into session files, several files at once.

    Each file's commit waits for the disk on its own, so threads help (design section 8). The
    central database is not touched here.
    """

    def __init__(self, paths: HostPaths) -> None:
        self._paths = paths
        self._threads: ThreadPoolExecutor | None = None

    def write(self, rows: Iterable[PlannedRow]) -> Unwritten:
        """One transaction per session file; a repeat changes nothing."""
        by_session: dict[tuple[str, str], list[NewInbound]] = {}
        for planned in rows:
            key = (planned.agent_group_id, planned.session_id)
            by_session.setdefault(key, []).append(planned.row)
        busy: set[str] = set()
        damaged: dict[str, str] = {}
        for (_, session_id), error in zip(by_session, self._write_all(by_session), strict=True):
            if isinstance(error, SessionFileBusy | OSError):
                busy.add(session_id)
                fields = {"session": session_id, "reason": str(error)}
                log.warning("session file not written, will be tried again", extra=fields)
            elif error is not None:
                damaged[session_id] = str(error)
        return Unwritten(frozenset(busy), damaged)

    def close(self) -> None:
        if self._threads is not None:
            self._threads.shutdown()

    def _write_all(
        self, by_session: dict[tuple[str, str], list[NewInbound]]
    ) -> Iterable[Exception | None]:
        if len(by_session) <= 1:
            return [self._write_one(*item) for item in by_session.items()]
        if self._threads is None:
            self._threads = ThreadPoolExecutor(WRITE_THREADS, thread_name_prefix="session-write")
        return self._threads.map(self._write_one, by_session, by_session.values())

    def _write_one(self, key: tuple[str, str], rows: list[NewInbound]) -> Exception | None:
        folder = SessionFolder.of(self._paths, *key)
        try:
            folder.create()
            with open_inbound(folder.inbound_db) as writer:
                for row in rows:
                    writer.insert_message(row)
        except (SessionFileError, SchemaMismatch, OSError) as error:
            return error
        reached("router.row_inserted")
        return None


def mark_routed(
    conn: sqlite3.Connection, rows: Sequence[tuple[int, PlannedRow]], now: datetime
) -> tuple[str, ...]:
    """The rows are in their files. Returns the sessions that must be woken for them.

    Marked due again and judged only now: a container may have ended, and its session been found
    without work, between the commit of the event and the insertion of its row.
    """
    asleep: list[str] = []
    with transaction(conn):
        inbound_events.mark_routed(conn, sorted({event_id for event_id, _ in rows}))
        for session_id in sorted(
            {planned.session_id for _, planned in rows if planned.row.trigger}
        ):
            sessions.mark_due(conn, session_id, now)
            session = sessions.get(conn, session_id)
            if session is not None and not session.is_running:
                asleep.append(session_id)
    return tuple(asleep)


def _find_or_create(conn: sqlite3.Connection, target: Target, now: datetime) -> Session:
    found = sessions.find_active(conn, target.session.text)
    if found is not None:
        return found
    return sessions.create(
        conn,
        NewSession(
            id=new_id("sess"),
            agent_group_id=target.agent_group_id,
            messaging_group_id=target.messaging_group_id,
            thread_id=target.session.thread_id,
            mode=target.session.mode,
            session_key=target.session.text,
            created_at=now,
        ),
    )


def _plan_row(arrival: Arrival, target: Target, session: Session, address: Address) -> PlannedRow:
    event = arrival.event
    row = NewInbound(
        id=f"{_message_id(arrival, target)}:{target.agent_group_id}",
        kind=event.kind,
        timestamp=parse_text(event.timestamp) or session.created_at,
        content=render_content(event, arrival.event.channel_type or arrival.instance),
        address=Address(address.channel_type, address.platform_id,
                        address.thread_id or target.thread_id),
        trigger=target.trigger,
        reply_hint=event.reply_hint,
        platform_message_id=event.message_id,
        event_key=event.event_key,
    )  # fmt: skip
    return PlannedRow(session.id, target.agent_group_id, row)


def _message_id(arrival: Arrival, target: Target) -> str:
    """The platform's message id where it is a safe and unique name, else a hash (C-10).

    Platform ids are unique per chat only, so a session that several chats share needs the hash.
    """
    event = arrival.event
    shared = target.session.mode is SessionMode.AGENT_SHARED
    if not shared and is_safe_message_id(event.message_id):
        return event.message_id
    unique = "\0".join((arrival.instance, event.platform_id, event.event_key))
    return "msg-" + hashlib.sha256(unique.encode()).hexdigest()[:24]


def is_safe_message_id(message_id: str) -> bool:
    """Whether the id may be a row id and so the name of a folder for attachments."""
    return (
        bool(message_id)
        and len(message_id.encode("utf-8", "replace")) <= MAX_ID_BYTES
        and not message_id.startswith(".")
        and all(character.isprintable() and character not in "/\\" for character in message_id)
    )


def _answer_address(arrival: Arrival, channel_type: str) -> Address:
    event = arrival.event
    if event.answer_to is not None:
        other = event.answer_to
        return Address(other.channel_type, other.platform_id, other.thread_id)
    return Address(channel_type, event.platform_id, None)


def _outcome(decision: RouteDecision) -> tuple[Outcome, str | None]:
    match decision:
        case Route():
            return Outcome.ROUTED, None
        case Ignore(reason):
            return Outcome.IGNORED, reason.value
        case Reject(reason):
            return Outcome.REJECTED, reason.value
        case _:
            assert_never(decision)
