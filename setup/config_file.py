"""Sets one key of config.toml and leaves everything else in it as its owner wrote it.

Used by steps. The new text is read back before it replaces the file: if anything but the one
key would change, nothing is written and the error says what to write by hand.
"""

import json
import os
import re
import tomllib
from pathlib import Path

from contract.durable import sync_folder
from nanoclaw.errors import ConfigError


def set_key(file: Path, key: str, value: str | int | bool) -> None:
    """Durable; mode 0600 for a new file. Raises ConfigError."""
    try:
        text = file.read_text(encoding="utf-8") if file.exists() else ""
        before = tomllib.loads(text)
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot change {file}: {error}; correct it first") from error
    changed = changed_text(text, key, value)
    try:
        good = tomllib.loads(changed) == {**before, key: value}
    except tomllib.TOMLDecodeError:
        good = False
    if not good:
        raise ConfigError(f"{file} is written in a way that is not changed by program; "
                          f"put this line at its top: {_line(key, value)}")  # fmt: skip
    if changed != text:
        _replace(file, changed)


def changed_text(text: str, key: str, value: str | int | bool) -> str:
    """The key's line replaced, or a new one in front of the first table."""
    lines = text.splitlines()
    first_table = next(
        (number for number, line in enumerate(lines) if line.lstrip().startswith("[")), len(lines)
    )
    there = re.compile(rf"\s*{re.escape(key)}\s*=")
    for number in range(first_table):
        if there.match(lines[number]):
            lines[number] = _line(key, value)
            break
    else:
        lines.insert(first_table, _line(key, value))
    return "\n".join(lines) + "\n"


def _line(key: str, value: str | int | bool) -> str:
    return f"{key} = {json.dumps(value)}"


def _replace(file: Path, text: str) -> None:
    temporary = file.with_name(file.name + ".new")
    try:
        mode = file.stat().st_mode & 0o777 if file.exists() else 0o600
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
        with os.fdopen(fd, "w", encoding="utf-8") as opened:
            opened.write(text)
            opened.flush()
            os.fsync(fd)
        temporary.rename(file)
        sync_folder(file.parent)
    except OSError as error:
        raise ConfigError(f"cannot write {file}: {error.strerror or error}") from error
