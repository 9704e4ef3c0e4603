"""The resume file on the disk and the lock that keeps two wizards off one home folder.

Used by ``wizard`` only. The file is replaced in one rename, so a killed run leaves the state
before or after a step and never half of one.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from contract.durable import sync_folder
from contract.errors import BadContent
from nanoclaw.errors import ConfigError, StateError
from nanoclaw.paths import HostPaths, make_private_folder
from setup.state import MAX_BYTES, SetupState, from_text, to_text

FILE_NAME = "setup-state.json"


def state_file(paths: HostPaths) -> Path:
    return paths.data / FILE_NAME


def load_state(paths: HostPaths) -> SetupState:
    """An empty state if there is none or it cannot be understood: steps look for themselves."""
    file = state_file(paths)
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_BYTES + 1)
        return from_text(content.decode())
    except (FileNotFoundError, NotADirectoryError, UnicodeDecodeError, BadContent):
        return SetupState()
    except OSError as error:
        raise StateError(f"cannot read {file}: {error.strerror or error}") from error
    except ValueError as error:
        raise StateError(f"{file} is of a later program: {error}; use that one") from error


def save_state(paths: HostPaths, state: SetupState) -> None:
    """Durable when it returns; mode 0600."""
    file = state_file(paths)
    temporary = file.with_suffix(".new")
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "w", encoding="utf-8") as opened:
            opened.write(to_text(state))
            opened.flush()
            os.fsync(fd)
        temporary.rename(file)
        sync_folder(file.parent)
    except OSError as error:
        raise StateError(
            f"cannot write {file}: {error.strerror or error}; "
            "make room or rights there, then go on with: nanoclaw setup"
        ) from error


@contextmanager
def only_wizard(paths: HostPaths) -> Iterator[None]:
    """Raises ConfigError while another setup works on the same home folder."""
    for folder in (paths.home, paths.data, paths.logs, paths.run):
        make_private_folder(folder)
    try:
        opened = paths.lock_file("setup").open("w")
    except OSError as error:
        raise ConfigError(f"cannot write in {paths.run}: {error.strerror or error}") from error
    with opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConfigError(
                f"another nanoclaw setup works on {paths.home}; finish or end that one first"
            ) from None
        yield
