"""Goes on where Claude Code left off: its transcript becomes an archive and a note (R-293).

Called by the provider when the stored handle is a foreign one. So people do not notice that
another program answers now. Whatever cannot be read is skipped; a failure is logged and leaves
the new conversation without the note.
"""

import json
import logging
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from contract.clock import utc_now
from runner.log import fields
from runner.providers.claude.archive import FOLDER, ArchiveStyle, render_archive, write_new
from runner.providers.claude.spoken import Spoken, last_exchanges, spoken_of

MAX_TRANSCRIPT_BYTES = 64 * 1024 * 1024
MAX_PROJECTS = 1000
_FOREIGN_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z-]{7,63}")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TakenOver:
    """``archive`` is the file's name in ``conversations/``; ``note`` the first operator note."""

    archive: str | None
    note: str


def take_over(foreign: str, home: Path, style: ArchiveStyle) -> TakenOver | None:
    """None: there is no transcript of that conversation, or nothing in it. Never fails."""
    try:
        path = find_transcript(foreign, home)
        spoken = tuple(read_transcript(path)) if path else ()
    except OSError as error:
        _log.warning("earlier transcript cannot be read", extra=fields(reason=error))
        return None
    if not spoken:
        return None
    archive = _archive_once(spoken, foreign, style)
    _log.info("earlier conversation taken over", extra=fields(count=len(spoken)))
    return TakenOver(archive, _note(spoken, archive))


def find_transcript(foreign: str, home: Path) -> Path | None:
    """The newest file of that name below ``~/.claude/projects``."""
    if not _FOREIGN_ID.fullmatch(foreign):
        return None
    projects = home / ".claude" / "projects"
    try:
        folders = sorted(projects.iterdir())[:MAX_PROJECTS]
    except (FileNotFoundError, NotADirectoryError):
        return None
    found = [folder / f"{foreign}.jsonl" for folder in folders]
    present = [(path.stat().st_mtime, path) for path in found if path.is_file()]
    return max(present)[1] if present else None


def read_transcript(path: Path) -> Iterator[Spoken]:
    """Lines that are no messages of the conversation itself are passed over."""
    for line in _lines(path):
        try:
            record: object = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if not isinstance(record, dict) or record.get("type") not in ("user", "assistant"):
            continue
        message = record.get("message")
        aside = record.get("isMeta") or record.get("isSidechain")
        if aside or not isinstance(message, dict):
            continue
        spoken = spoken_of({**message, "role": record["type"]})
        if spoken is not None:
            yield spoken


def _lines(path: Path) -> Iterator[bytes]:
    """The end of the file, if it is too big; the first line may then be half of one."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as file:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode):
            return
        file.seek(max(info.st_size - MAX_TRANSCRIPT_BYTES, 0))
        yield from file


def _archive_once(spoken: tuple[Spoken, ...], foreign: str, style: ArchiveStyle) -> str | None:
    """A crash between archive and the new handle must not leave a second copy."""
    mark = f"earlier-{foreign.lower()}"
    folder = style.workspace / FOLDER
    try:
        present = sorted(path.name for path in folder.glob(f"*-{mark}.md"))
    except OSError:
        present = []
    if present:
        return present[0]
    now = utc_now()
    text = render_archive(spoken, style, now, "Earlier conversation")
    return write_new(folder, f"{now:%Y-%m-%d}-{mark}", text)


def _note(spoken: tuple[Spoken, ...], archive: str | None) -> str:
    where = f" All of it is archived in {FOLDER}/{archive}." if archive else ""
    return (
        "Before this conversation you talked with the same people through another program."
        f"{where} They do not know of the change: go on as if you remembered it."
        f" The last exchanges were:\n\n{last_exchanges(spoken)}"
    )
