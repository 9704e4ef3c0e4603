"""The sweep's side of doors: rows, folders, and who is told."""

import hashlib
import stat
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from helpers.central import make_home

from contract.clock import utc_now
from nanoclaw.config import HostConfig
from nanoclaw.db import agent_groups, doors, messaging_groups, sessions
from nanoclaw.events import DoorsChanged, Frame, Hello
from nanoclaw.link import FrameServer, Peer, QuietHandler
from nanoclaw.model import NewSession, Session, SessionMode
from nanoclaw.reactor import Reactor
from nanoclaw.sweep.doors import DoorKeeper


class Ear(QuietHandler):
    """Stands in for the vault."""

    def __init__(self) -> None:
        self.heard: list[Frame] = []

    def on_notice(self, peer: Peer, body: Frame) -> None:
        self.heard.append(body)


class Bench:
    """A keeper with one session whose lease is held."""

    def __init__(self, folder: Path) -> None:
        self.config: HostConfig
        self.config, self.conn = make_home(folder)
        self.paths = self.config.paths
        self.reactor = Reactor()
        self.keeper = DoorKeeper(self.reactor, self.conn, self.paths)
        self.lease = 0
        (group, *_) = agent_groups.list_all(self.conn)
        chat = messaging_groups.find_by_address(self.conn, "cli", "local")
        assert chat is not None
        new = NewSession("sess-1", group.id, chat.id, None, SessionMode.SHARED, "k", utc_now())
        sessions.create(self.conn, new)
        self.take_lease()

    def take_lease(self) -> None:
        lease = sessions.acquire_lease(
            self.conn, "sess-1", "here", utc_now(), timedelta(seconds=90)
        )
        assert lease is not None
        self.lease = lease

    @property
    def session(self) -> Session:
        found = sessions.get(self.conn, "sess-1")
        assert found is not None
        return found

    @property
    def bell(self) -> Path:
        return self.paths.bells / "vault"

    def close(self) -> None:
        self.keeper.close()
        self.reactor.close()
        self.conn.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.close()


def test_door_is_a_row_with_a_hash_and_a_folder(bench: Bench) -> None:
    door = bench.keeper.open(bench.session, bench.lease, utc_now())

    (row,) = doors.list_open(bench.conn)
    assert row.folder == door.folder.name
    assert row.token_hash == hashlib.sha256(door.token.encode()).hexdigest()
    assert row.lease == bench.lease
    assert stat.S_IMODE(door.folder.stat().st_mode) == 0o711
    assert door.token not in repr(door)
    assert bench.bell.exists()


def test_start_that_came_to_nothing_takes_its_door_with_it(bench: Bench) -> None:
    bench.keeper.open(bench.session, bench.lease, utc_now())

    bench.keeper.close_of("sess-1", utc_now())
    bench.keeper.close_of("sess-1", utc_now())

    assert doors.list_open(bench.conn) == []


def test_new_sweep_with_living_agents_wakes_their_vault(bench: Bench) -> None:
    bench.keeper.open(bench.session, bench.lease, utc_now())
    bench.bell.unlink()

    DoorKeeper(bench.reactor, bench.conn, bench.paths).recover(utc_now())

    assert bench.bell.exists()
    assert len(doors.list_open(bench.conn)) == 1


def test_new_sweep_closes_doors_without_a_lease_and_wakes_nobody(bench: Bench) -> None:
    bench.keeper.open(bench.session, bench.lease, utc_now())
    bench.bell.unlink()
    sessions.release_lease(bench.conn, "sess-1", bench.lease)
    bench.take_lease()

    DoorKeeper(bench.reactor, bench.conn, bench.paths).recover(utc_now())

    assert doors.list_open(bench.conn) == []
    assert not bench.bell.exists()


def test_vault_is_told_when_it_comes_and_with_every_change(bench: Bench) -> None:
    bench.keeper.open(bench.session, bench.lease, utc_now())
    ear = Ear()
    path, hello = bench.paths.socket("vault"), Hello("vault", "vault", 1)
    server = FrameServer(bench.reactor, path, hello, ear)

    def run_until_heard(number: int) -> None:
        for _ in range(500):
            if len(ear.heard) >= number:
                break
            bench.reactor.run_once(0.01)

    run_until_heard(1)
    assert ear.heard == [DoorsChanged()]
    bench.keeper.close_of("sess-1", utc_now())
    run_until_heard(2)
    assert ear.heard == [DoorsChanged()] * 2
    server.close()
