"""The agent group's own folder and home: created when missing, never written through a link.

Called by the sweep before a container starts. ``groups/`` belongs to the host, everything inside a
group's folder is the agent's and hostile, so files are made below a folder handle, exclusively and
without following links (H-175, H-184). Nothing that exists is ever changed.
"""

import os
import re
from pathlib import Path

from nanoclaw.errors import ConfigError
from nanoclaw.paths import HostPaths

MEMORY_FILE = "CLAUDE.local.md"
GLOBAL_FOLDER = "global"
HOME_FOLDER = "home"
TEMPLATES = Path(__file__).resolve().parent / "templates"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER_MODE, _FILE_MODE = 0o755, 0o644


def is_valid_folder(name: str) -> bool:
    """H-177. ``global`` is the memory that all groups share and must never be one of them."""
    return bool(_NAME.fullmatch(name)) and name.lower() != GLOBAL_FOLDER


def ensure_group_folder(paths: HostPaths, name: str, instructions: str | None = None) -> Path:
    """``groups/<name>`` with its memory file. Raises ConfigError for a name that is not allowed."""
    if not is_valid_folder(name):
        raise ConfigError(
            f"agent folder {name!r} is not allowed: 1 to 64 letters, digits, '-' or '_', "
            "beginning with a letter or digit, and not 'global'"
        )
    folder = paths.groups / name
    fd = _open_folder(folder)
    try:
        text = template(MEMORY_FILE) if instructions is None else instructions + "\n"
        _create_file(fd, MEMORY_FILE, text)
    finally:
        os.close(fd)
    return folder


def ensure_home(paths: HostPaths, agent_group_id: str) -> Path:
    """The home folder that all containers of the group share."""
    parent = paths.sessions / agent_group_id
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(_open_folder(parent / HOME_FOLDER))
    return parent / HOME_FOLDER


def shared_memory(paths: HostPaths) -> Path | None:
    """``groups/global``, if there is such a folder (H-170)."""
    folder = paths.groups / GLOBAL_FOLDER
    return folder if folder.is_dir() and not folder.is_symlink() else None


def template(name: str) -> str:
    """The text that a new file of this name begins with."""
    return (TEMPLATES / name).read_text(encoding="utf-8")


def _open_folder(folder: Path) -> int:
    """A handle; its parent is the host's, so only its own name has to be checked for a link."""
    try:
        return os.open(folder, _FOLDER)
    except FileNotFoundError:
        folder.mkdir()
    fd = os.open(folder, _FOLDER)
    os.fchmod(fd, _FOLDER_MODE)
    return fd


def _create_file(folder_fd: int, name: str, text: str) -> None:
    try:
        fd = os.open(name, _NEW_FILE, _FILE_MODE, dir_fd=folder_fd)
    except FileExistsError:
        return
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        os.fchmod(fd, _FILE_MODE)
        file.write(text)
