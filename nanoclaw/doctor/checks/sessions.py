"""Sessions and messages: rows with folders, folders with rows, nothing stuck."""

from datetime import timedelta
from pathlib import Path

from contract.clock import to_text
from nanoclaw.db import sessions
from nanoclaw.db.connection import open_central
from nanoclaw.doctor.base import Check, Finding, Severity
from nanoclaw.doctor.facts import Facts
from nanoclaw.sessions.folder import SessionFolder

SHOWN = 5
LATE = timedelta(minutes=15)
LARGE_OUTPUT = 256 << 20
LOST = "lost-sessions"


def _without_folder(facts: Facts) -> list[SessionFolder]:
    rows = facts.ask_central("sessions")
    folders = [SessionFolder.of(facts.paths, row[1], row[0])
               for row in rows if not row[2] and not row[3]]  # fmt: skip
    return [folder for folder in folders if not folder.exists()]


def _folders_missing(facts: Facts) -> Finding | None:
    missing = _without_folder(facts)
    if not missing:
        return None
    return Finding(f"{len(missing)} sessions without a folder, such as {missing[0].root}",
                   "Their chats get no answer. An empty one lets them begin anew.")  # fmt: skip


def _make_folders(facts: Facts) -> str:
    missing = _without_folder(facts)
    for folder in missing:
        folder.create()
    return f"made {len(missing)} folders"


def _strays(facts: Facts) -> list[Path]:
    known = {str(row[0]) for row in facts.ask_central("sessions")}
    top = facts.paths.sessions
    found = [path for group in sorted(top.iterdir()) if group.is_dir() and not group.is_symlink()
             for path in sorted(group.iterdir())] if top.is_dir() else []  # fmt: skip
    return [path for path in found
            if path.name.startswith("sess-") and path.is_dir() and not path.is_symlink()
            and path.name not in known]  # fmt: skip


def _folders_stray(facts: Facts) -> Finding | None:
    found = _strays(facts)
    if not found:
        return None
    return Finding(f"{len(found)} folders without a session, such as {found[0]}",
                   f"Nobody reads them. The fix moves them to data/{LOST}.")  # fmt: skip


def _set_aside(facts: Facts) -> str:
    found = _strays(facts)
    target = facts.paths.data / LOST
    for path in found:
        place = target / path.parent.name / path.name
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not place.exists():
            path.rename(place)
    return f"moved {len(found)} folders to {target}"


def _quarantined(facts: Facts) -> Finding | None:
    rows = facts.ask_central("quarantined")
    if not rows:
        return None
    return Finding(
        f"{len(rows)} sessions in quarantine: {rows[0][0]} ({rows[0][1]})",
        "The host died over them; their chats wait. The fix tries them again.",
    )


def _release(facts: Facts) -> str:
    rows = facts.ask_central("quarantined")
    conn = open_central(facts.paths.central_db, create=False)
    try:
        for row in rows:
            sessions.release_quarantine(conn, row[0])
    finally:
        conn.close()
    return f"released {len(rows)} sessions"


def _failing(facts: Facts) -> Finding | None:
    rows = facts.ask_central("failing")
    if not rows:
        return None
    return Finding(f"{len(rows)} agents do not start: {rows[0][0]} ({rows[0][1]})",
                   "Their chats wait; it is tried again and again.")  # fmt: skip


def _try_again(facts: Facts) -> str:
    rows = facts.ask_central("failing")
    conn = open_central(facts.paths.central_db, create=False)
    try:
        for row in rows:
            sessions.clear_container_failure(conn, row[0])
    finally:
        conn.close()
    return f"{len(rows)} agents are started at once"


def _leases(facts: Facts) -> Finding | None:
    rows = facts.ask_central("leases", to_text(facts.now - LATE))
    if not rows or facts.host_pid is None:
        return None
    return Finding(f"{len(rows)} agents count as running without a sign of life: {rows[0][0]}",
                   "The host will not start them again by itself.",
                   facts.command("service restart"))  # fmt: skip


def _output(facts: Facts) -> Finding | None:
    large = []
    for row in facts.ask_central("sessions"):
        file = SessionFolder.of(facts.paths, row[1], row[0]).out_dir / "outbound.db"
        try:
            size = file.lstat().st_size
        except OSError:
            continue
        if size > LARGE_OUTPUT:
            large.append((row[0], size))
    if not large:
        return None
    name, size = large[0]
    return Finding(f"the outbound file of {name} has {size >> 20} MiB",
                   "Reading it slows the delivery of all chats.",
                   facts.command(f"ncl sessions close {name}"))  # fmt: skip


def _over_limit(facts: Facts) -> Finding | None:
    rows = facts.ask_central("excess")
    if not rows:
        return None
    name = rows[0][0]
    return Finding(f"{len(rows)} sessions are over their space, such as {name}",
                   "Their agents are stopped until space is made.",
                   facts.command(f"ncl sessions close {name}"))  # fmt: skip


def _unconverted(facts: Facts) -> Finding | None:
    rows = facts.ask_central("unconverted")
    if not rows:
        return None
    return Finding(
        f"{len(rows)} sessions of the earlier program are not brought over",
        "The host does that at its start.",
        facts.command("service restart"),
    )


def _uncertain(facts: Facts) -> Finding | None:
    count = facts.ask_central("uncertain")[0][0]
    if not count:
        return None
    return Finding(f"{count} messages may or may not have been sent", "They wait for your word.",
                   facts.command("ncl messages list --state uncertain"))  # fmt: skip


def _failed(facts: Facts) -> Finding | None:
    count = facts.ask_central("failed", to_text(facts.now - timedelta(days=1)))[0][0]
    if not count:
        return None
    return Finding(f"{count} messages of the last day could not be sent", "Nobody has read them.",
                   facts.command("ncl messages list --state failed"))  # fmt: skip


def _overdue(facts: Facts) -> Finding | None:
    count = facts.ask_central("overdue", to_text(facts.now - LATE))[0][0]
    if not count or facts.host_pid is None:
        return None
    return Finding(f"{count} messages wait for longer than {LATE.seconds // 60} minutes",
                   "Their channel or the delivery does not work.",
                   facts.command("service restart"))  # fmt: skip


def _unrouted(facts: Facts) -> Finding | None:
    count = facts.ask_central("unrouted", to_text(facts.now - LATE))[0][0]
    if not count or facts.host_pid is None:
        return None
    return Finding(f"{count} messages came in and reached no agent yet",
                   "The router does not work.", facts.command("service restart"))  # fmt: skip


_E, _W, _N = Severity.ERROR, Severity.WARNING, Severity.NOTE
_AREA = "sessions"
CHECKS = (
    Check("session-folders", _AREA, _E, "each session has its folder", _folders_missing,
          _make_folders),
    Check("session-strays", _AREA, _N, "each folder has its session", _folders_stray, _set_aside),
    Check("session-quarantine", _AREA, _W, "no session is in quarantine", _quarantined, _release),
    Check("session-failing", _AREA, _W, "all agents start", _failing, _try_again),
    Check("session-leases", _AREA, _W, "agents that run give signs of life", _leases),
    Check("session-output", _AREA, _W, "outbound files are small", _output),
    Check("session-space", _AREA, _W, "no session is over its space", _over_limit),
    Check("session-earlier", _AREA, _W, "earlier sessions are brought over", _unconverted),
    Check("message-uncertain", "messages", _W, "each message is sent or not", _uncertain),
    Check("message-failed", "messages", _W, "messages could be sent", _failed),
    Check("message-overdue", "messages", _W, "messages leave in time", _overdue),
    Check("message-unrouted", "messages", _W, "messages reach their agents", _unrouted),
)  # fmt: skip
