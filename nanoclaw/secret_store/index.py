"""The small file beside the secrets: names, kinds and times, no values and no lengths.

Written by ``store`` under its lock, whole and renamed into place. A file that cannot be understood
is refused with its name; it can be removed without losing a secret that lies in a file.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from contract.clock import parse_text, to_text
from nanoclaw.paths import make_private_folder
from nanoclaw.secret_store.entries import Kind, SecretError, is_name
from nanoclaw.secret_store.private_file import Stamp, read_private, stamp_of, write_private

FILE_NAME = ".index.json"
MAX_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Entry:
    kind: Kind
    created_at: datetime
    rotated_at: datetime


class Index:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / FILE_NAME
        self._seen: Stamp | None = None
        self._entries: dict[str, Entry] = {}

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One writer at a time; readers need no lock."""
        make_private_folder(self._folder)
        fd = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with suppress(OSError):  # a file system without such locks
                fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def read(self) -> Mapping[str, Entry]:
        """Raises SecretError for a file that is not ours."""
        stamp = stamp_of(self._path)
        if stamp is None:
            self._seen, self._entries = None, {}
        elif stamp != self._seen:
            text = read_private(self._path, MAX_BYTES)
            try:
                self._entries = _parse(text or "{}")
            except (ValueError, TypeError, KeyError, AttributeError):
                raise SecretError(
                    f"{self._path} is damaged; remove it (it holds names and times, no secrets)"
                ) from None
            self._seen = stamp
        return self._entries

    def write(self, entries: Mapping[str, Entry]) -> None:
        value = {
            "version": 1,
            "secrets": {
                name: {
                    "kind": entry.kind.value,
                    "createdAt": to_text(entry.created_at),
                    "rotatedAt": to_text(entry.rotated_at),
                }
                for name, entry in sorted(entries.items())
            },
        }
        write_private(self._path, json.dumps(value, indent=1) + "\n")

    def stamp(self) -> tuple[object, ...]:
        return stamp_of(self._path) or ()


def _parse(text: str) -> dict[str, Entry]:
    secrets = json.loads(text).get("secrets", {})
    return {
        name: Entry(Kind(item["kind"]), _time(item["createdAt"]), _time(item["rotatedAt"]))
        for name, item in secrets.items()
        if is_name(name)
    }


def _time(text: object) -> datetime:
    moment = parse_text(text)
    if moment is None:
        raise ValueError("no time")
    return moment
