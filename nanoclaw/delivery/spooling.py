"""Copies the files of messages out of the agent's folder into the spool of their channel.

Owned by ``delivery.loop``. A message with files is not sent before its files are in the host's
hands; from then on every attempt sends these copies, whatever the agent does to its own (W-1,
W-19). Copying happens on threads, because a file may be large and a disk slow; everything else is
done on the reactor's thread. A file that cannot be had never stops the message: its agent is told.
"""

import hashlib
import logging
import os
import sqlite3
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from contract.clock import utc_now
from contract.content import ChatOut, parse_outbound
from contract.errors import BadContent
from contract.jsontext import storable
from contract.killpoint import reached
from nanoclaw.db import deliveries, delivery_steps, sessions
from nanoclaw.db.connection import transaction
from nanoclaw.db.delivery_steps import TakenFiles
from nanoclaw.delivery import held
from nanoclaw.delivery.leak_guard import LeakGuard, Message
from nanoclaw.errors import ConfigError
from nanoclaw.events import SpoolFile
from nanoclaw.leaks.scanner import Found
from nanoclaw.model import Delivery, DeliveryState, FilesState, Session
from nanoclaw.paths import HostPaths, make_private_folder
from nanoclaw.reactor import Reactor
from nanoclaw.sessions.folder import SessionFolder
from nanoclaw.sessions.out_files import (
    MIB,
    BadFile,
    FileWanted,
    clear_out_files,
    copy_out_file,
)

MAX_FILE_BYTES = 100 * MIB
MAX_MESSAGE_BYTES = 250 * MIB
MAX_SESSION_BYTES = 512 * MIB
"""Of all waiting messages of one session together."""
THREADS = 2
TAKEN_UP = 200
"""Messages whose files are copied after a restart, at once; the rest follow as they are done."""
_OPEN = (DeliveryState.HELD, DeliveryState.QUEUED)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Job:
    """What a thread needs to know; it touches no database."""

    delivery_id: str
    message_id: str
    names: tuple[str, ...]
    out_dir: SessionFolder
    target: Path
    max_bytes: int


class Spooler:
    """``on_taken`` gets each message again once its files are there."""

    def __init__(
        self,
        reactor: Reactor,
        conn: sqlite3.Connection,
        paths: HostPaths,
        on_taken: Callable[[Delivery], None],
        guard: LeakGuard,
    ) -> None:
        self._reactor = reactor
        self._conn = conn
        self._paths = paths
        self._on_taken = on_taken
        self._guard = guard
        self._threads: ThreadPoolExecutor | None = None
        self._under_way: set[str] = set()
        self._left_out = False
        """Some messages could not be taken up, because too many were under way."""

    def take_up(self) -> None:
        """What is still to be copied: after a start, and behind a long queue."""
        wanting = delivery_steps.wanting_files(self._conn, TAKEN_UP)
        self._left_out = len(wanting) == TAKEN_UP
        for delivery in wanting:
            self.want(delivery)

    def want(self, delivery: Delivery) -> None:
        """Copies the files of a stored message; harmless when that is under way already."""
        if delivery.files_state is not FilesState.WANTED or delivery.session_id is None:
            return
        if delivery.delivery_id in self._under_way:
            return
        if len(self._under_way) >= TAKEN_UP:
            self._left_out = True
            return
        session = sessions.get(self._conn, delivery.session_id)
        if session is None:
            return
        self._under_way.add(delivery.delivery_id)
        job = self._job(session, delivery)
        self._submit(lambda: self._copy_in_thread(job))

    def finished(self, finished: Iterable[Delivery]) -> None:
        """They are in their final state, on disk: neither copy is needed any more (H-60)."""
        for delivery in finished:
            if delivery.files_state is FilesState.NONE or delivery.session_id is None:
                continue
            session = sessions.get(self._conn, delivery.session_id)
            if session is not None:
                self._submit_clearing(session, delivery)

    def close(self) -> None:
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)

    def _submit(self, work: Callable[[], None]) -> None:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="spool")
        self._threads.submit(work)

    def _job(self, session: Session, delivery: Delivery) -> _Job:
        left = MAX_SESSION_BYTES - delivery_steps.spooled_bytes(self._conn, session.id)
        channel = self._paths.channel(delivery.instance)
        return _Job(
            delivery.delivery_id,
            delivery.message_out_id,
            _names(delivery),
            SessionFolder.of(self._paths, session.agent_group_id, session.id),
            channel / "spool" / "out",
            max(0, min(MAX_MESSAGE_BYTES, left)),
        )

    def _copy_in_thread(self, job: _Job) -> None:
        try:
            taken = copy_files(job)
        except (OSError, ConfigError) as error:
            names = ", ".join(map(_shown, job.names))
            taken = TakenFiles(job.delivery_id, problem=f"{names}: cannot be copied: {error}")
        found = self._guard.find_in_files([job.target / file.spool for file in taken.files])
        reached("delivery.files_copied")
        self._reactor.post(lambda: self._taken(taken, found))

    def _taken(self, taken: TakenFiles, found: Found | None) -> None:
        now = utc_now()
        with transaction(self._conn):
            delivery_steps.set_files(self._conn, taken, now)
            delivery = deliveries.get(self._conn, taken.delivery_id)
            if delivery is not None and found is not None and delivery.state in _OPEN:
                self._guard.end(_message(delivery), found, now)
                delivery = deliveries.get(self._conn, taken.delivery_id)
            elif delivery is not None:
                self._ask_if_held(delivery)
        reached("delivery.files_taken")
        self._under_way.discard(taken.delivery_id)
        if taken.problem is not None:
            fields = {"message_id": taken.delivery_id, "reason": taken.problem}
            log.warning("files not taken", extra=fields)
        if delivery is not None:
            self._on_taken(delivery)
        if self._left_out and len(self._under_way) < TAKEN_UP // 2:
            self.take_up()

    def _ask_if_held(self, delivery: Delivery) -> None:
        if delivery.state is not DeliveryState.HELD or delivery.session_id is None:
            return
        session = sessions.get(self._conn, delivery.session_id)
        if session is not None and delivery.waits_for == delivery_steps.ASKING:
            held.ask(self._conn, session, delivery, utc_now())

    def _submit_clearing(self, session: Session, delivery: Delivery) -> None:
        folder = SessionFolder.of(self._paths, session.agent_group_id, session.id)
        spool = self._paths.channel(delivery.instance) / "spool" / "out"
        # One whose fate is unknown may be sent again by hand; its copies go with the spool's age.
        gone = delivery.files if delivery.state is not DeliveryState.UNCERTAIN else ()
        self._submit(
            lambda: _clear(folder, delivery.message_out_id, [spool / file.spool for file in gone])
        )


def copy_files(job: _Job) -> TakenFiles:
    """Under names made from message and place, so that a repeated copy replaces the first."""
    for folder in (job.target.parent.parent, job.target.parent, job.target):
        make_private_folder(folder)
    out_fd = job.out_dir.open_out()
    target_fd = os.open(job.target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return _copy_all(job, out_fd, target_fd)
    finally:
        os.close(target_fd)
        os.close(out_fd)


def _copy_all(job: _Job, out_fd: int, target_fd: int) -> TakenFiles:
    files: list[SpoolFile] = []
    problems: list[str] = []
    left = job.max_bytes
    for number, name in enumerate(job.names):
        if storable(name) != name:
            problems.append(f"{_shown(name)} is not valid text")
            continue
        wanted = FileWanted(
            message_id=job.message_id,
            name=name,
            target_fd=target_fd,
            stored_as=_stored_as(job.delivery_id, number),
            max_bytes=min(MAX_FILE_BYTES, left),
        )
        found = copy_out_file(out_fd, wanted)
        if isinstance(found, BadFile):
            problems.append(f"{_shown(found.name)} {found.reason}")
        else:
            left -= found.size
            files.append(SpoolFile(found.name, found.stored_as, found.size, found.sha256))
    os.fsync(target_fd)
    return TakenFiles(job.delivery_id, tuple(files), "; ".join(problems) or None)


def _message(delivery: Delivery) -> Message:
    where = "a file"
    return Message(delivery.delivery_id, delivery.session_id, delivery.instance, where)


def _stored_as(delivery_id: str, number: int) -> str:
    unique = f"{delivery_id}\0{number}"
    return "out-" + hashlib.sha256(unique.encode("utf-8", "replace")).hexdigest()[:32]


def _names(delivery: Delivery) -> tuple[str, ...]:
    try:
        content = parse_outbound(delivery.kind, delivery.content)
    except BadContent:
        return ()
    return tuple(dict.fromkeys(content.files)) if isinstance(content, ChatOut) else ()


def _shown(name: str) -> str:
    """A hostile name in a text for people: one line, not too long."""
    return "".join(c if c.isprintable() else "?" for c in name)[:120]


def _clear(folder: SessionFolder, message_id: str, copies: list[Path]) -> None:
    """On a thread; never raises, because the message has been seen (H-60)."""
    with suppress(OSError):
        out_fd = folder.open_out()
        try:
            clear_out_files(out_fd, message_id)
        finally:
            os.close(out_fd)
    for copy in copies:
        with suppress(OSError):
            copy.unlink(missing_ok=True)
