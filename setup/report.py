"""What a run writes down: the progress log, one raw log per step, and nothing secret in either.

Made by ``wizard`` (S-24 to S-29). ``Mask`` is asked for every text that leaves the wizard; a
secret counts also in the spellings in which programs like to repeat it.
"""

import base64
import os
import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from contract.clock import to_text, utc_now
from nanoclaw.errors import StateError

KEPT_RUNS = 5
MAX_FIELD_LETTERS = 120
MAX_RAW_BYTES = 16 * 1024 * 1024
MAX_PENDING = 64 * 1024
MIN_SECRET = 4
"""Shorter ones would blacken ordinary words."""
HIDDEN = "****"
_RAW_NAME = re.compile(r"^\d+-.+\.log$")
_CONTROL = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # colours and cursor movements
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?"  # titles and links
    r"|\x1b.|[\x00-\x09\x0b-\x1f\x7f-\x9f]"
)


def duration_text(seconds: float) -> str:
    """Of a step's entry (S-25)."""
    thousandths = round(seconds * 1000)
    return f"{thousandths}ms" if thousandths < 1000 else f"{seconds:.1f}s"


def elapsed_text(seconds: float) -> str:
    """On the screen and in the footer (S-23)."""
    whole = int(seconds)
    return f"{whole}s" if whole < 60 else f"{whole // 60}m {whole % 60}s"


def raw_log_name(present: Iterable[str], step: str) -> str:
    number = sum(1 for name in present if _RAW_NAME.match(name)) + 1
    return f"{number:02d}-{re.sub(r'[^a-z0-9-]', '-', step.lower())}.log"


def masked(secret: str) -> str:
    """What an answer's entry shows of a secret: at most its ends, of a short one nothing."""
    return f"{secret[:4]}…{secret[-4:]}" if len(secret) >= 24 else "…"


def without_controls(text: str) -> str:
    """Text of other programs, fit for a terminal: no escape sequences, no control characters."""
    return _CONTROL.sub("", text.replace("\t", " "))


class Mask:
    """Replaces secrets in texts; grows with the answers."""

    def __init__(self) -> None:
        self._spellings: tuple[str, ...] = ()

    def add(self, secret: str) -> None:
        found = set(self._spellings)
        for part in (secret, *secret.splitlines()):
            if len(part.strip()) < MIN_SECRET:
                continue
            plain = part.strip()
            coded = base64.b64encode(plain.encode()).decode()
            found |= {part, plain, quote(plain, safe=""), coded, repr(plain)[1:-1]}
            found.add(plain.replace("\\", "\\\\").replace('"', '\\"'))
        self._spellings = tuple(sorted(found, key=len, reverse=True))

    def hide(self, text: str) -> str:
        for spelling in self._spellings:
            text = text.replace(spelling, HIDDEN)
        return text

    def hide_all(self, fields: Mapping[str, str]) -> dict[str, str]:
        return {key: self.hide(value) for key, value in fields.items()}


class RawLog:
    """One step's file. Pieces are kept until their line ends, so that no secret slips through
    in two halves."""

    def __init__(self, file: Path, step: str, mask: Mask) -> None:
        self.file = file
        self._mask = mask
        self._pending = ""
        self._written = 0
        fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._opened = os.fdopen(fd, "w", encoding="utf-8", errors="replace")
        self._put(f"# {step} — {to_text(utc_now())}\n\n")

    def write(self, text: str) -> None:
        lines = (self._pending + text).split("\n")
        self._pending = lines.pop()
        if lines:
            self._put("\n".join(lines) + "\n")
        if len(self._pending) > MAX_PENDING:
            self._put(self._pending + "\n")
            self._pending = ""

    def line(self, text: str) -> None:
        self.write(text if text.endswith("\n") else text + "\n")

    def close(self) -> None:
        if self._pending:
            self._put(self._pending + "\n")
            self._pending = ""
        self._opened.close()

    def _put(self, text: str) -> None:
        if self._opened.closed or self._written > MAX_RAW_BYTES:
            return  # a step that was given up still talks; or it talks too much
        text = self._mask.hide(text)
        self._written += len(text.encode("utf-8", "replace"))
        if self._written > MAX_RAW_BYTES:
            text = f"(more than {MAX_RAW_BYTES} bytes; the rest is not kept)\n"
        self._opened.write(text)
        self._opened.flush()


@dataclass(frozen=True, slots=True)
class Entry:
    """One step's line in the progress log."""

    step: str
    status: str
    started_at: str
    seconds: float
    fields: Mapping[str, str]
    raw: Path | None = None


class Report:
    """The logs of one run below ``logs/``."""

    def __init__(self, logs: Path, mask: Mask) -> None:
        self.log_file = logs / "setup.log"
        self.raw_folder = logs / "setup-steps"
        self._mask = mask

    def begin(self, header: Mapping[str, str], *, fresh: bool) -> None:
        """A fresh run moves the earlier ones aside; a continued one goes on in their files."""
        try:
            if fresh:
                self._rotate(self.log_file)
                self._rotate(self.raw_folder)
            self.raw_folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise StateError(
                f"cannot write in {self.log_file.parent}: {error.strerror or error}; make room"
            ) from error
        word = "started" if fresh or not self.log_file.exists() else "continued"
        lines = [f"  {key}: {value}" for key, value in header.items()]
        self._append("\n".join([f"## {to_text(utc_now())} · setup:auto {word}", *lines, "", ""]))

    def open_raw(self, step: str) -> RawLog:
        name = raw_log_name((file.name for file in self.raw_folder.iterdir()), step)
        return RawLog(self.raw_folder / name, step, self._mask)

    def step(self, entry: Entry) -> None:
        took = duration_text(entry.seconds)
        lines = [f"=== [{entry.started_at}] {entry.step} [{took}] → {entry.status} ==="]
        for key, value in entry.fields.items():
            text = " ".join(value.split())
            if text and len(text) <= MAX_FIELD_LETTERS and key.upper() not in ("STATUS", "LOG"):
                lines.append(f"  {key.lower()}: {text}")
        if entry.raw is not None:
            lines.append(f"  raw: logs/setup-steps/{entry.raw.name}")
        self._append("\n".join([*lines, "", ""]))

    def answer(self, key: str, value: str, *, secret: bool) -> None:
        shown = masked(value) if secret else self._mask.hide(" ".join(value.split()))
        self._append(f"=== [{to_text(utc_now())}] user-input → {key} ===\n  value: {shown}\n\n")

    def completed(self, seconds: float) -> None:
        total = elapsed_text(seconds).replace(" ", "")
        self._append(f"## {to_text(utc_now())} · completed (total {total})\n")

    def aborted(self, step: str, reason: str) -> None:
        self._append(f"## {to_text(utc_now())} · aborted at {step} ({' '.join(reason.split())})\n")

    def _append(self, text: str) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        try:
            fd = os.open(self.log_file, flags, 0o600)
            with os.fdopen(fd, "w", encoding="utf-8", errors="replace") as opened:
                opened.write(self._mask.hide(text))
        except OSError as error:
            reason = error.strerror or error
            raise StateError(f"cannot write {self.log_file}: {reason}; make room there") from error

    @staticmethod
    def _rotate(path: Path) -> None:
        if not path.exists():
            return
        kept = [path, *(path.with_name(f"{path.name}.{n}") for n in range(1, KEPT_RUNS + 1))]
        if kept[-1].is_dir():
            shutil.rmtree(kept[-1])
        else:
            kept[-1].unlink(missing_ok=True)
        for older, newer in zip(reversed(kept), reversed(kept[:-1]), strict=False):
            if newer.exists():
                newer.rename(older)
