"""``ncl audit``: who decided and changed what, and whether anybody has tampered with the record.

The chain may be long, so it is walked in steps between which the process answers others.
"""

import sqlite3

from nanoclaw.admin.arguments import Arguments
from nanoclaw.admin.context import CommandContext, Finish, Later, Services
from nanoclaw.admin.problems import CommandError
from nanoclaw.admin.registry import Access, ArgumentSpec, ColumnSpec, Kind, Operation, ResourceSpec
from nanoclaw.admin.shown import LIMIT, limit_of, moment
from nanoclaw.audit import FIRST_HASH, follows
from nanoclaw.audit_archive import verify_archives
from nanoclaw.audit_head import first_missing
from nanoclaw.db import audit, reading_books
from nanoclaw.db.connection import open_read_only
from nanoclaw.db.reading_books import AuditQuery
from nanoclaw.paths import HostPaths

VERIFY_SECONDS = 600
ROWS_PER_STEP = 1000

_FILTERS = (
    ArgumentSpec("kind", "only this kind; ncl. means all that begin so"),
    ArgumentSpec("actor", "only what this one did: a user, agent:<group> or host"),
    ArgumentSpec("agent_group_id", "only about this agent group"),
    ArgumentSpec("session", "only about this session"),
    LIMIT,
)


def _list(context: CommandContext, arguments: Arguments) -> object:
    query = AuditQuery(
        kind=arguments.optional("kind"),
        actor=arguments.optional("actor"),
        agent_group_id=context.only_group or arguments.optional("agent_group_id"),
        session_id=arguments.optional("session"),
        limit=limit_of(arguments),
    )
    return [
        {
            "seq": row.seq,
            "at": moment(row.at),
            "kind": row.kind,
            "actor": row.actor,
            "subject": row.subject,
            "agent_group_id": row.agent_group_id,
            "session_id": row.session_id,
            "detail": row.detail,
        }
        for row in reading_books.list_audit(context.conn, query)
    ]


def _verify(context: CommandContext, arguments: Arguments) -> object:
    paths = context.paths

    def begin(services: Services, finish: Finish) -> None:
        conn = open_read_only(paths.central_db)
        _Walk(conn, paths, services, finish).begin()

    return Later(begin)


class _Walk:
    """From the archives through the table to its newest row; owns its connection."""

    def __init__(
        self, conn: sqlite3.Connection, paths: HostPaths, services: Services, finish: Finish
    ) -> None:
        self._conn = conn
        self._paths = paths
        self._services = services
        self._finish = finish
        anchor = audit.last_anchor(conn)
        self._seq, self._hash = (0, FIRST_HASH) if anchor is None else (anchor.seq, anchor.hash)
        self._good = 0

    def begin(self) -> None:
        archived = verify_archives(self._conn, self._paths.audit)
        self._good = archived.rows
        if archived.first_bad is not None:
            self._end(archived.first_bad)
        else:
            self._soon()

    def _soon(self) -> None:
        self._services.call_later(0, self._step)

    def _step(self) -> None:
        rows = audit.after(self._conn, self._seq, ROWS_PER_STEP)
        for row in rows:
            if not follows(row, self._seq, self._hash):
                self._end(self._seq + 1)
                return
            self._seq, self._hash = row.seq, row.hash
            self._good += 1
        if rows:
            self._soon()
        else:
            self._end(first_missing(self._conn, self._paths.audit))

    def _end(self, first_bad: int | None) -> None:
        self._conn.close()
        if first_bad is None:
            self._finish({"ok": True, "rows": self._good})
            return
        self._finish(
            CommandError(
                f"the audit is not what was written: row {first_bad} was altered or is missing; "
                f"{self._good} rows before it are good. Compare with a backup"
            )
        )


RESOURCE = ResourceSpec(
    name="audit row",
    plural="audit",
    id_column="seq",
    description="approvals, administrative changes and refusals, in a chain that shows tampering",
    columns=(
        ColumnSpec("seq", "its number; there are no gaps", Kind.INTEGER, generated=True),
        ColumnSpec("at", "when", generated=True),
        ColumnSpec("kind", "what was done", generated=True),
        ColumnSpec("actor", "who did it", generated=True),
        ColumnSpec("subject", "what it is about", generated=True),
        ColumnSpec("agent_group_id", "whose", generated=True),
        ColumnSpec("session_id", "where", generated=True),
        ColumnSpec("detail", "more, without secrets", Kind.JSON, generated=True),
    ),
    operations=(
        Operation("list", Access.OPEN, "newest first", _list, _FILTERS),
        Operation(
            "verify", Access.OPEN, "walk the whole chain; an error names the first bad row",
            _verify, seconds=VERIFY_SECONDS,
        ),
    ),
)  # fmt: skip
