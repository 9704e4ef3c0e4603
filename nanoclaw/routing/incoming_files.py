"""Plans what becomes of the files of one message, before any byte is touched.

Pure. Names, limits and the entries of the content's ``attachments`` are decided here, in the
redo log's transaction, so a replay does exactly the same. Whatever is wrong with a file becomes
its entry's ``error`` text, which the agent reads; the message itself is never lost for it (C-58).
"""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass

from contract.errors import BadContent
from contract.jsontext import dump, parse_object
from contract.layout import FILES_DIR
from nanoclaw.events import Attachment
from nanoclaw.sessions.attachments import derive_name, safe_name, unique_names

MAX_FILES = 20
MAX_FILE_BYTES = 25 * 1024 * 1024
MAX_MESSAGE_BYTES = 100 * 1024 * 1024
MAX_CONTENT_BYTES = 4 * 1024 * 1024
_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """One file to be placed. ``index`` is its place in the content's ``attachments``."""

    index: int
    spool: str
    size: int
    sha256: str
    name: str


@dataclass(frozen=True, slots=True)
class FilePlan:
    """Entries for the content, and what has to be placed for them to be true."""

    entries: tuple[dict[str, object], ...] = ()
    files: tuple[PlannedFile, ...] = ()


NO_FILES = FilePlan()


def plan_files(attachments: Sequence[Attachment], folder: str, at_ms: int) -> FilePlan:
    """``folder`` is the message's own, below ``in/files``."""
    if not attachments:
        return NO_FILES
    names = unique_names(_name(attachment, at_ms) for attachment in attachments)
    entries: list[dict[str, object]] = []
    files: list[PlannedFile] = []
    total = 0
    for index, (attachment, name) in enumerate(zip(attachments, names, strict=True)):
        entry = _entry(attachment, name)
        problem = attachment.problem or _problem(attachment, index, total)
        if problem is not None:
            entry["error"] = problem
        elif attachment.spool is not None and attachment.size is not None:
            total += attachment.size
            entry["localPath"] = f"{FILES_DIR}/{folder}/{name}"
            files.append(
                PlannedFile(index, attachment.spool, attachment.size, attachment.sha256 or "", name)
            )
        entries.append(entry)
    return FilePlan(tuple(entries), tuple(files))


def with_errors(content: str, errors: Sequence[tuple[int, str]]) -> str:
    """The content once it is known which files could not be placed."""
    if not errors:
        return content
    try:
        value = parse_object(content, max_bytes=MAX_CONTENT_BYTES)
    except BadContent:
        return content
    entries = value.get("attachments")
    if isinstance(entries, list):
        for index, reason in errors:
            if index < len(entries) and isinstance(entries[index], dict):
                entries[index].pop("localPath", None)
                entries[index]["error"] = reason
    return dump(value)


def inline_files(extra: dict[str, object]) -> list[tuple[Attachment, bytes | None]]:
    """Attachments inside a message's extras, as old programs and operators send them (H-52).

    None for one without ``data``; what is no base64 becomes an attachment with a problem.
    """
    entries = extra.get("attachments")
    if not isinstance(entries, list):
        return []
    return [_inline(entry) for entry in entries[:MAX_FILES] if isinstance(entry, dict)]


def _inline(entry: dict[str, object]) -> tuple[Attachment, bytes | None]:
    kind, name, mime = (_text(entry, key) for key in ("type", "name", "mimeType"))
    size = entry.get("size")
    attachment = Attachment(
        kind or "file", name, mime, size if isinstance(size, int) else None, url=_text(entry, "url")
    )
    data = entry.get("data")
    if not isinstance(data, str):
        return attachment, None
    try:
        return attachment, base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        return (
            Attachment(kind or "file", name, mime, problem="the file's content is damaged"),
            None,
        )


def _text(entry: dict[str, object], key: str) -> str | None:
    value = entry.get(key)
    return value if isinstance(value, str) else None


def _name(attachment: Attachment, at_ms: int) -> str:
    given = derive_name(attachment.name, attachment.mime_type, attachment.kind, at_ms)
    return safe_name(given, at_ms)


def _entry(attachment: Attachment, name: str) -> dict[str, object]:
    entry: dict[str, object] = {"type": attachment.kind, "name": name}
    optional = {
        "mimeType": attachment.mime_type, "size": attachment.size, "url": attachment.url,
    }  # fmt: skip
    entry.update({key: value for key, value in optional.items() if value is not None})
    return entry


def _problem(attachment: Attachment, index: int, total: int) -> str | None:
    if index >= MAX_FILES:
        return f"only {MAX_FILES} files of a message are taken"
    if attachment.spool is None:
        return None
    if attachment.size is None or attachment.size < 0 or not attachment.sha256:
        return "the channel did not say what the file is"
    if attachment.size > MAX_FILE_BYTES:
        return f"the file is larger than {MAX_FILE_BYTES // _MIB} MiB"
    if total + attachment.size > MAX_MESSAGE_BYTES:
        return f"the files of this message are larger than {MAX_MESSAGE_BYTES // _MIB} MiB"
    return None
