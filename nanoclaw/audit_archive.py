"""Moves old rows of the audit trail into files, so that the table stays small.

Called by whoever keeps the house in order. A file holds a run of rows, one JSON object per line;
its anchor in the database keeps the hash that the run ends with, and the next row builds on that.
The file is on disk before a row leaves the table; a crash in between writes the same file again. A
chain that is broken is never archived: that would bury the evidence.
"""

import os
import sqlite3
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from contract.clock import parse_text, to_text, utc_now
from contract.durable import sync_folder
from contract.errors import BadContent
from contract.jsontext import dump, parse_object
from contract.killpoint import reached
from nanoclaw.audit import FIRST_HASH, MAX_DETAIL_BYTES, MAX_WORD, Verified, follows
from nanoclaw.db import audit
from nanoclaw.db.audit import AuditAnchor, AuditRow
from nanoclaw.db.connection import transaction
from nanoclaw.errors import StateError
from nanoclaw.paths import make_private_folder

MAX_ROWS_PER_FILE = 20_000
READ_GROUP = 1000
FILE_MODE = 0o600
_MAX_LINE_BYTES = 8 * (MAX_DETAIL_BYTES + 5 * MAX_WORD)


def archive(conn: sqlite3.Connection, folder: Path, before: datetime) -> Path | None:
    """The file that now holds the rows written before this time; None when there were none.

    At most 20,000 rows: call again while it gives a file. Raises StateError for a broken chain.
    """
    anchor = audit.last_anchor(conn)
    start = anchor.seq if anchor is not None else 0
    make_private_folder(folder)
    temporary = folder / f"audit-{start + 1:09}.new"
    last = _write(conn, temporary, anchor, before)
    if last is None:
        temporary.unlink()
        return None
    file = folder / f"audit-{start + 1:09}-{last.seq:09}.jsonl"
    temporary.replace(file)
    sync_folder(folder)
    reached("audit.archive_written")
    with transaction(conn):
        newest = audit.last_anchor(conn)
        if (newest.seq if newest is not None else 0) != start:
            raise StateError("another program archives the audit trail; look again later")
        audit.archive(conn, AuditAnchor(last.seq, last.hash, utc_now(), file.name))
    reached("audit.archived")
    return file


def verify_archives(conn: sqlite3.Connection, folder: Path) -> Verified:
    """Walks the files that the anchors name; what they lead up to is ``audit.verify``'s."""
    seq, last_hash, count = 0, FIRST_HASH, 0
    for anchor in audit.anchors(conn):
        for row in _read(folder / anchor.archive):
            if row is None or not follows(row, seq, last_hash):
                return Verified(count, first_bad=seq + 1)
            seq, last_hash, count = row.seq, row.hash, count + 1
        if (seq, last_hash) != (anchor.seq, anchor.hash):
            return Verified(count, first_bad=seq + 1)
    return Verified(count)


def _write(
    conn: sqlite3.Connection, path: Path, anchor: AuditAnchor | None, before: datetime
) -> AuditRow | None:
    """The last row that was written; durable when this returns."""
    seq, last_hash = (anchor.seq, anchor.hash) if anchor is not None else (0, FIRST_HASH)
    last = None
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, FILE_MODE), "wb") as file:
        for row in _old_rows(conn, seq, before):
            if not follows(row, seq, last_hash):
                raise StateError(
                    f"audit row {seq + 1} is not what was written; nothing was archived"
                )
            file.write(dump(_plain(row)).encode() + b"\n")
            seq, last_hash, last = row.seq, row.hash, row
        file.flush()
        os.fsync(file.fileno())
    return last


def _old_rows(conn: sqlite3.Connection, seq: int, before: datetime) -> Iterator[AuditRow]:
    """From the old end on, up to the first row that is young enough to stay."""
    count = 0
    while rows := audit.after(conn, seq, min(READ_GROUP, MAX_ROWS_PER_FILE - count)):
        for row in rows:
            if row.at >= before:
                return
            yield row
        count += len(rows)
        seq = rows[-1].seq


def _read(path: Path) -> Iterator[AuditRow | None]:
    """None for a line that is no row, and for a file that is not there."""
    try:
        with path.open("rb") as file:
            while raw := file.readline(_MAX_LINE_BYTES):
                yield _row(raw)
    except OSError:
        yield None


def _plain(row: AuditRow) -> dict[str, object]:
    return {
        "seq": row.seq,
        "at": to_text(row.at),
        "kind": row.kind,
        "actor": row.actor,
        "subject": row.subject,
        "agent_group_id": row.agent_group_id,
        "session_id": row.session_id,
        "detail": row.detail,
        "previous_hash": row.previous_hash,
        "hash": row.hash,
    }


def _row(raw: bytes) -> AuditRow | None:
    try:
        value = parse_object(raw.decode(), max_bytes=_MAX_LINE_BYTES)
    except (BadContent, UnicodeDecodeError):
        return None
    seq, at = value.get("seq"), parse_text(value.get("at"))
    if not isinstance(seq, int) or at is None:
        return None

    def text(key: str) -> str:
        return str(value.get(key) or "")

    return AuditRow(
        seq=seq,
        at=at,
        kind=text("kind"),
        actor=text("actor"),
        subject=text("subject"),
        detail=text("detail"),
        previous_hash=text("previous_hash"),
        hash=text("hash"),
        agent_group_id=text("agent_group_id") or None,
        session_id=text("session_id") or None,
    )
