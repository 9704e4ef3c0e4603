"""Secrets as files: ``secrets/<name>``, mode 0600, in a folder that nobody else may enter.

A ``backends.Backend``. A file may also be put there by hand; it counts at once. Values are kept in
memory for as long as their file is unchanged.
"""

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from nanoclaw.secret_store.entries import MAX_SECRET_BYTES, SecretError, is_name
from nanoclaw.secret_store.private_file import (
    Stamp,
    problem_of,
    read_private,
    remove_leftovers,
    stamp_from,
    stamp_of,
    sync_folder,
    write_private,
)


@dataclass(slots=True)
class _Seen:
    stamp: Stamp
    value: str = field(repr=False)


class FileBackend:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: dict[str, _Seen] = {}

    def get(self, name: str) -> str | None:
        """One that cannot be used is read again each time: its owner may be correcting it."""
        path = self._folder / name
        stamp = stamp_of(path)
        seen = self._seen.get(name)
        if seen is not None and seen.stamp == stamp:
            return seen.value
        self._seen.pop(name, None)
        self._check_folder()
        text = read_private(path, MAX_SECRET_BYTES)
        if text is None:
            return None
        if stamp is not None:
            self._seen[name] = _Seen(stamp, text.strip())
        return text.strip()

    def put(self, name: str, value: str) -> None:
        remove_leftovers(self._folder)
        path = self._folder / name
        if path.is_dir():
            raise SecretError(f"{path} is a folder; move it away")
        self._check_folder()
        write_private(path, value + "\n")
        self._seen.pop(name, None)

    def remove(self, name: str) -> bool:
        self._seen.pop(name, None)
        path = self._folder / name
        try:
            path.unlink()
            sync_folder(self._folder)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise SecretError(f"{path} cannot be removed: {error.strerror or error}") from None
        return True

    def names(self) -> dict[str, datetime]:
        return {
            entry.name: datetime.fromtimestamp(found.st_mtime, UTC)
            for entry, found in self._files()
        }

    def problem(self, name: str) -> str | None:
        path = self._folder / name
        try:
            found = path.lstat()
        except OSError as error:
            return f"{path} cannot be read: {error.strerror or error}"
        return problem_of(path, found)

    def where(self, name: str) -> str:
        return str(self._folder / name)

    def stamp(self) -> tuple[object, ...]:
        return tuple((entry.name, stamp_from(found)) for entry, found in self._files())

    def _files(self) -> list[tuple[os.DirEntry[str], os.stat_result]]:
        found = []
        try:
            with os.scandir(self._folder) as entries:
                for entry in entries:
                    if is_name(entry.name) and not entry.is_dir(follow_symlinks=False):
                        found.append((entry, entry.stat(follow_symlinks=False)))
        except OSError:
            return []  # no folder yet, or one that changes under our hands: the next look sees it
        return sorted(found, key=lambda item: item[0].name)

    def _check_folder(self) -> None:
        """The folder's mode is what keeps others from replacing a file."""
        try:
            found = self._folder.stat()
        except OSError:
            return
        if found.st_mode & 0o077:
            raise SecretError(
                f"{self._folder} can be entered by others; run: chmod 700 {self._folder}"
            )
