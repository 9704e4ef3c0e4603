"""Restart of a group's containers, and what running agents learn of their destinations."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from helpers.agents_scene import Scene

from contract.clock import utc_now
from contract.errors import SessionFileBusy
from contract.inbound.reader import read_destinations, read_session_routing
from nanoclaw.db import sessions
from nanoclaw.db.connection import transaction
from nanoclaw.effects.base import Done
from nanoclaw.sessions.destinations import refresh, request_refresh
from nanoclaw.sessions.restart import Restart, prepare_restart


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    yield made
    made.close()


def restart(message: str | None = None) -> Restart:
    now = utc_now()
    return Restart("ag-a", "cause", "a test wants it", now, now, message)


def test_t53_sessions_without_a_container_and_closed_ones_are_left_alone(scene: Scene) -> None:
    closed = scene.add_session("sess-closed", "ag-a")
    scene.run(closed.id)
    scene.conn.execute("UPDATE sessions SET status = 'closed' WHERE id = 'sess-closed'")
    scene.run("sess-b")

    frame = prepare_restart(scene.conn, scene.paths, restart("hello"), utc_now())

    assert frame.session_ids == ()
    assert scene.inbox(scene.a) == scene.inbox(scene.b) == scene.inbox(closed) == []


def test_t53_restart_without_a_message_stops_and_counts(scene: Scene) -> None:
    scene.run("sess-a")
    scene.run(scene.add_session("sess-a2", "ag-a").id)

    frame = prepare_restart(scene.conn, scene.paths, restart(), utc_now())

    assert sorted(frame.session_ids) == ["sess-a", "sess-a2"]
    assert frame.leases == (1, 1)
    assert scene.inbox(scene.a) == []
    assert scene.session("sess-a").next_due_at is None


def test_t53_every_session_gets_a_note_of_its_own_and_is_due(scene: Scene) -> None:
    other = scene.add_session("sess-a2", "ag-a")
    scene.run("sess-a")
    scene.run("sess-a2")

    prepare_restart(scene.conn, scene.paths, restart("new tools"), utc_now())

    for session in (scene.a, other):
        (note,) = scene.inbox(session)
        assert note.on_wake
        assert "new tools" in note.content
        assert scene.session(session.id).next_due_at is not None


def test_t53_repeated_restart_writes_its_note_once(scene: Scene) -> None:
    scene.run("sess-a")
    wanted = restart("new tools")

    prepare_restart(scene.conn, scene.paths, wanted, utc_now())
    prepare_restart(scene.conn, scene.paths, wanted, utc_now())

    assert len(scene.inbox(scene.a)) == 1


def test_container_that_started_after_the_change_stays(scene: Scene) -> None:
    scene.run("sess-a")
    earlier = replace(restart(), changed_at=utc_now() - timedelta(hours=1))

    assert prepare_restart(scene.conn, scene.paths, earlier, utc_now()).session_ids == ()


def test_container_that_is_only_coming_up_is_stopped_too(scene: Scene) -> None:
    """Its files may have been written before the change."""
    sessions.acquire_lease(scene.conn, "sess-a", "us", utc_now(), timedelta(minutes=1))

    frame = prepare_restart(scene.conn, scene.paths, restart(), utc_now())

    assert (frame.session_ids, frame.leases) == (("sess-a",), (1,))


def test_busy_inbox_of_one_session_stops_nobody_before_its_note_is_written(scene: Scene) -> None:
    scene.run("sess-a")
    with closing(sqlite3.connect(scene.folder(scene.a).inbound_db)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(SessionFileBusy):
            prepare_restart(scene.conn, scene.paths, restart("hello"), utc_now())

    assert prepare_restart(scene.conn, scene.paths, restart("hello"), utc_now()).session_ids


def test_damaged_inbox_of_one_session_does_not_keep_the_others_from_the_change(
    scene: Scene,
) -> None:
    other = scene.add_session("sess-a2", "ag-a")
    scene.run("sess-a")
    scene.run("sess-a2")
    scene.folder(scene.a).inbound_db.write_bytes(b"no database at all, but long enough" * 100)

    frame = prepare_restart(scene.conn, scene.paths, restart("new tools"), utc_now())

    assert set(frame.session_ids) == {"sess-a", "sess-a2"}
    assert len(scene.inbox(other)) == 1


# --- destinations ---------------------------------------------------------------------------------


def names(scene: Scene, session_id: str) -> list[str]:
    folder = scene.folder(scene.session(session_id))
    return [target.name for target in read_destinations(folder.inbound_db)]


def test_running_sessions_learn_of_new_destinations(scene: Scene) -> None:
    scene.run("sess-a")
    scene.add_session("sess-a2", "ag-a")

    assert refresh(scene.conn, scene.paths, "ag-a") == 1

    assert names(scene, "sess-a") == ["ben"]
    assert names(scene, "sess-a2") == []  # nobody works for it: at its next start


def test_refresh_that_was_asked_for_in_a_transaction_is_carried_out_once(scene: Scene) -> None:
    scene.run("sess-a")
    for _ in range(2):
        with transaction(scene.conn):
            request_refresh(scene.conn, ["ag-a", "ag-a"], "wiring-1", utc_now())
    (effect,) = scene.due_effects("refresh_destinations")

    assert isinstance(scene.carry_out(effect), Done)

    assert names(scene, "sess-a") == ["ben"]


def test_busy_inbox_does_not_keep_the_others_from_learning(scene: Scene) -> None:
    scene.run("sess-a")
    scene.run(scene.add_session("sess-a2", "ag-a").id)
    with closing(sqlite3.connect(scene.folder(scene.a).inbound_db)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(SessionFileBusy):
            refresh(scene.conn, scene.paths, "ag-a")

    assert names(scene, "sess-a2") == ["ben"]


def test_t52_newest_of_several_peers_is_the_default(scene: Scene) -> None:
    scene.add_agent("ag-c", "Cleo")
    scene.connect("ag-a", "cleo", "ag-c")
    scene.put_from_agent(scene.a, "m1", "ag-c", "sess-c")
    scene.put_from_agent(scene.a, "m2", "ag-b", "sess-b")
    scene.put_from_agent(scene.a, "m3", "ag-stranger", "sess-x")
    scene.run("sess-a")

    refresh(scene.conn, scene.paths, "ag-a")

    routing = read_session_routing(scene.folder(scene.a).inbound_db)
    assert (routing.channel_type, routing.platform_id) == ("agent", "ag-b")
