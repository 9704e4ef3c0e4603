"""Files for an agent: safe names, and how they get into ``in/files`` of a session.

Called by the router for messages of people, and by whoever else hands an agent a file. ``in`` is
ours and mounted read-only, but nothing is taken for granted: every folder is opened beneath a
handle of its parent without following links, and a file appears under its name complete or not at
all (H-54 to H-58, W-1). Doing it again changes nothing, because a replay does.
"""

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from contract.layout import FILES_DIR

MAX_NAME_BYTES = 200
"""File systems end at 255; the rest is room for numbers and suffixes."""
READABLE_FOLDER, READABLE_FILE = 0o755, 0o644
"""The agent's user may be another one; what guards the files is the folder above ``in``."""
CHUNK_BYTES = 1024 * 1024
_BENEATH = os.O_NOFOLLOW | os.O_CLOEXEC
_UNFINISHED = ".unfinished-"

_EXTENSION_BY_MIME = {
    "image/jpeg": "jpg", "image/png": "png", "image/webp": "webp", "image/gif": "gif",
    "image/heic": "heic", "audio/ogg": "ogg", "audio/mpeg": "mp3", "audio/wav": "wav",
    "audio/mp4": "m4a", "video/mp4": "mp4", "video/webm": "webm", "video/quicktime": "mov",
    "application/pdf": "pdf", "text/plain": "txt", "application/json": "json",
    "application/zip": "zip",
}  # fmt: skip
_EXTENSION_BY_TYPE = {
    "image": "jpg", "photo": "jpg", "sticker": "webp", "voice": "ogg", "audio": "mp3",
    "video": "mp4", "animation": "mp4",
}  # fmt: skip


class AttachmentError(Exception):
    """This file is not stored; the text is for the agent and names no path of ours."""


# --- names ----------------------------------------------------------------------------------------


def is_safe_attachment_name(name: object) -> bool:
    """H-54."""
    return (
        isinstance(name, str)
        and name not in ("", ".", "..")
        and not any(mark in name for mark in ("/", "\\", "\0"))
    )


def extension_of(mime_type: object, kind: object) -> str | None:
    """From the content type, else from the kind of attachment (H-57)."""
    if isinstance(mime_type, str):
        known = _EXTENSION_BY_MIME.get(mime_type.partition(";")[0].strip().lower())
        if known is not None:
            return known
    return _EXTENSION_BY_TYPE.get(kind.lower()) if isinstance(kind, str) else None


def derive_name(name: object, mime_type: object, kind: object, at_ms: int) -> str:
    """The name that was given, else one made from what is known (H-57); may be unsafe."""
    if isinstance(name, str) and name:
        return name
    extension = extension_of(mime_type, kind)
    return f"attachment-{at_ms}.{extension}" if extension else f"attachment-{at_ms}"


def safe_name(name: str, at_ms: int) -> str:
    """A name under which the bytes can be stored in any case (H-56)."""
    if not is_safe_attachment_name(name) or name.startswith(_UNFINISHED):
        return f"attachment-{at_ms}"
    stem, dot, extension = name.rpartition(".")
    if not stem or len(extension.encode("utf-8", "replace")) > MAX_NAME_BYTES // 4:
        stem, dot, extension = name, "", ""
    while len(f"{stem}{dot}{extension}".encode("utf-8", "replace")) > MAX_NAME_BYTES:
        stem = stem[:-1]
    return f"{stem}{dot}{extension}".encode("utf-8", "replace").decode()


def unique_names(names: Iterable[str]) -> tuple[str, ...]:
    """Two files of one message never share a name, also where case does not count."""
    taken: set[str] = set()
    found: list[str] = []
    for name in names:
        chosen, number = name, 2
        while chosen.casefold() in taken:
            stem, dot, extension = name.rpartition(".")
            chosen = f"{stem}-{number}.{extension}" if stem and dot else f"{name}-{number}"
            number += 1
        taken.add(chosen.casefold())
        found.append(chosen)
    return tuple(found)


# --- bytes ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file in a folder of the host: what it must be, or it is not taken."""

    folder_fd: int
    name: str
    size: int
    sha256: str


def place_file(source: SourceFile, in_dir: Path, folder: str, name: str) -> None:
    """Makes ``in/files/<folder>/<name>`` the source's bytes. Raises AttachmentError, OSError.

    A link where the file system has them, else a copy. One that is there already is accepted if
    it has these bytes.
    """
    if not is_safe_attachment_name(folder) or not is_safe_attachment_name(name):
        raise AttachmentError("the file's name is not usable")
    with _message_folder(in_dir, folder) as folder_fd:
        if _has_bytes(folder_fd, name, source):
            return
        with _open_checked(source) as source_fd:
            if not _link(source, source_fd, folder_fd, name):
                _copy(source_fd, folder_fd, name)
        os.fsync(folder_fd)


@contextmanager
def _message_folder(in_dir: Path, folder: str) -> Iterator[int]:
    """A handle on the folder of one message, made if it is missing."""
    fd = os.open(in_dir, os.O_RDONLY | os.O_DIRECTORY | _BENEATH)
    try:
        for part in (FILES_DIR, folder):
            inner = _open_folder(fd, part)
            os.close(fd)
            fd = inner
        yield fd
    finally:
        os.close(fd)


def _open_folder(parent_fd: int, name: str) -> int:
    with suppress(FileExistsError):
        os.mkdir(name, READABLE_FOLDER, dir_fd=parent_fd)
    try:
        fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | _BENEATH, dir_fd=parent_fd)
    except OSError as error:
        raise AttachmentError("the folder for files is not a folder") from error
    os.fchmod(fd, READABLE_FOLDER)
    return fd


@contextmanager
def _open_checked(source: SourceFile) -> Iterator[int]:
    """The source, once its bytes are known to be the announced ones."""
    try:
        fd = os.open(source.name, os.O_RDONLY | os.O_NONBLOCK | _BENEATH, dir_fd=source.folder_fd)
    except OSError as error:
        raise AttachmentError("the file is not there any more") from error
    try:
        facts = os.fstat(fd)
        if not stat.S_ISREG(facts.st_mode) or facts.st_size != source.size:
            raise AttachmentError("the file is not the one that was announced")
        if _digest(fd) != source.sha256:
            raise AttachmentError("the file's content is not what was announced")
        os.lseek(fd, 0, os.SEEK_SET)
        yield fd
    finally:
        os.close(fd)


def _has_bytes(folder_fd: int, name: str, source: SourceFile) -> bool:
    """Whether an earlier try has stored it. Anything else of this name is in the way."""
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NONBLOCK | _BENEATH, dir_fd=folder_fd)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise AttachmentError("something else has the file's name") from error
    try:
        facts = os.fstat(fd)
        same = stat.S_ISREG(facts.st_mode) and facts.st_size == source.size
        if not same or _digest(fd) != source.sha256:
            raise AttachmentError("another file has this name already")
        return True
    finally:
        os.close(fd)


def _link(source: SourceFile, source_fd: int, folder_fd: int, name: str) -> bool:
    """False where the file system cannot; the linked file is checked to be the one we read."""
    os.fchmod(source_fd, READABLE_FILE)
    try:
        os.link(
            source.name, name, src_dir_fd=source.folder_fd, dst_dir_fd=folder_fd,
            follow_symlinks=False,
        )  # fmt: skip
    except OSError:
        return False
    linked, read = os.stat(name, dir_fd=folder_fd, follow_symlinks=False), os.fstat(source_fd)
    if (linked.st_dev, linked.st_ino) != (read.st_dev, read.st_ino):
        os.unlink(name, dir_fd=folder_fd)
        raise AttachmentError("the file was exchanged while it was read")
    return True


def _copy(source_fd: int, folder_fd: int, name: str) -> None:
    unfinished = _UNFINISHED + hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:16]
    with suppress(FileNotFoundError):
        os.unlink(unfinished, dir_fd=folder_fd)
    fd = os.open(
        unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BENEATH, READABLE_FILE, dir_fd=folder_fd
    )
    with os.fdopen(fd, "wb") as copy:
        while chunk := os.read(source_fd, CHUNK_BYTES):
            copy.write(chunk)
        copy.flush()
        os.fsync(fd)
    # We alone write here and have looked for the name just now, so nothing is overwritten.
    os.rename(unfinished, name, src_dir_fd=folder_fd, dst_dir_fd=folder_fd)


def _digest(fd: int) -> str:
    digest = hashlib.sha256()
    while chunk := os.read(fd, CHUNK_BYTES):
        digest.update(chunk)
    return digest.hexdigest()
