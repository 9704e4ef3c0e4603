"""Puts a prepared copy of the data in the place of the old: decided once, then always finished.

``nanoclaw.backup`` prepares a complete copy beside the data and calls ``decide``; from the moment
its file is on the disk the new data is the truth, and ``finish`` moves what is still to be moved,
however often it is interrupted. A starting host calls it before it touches anything, so nobody
ever works on a mixture.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from contract.durable import sync_folder
from contract.errors import BadContent
from contract.jsontext import dump, parse_object
from contract.killpoint import reached
from nanoclaw.errors import StateError
from nanoclaw.paths import HostPaths

FILE = "switchover.json"
MAX_BYTES = 10_000


def decide(paths: HostPaths, prepared: Path, aside: Path, names: Sequence[str]) -> None:
    """From here on ``names`` in the home are those of ``prepared``; the old ones go ``aside``.

    All three are folders directly in the home, so that each move is one rename.
    """
    aside.mkdir(mode=0o700)
    temporary = paths.home / f"{FILE}.new"
    text = dump({"prepared": prepared.name, "aside": aside.name, "names": list(names)})
    with temporary.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    sync_folder(paths.home)
    temporary.rename(paths.home / FILE)
    sync_folder(paths.home)
    reached("backup.decided")


def finish(paths: HostPaths) -> bool:
    """False when nothing was decided. Only with the host's lock held. Raises StateError."""
    path = paths.home / FILE
    try:
        text = path.read_text()
    except FileNotFoundError:
        return False
    try:
        value: Mapping[str, Any] = parse_object(text, max_bytes=MAX_BYTES)
        prepared, aside = (
            paths.home / _plain(value["prepared"]),
            paths.home / _plain(value["aside"]),
        )
        names = [_plain(name) for name in value["names"]]
    except (BadContent, KeyError, TypeError, ValueError) as error:
        raise StateError(
            f"{path} cannot be read ({error}); a restore was interrupted. Run "
            "`nanoclaw backup restore` again, or remove the file to stay with what is there"
        ) from error
    for name in names:
        _move(paths.home, prepared, aside, name)
    if prepared.is_dir():
        prepared.rmdir()
    path.unlink()
    sync_folder(paths.home)
    reached("backup.switched")
    return True


def _move(home: Path, prepared: Path, aside: Path, name: str) -> None:
    """Each step leaves a state from which the same step goes on."""
    new, current, old = prepared / name, home / name, aside / name
    if not os.path.lexists(new):
        return  # moved before
    if os.path.lexists(current):
        current.rename(old)
        sync_folder(aside)
        sync_folder(home)
        reached("backup.moved_aside")
    new.rename(current)
    sync_folder(home)
    reached("backup.moved_in")


def _plain(name: object) -> str:
    if not isinstance(name, str) or "/" in name or name in ("", ".", ".."):
        raise ValueError(f"{name!r} is no plain name")
    return name
