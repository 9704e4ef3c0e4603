"""Statements on ``audit`` and ``audit_anchors``: the record that nobody edits.

Table access only: the chain of hashes is computed and verified by the audit writer. Rows are never
changed; they leave from the old end alone, after an anchor has kept the hash they lead up to. The
triggers of the schema hold both, also against this module.
"""

import sqlite3
from dataclasses import dataclass
from datetime import datetime

from contract.clock import to_text
from nanoclaw.db.rows import changed, many, one, time_of


@dataclass(frozen=True, slots=True)
class AuditRow:
    """``detail`` is compact JSON text without secrets; ``hash`` covers all before it."""

    seq: int
    at: datetime
    kind: str
    actor: str
    subject: str
    detail: str
    previous_hash: str
    hash: str
    agent_group_id: str | None = None
    session_id: str | None = None


@dataclass(frozen=True, slots=True)
class AuditAnchor:
    """Rows up to ``seq`` are in the file ``archive``; the next row's chain begins with ``hash``."""

    seq: int
    hash: str
    at: datetime
    archive: str


def append(conn: sqlite3.Connection, row: AuditRow) -> None:
    """Raises sqlite3.IntegrityError when another writer was faster: read ``last`` again."""
    conn.execute(
        "INSERT INTO audit (seq, at, kind, actor, subject, agent_group_id, session_id, detail,"
        " previous_hash, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            row.seq,
            to_text(row.at),
            row.kind,
            row.actor,
            row.subject,
            row.agent_group_id,
            row.session_id,
            row.detail,
            row.previous_hash,
            row.hash,
        ),
    )


def last(conn: sqlite3.Connection) -> AuditRow | None:
    return one(conn, audit_row_of, "SELECT * FROM audit ORDER BY seq DESC LIMIT 1")


def after(conn: sqlite3.Connection, seq: int, limit: int) -> list[AuditRow]:
    """In order, for walking the chain."""
    return many(
        conn, audit_row_of, "SELECT * FROM audit WHERE seq > ? ORDER BY seq LIMIT ?", (seq, limit)
    )


def recent(conn: sqlite3.Connection, kind: str | None, limit: int) -> list[AuditRow]:
    """Newest first, of one kind or of all."""
    return many(
        conn,
        audit_row_of,
        "SELECT * FROM audit WHERE ?1 IS NULL OR kind = ?1 ORDER BY seq DESC LIMIT ?2",
        (kind, limit),
    )


def last_anchor(conn: sqlite3.Connection) -> AuditAnchor | None:
    return one(conn, _anchor_of, "SELECT * FROM audit_anchors ORDER BY seq DESC LIMIT 1")


def anchors(conn: sqlite3.Connection) -> list[AuditAnchor]:
    """Oldest first: the files that hold the chain's beginning."""
    return many(conn, _anchor_of, "SELECT * FROM audit_anchors ORDER BY seq")


def archive(conn: sqlite3.Connection, anchor: AuditAnchor) -> int:
    """Drops the rows that the anchor's file holds; how many. In one transaction of the caller."""
    conn.execute(
        "INSERT INTO audit_anchors (seq, hash, at, archive) VALUES (?, ?, ?, ?)",
        (anchor.seq, anchor.hash, to_text(anchor.at), anchor.archive),
    )
    return changed(conn, "DELETE FROM audit WHERE seq <= ?", (anchor.seq,))


def audit_row_of(row: sqlite3.Row) -> AuditRow:
    return AuditRow(
        seq=row["seq"],
        at=time_of(row["at"]),
        kind=row["kind"],
        actor=row["actor"],
        subject=row["subject"],
        detail=row["detail"],
        previous_hash=row["previous_hash"],
        hash=row["hash"],
        agent_group_id=row["agent_group_id"],
        session_id=row["session_id"],
    )


def _anchor_of(row: sqlite3.Row) -> AuditAnchor:
    return AuditAnchor(row["seq"], row["hash"], time_of(row["at"]), row["archive"])
