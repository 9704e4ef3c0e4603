"""``ncl containers``: which sessions run, wait or cannot start; their output; stopping one.

The sweep alone talks to the engine; it is asked to stop one (``admin.restart``). What a container
has printed is kept by the sweep when it ends; while it runs its runner's own log can be read from
the agent's folder, which is the agent's word and is treated so.
"""

import os

from contract.clock import to_text
from contract.layout import RUNNER_DIR, RUNNER_LOG
from nanoclaw.admin.arguments import Arguments
from nanoclaw.admin.context import CommandContext
from nanoclaw.admin.effect_wait import Awaited, once_done
from nanoclaw.admin.log_reading import (
    LogPiece,
    Opener,
    folder_opener,
    path_opener,
    read_on,
    read_tail,
)
from nanoclaw.admin.problems import CommandError, NotFoundError
from nanoclaw.admin.registry import Access, ArgumentSpec, ColumnSpec, Kind, Operation, ResourceSpec
from nanoclaw.admin.restart import STOP_LOOKS, Wanted, stop_later
from nanoclaw.admin.shown import LIMIT, limit_of, moment, short
from nanoclaw.db import reading_books, sessions
from nanoclaw.model import Session
from nanoclaw.paths import HostPaths
from nanoclaw.sessions.folder import SessionFolder

DEFAULT_LINES = 100

_ID = ArgumentSpec("id", "the session", required=True, positional=True)
LINES = ArgumentSpec(
    "lines", "how many lines to begin with", Kind.INTEGER, default=str(DEFAULT_LINES), minimum=0,
    maximum=10_000,
)  # fmt: skip
FOLLOW = ArgumentSpec("follow", "go on until Ctrl-C; -f for short", Kind.FLAG)
CURSOR = ArgumentSpec("cursor", "go on behind an earlier answer, for programs")


def _list(context: CommandContext, arguments: Arguments) -> object:
    group = context.only_group or arguments.optional("agent_group_id")
    now = to_text(context.now)
    found = reading_books.up_or_waiting(context.conn, group, now, limit_of(arguments))
    return [container_row(session) for session in found]


def container_row(session: Session) -> dict[str, object]:
    return {
        "session_id": session.id,
        "agent_group_id": session.agent_group_id,
        "state": _state(session),
        "container_id": session.container_id,
        "started_at": moment(session.container_started_at),
        "runtime": session.runtime_version,
        "due_at": moment(session.next_due_at),
        "retry_at": moment(session.container_retry_at),
        "reason": short(session.quarantine_reason or session.container_error),
    }


def _state(session: Session) -> str:
    if session.is_running:
        return "running"
    if session.quarantined_at is not None:
        return "quarantined"
    if session.lease_owner is not None:
        return "starting"
    return "failing" if session.container_retry_at is not None else "waiting"


# --- output ---------------------------------------------------------------------------------------


def _logs(context: CommandContext, arguments: Arguments) -> object:
    session = _find(context, arguments)
    kept, _, live = arguments.text(CURSOR.name).partition(",")
    count = arguments.integer(LINES.name, DEFAULT_LINES)
    path = context.paths.session_log(session.id)
    older = _one(path_opener(path), kept, count)
    newer = _runner_log(context.paths, session, live, count)
    lines = [*older.lines, *newer.lines]
    if not arguments.optional(CURSOR.name):
        lines = lines[len(lines) - min(count, len(lines)) :]
    return {"lines": lines, "cursor": f"{older.cursor},{newer.cursor}"}


def _runner_log(paths: HostPaths, session: Session, cursor: str, count: int) -> LogPiece:
    try:
        out_fd = SessionFolder.of(paths, session.agent_group_id, session.id).open_out()
    except OSError:
        return LogPiece((), cursor)
    try:
        return _one(folder_opener(out_fd, RUNNER_DIR, RUNNER_LOG), cursor, count)
    finally:
        os.close(out_fd)


def _one(open_log: Opener, cursor: str, count: int) -> LogPiece:
    return read_on(open_log, cursor) if cursor else read_tail(open_log, count)


# --- stopping -------------------------------------------------------------------------------------


def _stop(context: CommandContext, arguments: Arguments) -> object:
    session = _find(context, arguments)
    if not session.is_running and session.lease_owner is None:
        raise CommandError(f"no container runs for session {session.id}")
    reason = arguments.text("reason", "stopped by ncl")
    stopped = stop_later(context, Wanted(session.agent_group_id, session.id, reason=reason))
    answer: dict[str, object] = {"session_id": session.id, "container_id": session.container_id}
    done, at_once = {**answer, "state": "stopped"}, {**answer, "state": "stopping"}
    return once_done(context, Awaited(stopped, done, at_once=at_once, looks=STOP_LOOKS))


def _find(context: CommandContext, arguments: Arguments) -> Session:
    session_id = arguments.text(_ID.name)
    session = sessions.get(context.conn, session_id)
    if session is None:
        raise NotFoundError(f"session not found: {session_id}")
    return session


RESOURCE = ResourceSpec(
    name="container",
    plural="containers",
    id_column="session_id",
    description="sessions that run, are about to, or cannot",
    columns=(
        ColumnSpec("session_id", "a session has one container at most", generated=True),
        ColumnSpec("agent_group_id", "whose", generated=True),
        ColumnSpec("state", "running, starting, waiting, failing or quarantined", generated=True),
        ColumnSpec("container_id", "the engine's id", generated=True),
        ColumnSpec("started_at", "since when it runs", generated=True),
        ColumnSpec("runtime", "version of the runner in it", generated=True),
        ColumnSpec("due_at", "since when work waits", generated=True),
        ColumnSpec("retry_at", "when the next start is tried", generated=True),
        ColumnSpec("reason", "why it does not run", generated=True),
    ),
    operations=(
        Operation(
            "list", Access.OPEN, "running ones first", _list,
            (ArgumentSpec("agent_group_id", "only of this agent group"), LIMIT),
        ),
        Operation(
            "logs", Access.OPEN, "what the containers of a session printed", _logs,
            (_ID, LINES, FOLLOW, CURSOR), examples=("ncl containers logs <session> -f",),
        ),
        Operation(
            "stop", Access.APPROVAL, "stop one; work that waits starts it again", _stop,
            (_ID, ArgumentSpec("reason", "for the log")), mutating=True,
        ),
    ),
)  # fmt: skip
