"""A real runner process on two temporary folders, and the host's view of what it wrote."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from pathlib import Path

from helpers.waiting import wait_until

from contract.address import Address, Destination
from contract.clock import utc_now
from contract.config import SessionConfig, SessionLimits, dump_config
from contract.errors import SnapshotBusy, SnapshotMissing, SnapshotRefused
from contract.inbound.row import AckStatus, DeliveredMark, DeliveredStatus, InboundRow, NewInbound
from contract.inbound.writer import create_inbound, open_inbound
from contract.jsontext import dump, parse_object
from contract.layout import RunnerPaths
from contract.outbound.row import Ack, OutboundRow
from contract.outbound.snapshot import OutboundSnapshot, read_snapshot

PROJECT = Path(__file__).resolve().parents[2]
CHAT = Address("cli", "local", None)


@dataclass(slots=True)
class RunnerProcess:
    """One started runner. ``code`` waits for its end."""

    process: subprocess.Popen[bytes]
    paths: RunnerPaths

    def code(self, within: float = 10.0) -> int:
        return self.process.wait(within)

    def terminate(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.code()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def log(self) -> str:
        try:
            return self.paths.runner_log.read_text()
        except FileNotFoundError:
            return ""

    def wait_for_log(self, words: str, within: float = 5.0) -> None:
        wait_until(lambda: words in self.log(), within=within, what=f"{words!r} in runner.log")


@dataclass(slots=True)
class RunnerSession:
    """The host's side of one session: writes ``in/``, takes snapshots of ``out/``."""

    root: Path
    lease: int = 1
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))
    _running: list[RunnerProcess] = field(default_factory=list)

    def __post_init__(self) -> None:
        for folder in (self.paths.in_dir, self.paths.out_dir, self.paths.workspace):
            folder.mkdir(parents=True)
        create_inbound(self.paths.inbound_db)
        with open_inbound(self.paths.inbound_db) as inbound:
            inbound.set_session_routing(CHAT)
        self.configure()

    @property
    def paths(self) -> RunnerPaths:
        return RunnerPaths(
            self.root / "in", self.root / "out", self.root / "agent", PROJECT, self.root / "global"
        )

    def configure(
        self,
        rules: Sequence[object] | None = None,
        *,
        provider: str = "scripted",
        idle_exit_seconds: float = 60.0,
        heartbeat_seconds: float = 0.1,
        limits: SessionLimits | None = None,
        keys: Mapping[str, object] | None = None,
    ) -> None:
        """Both files, for the current lease."""
        session = SessionConfig(
            session_id="sess-1",
            agent_group_id="ag-1",
            lease=self.lease,
            provider=provider,
            idle_exit_seconds=idle_exit_seconds,
            heartbeat_seconds=heartbeat_seconds,
            limits=limits or SessionLimits(),
        )
        script = {} if rules is None else {"script": dump({"rules": rules})}
        _replace(self.paths.container_json, dump({**script, **(keys or {})}))
        _replace(self.paths.session_json, dump_config(session))

    def renew_lease(self) -> None:
        """What the host does before it starts another container."""
        self.lease += 1
        value = parse_object(self.paths.session_json.read_text(), max_bytes=100_000)
        _replace(self.paths.session_json, dump({**value, "lease": self.lease}))

    def send(
        self,
        text: str,
        *,
        address: Address = CHAT,
        trigger: bool = True,
        on_wake: bool = False,
        process_after: datetime | None = None,
    ) -> str:
        """A chat message from the host; its id."""
        message_id = f"m-{next(self._numbers)}"
        new = NewInbound(
            id=message_id,
            kind="chat",
            timestamp=utc_now(),
            content=dump({"text": text, "sender": "Ann", "senderId": "cli:ann"}),
            address=address,
            trigger=trigger,
            on_wake=on_wake,
            process_after=process_after,
        )
        with open_inbound(self.paths.inbound_db, busy_ms=2000) as inbound:
            inbound.insert_message(new)
        return message_id

    def permit(self, *destinations: Destination) -> None:
        with open_inbound(self.paths.inbound_db, busy_ms=2000) as inbound:
            inbound.replace_destinations(destinations)

    def record_delivered(self, message_ids: Sequence[str]) -> None:
        marks = [DeliveredMark(i, None, DeliveredStatus.DELIVERED, utc_now()) for i in message_ids]
        with open_inbound(self.paths.inbound_db, busy_ms=2000) as inbound:
            inbound.mark_delivered(marks)

    def sync(self) -> None:
        """Takes the runner's acknowledgements over, as the host does."""
        with open_inbound(self.paths.inbound_db, busy_ms=2000) as inbound:
            inbound.sync_acks({ack.message_id: ack.status for ack in self.acks()})

    def inbound_row(self, message_id: str) -> InboundRow | None:
        with open_inbound(self.paths.inbound_db, busy_ms=2000) as inbound:
            return inbound.find(message_id)

    def start(self, **environment: str) -> RunnerProcess:
        """As in the container: safe path, nothing of ours but PYTHONPATH."""
        with (self.root / "stderr").open("ab") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "runner"],
                cwd=self.root,
                env={
                    "PATH": os.environ["PATH"],
                    "PYTHONPATH": str(PROJECT),
                    **self.paths.to_environment(),
                    **environment,
                },
                stdin=subprocess.DEVNULL,
                stderr=stderr,
            )
        started = RunnerProcess(process, self.paths)
        self._running.append(started)
        return started

    def stop_all(self) -> None:
        for running in self._running:
            if running.process.poll() is None:
                running.kill()

    def messages(self) -> list[OutboundRow]:
        with self._snapshot() as snapshot:
            return [] if snapshot is None else list(snapshot.messages(0, 10_000))

    def texts(self) -> list[str]:
        return [text_of(row) for row in self.messages()]

    def acks(self) -> list[Ack]:
        with self._snapshot() as snapshot:
            return [] if snapshot is None else list(snapshot.acks())

    def current_tool(self) -> str | None:
        """The tool at work, as the host sees it."""
        with self._snapshot() as snapshot:
            state = None if snapshot is None else snapshot.container_state()
            return None if state is None else state.current_tool

    def ack_of(self, message_id: str) -> Ack | None:
        return next((ack for ack in self.acks() if ack.message_id == message_id), None)

    def status_of(self, message_id: str) -> AckStatus | None:
        ack = self.ack_of(message_id)
        return None if ack is None else ack.status

    def wait_for_texts(self, number: int, within: float = 10.0) -> list[str]:
        """The answers so far, as soon as there are so many."""
        wait_until(lambda: len(self.texts()) >= number, within=within, what=f"{number} answers")
        return self.texts()

    def wait_for_status(self, message_id: str, status: AckStatus) -> None:
        wait_until(
            lambda: self.status_of(message_id) is status, what=f"{message_id} to be {status}"
        )

    def wait_for_a_turn(self) -> None:
        """Until the scripted provider has begun one: its rule's counter is on disk by then."""
        wait_until((self.paths.conversation / "scripted.json").exists, what="the turn to begin")

    @contextmanager
    def _snapshot(self) -> Iterator[OutboundSnapshot | None]:
        fd = os.open(self.paths.out_dir, os.O_RDONLY | os.O_DIRECTORY)
        try:
            snapshot = wait_until(lambda: _try_snapshot(fd), what="a snapshot")
            if not isinstance(snapshot, OutboundSnapshot):
                yield None
                return
            with snapshot:
                yield snapshot
        finally:
            os.close(fd)


def text_of(row: OutboundRow) -> str:
    return str(parse_object(row.content, max_bytes=10_000_000).get("text"))


_NOTHING_YET = "nothing yet"


def _try_snapshot(fd: int) -> OutboundSnapshot | str | None:
    try:
        return read_snapshot(fd)
    except SnapshotMissing:
        return _NOTHING_YET
    except (SnapshotBusy, SnapshotRefused):
        return None  # a journal that is just being taken away looks like one left behind


def _replace(path: Path, text: str) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(path)
