"""The personalities that are shipped in ``groups/``, ready for an agent of one's own.

Used by ``nanoclaw group`` and by the set-up's first agent. A template is a folder with two files:
``template.toml`` says what it is, ``CLAUDE.md`` is what the agent's memory begins with. ``{name}``
and ``{owner}`` in it are the agent's name and that of the person it works for.
"""

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path

import contract
from nanoclaw.containers.group_folder import GLOBAL_FOLDER, MEMORY_FILE, template
from nanoclaw.errors import ConfigError
from nanoclaw.paths import HostPaths, make_private_folder

DEFAULT_TEMPLATE = "assistant"
NOBODY = "the owner of this installation"
SHARED_FILE = "CLAUDE.md"
_FILE_MODE, _FOLDER_MODE = 0o644, 0o755


@dataclass(frozen=True, slots=True)
class Template:
    name: str
    title: str
    summary: str
    text: str

    def render(self, agent: str, owner: str = "") -> str:
        """What the agent's memory file begins with."""
        text = self.text.replace("{name}", _line(agent)).replace("{owner}", _line(owner) or NOBODY)
        return f"{text.rstrip()}\n\n{template(MEMORY_FILE).rstrip()}"


def folder() -> Path:
    """In a checkout, or in the unpacked copy of nanoclaw.pyz."""
    return Path(contract.__file__).resolve().parent.parent / "groups"


def all_templates() -> list[Template]:
    """By name. Raises ConfigError when the program's own files are incomplete."""
    found = sorted(path.parent.name for path in folder().glob("*/template.toml"))
    if not found:
        raise ConfigError(f"the templates are missing in {folder()}; install nanoclaw again")
    return [_read(name) for name in found]


def get(name: str) -> Template:
    """Raises ConfigError that lists those there are."""
    templates = {item.name: item for item in all_templates()}
    if name not in templates:
        raise ConfigError(f"there is no template {name!r}; choose one of: {', '.join(templates)}")
    return templates[name]


def ensure_shared_memory(paths: HostPaths) -> Path:
    """``groups/global/CLAUDE.md``, which all agents read; what is there already stays."""
    place = paths.groups / GLOBAL_FOLDER
    file = place / SHARED_FILE
    if place.is_symlink():
        return file  # the operator's own arrangement
    make_private_folder(paths.groups)
    place.mkdir(mode=_FOLDER_MODE, exist_ok=True)
    try:
        fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _FILE_MODE)
    except FileExistsError:
        return file
    with os.fdopen(fd, "w", encoding="utf-8") as opened:
        os.fchmod(fd, _FILE_MODE)
        opened.write((folder() / GLOBAL_FOLDER / SHARED_FILE).read_text(encoding="utf-8"))
    place.chmod(_FOLDER_MODE)
    return file


def _read(name: str) -> Template:
    place = folder() / name
    try:
        table = tomllib.loads((place / "template.toml").read_text(encoding="utf-8"))
        text = (place / "CLAUDE.md").read_text(encoding="utf-8")
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(
            f"the template {place} is broken: {error}; install nanoclaw again"
        ) from None
    return Template(name, str(table["title"]), str(table["summary"]), text)


def _line(text: str) -> str:
    return " ".join(text.split())
