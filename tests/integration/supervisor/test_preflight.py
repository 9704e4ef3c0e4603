"""The look at the state on disk before the start: killed, slow, refused, repeated."""

import sqlite3
from contextlib import closing
from pathlib import Path

from helpers.host import Host, small_host
from helpers.waiting import wait_until


def test_refusal_stops_what_was_started_and_ends_the_host(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "v2.db").write_bytes(b"garbage" * 1000)
    host = small_host(tmp_path, "stateless")
    try:
        host.spawn()
        assert host.wait() == 78
    finally:
        host.stop()

    assert not host.living()
    assert "started" not in read(host, "needy"), "a child that needs the state must not run"
    assert "host cannot start" in host.log()


def read(host: Host, child: str) -> str:
    file = host.paths.run / f"{child}.events"
    return file.read_text() if file.exists() else ""


def test_child_without_state_runs_while_the_database_is_busy(tmp_path: Path) -> None:
    with small_host(tmp_path, "stateless"):
        pass
    (tmp_path / "run" / "needy.events").unlink()
    with closing(sqlite3.connect(tmp_path / "data" / "v2.db", isolation_level=None)) as conn:
        conn.execute("PRAGMA user_version = 0")  # as if a migration were missing
        conn.execute("BEGIN EXCLUSIVE")
        host = small_host(tmp_path, "stateless")
        try:
            host.spawn()
            wait_until(lambda: "stateless" in host.pids(), within=10)
            assert "needy" not in host.pids()
            assert host.process is not None

            host.process.terminate()

            assert host.wait() == 0
            assert not host.living()
        finally:
            host.stop()


def test_second_start_changes_nothing_in_the_state(tmp_path: Path) -> None:
    def dump() -> list[str]:
        with closing(sqlite3.connect(tmp_path / "data" / "v2.db")) as conn:
            return list(conn.iterdump())

    with small_host(tmp_path, "good"):
        pass
    first = dump()
    with small_host(tmp_path, "good"):
        pass

    assert dump() == first
    assert sum('INSERT INTO "agent_groups"' in line for line in first) == 1
