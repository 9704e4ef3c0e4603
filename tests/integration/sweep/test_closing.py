"""Quiet conversations are closed and packed; what has work to do is not."""

import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from helpers.central import make_home
from helpers.central_rows import seed

from contract.clock import to_text, utc_now
from contract.inbound.row import NewInbound
from contract.inbound.writer import open_inbound
from nanoclaw.db import container_configs, sessions
from nanoclaw.db.connection import transaction
from nanoclaw.db.container_configs import ContainerConfigChange
from nanoclaw.model import NewSession, Session, SessionMode, SessionStatus
from nanoclaw.reactor import Reactor
from nanoclaw.sessions.archive import archive_of
from nanoclaw.sessions.folder import SessionFolder
from nanoclaw.sweep.closing import PER_ROUND, Closing
from nanoclaw.sweep.offload import Offload


@dataclass
class Quiet:
    """A session that nobody has written to for ``days``."""

    closing: Closing
    session: Session
    folder: SessionFolder
    reactor: Reactor
    days: int = 31

    def set_last_active(self, days: float) -> None:
        at = to_text(utc_now() - timedelta(days=days))
        self.closing._conn.execute("UPDATE sessions SET last_active = ?", (at,))

    def reread(self) -> Session:
        found = sessions.get(self.closing._conn, self.session.id)
        assert found is not None
        return found


@pytest.fixture
def quiet(tmp_path: Path) -> Iterator[Quiet]:
    config, conn = make_home(tmp_path)
    with closing(conn):
        session = seed(conn).session
        folder = SessionFolder.of(config.paths, session.agent_group_id, session.id)
        folder.create()
        reactor = Reactor()
        closer = Closing(reactor, conn, config.paths, Offload(reactor))
        scene = Quiet(closer, session, folder, reactor)
        scene.set_last_active(31)
        yield scene
        reactor.close()


def test_session_that_was_quiet_for_a_month_is_closed(quiet: Quiet) -> None:
    assert quiet.closing.close_quiet() == 1

    assert quiet.reread().status is SessionStatus.CLOSED


def test_session_with_recent_traffic_stays_open(quiet: Quiet) -> None:
    quiet.set_last_active(29)

    assert quiet.closing.close_quiet() == 0


def test_group_decides_after_how_many_days_and_whether_at_all(quiet: Quiet) -> None:
    conn, group = quiet.closing._conn, quiet.session.agent_group_id
    container_configs.ensure(conn, group, utc_now())
    container_configs.update(conn, group, ContainerConfigChange(close_after_days=0), utc_now())
    assert quiet.closing.close_quiet() == 0

    container_configs.update(conn, group, ContainerConfigChange(close_after_days=10), utc_now())
    quiet.set_last_active(11)
    assert quiet.closing.close_quiet() == 1


@pytest.mark.parametrize("status", ["pending", "paused"])
def test_live_task_keeps_a_session_open(quiet: Quiet, status: str) -> None:
    with open_inbound(quiet.folder.inbound_db) as writer:
        writer.insert_message(NewInbound("task-1", "task", utc_now(), '{"prompt":"x"}'))
        writer._conn.execute("UPDATE messages_in SET status = ?", (status,))

    assert quiet.closing.close_quiet() == 0


def test_sessions_with_tasks_do_not_keep_others_from_being_closed(quiet: Quiet) -> None:
    conn, first = quiet.closing._conn, quiet.session
    for number in range(PER_ROUND):
        name = f"sess-task-{number}"
        new = NewSession(name, first.agent_group_id, None, None, SessionMode.TASK, name, utc_now())
        session = sessions.create(conn, new)
        at = to_text(utc_now() - timedelta(days=60, seconds=-number))
        conn.execute("UPDATE sessions SET last_active = ? WHERE id = ?", (at, session.id))
        folder = quiet.folder.root.with_name(name)
        shutil.copytree(quiet.folder.root, folder)
        with open_inbound(SessionFolder(folder).inbound_db) as writer:
            writer.insert_message(NewInbound("task-1", "task", utc_now(), '{"prompt":"x"}'))

    assert quiet.closing.close_quiet() == 0
    assert quiet.closing.close_quiet() == 1
    assert quiet.closing.close_quiet() == 0

    assert quiet.reread().status is SessionStatus.CLOSED


def test_packed_session_has_its_archive_only(quiet: Quiet) -> None:
    quiet.closing.close_quiet()

    quiet.closing._pack_next([quiet.session])
    quiet.reactor.call_later(20, quiet.reactor.stop)
    _run_until(quiet, lambda: not quiet.folder.root.exists())

    assert archive_of(quiet.folder.root).exists()
    _run_until(quiet, lambda: [path.name for path in quiet.folder.root.parent.iterdir()] == [
        archive_of(quiet.folder.root).name
    ])  # fmt: skip


def test_session_that_is_reopened_while_it_is_packed_keeps_its_folder(quiet: Quiet) -> None:
    quiet.closing.close_quiet()
    archive_of(quiet.folder.root).write_bytes(b"packed in between")
    with transaction(quiet.closing._conn):
        sessions.reopen(quiet.closing._conn, quiet.session.id)

    quiet.closing._finish(quiet.session)

    assert quiet.folder.inbound_db.exists()
    assert not archive_of(quiet.folder.root).exists()


def _run_until(quiet: Quiet, condition: "object") -> None:
    assert callable(condition)

    def check() -> None:
        if condition():
            quiet.reactor.stop()
        else:
            quiet.reactor.call_later(0.01, check)

    quiet.reactor.post(check)
    quiet.reactor.run()
    assert condition()
