"""The newest row of the audit trail, remembered outside the database, so that a cut end is noticed.

A chain shows what was altered inside it; rows that are missing at its end it cannot show. The sweep
keeps number and hash of the newest row in a file now and then, and ``ncl audit verify`` compares. A
file that says more than the database is never overwritten: it is the evidence.
"""

import logging
import os
import sqlite3
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from contract.clock import to_text
from contract.durable import sync_folder
from contract.errors import BadContent
from contract.jsontext import dump, parse_object
from nanoclaw.db import audit
from nanoclaw.paths import make_private_folder

FILE_NAME = "head.json"
MAX_BYTES = 4096
FILE_MODE = 0o600

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Head:
    seq: int
    hash: str


def keep(conn: sqlite3.Connection, folder: Path, now: datetime) -> bool:
    """False when the trail is shorter than, or not the same as, what was kept before.

    Raises OSError.
    """
    bad = first_missing(conn, folder)
    if bad is not None:
        log.error("the audit has lost rows", extra={"reason": f"row {bad}; see ncl audit verify"})
        return False
    newest = _newest(conn)
    if newest is not None and newest != _read(folder):
        _write(folder, newest, now)
        log.info("audit head kept", extra={"reason": f"row {newest.seq} {newest.hash}"})
    return True


def first_missing(conn: sqlite3.Connection, folder: Path) -> int | None:
    """The first row that is gone, or the kept one where it is another now; None: all is there."""
    head = _read(folder)
    if head is None:
        return None
    newest = _newest(conn)
    if newest is None or newest.seq < head.seq:
        return (newest.seq if newest is not None else 0) + 1
    rows = audit.after(conn, head.seq - 1, 1)
    if rows and rows[0].seq == head.seq and rows[0].hash != head.hash:
        return head.seq
    return None


def _newest(conn: sqlite3.Connection) -> Head | None:
    row = audit.last(conn)
    if row is not None:
        return Head(row.seq, row.hash)
    anchor = audit.last_anchor(conn)
    return None if anchor is None else Head(anchor.seq, anchor.hash)


def _read(folder: Path) -> Head | None:
    """None for a file that is not there or says nothing: it was written whole or not at all."""
    try:
        with (folder / FILE_NAME).open("rb") as file:
            value = parse_object(file.read(MAX_BYTES).decode(), max_bytes=MAX_BYTES)
    except (OSError, BadContent, UnicodeDecodeError):
        return None
    seq, digest = value.get("seq"), value.get("hash")
    if not isinstance(seq, int) or not isinstance(digest, str):
        return None
    return Head(seq, digest)


def _write(folder: Path, head: Head, now: datetime) -> None:
    make_private_folder(folder)
    temporary = folder / f"{FILE_NAME}.new"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(temporary, flags, FILE_MODE), "wb") as file:
        text = dump({"seq": head.seq, "hash": head.hash, "at": to_text(now)})
        file.write(text.encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(folder / FILE_NAME)
    sync_folder(folder)
