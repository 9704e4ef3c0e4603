"""Everything that is known about one message, gathered from where it left traces.

The router's log, the session's file, what its agent claims, receipts, effects, approvals and the
host's own log. Reads only, each source bounded; one that cannot be read just now is named in the
facts and keeps nothing else from being told. Called by ``why``.
"""

import os
import re
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from contract.clock import parse_text, to_text
from contract.errors import BadContent, ContractError, SessionFileMissing, SnapshotError
from contract.inbound.history import read_by_id
from contract.inbound.row import InboundRow
from contract.jsontext import parse_object
from contract.outbound.row import Ack
from contract.outbound.snapshot import read_snapshot
from nanoclaw.admin.log_reading import path_opener, read_tail
from nanoclaw.admin.overview import read_sweep_state
from nanoclaw.db import approvals, closed_cards, reading_messages, search_query, sessions
from nanoclaw.db.approvals import Approval
from nanoclaw.db.closed_cards import ClosedCard
from nanoclaw.db.effects import Effect
from nanoclaw.db.inbound_events import LoggedEvent
from nanoclaw.db.search_index import open_for_search
from nanoclaw.effects.request import parse_request
from nanoclaw.errors import StateError
from nanoclaw.log import LOG_NAME
from nanoclaw.model import Delivery, Session
from nanoclaw.paths import HostPaths
from nanoclaw.sessions.folder import SessionFolder

LONGEST = timedelta(hours=24)
"""From the message to the last trace that is looked for."""
AFTERWARDS = timedelta(seconds=30)
MAX_TARGETS = 20
MAX_PLAN_BYTES = 16 * 1024 * 1024
MAX_LOG_LINES = 60
LOOKED_AT_LINES = 10_000
_LOG_LINE = re.compile(r"(\S+) ([A-Z]+) (\S+) (.*)")


@dataclass(frozen=True, slots=True)
class Target:
    """A row that a message became, or was to become."""

    session_id: str
    agent_group_id: str
    row_id: str


@dataclass(frozen=True, slots=True)
class LogLine:
    at: datetime
    level: str
    process: str
    text: str


@dataclass(frozen=True, slots=True)
class TargetFacts:
    """One agent's part. ``row`` None: not in its file, or that could not be read (``problem``)."""

    target: Target
    session: Session | None
    row: InboundRow | None = None
    problem: str = ""
    claim: Ack | None = None
    answers: tuple[Delivery, ...] = ()
    effects: tuple[Effect, ...] = ()
    approvals: tuple[Approval, ...] = ()
    log: tuple[LogLine, ...] = ()


@dataclass(frozen=True, slots=True)
class WhyFacts:
    """``engine`` is what the sweep last wrote about containers."""

    now: datetime
    event: LoggedEvent | None = None
    card: ClosedCard | None = None
    """What became of the question that the event waits for, or waited."""
    targets: tuple[TargetFacts, ...] = ()
    spoken: Delivery | None = None
    """The message itself, where it is one that went out and answers nothing."""
    engine: Mapping[str, str] = field(default_factory=dict)


class WhyReader:
    """For one question. ``only_group``: others' messages are not there at all."""

    def __init__(
        self, conn: sqlite3.Connection, paths: HostPaths, only_group: str | None, now: datetime
    ) -> None:
        self._conn = conn
        self._paths = paths
        self._only_group = only_group
        self._now = now

    def read(self, name: str) -> WhyFacts | None:
        """None when nothing of that name is known, or nothing that may be told."""
        event = reading_messages.find_event(self._conn, name)
        spoken = None if event else reading_messages.find_delivery(self._conn, name)
        if event is None and spoken is None:
            event = reading_messages.search_event(self._conn, name)
        if event is not None:
            return self._of_event(event)
        if spoken is not None:
            return self._of_spoken(spoken)
        targets = self._targets_named(name)
        return self._facts(targets) if targets else None

    # --- what it is -------------------------------------------------------------------------------

    def _of_event(self, event: LoggedEvent) -> WhyFacts | None:
        planned = targets_of(event)
        targets = [one for one in planned if self._may_see(one.agent_group_id)]
        if self._only_group is not None and not targets:
            return None
        return self._facts(targets, event=event)

    def _of_spoken(self, spoken: Delivery) -> WhyFacts | None:
        session = sessions.get(self._conn, spoken.session_id or "")
        if self._only_group is not None and (
            session is None or session.agent_group_id != self._only_group
        ):
            return None
        if session is None or spoken.in_reply_to is None:
            return self._facts([], spoken=spoken)
        target = Target(session.id, session.agent_group_id, spoken.in_reply_to)
        event = reading_messages.search_event(self._conn, spoken.in_reply_to)
        return self._facts([target], event=event)

    def _targets_named(self, name: str) -> list[Target]:
        """Rows that no event has brought: tasks, messages between agents, notes."""
        try:
            with closing(open_for_search(self._paths.data / "search.db")) as index:
                found = search_query.find_message(index, [name])
        except (StateError, sqlite3.Error):
            return []
        known = [one for key in found if (one := sessions.get(self._conn, key)) is not None]
        return [
            Target(one.id, one.agent_group_id, name)
            for one in known
            if self._may_see(one.agent_group_id)
        ]

    def _may_see(self, agent_group_id: str) -> bool:
        return self._only_group is None or agent_group_id == self._only_group

    def _facts(
        self,
        targets: Sequence[Target],
        *,
        event: LoggedEvent | None = None,
        spoken: Delivery | None = None,
    ) -> WhyFacts:
        card = None
        if event is not None and event.waits_for is not None:
            card = closed_cards.get(self._conn, event.waits_for)
        return WhyFacts(
            now=self._now,
            event=event,
            card=card,
            targets=tuple(self._target(one, event) for one in targets[:MAX_TARGETS]),
            spoken=spoken,
            engine=read_sweep_state(self._paths),
        )

    # --- one agent's part -------------------------------------------------------------------------

    def _target(self, target: Target, event: LoggedEvent | None) -> TargetFacts:
        session = sessions.get(self._conn, target.session_id)
        row, problem = self._row(target)
        answers = reading_messages.answers_to(self._conn, target.session_id, [target.row_id])
        began = _began(event, row, answers) or self._now
        until = self._until(answers, began)
        effects = [
            one
            for one in reading_messages.effects_between(
                self._conn, target.session_id, to_text(began), to_text(until)
            )
            if _is_about(one, target.row_id)
        ]
        return TargetFacts(
            target=target,
            session=session,
            row=row,
            problem=problem,
            claim=self._claim(target) if session is not None else None,
            answers=tuple(answers),
            effects=tuple(effects),
            approvals=self._approvals(answers, effects),
            log=self._log(target.session_id, began, until),
        )

    def _until(self, answers: Sequence[Delivery], began: datetime) -> datetime:
        """While something is open, until now."""
        ends = [answer.updated_at for answer in answers]
        is_open = not answers or any(
            answer.state in ("held", "queued", "sending") for answer in answers
        )
        last = self._now if is_open else max(ends) + AFTERWARDS
        return min(last, began + LONGEST)

    def _row(self, target: Target) -> tuple[InboundRow | None, str]:
        folder = SessionFolder.of(self._paths, target.agent_group_id, target.session_id)
        try:
            return read_by_id(folder.inbound_db, target.row_id), ""
        except SessionFileMissing:
            return None, "its session has no file just now"
        except ContractError as error:
            return None, f"its session's file cannot be read just now: {error}"

    def _claim(self, target: Target) -> Ack | None:
        """What the agent says about the row; its word, read with care."""
        folder = SessionFolder.of(self._paths, target.agent_group_id, target.session_id)
        try:
            out_fd = folder.open_out()
        except OSError:
            return None
        try:
            with read_snapshot(out_fd) as snapshot:
                return next((a for a in snapshot.acks() if a.message_id == target.row_id), None)
        except SnapshotError:
            return None
        finally:
            os.close(out_fd)

    def _approvals(
        self, answers: Sequence[Delivery], effects: Sequence[Effect]
    ) -> tuple[Approval, ...]:
        """That a message waits for, or that somebody was asked for on the agent's behalf."""
        by_message = (answer.waits_for for answer in answers if answer.waits_for)
        found = [approvals.get(self._conn, key) for key in by_message]
        found += [approvals.find_request(self._conn, effect.effect_id) for effect in effects]
        return tuple(dict.fromkeys(one for one in found if one is not None))

    def _log(self, session_id: str, began: datetime, until: datetime) -> tuple[LogLine, ...]:
        """Newest lines of the host's log about this session in that time."""
        mark = f"session={session_id}"
        lines: list[str] = []
        for name in (LOG_NAME + ".1", LOG_NAME):
            opened = path_opener(self._paths.logs / name)
            lines += read_tail(opened, LOOKED_AT_LINES, lambda line: mark in line.split()).lines
        parsed = [one for line in lines if (one := parse_log_line(line)) is not None]
        within = [one for one in parsed if began <= one.at <= until]
        return tuple(within[-MAX_LOG_LINES:])


def targets_of(event: LoggedEvent) -> list[Target]:
    """Rows that the router has planned; ``routing.plan`` writes them."""
    if event.targets_json is None:
        return []
    try:
        rows = parse_object(event.targets_json, max_bytes=MAX_PLAN_BYTES).get("rows")
    except BadContent:
        return []
    found = []
    for row in rows if isinstance(rows, list) else []:
        if not isinstance(row, dict):
            continue
        match row.get("session"), row.get("group"), row.get("id"):
            case str() as session_id, str() as group_id, str() as row_id:
                found.append(Target(session_id, group_id, row_id))
            case _:
                pass
    return found


def parse_log_line(line: str) -> LogLine | None:
    """None for what is no line of ours, such as a part of a trace."""
    match = _LOG_LINE.fullmatch(line)
    at = parse_text(match[1]) if match else None
    return LogLine(at, match[2], match[3], match[4]) if match and at is not None else None


def _began(
    event: LoggedEvent | None, row: InboundRow | None, answers: Sequence[Delivery]
) -> datetime | None:
    if event is not None:
        return event.received_at
    if row is not None and row.timestamp is not None:
        return row.timestamp
    return answers[0].created_at - AFTERWARDS if answers else None


def _is_about(effect: Effect, row_id: str) -> bool:
    try:
        return parse_request(effect.payload).in_reply_to == row_id
    except BadContent:
        return False
