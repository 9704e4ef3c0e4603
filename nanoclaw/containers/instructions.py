"""Composes what every agent is told: ``in/CLAUDE.md`` and the files that it imports (H-182).

Called by ``materialize`` before each start. Equal settings give equal bytes. The texts are part of
the program and lie in ``runner/content``; those of MCP servers are the operator's. Everything is a
regular file in the host's own folder, so that an agent can neither change nor redirect it (W-10).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import contract
from contract import layout
from contract.config import RESERVED_SERVER
from nanoclaw.containers.files import write_file
from nanoclaw.model import CliScope, ContainerConfig

FRAGMENTS_DIR = "fragments"
GENERATED = "<!-- Written by nanoclaw at every start of the agent; changes are lost. -->"
MAX_SERVER_TEXT = 64 * 1024
RENAMED_SKILLS = {"onecli-gateway": "network-access"}
"""Names that selections of earlier versions may hold."""
_CLI_MODULE = "cli"
_FOLDER_MODE = 0o755
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]+")
_LONGEST_NAME = 48


@dataclass(frozen=True, slots=True)
class Composition:
    """``fragments`` are texts by file name."""

    text: str
    fragments: Mapping[str, str]


def content_folder() -> Path:
    """The shipped texts: in a checkout, or in the unpacked copy of nanoclaw.pyz."""
    return Path(contract.__file__).resolve().parent.parent / "runner" / "content"


def selected_skills(config: ContainerConfig) -> list[str] | None:
    """The group's selection with present names; None: all."""
    if config.skills is None:
        return None
    return [RENAMED_SKILLS.get(name, name) for name in config.skills]


def compose(config: ContainerConfig, content: Path) -> Composition:
    """Raises OSError when the program's own files are incomplete."""
    fragments = dict(sorted(_fragments(config, content)))
    imports = [f"@{layout.MOUNT_APP}/{layout.CLAUDE_MD}"]
    imports += [f"@./{FRAGMENTS_DIR}/{name}" for name in fragments]
    return Composition("\n".join([GENERATED, "", *imports, ""]), fragments)


def write_composition(in_dir: Path, composition: Composition) -> None:
    """The fragments first, so that nobody reads an import of a file that is not there yet."""
    folder = in_dir / FRAGMENTS_DIR
    folder.mkdir(exist_ok=True)
    folder.chmod(_FOLDER_MODE)
    for name, text in composition.fragments.items():
        write_file(folder / name, text)
    write_file(in_dir / layout.CLAUDE_MD, composition.text)
    for path in folder.iterdir():
        if path.name not in composition.fragments:
            path.unlink()


def _fragments(config: ContainerConfig, content: Path) -> Iterator[tuple[str, str]]:
    shipped = _shipped(content)
    for name, text in shipped.modules.items():
        if name != _CLI_MODULE or config.cli_scope is not CliScope.DISABLED:
            yield f"module-{name}.md", text
    selected = selected_skills(config)
    for name, text in shipped.skills.items():
        if selected is None or name in selected:
            yield f"skill-{name}.md", text
    taken: set[str] = set()
    for name, server in sorted(config.mcp_servers.items()):
        text = (server.instructions or "").strip()
        if text and name.strip().lower() != RESERVED_SERVER:
            yield _file_name(name, taken), f"## Server `{name}`\n\n{text[:MAX_SERVER_TEXT]}\n"


def _file_name(server: str, taken: set[str]) -> str:
    """Servers may have any name; two of them never share a file."""
    stem = _NOT_IN_NAMES.sub("-", server)[:_LONGEST_NAME]
    name, number = stem, 2
    while name.lower() in taken:
        name, number = f"{stem}-{number}", number + 1
    taken.add(name.lower())
    return f"mcp-{name}.md"


@dataclass(frozen=True, slots=True)
class _Shipped:
    modules: Mapping[str, str]
    skills: Mapping[str, str]
    """Of the skills that have something to say to every agent."""


@cache
def _shipped(content: Path) -> _Shipped:
    """Read once: the program's files do not change while it runs."""
    modules = sorted((content / "modules").glob("*.md"))
    skills = sorted((content / "skills").glob("*/instructions.md"))
    if not modules:
        raise FileNotFoundError(f"the texts of the tools are missing in {content / 'modules'}")
    return _Shipped(
        {path.stem: path.read_text(encoding="utf-8") for path in modules},
        {path.parent.name: path.read_text(encoding="utf-8") for path in skills},
    )
