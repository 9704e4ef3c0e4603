"""Log lines of the runner: standard error, and a small file that outlives the container.

Set up once by ``program``. One line per event, component in brackets, then key=value in
a fixed order (R-1, R-2). The file is ours and not the library's rotating handler, whose import
costs more than the rest of logging on the way to the first answer.
"""

import logging
import os
import sys
from pathlib import Path

from contract.clock import to_text, utc_now

LOG_BYTES = 2 * 1024 * 1024
MAX_LINE = 4000
KEYS = ("channel", "session", "message", "attempt", "ms", "count", "reason")
"""``extra`` keys, in the order in which a line shows them."""

_FIELDS = {f"nc_{key}": key for key in KEYS}


def fields(**values: object) -> dict[str, object]:
    """``extra=fields(reason=...)``: prefixed, because logging reserves some of the words."""
    return {f"nc_{key}": value for key, value in values.items()}


def set_up_logging(path: Path, *, verbose: bool = False) -> None:
    """Never fails: without the file there is still standard error."""
    root = logging.getLogger()
    root.setLevel(logging.DEBUG if verbose else logging.INFO)
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    try:
        handlers.append(RotatingFile(path))
    except OSError as error:
        print(f"[runner] no log file: {error}", file=sys.stderr)  # noqa: T201 nothing else is up
    for handler in handlers:
        handler.setFormatter(LineFormatter())
        root.addHandler(handler)


class LineFormatter(logging.Formatter):
    """``time LEVEL [component] message key=value``."""

    def format(self, record: logging.LogRecord) -> str:
        parts = [
            to_text(utc_now()),
            record.levelname,
            f"[{record.name.removeprefix('runner.')}]",
            record.getMessage(),
        ]
        for attribute, key in _FIELDS.items():
            value = getattr(record, attribute, None)
            if value is not None:
                parts.append(f"{key}={_one_line(str(value))}")
        line = " ".join(parts)
        if record.exc_info:
            line = f"{line}\n{self.formatException(record.exc_info)}"
        return line[:MAX_LINE]


class RotatingFile(logging.Handler):
    """Two files of 2 MB: ``runner.log`` and the one before it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = path
        self._fd, self._size = self._open()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            data = (self.format(record) + "\n").encode(errors="replace")
            if self._size + len(data) > LOG_BYTES:
                self._rotate()
            self._size += os.write(self._fd, data)
        except OSError:
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 the library's name
        """A full disk must not end a turn; standard error has the line."""

    def close(self) -> None:
        os.close(self._fd)
        super().close()

    def _open(self) -> tuple[int, int]:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(self._path, flags, 0o600)
        return fd, os.fstat(fd).st_size

    def _rotate(self) -> None:
        self._path.replace(self._path.with_suffix(".log.1"))
        old = self._fd
        self._fd, self._size = self._open()
        os.close(old)


def _one_line(text: str) -> str:
    return text if text.isprintable() else ascii(text)[1:-1]
