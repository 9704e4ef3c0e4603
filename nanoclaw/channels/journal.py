"""What this worker has sent and what it was about to send: ``sends.jsonl`` (C-32 to C-34).

Used by the outbox on the reactor's thread only. Lines are collected by the methods and written
together by ``commit``, one write and one fsync, however many messages are under way; nothing may
leave for the platform, and no "delivered" for the host, before the commit of its lines. A torn
last line, which a crash leaves, was never acted upon and is cut off.
"""

import contextlib
import logging
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from contract.clock import parse_text, to_text
from contract.errors import BadContent
from contract.jsontext import dump, parse_object
from nanoclaw.channels.durable import append_file, replace_file, sync_data
from nanoclaw.channels.journal_lines import Ended, Failed, Line, PartSent, Planned, Tried, read_line
from nanoclaw.channels.part import Part
from nanoclaw.errors import ChannelError
from nanoclaw.events import DeliveryKnowledge, DeliveryKnown, FailureClass

KEPT_FOR = timedelta(days=30)
KEPT_FINISHED = 10_000
"""Finished deliveries remembered; the host asks about one again within its 24 h at most."""
COMPACT_ABOVE_LINES = 50_000
MAX_LINE_BYTES = 32 * 1024 * 1024
"""A plan holds the whole text of one message, which the frame limit bounds far below this."""

_LONG_AGO = datetime.min.replace(tzinfo=UTC)
"""Stands for a time that cannot be read; such an entry is forgotten at the next clean-up."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class OpenSend:
    """A delivery that is not finished, as far as the journal knows."""

    parts: tuple[Part, ...]
    planned_at: datetime
    ids: list[str | None] = field(default_factory=list)
    """One per part that the platform has."""
    tried: set[int] = field(default_factory=set)
    """Parts that may have reached the platform, outcome unknown."""
    failure: str = ""


@dataclass(frozen=True, slots=True)
class _Finished:
    ids: tuple[str, ...]
    at: datetime


class SendJournal:
    """The file, and an index of it in memory."""

    def __init__(self, folder: Path, now: datetime) -> None:
        self._path = folder / "sends.jsonl"
        self._open: dict[str, OpenSend] = {}
        self._finished: dict[str, _Finished] = {}
        self._pending: list[Line] = []
        self._lines = 0
        self._size = self._load(now)
        self._fd = append_file(self._path)
        if os.fstat(self._fd).st_size > self._size:
            os.ftruncate(self._fd, self._size)
        if self._lines > 2 * (len(self._open) + len(self._finished)):
            self.compact(now)

    @property
    def wants_compaction(self) -> bool:
        return self._lines > COMPACT_ABOVE_LINES

    def open_send(self, delivery_id: str) -> OpenSend | None:
        return self._open.get(delivery_id)

    def finished_ids(self, delivery_id: str) -> tuple[str, ...] | None:
        """Platform ids of a delivery that is done; None if it is not."""
        finished = self._finished.get(delivery_id)
        return None if finished is None else finished.ids

    def known(self, delivery_id: str) -> DeliveryKnown:
        ids = self.finished_ids(delivery_id)
        if ids is not None:
            return DeliveryKnown(DeliveryKnowledge.SENT, ids)
        send = self._open.get(delivery_id)
        if send is None:
            return DeliveryKnown(DeliveryKnowledge.UNKNOWN)
        state = DeliveryKnowledge.FAILED if send.failure else DeliveryKnowledge.PLANNED
        return DeliveryKnown(state, _without_none(send.ids), send.failure)

    def plan(self, delivery_id: str, parts: tuple[Part, ...], now: datetime) -> OpenSend:
        """Fixes what is sent. A second plan replaces the parts that are not sent yet."""
        self._note(Planned(d=delivery_id, at=to_text(now), parts=parts))
        return self._open[delivery_id]

    def tried(self, delivery_id: str, index: int) -> None:
        """The next thing to happen is the platform call for this part."""
        self._note(Tried(d=delivery_id, p=index))

    def sent(self, delivery_id: str, index: int, message_id: str | None, now: datetime) -> bool:
        """The platform has this part; True if it was the last one."""
        send = self._open[delivery_id]
        if index + 1 < len(send.parts):
            self._note(PartSent(d=delivery_id, p=index, id=message_id))
            return False
        ids = _without_none([*send.ids, message_id])
        self._note(Ended(d=delivery_id, ids=ids, at=to_text(now)))
        return True

    def failed(self, delivery_id: str, index: int, failure: FailureClass, detail: str) -> None:
        """The call failed. After an ``uncertain`` failure the part counts as tried for ever."""
        self._note(Failed(d=delivery_id, p=index, c=failure, text=detail))

    def commit(self) -> None:
        """Makes everything noted so far durable. Raises ChannelError when the disk refuses."""
        if not self._pending:
            return
        data = "".join(dump(line.plain()) + "\n" for line in self._pending).encode()
        try:
            _write_all(self._fd, data)
            sync_data(self._fd)
        except OSError as error:
            # The index is ahead of the file now. The process ends and starts from the file.
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, self._size)
            reason = error.strerror or str(error)
            raise ChannelError(f"cannot write {self._path}: {reason}") from error
        self._size += len(data)
        self._lines += len(self._pending)
        self._pending.clear()

    def compact(self, now: datetime) -> None:
        """Rewrites the file with one line per finished delivery, without the old ones.

        When that fails it is tried again after as many lines more.
        """
        self.commit()
        self._forget_old(now)
        lines: list[Line] = [
            Ended(d=delivery_id, ids=item.ids, at=to_text(item.at))
            for delivery_id, item in self._finished.items()
        ]
        for delivery_id, send in self._open.items():
            lines += _lines_of(delivery_id, send)
        data = "".join(dump(line.plain()) + "\n" for line in lines).encode()
        try:
            replace_file(self._path, data)
        except OSError as error:  # a full disk; the old file is as good, only longer
            log.warning("journal not compacted", extra={"reason": str(error)})
            self._lines = 0
            return
        os.close(self._fd)
        self._fd = append_file(self._path)
        self._size, self._lines = len(data), len(lines)

    def close(self) -> None:
        self.commit()
        os.close(self._fd)

    def _note(self, line: Line) -> None:
        self._apply(line)
        self._pending.append(line)

    def _load(self, now: datetime) -> int:
        """Reads the file; returns the length of its whole lines."""
        size = 0
        try:
            file = self._path.open("rb")
        except FileNotFoundError:
            return 0
        with file:
            while (raw := file.readline(MAX_LINE_BYTES)).endswith(b"\n"):
                size += len(raw)
                self._lines += 1
                self._read(raw)
        self._forget_old(now)
        return size

    def _read(self, raw: bytes) -> None:
        try:
            text = raw.decode()
            self._apply(read_line(parse_object(text, max_bytes=MAX_LINE_BYTES)))
        except (UnicodeDecodeError, BadContent, LookupError) as error:
            log.warning("journal line skipped", extra={"reason": str(error)[:200]})

    def _apply(self, line: Line) -> None:
        """Brings the index up to one line."""
        match line:
            case Planned(d=delivery_id, parts=parts):
                old = self._open.get(delivery_id)
                at = parse_text(line.at) or _LONG_AGO
                self._open[delivery_id] = OpenSend(parts, at, old.ids if old else [])
            case Tried(d=delivery_id, p=index):
                self._open[delivery_id].tried.add(index)
            case PartSent(d=delivery_id, p=index):
                send = self._open[delivery_id]
                send.tried.discard(index)
                if index == len(send.ids):
                    send.ids.append(line.id)
            case Failed(d=delivery_id, p=index):
                send = self._open[delivery_id]
                send.failure = f"{line.c}: {line.text}"
                if line.c is not FailureClass.UNCERTAIN:
                    send.tried.discard(index)
            case Ended(d=delivery_id, ids=ids):
                self._open.pop(delivery_id, None)
                self._finished[delivery_id] = _Finished(ids, parse_text(line.at) or _LONG_AGO)

    def _forget_old(self, now: datetime) -> None:
        oldest = now - KEPT_FOR
        finished = [item for item in self._finished.items() if item[1].at >= oldest]
        self._finished = dict(finished[-KEPT_FINISHED:])
        self._open = {
            delivery_id: send
            for delivery_id, send in self._open.items()
            if send.planned_at >= oldest
        }


def _lines_of(delivery_id: str, send: OpenSend) -> Iterator[Line]:
    yield Planned(d=delivery_id, at=to_text(send.planned_at), parts=send.parts)
    for index, message_id in enumerate(send.ids):
        yield PartSent(d=delivery_id, p=index, id=message_id)
    for index in sorted(send.tried):
        yield Tried(d=delivery_id, p=index)


def _without_none(ids: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(message_id for message_id in ids if message_id is not None)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
