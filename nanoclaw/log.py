"""Logging of every host process: one line per event, key=value, into one rotated file.

All processes append whole lines to ``logs/nanoclaw.log``; only the supervisor rotates it, and
the others notice the rename before their next line. The fixed order of keys lets people and
tools read lines alike. Message text and secrets are never passed to a logger.
"""

import logging
import sys
from logging.handlers import WatchedFileHandler
from pathlib import Path

from contract.clock import to_text, utc_now
from nanoclaw.config import HostConfig

KEYS = (
    "channel", "session", "group", "message_id", "container", "child", "model", "status", "tokens",
    "attempt", "count", "ms", "reason",
)  # fmt: skip
LOG_NAME = "nanoclaw.log"
MAX_LOG_BYTES = 10 * 1024 * 1024
KEPT_LOGS = 5


class LineFormatter(logging.Formatter):
    """``<UTC time> LEVEL process message key=value ...``; values with blanks are quoted."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        parts = [to_text(utc_now()), record.levelname, self._process, record.getMessage()]
        for key in KEYS:
            value = record.__dict__.get(key)
            if value is not None:
                parts.append(f"{key.removesuffix('_id')}={_quoted(str(value))}")
        line = " ".join(parts)
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


def _quoted(value: str) -> str:
    value = value.replace("\n", "\\n").replace("\r", "\\r")
    return f'"{value}"' if " " in value or not value else value


def setup_logging(config: HostConfig, process: str, *, to_stderr: bool = False) -> None:
    """Sends this process's log lines to the common file, and to standard error if asked."""
    handlers: list[logging.Handler] = [
        WatchedFileHandler(config.paths.logs / LOG_NAME, encoding="utf-8", errors="replace")
    ]
    if to_stderr:
        handlers.append(logging.StreamHandler(sys.stderr))
    for handler in handlers:
        handler.setFormatter(LineFormatter(process))
    logging.basicConfig(level=config.log_level.value.upper(), handlers=handlers, force=True)
    logging.raiseExceptions = False  # a full disk must not turn each log line into a traceback


def rotate_log(folder: Path) -> bool:
    """Renames a log file that has grown too large; called by the supervisor only."""
    current = folder / LOG_NAME
    try:
        if current.stat().st_size < MAX_LOG_BYTES:
            return False
        for number in range(KEPT_LOGS - 1, 0, -1):
            older = folder / f"{LOG_NAME}.{number}"
            if older.exists():
                older.replace(folder / f"{LOG_NAME}.{number + 1}")
        current.replace(folder / f"{LOG_NAME}.1")
    except OSError:
        return False
    return True
