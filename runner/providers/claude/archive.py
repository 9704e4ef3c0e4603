"""Readable copies of conversations in the group folder, before their text is lost (R-204, R-205).

Written before a compaction, before ``/clear`` and when another conversation takes the place. A
failure is logged and never stops what it precedes. The runner never deletes or overwrites one.
"""

import logging
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from pathlib import Path

from contract.clock import utc_now
from contract.jsontext import storable
from runner.log import fields
from runner.providers.claude.spoken import Spoken

FOLDER = "conversations"
MAX_TEXT = 2000
MAX_SLUG = 50
MAX_SAME_NAME = 1000

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ArchiveStyle:
    """How names and times are shown. ``workspace`` is the group folder."""

    workspace: Path
    zone_name: str
    zone: tzinfo
    assistant_name: str | None = None


def write_archive(
    spoken: Sequence[Spoken], style: ArchiveStyle, summary: str | None = None
) -> str | None:
    """The new file's name in ``conversations/``; None when there was nothing to write or it
    could not be written."""
    if not spoken:
        return None
    now = utc_now()
    text = render_archive(spoken, style, now, summary)
    return write_new(style.workspace / FOLDER, archive_stem(now, summary), text)


def write_new(folder: Path, stem: str, text: str) -> str | None:
    """Never overwrites: ``-2``, ``-3`` follow the stem when the name is taken. Never fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(1, MAX_SAME_NAME):
            name = f"{stem}.md" if number == 1 else f"{stem}-{number}.md"
            if _write(folder / name, text):
                return name
        _log.warning("archive has too many namesakes", extra=fields(reason=stem))
    except OSError as error:
        _log.warning("conversation cannot be archived", extra=fields(reason=error))
    return None


def render_archive(
    spoken: Sequence[Spoken], style: ArchiveStyle, now: datetime, summary: str | None
) -> str:
    """The Markdown."""
    shown = f"{now.astimezone(style.zone):%Y-%m-%d %H:%M} ({style.zone_name})"
    title = " ".join((summary or "").split())[:200] or "Conversation"
    lines = [f"# {title}", "", f"Archived: {shown}", "", "---", ""]
    for one in spoken:
        name = "User" if one.by_user else style.assistant_name or "Assistant"
        lines += [f"**{name}**: {_cut(one.text)}", ""]
    return storable("\n".join(lines))


def archive_stem(now: datetime, summary: str | None) -> str:
    """R-204: the UTC date, and what it was about or the time."""
    slug = re.sub(r"[^a-z0-9]+", "-", (summary or "").lower()).strip("-")[:MAX_SLUG].strip("-")
    return f"{now:%Y-%m-%d}-{slug or f'conversation-{now:%H%M}'}"


def _cut(text: str) -> str:
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}..."


def _write(path: Path, text: str) -> bool:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        fd = os.open(path, flags, 0o644)
    except FileExistsError:
        return False
    try:
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError:
        path.unlink(missing_ok=True)  # half an archive would look like a whole one
        raise
    return True
