"""Where the names that instruction texts use lie for this process.

Texts name mount points of the container, and old texts name places of earlier versions. In a
container most of this is the identity; a runner that is a plain child process has its folders
elsewhere. Used by ``imports``, ``skills`` and ``source``; only looks at the file system.
"""

from dataclasses import dataclass
from pathlib import Path

from contract import layout
from contract.layout import RunnerPaths

FRAGMENTS_DIR = "fragments"
CONTENT_DIR = "runner/content"
SKILLS_DIR = "skills"
_OLD_BASE = ".claude-shared.md"
_OLD_FRAGMENTS = ".claude-fragments"


@dataclass(frozen=True, slots=True)
class Places:
    """``home`` is the folder that ``~`` means."""

    paths: RunnerPaths
    home: Path

    @property
    def composed(self) -> Path:
        """What the host wrote for every agent."""
        return self.paths.in_dir / layout.CLAUDE_MD

    @property
    def fragments(self) -> Path:
        return self.paths.in_dir / FRAGMENTS_DIR

    @property
    def shipped_skills(self) -> Path:
        return self._content(SKILLS_DIR)

    @property
    def base(self) -> Path:
        """The instructions that all agents share."""
        return self._content(layout.CLAUDE_MD)

    def locate(self, path: Path) -> Path:
        """A path of the container, as a path of this process."""
        for mount, folder in (
            (layout.MOUNT_APP, self.paths.app),
            (layout.MOUNT_IN, self.paths.in_dir),
            (layout.MOUNT_OUT, self.paths.out_dir),
            (layout.MOUNT_WORKSPACE, self.paths.workspace),
            (layout.MOUNT_GLOBAL, self.paths.global_dir),
            (layout.MOUNT_HOME, self.home),
        ):
            if path.is_relative_to(mount):
                rest = path.relative_to(mount)
                return self._content(str(rest)) if mount == layout.MOUNT_APP else folder / rest
        return path

    def renamed(self, path: Path) -> Path | None:
        """Where the content of a name that earlier versions used is now."""
        if path.name == _OLD_BASE:
            return self.base
        if path.parent.name == _OLD_FRAGMENTS:
            return self.fragments / path.name
        return None

    def _content(self, name: str) -> Path:
        """Shipped texts lie at the top of the payload, and in a checkout with the code."""
        unpacked = self.paths.app / name
        return unpacked if unpacked.exists() else self.paths.app / CONTENT_DIR / name
