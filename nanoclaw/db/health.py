"""Questions about the health of a central database, and the repairs that need its host stopped.

Asked by the doctor. Looking leaves no file behind and has a time limit; a database of any age may
answer. Repairs keep a copy first: that is the caller's part.
"""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from nanoclaw.db.connection import open_central, transaction
from nanoclaw.errors import StateError

SECONDS = 8.0
MAX_PROBLEMS = 10
MAX_ROWS = 1000
STEPS = 10_000

QUESTIONS = {
    "schema": "PRAGMA user_version",
    "pages": "SELECT page_count, freelist_count, page_size"
    " FROM pragma_page_count, pragma_freelist_count, pragma_page_size",
    "integrity": f"PRAGMA integrity_check({MAX_PROBLEMS})",
    "owners": "SELECT user_id FROM user_roles WHERE role = 'owner'",
    "many-agents": "SELECT m.channel_type || ':' || m.platform_id, count(*)"
    " FROM messaging_group_agents w JOIN messaging_groups m ON m.id = w.messaging_group_id"
    " GROUP BY m.id HAVING count(*) > 1",
    "unwired": "SELECT channel_type || ':' || platform_id FROM messaging_groups m WHERE"
    " denied_at IS NULL AND is_group = 1 AND NOT EXISTS"
    " (SELECT 1 FROM messaging_group_agents w WHERE w.messaging_group_id = m.id)",
    "channels": "SELECT DISTINCT channel_type FROM messaging_groups",
    "groups": "SELECT id, name, folder FROM agent_groups g WHERE EXISTS"
    " (SELECT 1 FROM sessions s WHERE s.agent_group_id = g.id AND s.out_seq > 0)",
    "sessions": "SELECT id, agent_group_id, archived, closed_at IS NOT NULL FROM sessions",
    "quarantined": "SELECT id, coalesce(quarantine_reason, '') FROM sessions"
    " WHERE quarantined_at IS NOT NULL",
    "failing": "SELECT id, coalesce(container_error, '') FROM sessions"
    " WHERE container_failures >= 3",
    "leases": "SELECT id, lease_expires_at FROM sessions WHERE container_status <> 'stopped'"
    " AND lease_owner IS NOT NULL AND lease_expires_at < ?",
    "unconverted": "SELECT id FROM sessions WHERE converted = 0",
    "excess": "SELECT * FROM disk_excess",
    "budgets": "SELECT count(*) FROM budgets",
    "spent": "SELECT b.scope, b.subject, b.period, b.unit, b.amount FROM budgets b JOIN spending s"
    " ON s.scope = b.scope AND s.subject = b.subject AND s.period_key ="
    " CASE b.period WHEN 'day' THEN ? ELSE ? END"
    " WHERE CASE b.unit WHEN 'tokens' THEN s.tokens ELSE s.microusd END >= b.amount",
    "services": "SELECT name, secret FROM services",
    "uncertain": "SELECT count(*) FROM deliveries WHERE state = 'uncertain'",
    "failed": "SELECT count(*) FROM deliveries WHERE state = 'failed' AND updated_at > ?",
    "overdue": "SELECT count(*) FROM deliveries WHERE state = 'queued' AND next_attempt_at < ?",
    "unrouted": "SELECT count(*) FROM inbound_events WHERE state = 'committed' AND received_at < ?",
    "running": "SELECT count(*) FROM sessions WHERE container_status <> 'stopped'",
    "newest": "SELECT max(at) FROM audit",
}

GRANTED_BY = {
    ("user_roles", "granted_by"),
    ("agent_group_members", "added_by"),
    ("sessions", "messaging_group_id"),
}
"""Columns that may be empty without meaning more than they did; elsewhere the row goes."""
SOFT = (
    ("doors", "agent_group_id", "agent_groups", "id", "1"),
    ("egress_ask_sessions", "session_id", "sessions", "id", "1"),
    ("egress_counts", "session_id", "sessions", "id", "1"),
    ("agent_destinations", "target_id", "messaging_groups", "id", "c.target_type = 'channel'"),
    ("agent_destinations", "target_id", "agent_groups", "id", "c.target_type = 'agent'"),
    ("budgets", "subject", "agent_groups", "id", "c.scope = 'group'"),
)
"""References that no foreign key guards: table, column, parent, its key, which rows."""

Relation = tuple[str, str, str, str, str]


def ask(path: Path, question: str, *parameters: object) -> list[tuple[Any, ...]]:
    """At most MAX_ROWS rows. Raises StateError."""
    try:
        with closing(_look(path)) as conn:
            return [tuple(row) for row in
                    conn.execute(QUESTIONS[question], parameters).fetchmany(MAX_ROWS)]  # fmt: skip
    except sqlite3.Error as error:
        raise StateError(str(error)) from error


def foreign_orphans(path: Path) -> dict[str, int]:
    """Rows whose parent is gone, by ``table.column``. Raises StateError."""
    return _counted(path, _foreign_keys)


def soft_orphans(path: Path) -> dict[str, int]:
    return _counted(path, _soft)


@contextmanager
def looking(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection for a longer look. Raises StateError, also for errors of the body."""
    try:
        with closing(_look(path)) as conn:
            conn.row_factory = sqlite3.Row
            yield conn
    except sqlite3.Error as error:
        raise StateError(str(error)) from error


def describe(path: Path) -> dict[str, object]:
    """Schema, rows per table and the newest kinds of audit rows; no content. Raises StateError."""
    with looking(path) as conn:
        rows = conn.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'table'").fetchall()
        counts = {
            row[0]: conn.execute(f'SELECT count(*) FROM "{row[0]}"').fetchone()[0]  # noqa: S608 a name of the schema
            for row in rows
        }
        kinds = conn.execute("SELECT at, kind FROM audit ORDER BY seq DESC LIMIT 200").fetchall()
        number = conn.execute("PRAGMA user_version").fetchone()[0]
    return {
        "schema": number,
        "rows": counts,
        "tables": [row[1] for row in rows],
        "audit": [f"{row[0]} {row[1]}" for row in kinds],
    }


def remove_orphans(path: Path, *, soft: bool) -> int:
    """How many rows were changed. The host must be stopped. Raises StateError."""
    total = 0
    try:
        with closing(open_central(path, create=False)) as conn:
            conn.execute("PRAGMA foreign_keys=OFF")
            with transaction(conn):
                while changed := sum(
                    conn.execute(_removal(*relation)).rowcount
                    for relation in (_soft(conn) if soft else _foreign_keys(conn))
                ):
                    total += changed
    except sqlite3.Error as error:
        raise StateError(f"cannot repair {path}: {error}") from error
    return total


def tidy(path: Path, statement: str) -> None:
    """``checkpoint`` or ``vacuum``. Raises StateError."""
    words = {"checkpoint": "PRAGMA wal_checkpoint(TRUNCATE)", "vacuum": "VACUUM"}
    try:
        with closing(open_central(path, create=False)) as conn:
            conn.execute(words[statement]).fetchall()
    except sqlite3.Error as error:
        raise StateError(f"cannot tidy {path}: {error}") from error


def has_fts5() -> bool:
    with closing(sqlite3.connect(":memory:")) as conn:
        rows = conn.execute("PRAGMA compile_options").fetchall()
    return any("ENABLE_FTS5" in str(row[0]) for row in rows)


def _look(path: Path) -> sqlite3.Connection:
    """Without a log everything is in the file, which then needs no side files to be read."""
    log = path.with_name(path.name + "-wal")
    mode = "ro" if log.exists() else "ro&immutable=1"
    conn = sqlite3.connect(f"file:{quote(str(path))}?mode={mode}", uri=True, timeout=2.0,
                           isolation_level=None)  # fmt: skip
    conn.execute("PRAGMA trusted_schema=OFF")
    deadline = time.monotonic() + SECONDS
    conn.set_progress_handler(lambda: int(time.monotonic() > deadline), STEPS)
    return conn


def _foreign_keys(conn: sqlite3.Connection) -> list[Relation]:
    rows = conn.execute(
        'SELECT m.name, f."from", f."table", coalesce(f."to", \'id\')'
        " FROM sqlite_schema m, pragma_foreign_key_list(m.name) f WHERE m.type = 'table'"
    )
    return [(row[0], row[1], row[2], row[3], "1") for row in rows]


def _soft(conn: sqlite3.Connection) -> list[Relation]:
    there = {row[0] for row in conn.execute("SELECT name FROM sqlite_schema")}
    return [relation for relation in SOFT if {relation[0], relation[2]} <= there]


def _counted(
    path: Path, relations: Callable[[sqlite3.Connection], list[Relation]]
) -> dict[str, int]:
    found: dict[str, int] = {}
    try:
        with closing(_look(path)) as conn:
            for relation in relations(conn):
                count = conn.execute(
                    f'SELECT count(*) FROM "{relation[0]}" AS c WHERE {_where(*relation)}'  # noqa: S608 names of our own tables
                ).fetchone()[0]
                if count:
                    key = f"{relation[0]}.{relation[1]}"
                    found[key] = found.get(key, 0) + count
    except sqlite3.Error as error:
        raise StateError(str(error)) from error
    return found


def _where(table: str, column: str, parent: str, key: str, which: str) -> str:
    return (  # names of our own tables
        f'c."{column}" IS NOT NULL AND {which} AND NOT EXISTS'  # noqa: S608
        f' (SELECT 1 FROM "{parent}" AS p WHERE p."{key}" = c."{column}")'
    )


def _removal(table: str, column: str, parent: str, key: str, which: str) -> str:
    where = _where(table, column, parent, key, which)
    if (table, column) in GRANTED_BY:
        return f'UPDATE "{table}" AS c SET "{column}" = NULL WHERE {where}'  # noqa: S608
    return f'DELETE FROM "{table}" AS c WHERE {where}'  # noqa: S608
