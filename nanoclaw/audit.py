"""The audit trail: who decided what, in a chain that shows every later change.

``record`` appends one row in the caller's transaction; each row's hash covers its own values and
the hash before it, so ``verify`` names the first row that is not what was written (design
section 3). Details are compact JSON without secrets: whoever records masks them first.
"""

import hashlib
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from contract.clock import to_text
from contract.jsontext import dump
from nanoclaw.db import audit
from nanoclaw.db.audit import AuditRow

FIRST_HASH = "0" * 64
"""What the first row's chain begins with."""
VERIFY_GROUP = 1000
MAX_DETAIL_BYTES = 16 * 1024
MAX_WORD = 500
"""Characters of kind, actor and subject; ids are far shorter."""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """``actor`` is a user id, ``agent:<group id>`` or ``host``; ``subject`` what it is about."""

    kind: str
    actor: str
    subject: str
    detail: Mapping[str, object]
    agent_group_id: str | None = None
    session_id: str | None = None


@dataclass(frozen=True, slots=True)
class Verified:
    """``first_bad`` is the number of the first row that was altered or is missing, else None."""

    rows: int
    first_bad: int | None = None


def record(conn: sqlite3.Connection, entry: AuditEntry, now: datetime) -> int:
    """Appends a row inside the caller's write transaction; returns its number."""
    last = audit.last(conn)
    seq, previous = (last.seq + 1, last.hash) if last is not None else _start(conn)
    detail = dump(dict(entry.detail))
    if len(detail.encode()) > MAX_DETAIL_BYTES:
        digest = hashlib.sha256(detail.encode()).hexdigest()
        detail = dump({"omitted": "too long", "sha256": digest, "bytes": len(detail.encode())})
    row = AuditRow(
        seq=seq,
        at=now,
        kind=entry.kind[:MAX_WORD],
        actor=entry.actor[:MAX_WORD],
        subject=entry.subject[:MAX_WORD],
        detail=detail,
        previous_hash=previous,
        hash="",
        agent_group_id=entry.agent_group_id,
        session_id=entry.session_id,
    )
    audit.append(conn, replace(row, hash=hash_of(row)))
    return seq


def verify(conn: sqlite3.Connection) -> Verified:
    """Walks the whole chain, from the newest anchor on."""
    seq, previous = _start(conn)
    seq -= 1
    count = 0
    while rows := audit.after(conn, seq, VERIFY_GROUP):
        for row in rows:
            if not follows(row, seq, previous):
                return Verified(count, first_bad=seq + 1)
            seq, previous = row.seq, row.hash
            count += 1
    return Verified(count)


def follows(row: AuditRow, seq: int, previous_hash: str) -> bool:
    """Whether the row is what was written behind the one with this number and hash."""
    is_next = row.seq == seq + 1 and row.previous_hash == previous_hash
    return is_next and hash_of(row) == row.hash


def hash_of(row: AuditRow) -> str:
    """SHA-256 over the row's values in a form in which none can be mistaken for another."""
    values = (
        str(row.seq), to_text(row.at), row.kind, row.actor, row.subject,
        row.agent_group_id or "", row.session_id or "", row.detail, row.previous_hash,
    )  # fmt: skip
    return hashlib.sha256(dump(list(values)).encode()).hexdigest()


def _start(conn: sqlite3.Connection) -> tuple[int, str]:
    """Number and previous hash of the first row that is still in the table."""
    anchor = audit.last_anchor(conn)
    return (anchor.seq + 1, anchor.hash) if anchor is not None else (1, FIRST_HASH)
