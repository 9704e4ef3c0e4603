"""Writes a file of a session's ``in`` folder: whole or not at all, readable for the agent's user.

Used by ``materialize`` and ``instructions``. ``in`` belongs to the host alone, so plain paths are
safe there; a dying runner may still be reading the old file while the new one takes its name.
"""

import os
from pathlib import Path

_FILE_MODE = 0o644
"""The agent's user reads them; the folders above keep everybody else out."""


def write_file(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.new")
    fd = os.open(
        temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, _FILE_MODE
    )
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        os.fchmod(fd, _FILE_MODE)
        file.write(text)
    temporary.replace(path)
