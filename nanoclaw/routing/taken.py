"""Files of inbound messages, between the channel's spool and the sessions that get them.

Taken over by the router in the moment it commits their event: a rename from the channel's
``spool/in`` to ``taken`` beside it, because the worker sweeps its spool after a day while a held
event may wait for a week. Let go once every row of the event is written. Names come from frames,
so each is checked and used beneath a directory handle only.
"""

import hashlib
import os
from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta

from contract.ids import new_id
from nanoclaw.events import Attachment
from nanoclaw.paths import HostPaths
from nanoclaw.sessions.attachments import is_safe_attachment_name

FOLDER = "taken"
KEPT_FOR = timedelta(hours=24)
"""A file that no event in the log wants may belong to one that its worker is about to repeat."""
_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class TakenFiles:
    """The folders ``data/channels/<instance>/taken`` of all channels."""

    def __init__(self, paths: HostPaths) -> None:
        self._paths = paths

    def take(self, instance: str, names: Iterable[str]) -> None:
        """Safe to repeat. A file that is nowhere is found missing when its row is written."""
        wanted = [name for name in names if is_safe_attachment_name(name)]
        if not wanted or not is_safe_attachment_name(instance):
            return
        spool = self._paths.channel(instance) / "spool" / "in"
        try:
            spool_fd = os.open(spool, _FOLDER_FLAGS)
        except OSError:
            return  # a channel that has no spool has no files either
        try:
            with self._open(instance, create=True) as taken_fd:
                for name in wanted:
                    with suppress(FileNotFoundError):
                        os.rename(name, name, src_dir_fd=spool_fd, dst_dir_fd=taken_fd)
        finally:
            os.close(spool_fd)

    def store(self, instance: str, data: bytes, like: Attachment) -> Attachment:
        """Bytes that came inside the message itself (H-52), as a file like the others."""
        name = new_id("inline")
        with self._open(instance, create=True) as folder_fd:
            fd = os.open(
                name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder_fd
            )
            with os.fdopen(fd, "wb") as file:
                file.write(data)
        return Attachment(
            like.kind, like.name, like.mime_type, len(data), name, hashlib.sha256(data).hexdigest()
        )

    @contextmanager
    def open(self, instance: str) -> Iterator[int]:
        """A handle on the folder; raises OSError when there is none."""
        with self._open(instance, create=False) as folder_fd:
            yield folder_fd

    def let_go(self, instance: str, names: Iterable[str]) -> None:
        """Every session that was to get them has them, or nobody is to get them."""
        wanted = [name for name in names if is_safe_attachment_name(name)]
        if not wanted:
            return
        with suppress(OSError), self.open(instance) as folder_fd:
            for name in wanted:
                with suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=folder_fd)

    def sweep(self, now: datetime, wanted: Container[str]) -> int:
        """Removes what crashes have left; ``wanted`` are the files of unfinished events."""
        oldest, removed = (now - KEPT_FOR).timestamp(), 0
        for path in (self._paths.data / "channels").glob(f"*/{FOLDER}/*"):
            with suppress(OSError):
                if path.name not in wanted and path.lstat().st_ctime < oldest:
                    path.unlink()
                    removed += 1
        return removed

    @contextmanager
    def _open(self, instance: str, *, create: bool) -> Iterator[int]:
        if not is_safe_attachment_name(instance):
            raise FileNotFoundError(instance)
        folder = self._paths.channel(instance) / FOLDER
        if create:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder_fd = os.open(folder, _FOLDER_FLAGS)
        try:
            yield folder_fd
        finally:
            os.close(folder_fd)
