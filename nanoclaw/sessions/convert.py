"""Session folders of the earlier program, brought to the in/out layout.

The earlier container could write its whole session folder, both databases included, so the old
folder is hostile input and the new one is built beside it: messages into a fresh ``inbound.db``,
``outbound.db`` as it is, attachments by handle. Called by preflight for a data folder that was
taken over and by the migration for a copy; what was there before is kept below ``data/earlier``.
"""

import logging
import os
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from contract.content import MAX_INBOUND_BYTES
from contract.errors import BadContent, SessionFileError, SnapshotError, SnapshotMissing
from contract.inbound.earlier import EarlierInbound, read_earlier, rebuild, settle
from contract.inbound.row import AckStatus, DeliveredMark, InboundRow, InboundStatus, MessageKind
from contract.jsontext import dump, parse_object
from contract.killpoint import reached
from contract.layout import FILES_DIR, OUTBOUND_DB
from contract.outbound.hostile import read_database_and_journal
from contract.outbound.row import OutboundRow
from contract.outbound.snapshot import MAX_BYTES, OutboundSnapshot, repair_private_copy
from nanoclaw.db import conversions, sessions
from nanoclaw.db.connection import transaction
from nanoclaw.db.conversions import EarlierReceipt
from nanoclaw.model import Session
from nanoclaw.paths import HostPaths
from nanoclaw.sessions.earlier_files import MessageFiles, opened_folder
from nanoclaw.sessions.folder import SessionFolder

OLD_IN_FILES = "inbox"
OLD_OUT_FILES = "outbox"
MAX_OLD_CONTENT_BYTES = 64 * 1024 * 1024
MAX_OUTBOUND_ROWS = 100_000
TOO_LONG = "[This message was too long to be taken over; it is kept below data/earlier.]"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Converted:
    """What came out of one folder."""

    messages: int
    next_due_at: datetime | None
    receipts: tuple[EarlierReceipt, ...]
    has_output: bool
    left_behind: tuple[str, ...] = ()


def convert_all(conn: sqlite3.Connection, paths: HostPaths, now: datetime) -> int:
    """Every session of a data folder that was taken over; returns how many.

    Safe to repeat after a crash at any step. A folder that cannot be converted is left where it is
    and its session quarantined with the reason; the others go on.
    """
    waiting = conversions.unconverted(conn)
    for session in waiting:
        try:
            converted = _convert_in_place(paths, session, now)
        except (SnapshotError, SessionFileError, OSError) as error:
            log.error("not converted", extra={"session": session.id, "reason": str(error)})
            with transaction(conn):
                sessions.quarantine(conn, session.id, f"not converted: {error}", now)
                conversions.mark_converted(conn, session.id, next_due_at=None, has_output=False)
            continue
        with transaction(conn):
            conversions.record_receipts(conn, session.id, converted.receipts)
            conversions.mark_converted(
                conn,
                session.id,
                next_due_at=converted.next_due_at,
                has_output=converted.has_output,
            )
        for name in converted.left_behind:
            log.warning("file left behind", extra={"session": session.id, "reason": name})
    if waiting:
        log.info("sessions converted", extra={"count": len(waiting)})
    return len(waiting)


def _convert_in_place(paths: HostPaths, session: Session, now: datetime) -> Converted:
    """Build beside, move the old away, move the new in: each step shows whether it was done."""
    target = SessionFolder.of(paths, session.agent_group_id, session.id)
    building = SessionFolder(target.root.with_name(f".converting-{session.id}"))
    old = paths.data / "earlier" / session.agent_group_id / session.id
    if not os.path.lexists(old):
        if not os.path.lexists(target.root):
            return Converted(0, None, (), has_output=False)  # nothing was ever written to it
        old.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        target.root.rename(old)
        reached("preflight.earlier_moved")
    elif target.exists():
        building = target
    if building.root != target.root:
        shutil.rmtree(building.root, ignore_errors=True)
    converted = convert_folder(old, building, now, facts_only=building.root == target.root)
    if building.root != target.root:
        reached("preflight.session_built")
        building.root.rename(target.root)
        reached("preflight.session_converted")
    return converted


def convert_folder(
    source: Path, target: SessionFolder, now: datetime, *, facts_only: bool = False
) -> Converted:
    """Makes ``target``, a new folder, from the old folder ``source``, which is only read.

    ``facts_only``: the folder is there already, and only what the central database has to know is
    found out again. Raises SnapshotError, SessionFileError and OSError.
    """
    with opened_folder(source) as session_fd:
        return _Conversion(session_fd, target, now).run(facts_only=facts_only)


class _Conversion:
    def __init__(self, session_fd: int, target: SessionFolder, now: datetime) -> None:
        self._fd = session_fd
        self._target = target
        self._now = now

    def run(self, *, facts_only: bool) -> Converted:
        self._target.create()
        said, acks = self._read_outbound()
        rows, marks = self._read_inbound(acks)
        left_behind: tuple[str, ...] = ()
        if not facts_only:
            left_behind = self._write(rows, marks, said)
        receipts = tuple(
            EarlierReceipt(row, mark.status != "delivered", mark.platform_message_id,
                           mark.delivered_at or self._now)
            for row in said
            if (mark := marks.get(row.id)) is not None
        )  # fmt: skip
        return Converted(
            len(rows),
            _next_due(rows, self._now),
            receipts,
            has_output=len(receipts) < len(said),
            left_behind=left_behind,
        )

    def _write(
        self, rows: list[InboundRow], marks: dict[str, DeliveredMark], said: list[OutboundRow]
    ) -> tuple[str, ...]:
        known = {row.id for row in rows}
        unsaid = {row.id for row in said if row.id not in marks}
        inbox = MessageFiles(self._target.in_dir / FILES_DIR, known.__contains__)
        outbox = MessageFiles(self._target.out_dir / FILES_DIR, unsaid.__contains__)
        inbox.copy(self._fd, OLD_IN_FILES)
        outbox.copy(self._fd, OLD_OUT_FILES)
        self._copy_outbound()
        rebuild(self._target.inbound_db, rows, list(marks.values()))
        return (*inbox.left_behind, *outbox.left_behind)

    def _read_inbound(
        self, acks: dict[str, AckStatus]
    ) -> tuple[list[InboundRow], dict[str, DeliveredMark]]:
        try:
            earlier = read_earlier(self._fd, self._target.root)
        except SnapshotMissing:
            return [], {}
        with earlier:
            return list(_brought_over(earlier, acks)), earlier.delivered()

    def _read_outbound(self) -> tuple[list[OutboundRow], dict[str, AckStatus]]:
        try:
            snapshot = repair_private_copy(self._fd, self._target.root)
        except SnapshotMissing:
            return [], {}
        with snapshot:
            acks = {ack.message_id: ack.status for ack in snapshot.acks()}
            return list(_all_messages(snapshot)), acks

    def _copy_outbound(self) -> None:
        """As it is, with its journal: the next runner rolls back what was half done."""
        try:
            database, journal = read_database_and_journal(self._fd, MAX_BYTES)
        except SnapshotMissing:
            return
        for name, data in ((f"{OUTBOUND_DB}-journal", journal), (OUTBOUND_DB, database)):
            if data:
                path = self._target.out_dir / name
                path.write_bytes(data)
                path.chmod(0o644)


def _all_messages(snapshot: OutboundSnapshot) -> Iterator[OutboundRow]:
    after, count = 0, 0
    while count < MAX_OUTBOUND_ROWS and (rows := snapshot.messages(after, 1000)):
        yield from rows
        after = rows[-1].seq
        count += len(rows)


def _brought_over(earlier: EarlierInbound, acks: dict[str, AckStatus]) -> Iterator[InboundRow]:
    for row in earlier.messages():
        status = settle(row.id, row.status, acks)
        tries = row.tries + (acks.get(row.id) is AckStatus.PROCESSING)
        yield replace(row, status=status, tries=tries, content=_content(row.content))


def _content(text: str) -> str:
    """Attachments point to their new place; what is no longer a file is said in words."""
    if '"attachments"' in text:
        try:
            content = parse_object(text, max_bytes=MAX_OLD_CONTENT_BYTES)
        except BadContent:
            return text if len(text.encode()) <= MAX_INBOUND_BYTES else _too_long()
        attachments = content.get("attachments")
        if isinstance(attachments, list):
            content["attachments"] = [_attachment(entry) for entry in attachments]
            text = dump(content)
    return text if len(text.encode()) <= MAX_INBOUND_BYTES else _too_long()


def _attachment(entry: object) -> object:
    if not isinstance(entry, dict):
        return entry
    changed = dict(entry)
    path = changed.get("localPath")
    if isinstance(path, str) and path.startswith(f"{OLD_IN_FILES}/"):
        changed["localPath"] = f"{FILES_DIR}/{path.removeprefix(f'{OLD_IN_FILES}/')}"
    if changed.pop("data", None) is not None and "localPath" not in changed:
        changed["error"] = "the earlier program could not store this file"
    return changed


def _too_long() -> str:
    return dump({"text": TOO_LONG, "sender": "system", "senderId": "system"})


def _next_due(rows: list[InboundRow], now: datetime) -> datetime | None:
    """When the session has work: what waits for an agent, at its time."""
    times = [
        max(row.process_after or now, now)
        for row in rows
        if row.status is InboundStatus.PENDING and row.trigger and row.kind != MessageKind.SYSTEM
    ]
    return min(times, default=None)
