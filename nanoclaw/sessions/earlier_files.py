"""Files out of a session folder of the earlier program, which its container could write.

Used by ``convert``. Every step goes through a directory handle and follows no link; what is not
a regular, singly linked file with a safe name stays behind and is reported. Bounded in number and
size, because a hostile folder may hold anything.
"""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

MAX_FILES = 10_000
MAX_TOTAL_BYTES = 4 * 1024 * 1024 * 1024
MAX_NAME_BYTES = 255
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CHUNK_BYTES = 1024 * 1024


@contextmanager
def opened_folder(name: str | Path, dir_fd: int | None = None) -> Iterator[int]:
    """A handle on a real directory; raises OSError for a link or anything else."""
    fd = os.open(name, _DIRECTORY, dir_fd=dir_fd)
    try:
        yield fd
    finally:
        os.close(fd)


class MessageFiles:
    """Copies ``<box>/<message id>/<file>`` to ``<target>/<message id>/<file>``."""

    def __init__(self, target: Path, wanted: Callable[[str], bool]) -> None:
        self._target = target
        self._wanted = wanted
        self._files = 0
        self._bytes = 0
        self.left_behind: list[str] = []
        """Names, at most a few of them, for the report."""

    def copy(self, session_fd: int, box: str) -> int:
        """How many files came along; a missing box has none."""
        before = self._files
        try:
            with opened_folder(box, session_fd) as box_fd:
                for message_id in sorted(os.listdir(box_fd)):  # noqa: PTH208 no path
                    if self._wanted(message_id):
                        self._copy_folder(box_fd, message_id)
        except FileNotFoundError:
            pass
        except OSError as error:
            self._leave(box, error.strerror or str(error))
        return self._files - before

    def _copy_folder(self, box_fd: int, message_id: str) -> None:
        try:
            with opened_folder(message_id, box_fd) as folder_fd:
                for name in sorted(os.listdir(folder_fd)):  # noqa: PTH208 no path
                    self._copy_file(folder_fd, message_id, name)
        except OSError as error:
            self._leave(message_id, error.strerror or str(error))

    def _copy_file(self, folder_fd: int, message_id: str, name: str) -> None:
        found = os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
            self._leave(f"{message_id}/{name}", "not a plain file")
            return
        if self._files >= MAX_FILES or self._bytes + found.st_size > MAX_TOTAL_BYTES:
            self._leave(f"{message_id}/{name}", "too many or too large")
            return
        folder = self._target / message_id
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        source = os.open(name, _READ, dir_fd=folder_fd)
        with os.fdopen(source, "rb") as reader, (folder / name).open("xb") as writer:
            left = found.st_size
            while left and (chunk := reader.read(min(left, _CHUNK_BYTES))):
                writer.write(chunk)
                left -= len(chunk)
            os.fsync(writer.fileno())
        (folder / name).chmod(0o644)
        self._files += 1
        self._bytes += found.st_size

    def _leave(self, name: str, reason: str) -> None:
        if len(self.left_behind) < 20:
            shown = name.encode("utf-8", "replace").decode()[:MAX_NAME_BYTES]
            self.left_behind.append(f"{shown}: {reason}")
