"""Reads an archive with suspicion: a quick look, a full check, and unpacking.

Called by ``catalog``, ``restore`` and the drill. A file is a backup only when its end names its
length and its hash; a member is unpacked only when the manifest lists it with that size, under a
safe name, as a plain file or folder. So nothing is written outside the target, and no more than
the manifest says. Raises BackupError.
"""

import gzip
import hashlib
import os
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO

from contract.durable import sync_folder
from contract.errors import BadContent
from contract.jsontext import parse_object
from nanoclaw.backup.manifest import (
    END,
    HOME,
    MANIFEST,
    MAX_MANIFEST_BYTES,
    BackupError,
    Manifest,
    checked_name,
    read_manifest,
)
from nanoclaw.backup.writing import BLOCK, CHUNK, DAMAGED, END_BYTES

MAX_FOLDERS = 500_000


def quick_look(path: Path) -> Manifest:
    """Manifest and end are there and the length is right; the contents are not read."""
    with _opened(path) as file:
        _read_end(path, file)
        file.seek(0)
        with _archive(path, file) as archive:
            return _read_manifest(path, archive)


def verify(path: Path) -> Manifest:
    """Reads every byte: the hash of the whole, and size and hash of each member."""
    with _opened(path) as file:
        length, digest = _read_end(path, file)
        file.seek(0)
        hashed = hashlib.sha256()
        left = length
        while left and (chunk := file.read(min(left, CHUNK))):
            hashed.update(chunk)
            left -= len(chunk)
        if hashed.hexdigest() != digest:
            raise _damaged(path, "its hash is another one")
    return _walk(path, None)


def unpack(path: Path, target: Path) -> Manifest:
    """Everything below ``target``, checked like ``verify`` and synced."""
    target.mkdir(mode=0o700)
    manifest = _walk(path, target)
    sync_folder(target)
    return manifest


def _walk(path: Path, target: Path | None) -> Manifest:
    with _opened(path) as file, _archive(path, file) as archive:
        manifest = _read_manifest(path, archive)
        wanted = {member.name: member for member in manifest.members}
        if len(wanted) != len(manifest.members):
            raise _damaged(path, "its manifest names a file twice")
        folders = 0
        while (info := archive.next()) is not None and info.name != END:
            archive.members.clear()  # type: ignore[attr-defined]  # it would keep all of them
            if not info.name.startswith(HOME):
                raise _damaged(path, f"{info.name!r} does not belong into it")
            name = checked_name(info.name.removeprefix(HOME))
            if info.isdir():
                folders += 1
                if folders > MAX_FOLDERS:
                    raise _damaged(path, "too many folders")
                _make_folder(target, name, _owned(info, manifest))
                continue
            member = wanted.pop(name, None)
            source = archive.extractfile(info) if info.isreg() else None
            if source is None or member is None or member.size != info.size:
                raise _damaged(path, f"{name} is not what the manifest says")
            if _copy(source, target, name, _owned(info, manifest)) != member.sha256:
                raise _damaged(path, f"the contents of {name} have changed")
        if wanted:
            raise _damaged(path, f"{next(iter(wanted))} is missing")
    return manifest


def _make_folder(target: Path | None, name: str, info: tarfile.TarInfo) -> None:
    if target is None:
        return
    folder = target / name
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod((info.mode & 0o777) | 0o700)
    _hand_over(folder, info)


def _copy(source: IO[bytes], target: Path | None, name: str, info: tarfile.TarInfo) -> str:
    hashed = hashlib.sha256()
    if target is None:
        while chunk := source.read(CHUNK):
            hashed.update(chunk)
        return hashed.hexdigest()
    path = target / name
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
        while chunk := source.read(CHUNK):
            hashed.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
        os.fchmod(file.fileno(), info.mode & 0o777)
        os.utime(file.fileno(), (info.mtime, info.mtime))
    _hand_over(path, info)
    return hashed.hexdigest()


def _owned(info: tarfile.TarInfo, manifest: Manifest) -> tarfile.TarInfo:
    """What was the host's is the host's again, under whatever number it runs now."""
    if info.uid == manifest.uid:
        info.uid, info.gid = os.getuid(), os.getgid()
    return info


def _hand_over(path: Path, info: tarfile.TarInfo) -> None:
    """Only root may give files away; else everything belongs to who restores."""
    if os.getuid() == 0:
        os.chown(path, info.uid, info.gid, follow_symlinks=False)


def _read_manifest(path: Path, archive: tarfile.TarFile) -> Manifest:
    info = archive.next()
    if info is None or info.name != MANIFEST or not info.isreg():
        raise _damaged(path, "it does not begin with a manifest")
    if info.size > MAX_MANIFEST_BYTES:
        raise _damaged(path, f"a manifest of {info.size} bytes")
    source = archive.extractfile(info)
    assert source is not None
    try:
        value = parse_object(source.read().decode(), max_bytes=MAX_MANIFEST_BYTES)
    except (BadContent, UnicodeDecodeError) as error:
        raise _damaged(path, f"its manifest cannot be read: {error}") from None
    return read_manifest(value, str(path))


def _read_end(path: Path, file: BinaryIO) -> tuple[int, str]:
    """Length and hash of everything before the end."""
    size = os.fstat(file.fileno()).st_size
    if size <= END_BYTES:
        raise _damaged(path, "it is too short")
    file.seek(size - END_BYTES)
    try:
        block = gzip.decompress(file.read(END_BYTES))[BLOCK : 2 * BLOCK]
        value: Mapping[str, Any] = parse_object(block.decode().strip(), max_bytes=BLOCK)
        length, digest = int(value["bytes"]), str(value["sha256"])
    except (*DAMAGED, BadContent, KeyError, TypeError, ValueError, OSError) as error:
        raise _damaged(path, f"its end is missing ({error})") from None
    if length != size - END_BYTES:
        raise _damaged(path, f"{size - END_BYTES} bytes instead of {length}")
    return length, digest


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(fd, "rb") as file:
            yield file
    except IsADirectoryError:
        raise BackupError(f"{path} is a folder; name the file of a backup") from None
    except FileNotFoundError:
        raise BackupError(
            f"there is no {path}; `nanoclaw backup list` shows what there is"
        ) from None
    except PermissionError as error:
        raise BackupError(f"cannot read {path}: {error.strerror}; run as its owner") from None


@contextmanager
def _archive(path: Path, file: BinaryIO) -> Iterator[tarfile.TarFile]:
    try:
        with (
            gzip.GzipFile(fileobj=file, mode="rb") as plain,
            tarfile.open(fileobj=plain, mode="r|") as archive,
        ):
            yield archive
    except DAMAGED as error:
        raise _damaged(path, str(error)) from error


def _damaged(path: Path, detail: str) -> BackupError:
    return BackupError(
        f"{path} is damaged or no backup: {detail}; take another one (`nanoclaw backup list`)"
    )
