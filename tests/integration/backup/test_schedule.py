"""The backup that the sweep starts at its time."""

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from helpers.backup_room import Room

from contract.clock import utc_now
from nanoclaw.backup import catalog
from nanoclaw.config import load_config
from nanoclaw.errors import ConfigError
from nanoclaw.process.backup import run as back_up
from nanoclaw.reactor import Reactor
from nanoclaw.sweep.backups import Backups, next_time, was_missed


def test_the_next_time_is_in_the_zone_of_the_installation(room: Room) -> None:
    config = replace(room.config, timezone="Asia/Tokyo", backup_every="30 3 * * *")

    found = next_time(config, datetime(2026, 5, 1, tzinfo=UTC))

    assert found == datetime(2026, 5, 1, 18, 30, tzinfo=UTC)


def test_a_time_that_passed_without_a_host_is_missed(room: Room) -> None:
    config = replace(room.config, timezone="UTC")
    assert not was_missed(config, utc_now())  # none yet: the first comes at its time

    made = room.back_up()
    assert not was_missed(config, datetime.fromtimestamp(made.path.stat().st_mtime, tz=UTC))

    old = (utc_now() - timedelta(days=3)).timestamp()
    os.utime(made.path, (old, old))
    assert was_missed(config, utc_now())


def run_once(room: Room) -> list[tuple[str, str]]:
    """One scheduled backup, from the timer to its end."""
    reactor = Reactor()
    notes: list[tuple[str, str]] = []
    backups = Backups(
        reactor, room.conn, room.config, back_up, lambda name, text: notes.append((name, text))
    )
    planned = backups._plan

    def end(now: datetime) -> None:
        planned(now)
        reactor.stop()

    backups._plan = end  # type: ignore[method-assign]
    reactor.call_later(0, backups._run)
    reactor.run()
    backups.close()
    reactor.close()
    return notes


def test_a_scheduled_backup_is_made_by_a_process_of_its_own(room: Room) -> None:
    notes = run_once(room)

    (entry,) = catalog.entries(room.paths.backups)
    assert entry.manifest is not None
    assert not entry.manifest.with_secrets
    assert notes == [("backup", entry.path.name)]


def test_a_failure_is_told_to_the_owner_once_a_day(room: Room) -> None:
    room.paths.backups.rmdir()
    room.paths.backups.write_text("in the way")

    run_once(room)
    run_once(room)

    (notice,) = room.conn.execute("SELECT text FROM owner_notices")
    assert "scheduled backup failed" in notice[0]
    assert str(room.paths.backups) in notice[0]


@pytest.mark.parametrize(
    ("flag", "value"),
    [("backup_every", "sometimes"), ("backup_every", "1 2 3"), ("backup_keep", "7"),
     ("backup_keep", "0,1,1")],
)  # fmt: skip
def test_a_setting_that_is_none_is_refused(room: Room, flag: str, value: str) -> None:
    with pytest.raises(ConfigError, match="must"):
        load_config(home=room.config.home, flags={flag: value}, environment={})
