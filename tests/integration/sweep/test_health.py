"""Judging containers by real files, with the time as a parameter."""

import fcntl
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from helpers.central import make_home
from helpers.locked_file import locked_exclusively

from contract.address import Address
from contract.clock import utc_now
from contract.inbound.row import InboundStatus, NewInbound
from contract.inbound.writer import open_inbound
from contract.outbound.writer import open_outbound
from nanoclaw.config import HostConfig
from nanoclaw.containers.runtime import ExitReport
from nanoclaw.db import agent_groups, deliveries, messaging_groups, sessions
from nanoclaw.model import ContainerStart, NewSession, Session, SessionMode
from nanoclaw.sessions.folder import SessionFolder
from nanoclaw.sessions.quarantine import WorkMarker
from nanoclaw.sweep.agents import Agent, AgentLimits, Stage, agent_of
from nanoclaw.sweep.decide import Keep, Stop, StopReason
from nanoclaw.sweep.ends.decide import ExitClass
from nanoclaw.sweep.health import Health
from nanoclaw.sweep.lock_probe import is_locked
from nanoclaw.sweep.output import OutputReader, forget_heartbeat, heartbeat_time
from nanoclaw.sweep.settle import Ending, Settler
from nanoclaw.tasks.keeper import TaskKeeper

NOW = utc_now().replace(microsecond=0)


class Room:
    """One session with a container that exists on paper only."""

    def __init__(self, config: HostConfig, conn: sqlite3.Connection) -> None:
        self.config, self.conn = config, conn
        (group,) = agent_groups.list_all(conn)
        chat = messaging_groups.find_by_address(conn, "cli", "local")
        assert chat is not None
        new = NewSession("sess-1", group.id, chat.id, None, SessionMode.SHARED, "k", NOW)
        sessions.create(conn, new)
        self.folder = SessionFolder.of(config.paths, group.id, "sess-1")
        self.folder.create()
        sessions.acquire_lease(conn, "sess-1", "me", NOW, timedelta(hours=1))
        sessions.set_running(conn, "sess-1", ContainerStart("c1", NOW, "v1"))
        self.marker = WorkMarker(config.paths, "test")
        self.reader = OutputReader(self.marker, config.paths.run)
        self.health = Health(conn, self.reader)
        self.settler = Settler(
            conn, config.paths, self.marker, self.reader, TaskKeeper(conn, config)
        )
        limits = AgentLimits(idle=timedelta(seconds=300), turn=None, disk_bytes=10**9)
        self.agent: Agent = agent_of(self.session(), self.folder, limits, NOW)
        self.agent.stage = Stage.RUNNING

    def session(self) -> Session:
        found = sessions.get(self.conn, "sess-1")
        assert found is not None
        return found

    def write(self, message_id: str) -> None:
        new = NewInbound(message_id, "chat", NOW, '{"text":"x"}', Address("cli", "local"))
        with open_inbound(self.folder.inbound_db) as writer:
            writer.insert_message(new)
        sessions.mark_due(self.conn, "sess-1", NOW)

    def claim(self, message_id: str, *, lease: int = 1, at: datetime = NOW) -> None:
        with open_outbound(self.folder.out_dir / "outbound.db") as out:
            out.claim([message_id], lease, at)

    def complete(self, message_id: str) -> None:
        with open_outbound(self.folder.out_dir / "outbound.db") as out:
            out.complete([message_id], utc_now())

    def judge(self, later_seconds: float, clock: float = 0.0) -> Keep | Stop:
        return self.health.judge(self.agent, NOW + timedelta(seconds=later_seconds), clock)

    def settle(self, code: int | None, *, later_seconds: float = 30) -> ExitClass:
        now = NOW + timedelta(seconds=later_seconds)
        plan = self.settler.settle(Ending(self.agent, ExitReport(code), now))
        assert plan is not None
        return plan.kind

    def row(self, message_id: str) -> tuple[InboundStatus, int]:
        with open_inbound(self.folder.inbound_db) as writer:
            found = writer.find(message_id)
        assert found is not None
        return found.status, found.tries


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    config, conn = make_home(tmp_path)
    made = Room(config, conn)
    yield made
    made.marker.close()
    conn.close()


def reason(decision: Keep | Stop) -> StopReason | None:
    return decision.reason if isinstance(decision, Stop) else None


# --- is it well -----------------------------------------------------------------------------------


def test_silent_claim_is_stuck_after_a_minute(room: Room) -> None:
    room.write("m1")
    room.claim("m1")

    assert reason(room.judge(30)) is None
    assert reason(room.judge(90)) is StopReason.STUCK


def test_claim_of_an_earlier_container_is_nobodys(room: Room) -> None:
    room.write("m1")
    room.claim("m1", lease=7)

    assert reason(room.judge(59)) is None


def test_heartbeat_keeps_a_long_turn_alive(room: Room) -> None:
    room.write("m1")
    room.claim("m1")
    beat = room.folder.out_dir / "heartbeat"
    beat.touch()
    at = NOW.timestamp() + 80
    os.utime(beat, (at, at))

    assert reason(room.judge(90)) is None
    assert reason(room.judge(145)) is StopReason.STUCK


@pytest.mark.parametrize(("tool", "expected"), [("Bash", None), ("Other", StopReason.STUCK)])
def test_only_the_declared_time_of_the_shell_counts(
    room: Room, tool: str, expected: StopReason | None
) -> None:
    room.claim("m1")
    with open_outbound(room.folder.out_dir / "outbound.db") as out:
        out.set_tool_in_flight(tool, 600_000, NOW)

    assert reason(room.judge(300)) is expected


def test_finished_claim_leaves_an_idle_agent(room: Room) -> None:
    room.claim("m1")
    room.judge(1)
    room.complete("m1")

    assert room.judge(100) == Keep(timedelta(0)), "it has just written"
    assert room.judge(200) == Keep(timedelta(seconds=100))
    assert reason(room.judge(500)) is StopReason.IDLE


def test_agent_that_ignores_its_inbox_is_deaf(room: Room) -> None:
    room.agent.started_at = NOW - timedelta(seconds=10)
    room.write("m1")

    assert reason(room.judge(30)) is None
    assert reason(room.judge(90)) is StopReason.DEAF


def test_agent_whose_inbox_is_empty_is_not_deaf(room: Room) -> None:
    room.agent.started_at = NOW - timedelta(seconds=10)
    sessions.mark_due(room.conn, "sess-1", NOW)

    assert reason(room.judge(90)) is None


def test_container_whose_lease_is_gone_is_not_ours(room: Room) -> None:
    sessions.acquire_lease(room.conn, "sess-1", "me", NOW, timedelta(hours=1))

    assert reason(room.judge(1)) is StopReason.NOT_OURS


@contextmanager
def locked_by_another_process(path: Path) -> Iterator[None]:
    """A read transaction that never ends, as a container can hold it."""
    code = (
        "import sqlite3, sys, time\n"
        "conn = sqlite3.connect('file:' + sys.argv[1] + '?mode=ro', uri=True)\n"
        "conn.isolation_level = None\n"
        "conn.execute('BEGIN')\n"
        "conn.execute('SELECT count(*) FROM messages_in').fetchone()\n"
        "print('held', flush=True)\n"
        "sys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == b"held\n"
    yield
    process.stdin.close()
    process.wait()
    process.stdout.close()


def test_lock_that_is_held_too_long_stops_its_container(room: Room) -> None:
    with locked_by_another_process(room.folder.inbound_db):
        assert reason(room.judge(1, clock=100.0)) is None
        assert reason(room.judge(2, clock=109.0)) is None
        assert reason(room.judge(3, clock=110.5)) is StopReason.LOCKED

    assert reason(room.judge(4, clock=111.0)) is None
    assert room.agent.locked_since is None


def test_lock_on_its_own_file_hides_an_agent_for_ten_seconds_only(room: Room) -> None:
    room.write("m1")
    room.claim("m1")
    with locked_exclusively(room.folder.out_dir / "outbound.db"):
        assert reason(room.judge(1, clock=100.0)) is None
        assert reason(room.judge(2, clock=110.5)) is StopReason.LOCKED

    assert reason(room.judge(3, clock=111.0)) is None
    assert room.agent.locked_since is None


def test_looking_for_a_lock_takes_none(room: Room) -> None:
    with room.folder.inbound_db.open("rb+") as file:
        assert not is_locked(room.folder.inbound_db)
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 0x40000000)


def test_damaged_output_is_no_reason_to_stop(room: Room) -> None:
    (room.folder.out_dir / "outbound.db").write_bytes(b"junk" * 1000)

    assert isinstance(room.judge(1), Keep)


def test_agent_without_any_output_is_well(room: Room) -> None:
    assert isinstance(room.judge(1), Keep)


# --- heartbeat ------------------------------------------------------------------------------------


def test_heartbeat_is_read_without_following_a_link(room: Room, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.touch()
    os.utime(outside, (1, 1))
    (room.folder.out_dir / "heartbeat").symlink_to(outside)

    assert heartbeat_time(room.folder) != 1
    forget_heartbeat(room.folder)
    assert outside.exists()
    assert heartbeat_time(room.folder) is None


def test_missing_heartbeat_is_no_error(room: Room) -> None:
    forget_heartbeat(room.folder)

    assert heartbeat_time(room.folder) is None


def test_folder_in_the_place_of_the_heartbeat_is_no_error(room: Room) -> None:
    (room.folder.out_dir / "heartbeat").mkdir()

    forget_heartbeat(room.folder)


# --- settling -------------------------------------------------------------------------------------


def test_crash_counts_one_try_and_puts_the_message_off(room: Room) -> None:
    room.write("m1")
    room.claim("m1")

    assert room.settle(1) is ExitClass.CRASH

    assert room.row("m1") == (InboundStatus.PENDING, 1)
    after = room.session()
    assert after.next_due_at == NOW + timedelta(seconds=35)
    assert after.lease_owner is None


def test_end_that_is_settled_twice_counts_once(room: Room) -> None:
    """The sweep may die right after the message was put off."""
    room.write("m1")
    room.claim("m1")

    room.settle(1)
    room.settle(1, later_seconds=31)

    assert room.row("m1") == (InboundStatus.PENDING, 1)


def test_finished_messages_are_taken_over_and_nothing_is_due(room: Room) -> None:
    room.write("m1")
    room.claim("m1")
    room.complete("m1")

    assert room.settle(0) is ExitClass.PLANNED

    assert room.row("m1") == (InboundStatus.COMPLETED, 0)
    assert room.session().next_due_at is None


def test_message_that_came_while_settling_stays_due(room: Room) -> None:
    room.write("m1")
    room.claim("m1")
    room.complete("m1")
    session = room.session()
    sessions.settle_due(room.conn, "sess-1", session.due_epoch - 1, None)

    assert room.session().next_due_at is not None


def test_orderly_end_in_a_turn_blames_nobody(room: Room) -> None:
    room.write("m1")
    room.claim("m1")
    room.agent.stop = Stop(StopReason.REQUESTED)

    room.settle(0)

    assert room.row("m1") == (InboundStatus.PENDING, 0)
    assert room.session().next_due_at == NOW + timedelta(seconds=30)


def test_claims_of_other_leases_are_left_alone(room: Room) -> None:
    room.write("m1")
    room.claim("m1", lease=99)

    room.settle(1)

    assert room.row("m1") == (InboundStatus.PENDING, 0)


def test_sixth_crash_gives_up_and_tells_the_chat_once(room: Room) -> None:
    room.write("m1")
    room.claim("m1")
    with open_inbound(room.folder.inbound_db) as writer:
        for _ in range(5):
            writer.retry_later("m1", NOW)

    room.settle(1)
    room.settle(1, later_seconds=31)

    assert room.row("m1")[0] is InboundStatus.FAILED
    told = deliveries.due(room.conn, NOW + timedelta(hours=1), 10)
    assert [delivery.in_reply_to for delivery in told] == ["m1"]
    assert told[0].instance == "cli"


def test_session_without_files_is_settled_too(room: Room) -> None:
    room.folder.inbound_db.unlink()

    room.settle(1)

    assert room.session().lease_owner is None


def test_half_done_transaction_of_a_killed_runner_is_read_around(room: Room) -> None:
    room.write("m1")
    room.claim("m1")
    code = (
        "import os, sqlite3, sys\n"
        "conn = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "conn.execute('PRAGMA cache_size=1')\n"
        "conn.execute('BEGIN IMMEDIATE')\n"
        "conn.execute(\"UPDATE processing_ack SET status = 'completed'\")\n"
        "for n in range(400):\n"
        "    row = (str(n), 'x' * 500, 'now')\n"
        "    conn.execute('INSERT INTO session_state VALUES (?, ?, ?)', row)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    path = room.folder.out_dir / "outbound.db"
    subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert path.with_name("outbound.db-journal").exists()

    assert room.settle(137) is ExitClass.CRASH

    assert room.row("m1") == (InboundStatus.PENDING, 1)


def test_acknowledgement_survives_as_a_failure_when_it_was_one(room: Room) -> None:
    room.write("m1")
    room.claim("m1")
    with open_outbound(room.folder.out_dir / "outbound.db") as out:
        out.fail(["m1"], NOW)

    room.settle(0)

    assert room.row("m1") == (InboundStatus.FAILED, 0)


# --- who died over what ---------------------------------------------------------------------------


def test_death_over_a_session_is_counted_and_forgiven_after_a_good_look(room: Room) -> None:
    room.marker.path.write_text("sess-1")
    marker = WorkMarker(room.config.paths, "test")

    assert marker.count_death(room.conn, NOW) is None
    assert room.session().deaths == 1
    marker.note_survived(room.conn, "sess-1")
    assert room.session().deaths == 0
    marker.close()


def test_second_death_in_a_row_quarantines(room: Room) -> None:
    for expected in (None, "sess-1"):
        room.marker.path.write_text("sess-1")
        marker = WorkMarker(room.config.paths, "test")
        assert marker.count_death(room.conn, NOW) == expected
        marker.close()

    assert room.session().quarantined_at is not None


def test_orderly_look_leaves_no_note(room: Room) -> None:
    with room.marker.reading("sess-1"):
        assert room.marker.path.read_text() == "sess-1"

    assert room.marker.path.read_text() == ""
    assert room.marker.take_leftover() is None


def test_exception_while_looking_is_no_death(room: Room) -> None:
    with pytest.raises(ValueError, match="bad"), room.marker.reading("sess-1"):
        raise ValueError("bad")

    assert room.marker.take_leftover() is None


def test_agent_that_ran_out_of_memory_says_so_once_and_is_tried_once_more(room: Room) -> None:
    room.write("m1")
    room.claim("m1")
    report = ExitReport(137, out_of_memory=True)

    for later in (30, 31):
        room.settler.settle(Ending(room.agent, report, NOW + timedelta(seconds=later)))

    (told,) = deliveries.due(room.conn, NOW + timedelta(hours=1), 10)
    assert "more memory than it may have" in told.content
    assert "--memory-mb 4096" in told.content
    room.settler.settle(Ending(room.agent, report, NOW + timedelta(seconds=60)))
    assert room.row("m1")[0] is InboundStatus.FAILED
