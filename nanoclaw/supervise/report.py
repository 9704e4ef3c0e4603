"""What a child tells its supervisor: short JSON lines through a pipe.

Written by ``child``, read by ``worker_process``. A line is shorter than a pipe's atomic write, so
a child that is killed in the middle leaves no half line; the reader is bounded and skips what it
does not understand. Plain data only: a child is never trusted with code in its supervisor.
"""

import contextlib
import json
import os
from dataclasses import dataclass
from typing import assert_never

MAX_TEXT = 600
MAX_KEY = 64
"""With the longest escapes (six bytes for one character) a line stays below 4,096 bytes, which is
what Linux writes to a pipe in one piece."""
MAX_UNREAD_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Ready:
    """The child accepts work."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why the child is about to end, in words for the user."""

    text: str


@dataclass(frozen=True, slots=True)
class Note:
    """A fact worth showing in the status, such as ``watch`` = ``polling``."""

    key: str
    value: str


Report = Ready | Reason | Note


def dump_report(report: Report) -> bytes:
    fields: dict[str, str]
    match report:
        case Ready():
            fields = {"t": "ready"}
        case Reason(text):
            fields = {"t": "reason", "text": text[:MAX_TEXT]}
        case Note(key, value):
            fields = {"t": "note", "key": key[:MAX_KEY], "value": value[:MAX_TEXT]}
        case _:
            assert_never(report)
    return json.dumps(fields, ensure_ascii=False).encode(errors="replace") + b"\n"


def parse_report(line: bytes) -> Report | None:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict):
        return None
    text, key, value = fields.get("text"), fields.get("key"), fields.get("value")
    match fields.get("t"):
        case "ready":
            return Ready()
        case "reason" if isinstance(text, str):
            return Reason(text[:MAX_TEXT])
        case "note" if isinstance(key, str) and isinstance(value, str):
            return Note(key[:MAX_KEY], value[:MAX_TEXT])
    return None


class ReportReader:
    """The supervisor's end of the pipe; never blocks."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._unread = b""
        os.set_blocking(fd, False)

    def read(self) -> tuple[list[Report], bool]:
        """Reports that have arrived, and whether the other end is still open."""
        is_open = True
        while True:
            try:
                data = os.read(self._fd, 4096)
            except BlockingIOError:
                break
            if not data:
                is_open = False
                break
            self._unread = (self._unread + data)[-MAX_UNREAD_BYTES:]
        *lines, self._unread = self._unread.split(b"\n")
        reports = (parse_report(line) for line in lines)
        return [report for report in reports if report is not None], is_open


def write_report(fd: int, report: Report) -> None:
    """Never raises: a supervisor that is gone is noticed elsewhere."""
    with contextlib.suppress(OSError):
        os.write(fd, dump_report(report))
