"""Writes one archive in bounded memory: members first, the manifest before them afterwards.

Called by ``create``. A gzip file may consist of several streams, so the members are written to a
temporary file while they are hashed, and the finished archive is three streams one after the
other: the manifest, the members, and an end of fixed length with the hash of all before it.
"""

import gzip
import hashlib
import os
import shutil
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from contract.durable import sync_folder
from contract.jsontext import dump
from contract.killpoint import reached
from nanoclaw.backup.manifest import END, HOME, MANIFEST, Manifest, Member

BLOCK = 512
CHUNK = 1024 * 1024
LEVEL = 6
END_BYTES = len(gzip.compress(b"\0" * 4 * BLOCK, 0, mtime=0))
"""Of the last stream: header, one block of JSON, two empty blocks, stored as they are."""

Progress = Callable[[str, int], None]
"""Called with the name of what was written and the bytes so far."""


class BodyWriter:
    """The members, each read once; what it has written stands in the manifest."""

    def __init__(self, path: Path, manifest: Manifest, progress: Progress) -> None:
        self.manifest = manifest
        self._file = path.open("wb")
        self._gzip = gzip.GzipFile(fileobj=self._file, mode="wb", compresslevel=LEVEL, mtime=0)
        self._progress = progress
        self._bytes = 0

    def folder(self, name: str, found: os.stat_result) -> None:
        info = _info(HOME + name, found)
        info.type = tarfile.DIRTYPE
        self._gzip.write(info.tobuf(tarfile.PAX_FORMAT))

    def file(self, name: str, found: os.stat_result, source: BinaryIO, size: int) -> None:
        """Exactly ``size`` bytes: one that grows is cut there, one that shrinks gets zeros."""
        info = _info(HOME + name, found)
        info.size = size
        self._gzip.write(info.tobuf(tarfile.PAX_FORMAT))
        hashed = hashlib.sha256()
        left = size
        while left:
            chunk = source.read(min(left, CHUNK)) or b"\0" * min(left, CHUNK)
            hashed.update(chunk)
            self._gzip.write(chunk)
            left -= len(chunk)
        self._gzip.write(b"\0" * (-size % BLOCK))
        self.manifest.members.append(Member(name, size, hashed.hexdigest()))
        self._bytes += size
        self._progress(name, self._bytes)

    def close(self) -> None:
        self._gzip.close()
        self._file.close()


def assemble(manifest: Manifest, body: Path, target: Path) -> None:
    """The finished archive at ``target``, durable before it has that name; ``body`` goes.

    The caller has seen that the name is free, and holds the folder's lock.
    """
    temporary = body.with_name("archive")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with os.fdopen(os.open(temporary, flags, 0o600), "wb") as file:
        hashing = _Hashing(file)
        text = manifest.to_json()
        block = _member(MANIFEST, text)
        hashing.write(gzip.compress(block, LEVEL, mtime=0))
        with body.open("rb") as source:
            shutil.copyfileobj(source, hashing, CHUNK)
        end = dump({"bytes": hashing.count, "sha256": hashing.digest()}).encode().ljust(BLOCK)
        file.write(gzip.compress(_member(END, end) + b"\0" * 2 * BLOCK, 0, mtime=0))
        file.flush()
        os.fsync(file.fileno())
    body.unlink()
    reached("backup.written")
    temporary.rename(target)
    sync_folder(target.parent)
    reached("backup.placed")


class _Hashing:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self.count = 0

    def write(self, data: bytes) -> int:
        self._hash.update(data)
        self.count += len(data)
        return self._file.write(data)

    def digest(self) -> str:
        return self._hash.hexdigest()


def _member(name: str, data: bytes) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), 0o600
    return info.tobuf(tarfile.USTAR_FORMAT) + data + b"\0" * (-len(data) % BLOCK)


def _info(name: str, found: os.stat_result) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.mode = found.st_mode & 0o777
    info.uid, info.gid = found.st_uid, found.st_gid
    info.mtime = int(found.st_mtime)
    return info


DAMAGED = (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile)
"""What reading such a file raises when it is not whole."""
