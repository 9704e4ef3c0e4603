"""Replies that no client has confirmed: at most 50, for 24 hours, on disk (C-76).

Used by the switchboard on its thread only. A reply is here before the host is told that it was
delivered, and leaves when a client has it. The file is a log of additions and removals; it is
rewritten when it has grown.
"""

import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from contract.clock import parse_text
from contract.errors import BadContent
from contract.jsontext import dump, parse_object
from contract.shape import Shape
from nanoclaw.channels.cli.lines import FileRef, Reply
from nanoclaw.channels.durable import append_file, replace_file, sync_data

MAX_KEPT = 50
KEPT_FOR = timedelta(hours=24)
MAX_KEPT_CHARS = 16 * 1024 * 1024
REWRITE_ABOVE_LINES = 1000
_MAX_LINE_BYTES = 8 * 1024 * 1024

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _File(Shape):
    name: str
    path: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptReply(Shape):
    """One reply and whom it is for; ``client`` None means the next chat window."""

    id: str
    text: str
    kept_at: str
    client: str | None = None
    reply_to: str | None = None
    done: bool = False
    files: tuple[_File, ...] = ()
    at: str | None = None

    @classmethod
    def of(cls, reply: Reply, client: str | None, kept_at: str) -> "KeptReply":
        return cls(
            id=reply.id or "",
            text=reply.text,
            kept_at=kept_at,
            client=client,
            reply_to=reply.reply_to,
            done=reply.done,
            files=tuple(_File(name=f.name, path=f.path, size=f.size) for f in reply.files),
            at=reply.at,
        )

    def reply(self) -> Reply:
        return Reply(
            self.text,
            id=self.id,
            reply_to=self.reply_to,
            done=self.done,
            files=tuple(FileRef(f.name, f.path, f.size) for f in self.files),
            at=self.at,
        )


class KeptReplies:
    """The file and its content, oldest first."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "kept.jsonl"
        self._items: dict[str, KeptReply] = {}
        self._lines = 0
        self._load()
        self._rewrite()
        self._fd = append_file(self._path)

    def all(self, now: datetime) -> list[KeptReply]:
        """What is still to be shown; what is too old is gone."""
        oldest = now - KEPT_FOR
        expired = [
            item.id
            for item in self._items.values()
            if (parse_text(item.kept_at) or oldest) <= oldest
        ]
        if expired:
            log.warning("kept replies expired", extra={"channel": "cli", "count": len(expired)})
            self.remove(expired)
        return list(self._items.values())

    def add(self, items: Iterable[KeptReply]) -> None:
        """Durable when it returns; a reply that is kept already changes nothing.

        Raises OSError when the disk refuses, and then keeps none of them.
        """
        new = [item for item in items if item.id not in self._items]
        if not new:
            return
        self._append([item.plain() for item in new])
        self._items.update((item.id, item) for item in new)
        self._drop_oldest()

    def remove(self, ids: Iterable[str]) -> bool:
        """Forgets replies that a client has; True if any of them was here."""
        gone = [reply_id for reply_id in ids if self._items.pop(reply_id, None) is not None]
        if gone:
            self._append([{"gone": gone}])
        if self._lines > REWRITE_ABOVE_LINES:
            self._rewrite()
            os.close(self._fd)
            self._fd = append_file(self._path)
        return bool(gone)

    def close(self) -> None:
        os.close(self._fd)

    def _drop_oldest(self) -> None:
        dropped: list[str] = []
        chars = sum(len(item.text) for item in self._items.values())
        for item in self._items.values():
            if len(self._items) - len(dropped) <= MAX_KEPT and chars <= MAX_KEPT_CHARS:
                break
            dropped.append(item.id)
            chars -= len(item.text)
        if dropped:
            log.warning("kept replies dropped", extra={"channel": "cli", "count": len(dropped)})
            self.remove(dropped)

    def _append(self, values: list[dict[str, object]]) -> None:
        data = "".join(dump(value) + "\n" for value in values).encode()
        size = os.fstat(self._fd).st_size
        try:
            if os.write(self._fd, data) != len(data):
                raise OSError(f"short write to {self._path}")
            sync_data(self._fd)
        except OSError:
            os.ftruncate(self._fd, size)
            raise
        self._lines += len(values)

    def _load(self) -> None:
        try:
            file = self._path.open("rb")
        except FileNotFoundError:
            return
        with file:
            while (raw := file.readline(_MAX_LINE_BYTES)).endswith(b"\n"):
                try:
                    self._apply(parse_object(raw.decode(), max_bytes=_MAX_LINE_BYTES))
                except (UnicodeDecodeError, BadContent) as error:
                    log.warning("kept line skipped", extra={"reason": str(error)[:200]})

    def _apply(self, value: dict[str, object]) -> None:
        gone = value.get("gone")
        if isinstance(gone, list):
            for reply_id in gone:
                self._items.pop(str(reply_id), None)
        else:
            item = KeptReply.read(value)
            self._items[item.id] = item

    def _rewrite(self) -> None:
        """Leaves out what was removed, and a torn last line."""
        data = "".join(dump(item.plain()) + "\n" for item in self._items.values()).encode()
        replace_file(self._path, data)
        self._lines = len(self._items)
