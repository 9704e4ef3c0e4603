"""The runner's code as a folder that containers mount: ``runtime/<version>/{contract,runner}``.

The texts that agents read are in it twice: with the code, and at the top of the folder, because
settings of earlier versions name ``/app/CLAUDE.md`` and ``/app/skills`` (R-13). Unpacked once per
version by the sweep; the version is a hash of the contents, so host and runner of one start are
always the same build (R-224). A version appears whole or not at all. Compiled files are added for
the Python that will run it, because the mount is read-only and compiling takes longer than
everything else a runner does before its first answer.
"""

import hashlib
import logging
import os
import shutil
import stat
import tempfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import contract
from contract import layout
from nanoclaw.containers.spec import Mount, decide_user
from nanoclaw.paths import HostPaths

if TYPE_CHECKING:
    from nanoclaw.containers.docker_runtime import DockerRuntime

PACKAGES = ("contract", "runner")
VERSION_LENGTH = 16
_CONTENT = "runner/content/"
_ALSO_AT_THE_TOP = ("CLAUDE.md", "skills/")
_COMPILED_MARK = ".compiled-"
_NEW = ".new-"
_READABLE_FILE, _READABLE_FOLDER = 0o644, 0o755
"""Agents run as another user when the host is root; the folders above keep everybody else out."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Payload:
    """One version of the runner's code, unpacked."""

    version: str
    folder: Path

    def is_compiled_for(self, image_id: str) -> bool:
        return self._mark(image_id).exists()

    def note_compiled_for(self, image_id: str) -> None:
        self._mark(image_id).touch()

    def _mark(self, image_id: str) -> Path:
        return self.folder / (_COMPILED_MARK + image_id.removeprefix("sha256:")[:VERSION_LENGTH])


def unpack(paths: HostPaths, source_root: Path | None = None) -> Payload:
    """Makes ``runtime/<version>`` if it is not there. Safe to repeat, also after a crash."""
    root = source_root or _source_root()
    files = {path.relative_to(root).as_posix(): path.read_bytes() for path in _sources(root)}
    files |= _at_the_top(files)
    version = _version(files)
    target = paths.runtime / version
    if not target.is_dir():
        _write(files, paths.runtime, target)
        log.info("runner unpacked", extra={"reason": version})
    return Payload(version, target)


def compile_for_host(payload: Payload) -> None:
    """For runners that are child processes of this very Python."""
    import compileall
    import py_compile

    compileall.compile_dir(
        payload.folder,
        quiet=2,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )


def compile_for_image(engine: "DockerRuntime", payload: Payload, image_id: str) -> None:
    """For containers of this image; once per version and image. Raises ContainerError."""
    if payload.is_compiled_for(image_id):
        return
    # Inside, root without capabilities may write only what is root's own: exactly this folder.
    user = decide_user(os.getuid(), os.getgid())
    name = "0:0" if user.hand_over else f"{user.uid}:{user.gid}"
    app = Mount(payload.folder, layout.MOUNT_APP, read_only=False)
    engine.compile_code(image_id, app, name)
    payload.note_compiled_for(image_id)


def remove_unused(paths: HostPaths, used: Collection[str]) -> None:
    """Deletes versions that no container mounts any more, and what a crash left half made."""
    for folder in paths.runtime.iterdir():
        if folder.name not in used and folder.is_dir() and not folder.is_symlink():
            shutil.rmtree(folder, ignore_errors=True)


def _source_root() -> Path:
    """Where our packages lie side by side: a checkout, or the unpacked copy of nanoclaw.pyz."""
    return Path(contract.__file__).resolve().parent.parent


def _sources(root: Path) -> Iterator[Path]:
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*")):
            if stat.S_ISREG(path.lstat().st_mode) and "__pycache__" not in path.parts:
                yield path


def _at_the_top(files: dict[str, bytes]) -> dict[str, bytes]:
    shown = {name.removeprefix(_CONTENT): content for name, content in files.items()}
    return {name: shown[name] for name in shown.keys() - files.keys() if _is_shown(name)}


def _is_shown(name: str) -> bool:
    return name.startswith(_ALSO_AT_THE_TOP)


def _version(files: dict[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name, content in sorted(files.items()):
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:VERSION_LENGTH]


def _write(files: dict[str, bytes], runtime: Path, target: Path) -> None:
    folder = Path(tempfile.mkdtemp(prefix=_NEW, dir=runtime))
    try:
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            path.chmod(_READABLE_FILE)
        for parent, _, _ in os.walk(folder):
            Path(parent).chmod(_READABLE_FOLDER)
        folder.rename(target)
    except OSError:
        shutil.rmtree(folder, ignore_errors=True)
        if not target.is_dir():  # else another process of ours was faster, with the same bytes
            raise
