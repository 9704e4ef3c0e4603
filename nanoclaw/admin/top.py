"""``ncl top``: one look at the whole house: processes, sessions at work, money, what comes next.

The client asks again and again and draws anew; the processor time of a process is a sum, from which
it works out shares. Linux tells it of each process; elsewhere it is left out.
"""

import os
from dataclasses import asdict
from pathlib import Path
from zoneinfo import ZoneInfo

from contract.clock import to_text
from nanoclaw.admin.arguments import Arguments
from nanoclaw.admin.context import CommandContext
from nanoclaw.admin.overview import read_sweep_state
from nanoclaw.admin.registry import Access, ArgumentSpec, Kind, Operation
from nanoclaw.admin.resources.containers import container_row
from nanoclaw.admin.shown import dollars, moment
from nanoclaw.db import reading_books, reading_tasks
from nanoclaw.db.overview import read_work_counts
from nanoclaw.db.reading_books import UsageQuery
from nanoclaw.db.tasks import SeriesState
from nanoclaw.supervise.status import ChildStatus, read_status

SESSIONS = 50
TASKS = 5
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def _top(context: CommandContext, arguments: Arguments) -> object:
    conn, paths = context.conn, context.paths
    host = read_status(paths.status_file)
    today = context.now.astimezone(ZoneInfo(context.config.timezone)).date().isoformat()
    spent = reading_books.sum_usage(conn, "day", UsageQuery(day=today, limit=1))
    coming = reading_tasks.list_series(conn, SeriesState.LIVE, None, TASKS)
    working = reading_books.up_or_waiting(conn, None, to_text(context.now), SESSIONS)
    return {
        "at": to_text(context.now),
        "host": None if host is None else {
            "version": host.version, "state": host.state, "pid": host.pid,
            "started_at": host.started_at,
        },
        "children": [_child(child) for child in (host.children if host is not None else ())],
        "work": asdict(read_work_counts(conn, context.now)),
        "containers": read_sweep_state(paths),
        "sessions": [container_row(session) for session in working],
        "today": {
            "requests": sum(row.requests for row in spent),
            "under_way": sum(row.open_requests for row in spent),
            "tokens": sum(row.tokens for row in spent),
            "usd": sum(dollars(row.microusd) for row in spent),
        },
        "tasks": [
            {
                "id": one.series_id,
                "session_id": one.session_id,
                "next_run_at": moment(one.next_run_at),
            }
            for one in coming
        ],
    }  # fmt: skip


def _child(child: ChildStatus) -> dict[str, object]:
    cpu_seconds, memory_mib = _used(child.pid)
    return {
        "name": child.name,
        "state": child.state,
        "pid": child.pid,
        "since": child.since,
        "restarts": child.restarts,
        "cpu_seconds": cpu_seconds,
        "memory_mib": memory_mib,
        "reason": child.reason or None,
    }


def _used(pid: int | None) -> tuple[float | None, float | None]:
    """Processor time so far and resident memory; None where nobody says."""
    if pid is None:
        return None, None
    folder = Path("/proc") / str(pid)
    try:
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        pages = (folder / "statm").read_text().split()[1]
        ticks = int(fields[11]) + int(fields[12])
    except (OSError, ValueError, IndexError):
        return None, None
    return ticks / _TICKS, round(int(pages) * _PAGE / 2**20, 1)


TOP = Operation(
    "top", Access.OPEN, "processes, sessions at work, money and coming tasks at one look", _top,
    (ArgumentSpec("every", "look again after so many seconds", Kind.NUMBER, default="2"),),
    for_groups=False,
)  # fmt: skip
