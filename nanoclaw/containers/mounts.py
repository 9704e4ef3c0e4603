"""Folders of the operator's own that an agent may see: decided by a file outside of everything.

The allowlist ``~/.config/nanoclaw/mount-allowlist.json`` is never mounted and written by hand only
(H-194 to H-198). What an agent group asks for is resolved through all links first and must then lie
under an allowed root, match no blocked pattern and have nothing to do with our own folders. Used by
``sweep.starter`` before each start; what is refused is logged, the start goes on.
"""

import logging
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from contract import layout
from contract.config import AdditionalMount
from contract.errors import BadContent
from contract.jsontext import parse_object
from nanoclaw.containers.spec import Mount

ALLOWLIST = Path(".config") / "nanoclaw" / "mount-allowlist.json"
"""Below the operator's home folder."""
MAX_ALLOWLIST_BYTES = 256 * 1024
MAX_MOUNTS = 32
MAX_TARGET_BYTES = 255
BLOCKED = (
    ".ssh", ".gnupg", ".gpg", ".aws", ".azure", ".gcloud", ".kube", ".docker", "credentials",
    ".env", ".netrc", ".npmrc", ".pypirc", "id_rsa", "id_ed25519", "private_key", ".secret",
)  # fmt: skip
"""H-195: blocked whatever the file says. Part of a name, or of the whole path."""
SYSTEM = ("/proc", "/sys", "/dev", "/run", "/var/run", "/boot", "/etc")
"""Nothing in there is a folder of projects, and the engine's socket is among it."""
TEMPLATE = """\
{
  "allowedRoots": [
    {"path": "~/projects", "allowReadWrite": true, "description": "Own projects"},
    {"path": "~/repos", "allowReadWrite": true, "description": "Repositories"},
    {"path": "~/Documents/work", "allowReadWrite": false, "description": "To read only"}
  ],
  "blockedPatterns": ["password", "secret", "token"]
}
"""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AllowedRoot:
    path: str
    read_write: bool


@dataclass(frozen=True, slots=True)
class Allowlist:
    """What the operator's file says."""

    roots: tuple[AllowedRoot, ...]
    patterns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Checked:
    """What is mounted, and one line for each that is not, or not as it was asked for."""

    mounts: tuple[Mount, ...] = ()
    refused: tuple[str, ...] = ()


class MountPolicy:
    """A good file is read once until restart, a bad one too; a missing one is looked for again."""

    def __init__(self, own_home: Path, operator_home: Path | None = None) -> None:
        """``own_home``: the folder of this installation, of which an agent never sees a part."""
        self._own = own_home
        self._operator = operator_home or Path.home()
        self._known: Allowlist | str | None = None

    def check(self, wanted: Sequence[AdditionalMount]) -> Checked:
        """Never raises."""
        if not wanted:
            return Checked()
        allowed = self._allowlist()
        if isinstance(allowed, str):
            return Checked(refused=tuple(f"{mount.host_path}: {allowed}" for mount in wanted))
        mounts: list[Mount] = []
        refused: list[str] = []
        for mount in wanted[:MAX_MOUNTS]:
            found = self._checked(mount, allowed, mounts)
            if isinstance(found, str):
                refused.append(f"{mount.host_path}: {found}")
                continue
            mounts.append(found)
            if found.read_only and not mount.readonly:
                refused.append(f"{mount.host_path}: its root allows reading only")
        refused += [f"{mount.host_path}: one too many" for mount in wanted[MAX_MOUNTS:]]
        return Checked(tuple(mounts), tuple(refused))

    def _allowlist(self) -> Allowlist | str:
        """Or the reason why nothing is allowed."""
        if self._known is None:
            path = self._operator / ALLOWLIST
            try:
                self._known = read_allowlist(path)
            except FileNotFoundError:
                return f"there is no {path}, so nothing is allowed"
            except (OSError, UnicodeDecodeError, BadContent) as error:
                log.warning("mount allowlist not usable", extra={"reason": str(error)})
                self._known = f"{path} is not usable ({error}); mend it and restart"
        return self._known

    def _checked(
        self, mount: AdditionalMount, allowed: Allowlist, others: Sequence[Mount]
    ) -> Mount | str:
        name = mount.container_path or PurePosixPath(mount.host_path).name
        problem = target_problem(name)
        if problem is not None:
            return problem
        target = str(PurePosixPath(layout.MOUNT_EXTRA) / name)
        if any(_overlap(target, other.target) for other in others):
            return "another mount is at that place already"
        try:
            source = self._expanded(mount.host_path).resolve(strict=True)
            mode = source.stat().st_mode
        except (OSError, RuntimeError, ValueError):
            return "it does not exist"
        if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
            return "it is neither a folder nor a file"
        blocked = self._blocked(source, allowed)
        if blocked is not None:
            return blocked
        root = self._root_of(source, allowed)
        if root is None:
            return "it lies under no allowed root"
        return Mount(source, target, read_only=mount.readonly or not root.read_write)

    def _blocked(self, source: Path, allowed: Allowlist) -> str | None:
        own = (self._own.resolve(), (self._operator / ALLOWLIST).parent.resolve())
        if any(_related(source, folder) for folder in own):
            return "it holds, or belongs to, the installation itself"
        if any(_related(source, Path(folder)) for folder in SYSTEM):
            return "it holds, or belongs to, the system"
        for pattern in (*BLOCKED, *allowed.patterns):
            if pattern in str(source):
                return f"it matches the blocked pattern {pattern!r}"
        return None

    def _root_of(self, source: Path, allowed: Allowlist) -> AllowedRoot | None:
        """The first that holds it, as the file lists them."""
        for root in allowed.roots:
            try:
                folder = self._expanded(root.path).resolve(strict=True)
            except (OSError, RuntimeError, ValueError):
                continue
            if source == folder or folder in source.parents:
                return root
        return None

    def _expanded(self, text: str) -> Path:
        """``~`` is the operator's home; a relative path would mean something else each time."""
        if text == "~" or text.startswith("~/"):
            return self._operator / text[2:]
        path = Path(text)
        if not path.is_absolute():
            raise ValueError(f"{text!r} is not an absolute path")
        return path


def read_allowlist(path: Path) -> Allowlist:
    """Raises OSError, UnicodeDecodeError and BadContent."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise BadContent("it is no file")
        value = parse_object(
            file.read(MAX_ALLOWLIST_BYTES + 1).decode(), max_bytes=MAX_ALLOWLIST_BYTES
        )
    roots, patterns = value.get("allowedRoots"), value.get("blockedPatterns")
    if not isinstance(roots, list) or not isinstance(patterns, list):
        raise BadContent("allowedRoots and blockedPatterns must both be lists")
    if not all(isinstance(pattern, str) and pattern for pattern in patterns):
        raise BadContent("blockedPatterns must be texts that are not empty")
    return Allowlist(tuple(_root(root) for root in roots), tuple(patterns))


def _root(value: object) -> AllowedRoot:
    if not isinstance(value, dict):
        raise BadContent("each of allowedRoots must be an object with a path")
    path, read_write = value.get("path"), value.get("allowReadWrite", False)
    if not isinstance(path, str) or not path or not isinstance(read_write, bool):
        raise BadContent("each of allowedRoots needs a path, and allowReadWrite true or false")
    return AllowedRoot(path, read_write)


def target_problem(name: str) -> str | None:
    """What is wrong with a path inside the container (H-196); None: nothing."""
    parts = name.split("/")
    if not name or name.startswith("/") or any(part in ("", ".", "..") for part in parts):
        return "its path in the container must be relative and without . and .."
    if ":" in name or "\0" in name or not name.isprintable():
        return "its path in the container has a character that is not allowed"
    if len(name.encode("utf-8", "replace")) > MAX_TARGET_BYTES:
        return "its path in the container is too long"
    return None


def _overlap(one: str, other: str) -> bool:
    """A mount inside a mount falls off when its place is replaced."""
    return one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/")


def _related(path: Path, folder: Path) -> bool:
    return path == folder or folder in path.parents or path in folder.parents
