"""One rotating log file per session: what its containers printed, kept after they are gone.

Written on worker threads when a container has ended; a running one's output lies with the engine,
bounded there. So no thread and no connection is spent on a container that is alive, and a host that
was killed loses nothing. The text is the agent's: control characters are made harmless.
"""

import os
from datetime import datetime
from pathlib import Path

from contract.clock import to_text

MAX_FILE_BYTES = 1024 * 1024
MAX_ENTRY_BYTES = 256 * 1024
_UNPRINTABLE = "\N{REPLACEMENT CHARACTER}"
_HARMLESS = dict.fromkeys((*range(32), 127), _UNPRINTABLE) | {9: "\t", 10: "\n"}


def append_entry(path: Path, heading: str, text: bytes, now: datetime) -> None:
    """Adds the end of ``text`` under a heading. Raises OSError."""
    rotate(path)
    shown = text[-MAX_ENTRY_BYTES:].decode("utf-8", "replace").translate(_HARMLESS)
    if shown and not shown.endswith("\n"):
        shown += "\n"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        file.write(f"--- {to_text(now)} {heading}\n{shown}")


def rotate(path: Path) -> None:
    """Renames a file that has grown large; one older one is kept."""
    try:
        if path.stat().st_size >= MAX_FILE_BYTES:
            path.replace(path.with_name(path.name + ".1"))
    except FileNotFoundError:
        pass
