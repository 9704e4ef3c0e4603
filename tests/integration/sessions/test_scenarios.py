"""Acceptance scenarios of the host that concern the central database, folders and projections.

The number in a test's name is the scenario's in the host specification, section 11.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from helpers.central_rows import NOW, add_agent_group, add_chat, new_session, seed, wiring

from contract.clock import to_text
from contract.inbound.reader import read_row, read_session_routing
from contract.inbound.schema import DELIVERED
from contract.inbound.writer import open_inbound
from nanoclaw.channels.registry import KINDS, kind_of
from nanoclaw.config import load_config
from nanoclaw.containers.materialize import InstallFacts, StartFacts, materialize
from nanoclaw.db import (
    agent_groups,
    container_configs,
    destinations,
    messaging_groups,
    questions,
    sessions,
    wirings,
)
from nanoclaw.db.connection import open_memory
from nanoclaw.db.migrations import migrate
from nanoclaw.errors import ConfigError
from nanoclaw.model import ContainerConfig, ContainerStart, MessagingGroup, SessionStatus
from nanoclaw.sessions.folder import SessionFolder
from nanoclaw.supervise.state import Event, RestartPolicy, Tally, judge_exit


@pytest.fixture
def conn() -> Iterator[sqlite3.Connection]:
    with closing(open_memory()) as conn:
        migrate(conn)
        yield conn


def test_t1_migrations_run_twice_without_error(conn: sqlite3.Connection) -> None:
    before = conn.execute("SELECT name, applied FROM schema_version").fetchall()

    migrate(conn)

    after = conn.execute("SELECT name, applied FROM schema_version").fetchall()
    assert list(map(tuple, after)) == list(map(tuple, before))


def test_t2_agent_group_is_created_found_listed_renamed_and_deleted(
    conn: sqlite3.Connection,
) -> None:
    group = add_agent_group(conn, "ag-1", name="Andy")

    assert agent_groups.get(conn, "ag-1") == group
    assert agent_groups.get_by_folder(conn, "ag-1") == group
    assert agent_groups.list_all(conn) == [group]
    agent_groups.update(conn, "ag-1", agent_groups.AgentGroupChange(name="Bea"))
    renamed = agent_groups.get(conn, "ag-1")
    assert renamed is not None
    assert renamed.name == "Bea"
    with pytest.raises(sqlite3.IntegrityError):
        agent_groups.create(conn, replace(group, id="ag-2"))
    assert agent_groups.delete(conn, "ag-1")
    assert agent_groups.get(conn, "ag-1") is None


def test_t3_chat_is_created_found_renamed_and_deleted(conn: sqlite3.Connection) -> None:
    chat = add_chat(conn, "mg-1")

    assert messaging_groups.get(conn, "mg-1") == chat
    assert messaging_groups.find_by_address(conn, "telegram", "platform-mg-1") == chat
    with pytest.raises(sqlite3.IntegrityError):
        messaging_groups.create(conn, replace(chat, id="mg-2"))
    messaging_groups.update(conn, "mg-1", messaging_groups.MessagingGroupChange(name="Home"))
    renamed = messaging_groups.get(conn, "mg-1")
    assert renamed is not None
    assert renamed.name == "Home"
    assert messaging_groups.delete(conn, "mg-1")
    assert messaging_groups.get(conn, "mg-1") is None


def test_t4_wirings_are_ordered_by_priority_unique_and_guarded(conn: sqlite3.Connection) -> None:
    add_chat(conn)
    for agent_group_id in ("ag-1", "ag-2"):
        add_agent_group(conn, agent_group_id)
    wirings.create(conn, replace(wiring("mga-1"), priority=1))
    wirings.create(conn, replace(wiring("mga-2", agent="ag-2"), priority=5))

    assert [found.id for found in wirings.of_chat(conn, "mg-1")] == ["mga-2", "mga-1"]
    with pytest.raises(sqlite3.IntegrityError):
        wirings.create(conn, wiring("mga-3"))
    with pytest.raises(sqlite3.IntegrityError):
        wirings.create(conn, wiring("mga-4", agent="ag-unknown"))
    wirings.update(conn, "mga-1", wirings.WiringChange(priority=9))
    assert [found.id for found in wirings.of_chat(conn, "mg-1")] == ["mga-1", "mga-2"]
    assert wirings.delete(conn, "mga-1")
    assert [found.id for found in wirings.of_chat(conn, "mg-1")] == ["mga-2"]


def test_t5_wiring_creates_one_destination_with_a_free_name(conn: sqlite3.Connection) -> None:
    add_agent_group(conn)
    for number in (1, 2):
        messaging_groups.create(
            conn, MessagingGroup(f"mg-{number}", "telegram", str(number), NOW, name="Gen")
        )
        wirings.create(conn, wiring(f"mga-{number}", chat=f"mg-{number}"))
    wirings.delete(conn, "mga-1")
    wirings.create(conn, wiring("mga-3", chat="mg-1"))

    names = [row.local_name for row in destinations.of_agent_group(conn, "ag-1")]
    assert names == ["gen", "gen-2"]


def test_t6_sessions_are_found_by_their_key_and_listed_by_state(conn: sqlite3.Connection) -> None:
    seed(conn)
    threaded = replace(new_session("sess-2", "key-2"), thread_id="t-1")
    sessions.create(conn, threaded)
    start = ContainerStart("c-1", NOW, "v1")

    assert sessions.find_active(conn, "key-1") is not None
    found = sessions.find_active(conn, "key-2")
    assert found is not None
    assert found.thread_id == "t-1"
    assert sessions.find_active(conn, "key-3") is None
    assert {row.id for row in sessions.active_of_group(conn, "ag-1")} == {"sess-1", "sess-2"}
    sessions.set_running(conn, "sess-1", start)
    assert [row.id for row in sessions.running(conn)] == ["sess-1"]
    sessions.set_stopped(conn, "sess-1")
    assert not sessions.running(conn)
    assert sessions.close(conn, "sess-2", NOW)
    assert sessions.find_active(conn, "key-2") is None
    closed = sessions.get(conn, "sess-2")
    assert closed is not None
    assert closed.status is SessionStatus.CLOSED


def test_t7_question_is_stored_with_its_options_and_decided_once(conn: sqlite3.Connection) -> None:
    from contract.address import Address

    session = seed(conn).session
    options = '[{"label":"Yes","selectedLabel":"Yes","value":"y"}]'
    question = questions.Question(
        "q-1", session.id, "out-1", Address("telegram", "1", None), "Sure?", options, NOW
    )

    assert questions.insert(conn, question)
    assert not questions.insert(conn, question)
    stored = questions.get(conn, "q-1")
    assert stored is not None
    assert stored.options_json == options
    assert questions.take(conn, "q-1")
    assert not questions.take(conn, "q-1")


OLD_MESSAGES_IN = """
CREATE TABLE messages_in (
  id TEXT PRIMARY KEY, seq INTEGER UNIQUE, kind TEXT NOT NULL, timestamp TEXT NOT NULL,
  status TEXT DEFAULT 'pending', process_after TEXT, recurrence TEXT, tries INTEGER DEFAULT 0,
  platform_id TEXT, channel_type TEXT, thread_id TEXT, content TEXT NOT NULL)
"""


@pytest.fixture
def old_inbound(tmp_path: Path) -> Path:
    path = tmp_path / "inbound.db"
    with closing(sqlite3.connect(path)) as conn, conn:
        conn.execute(OLD_MESSAGES_IN)
        conn.execute(DELIVERED)
        conn.execute(
            "INSERT INTO messages_in (id, seq, kind, timestamp, content)"
            " VALUES ('m-1', 2, 'chat', ?, '{}')",
            (to_text(NOW),),
        )
    return path


def test_t8_old_row_without_series_gets_its_own_id_as_series(old_inbound: Path) -> None:
    for _ in range(2):
        with open_inbound(old_inbound):
            pass

    row = read_row(old_inbound, "m-1")
    assert row is not None
    assert row.series_id == "m-1"


def test_t9_old_row_has_no_source_session_and_an_unknown_id_no_row(old_inbound: Path) -> None:
    with open_inbound(old_inbound):
        pass

    row = read_row(old_inbound, "m-1")
    assert row is not None
    assert row.source_session_id is None
    assert read_row(old_inbound, "m-unknown") is None


def test_t10_session_folder_has_both_sides_and_the_expected_tables(tmp_path: Path) -> None:
    folder = SessionFolder(tmp_path / "ag-1" / "sess-1")

    folder.create()
    folder.create()

    assert folder.in_dir.is_dir()
    assert folder.out_dir.is_dir()
    with closing(sqlite3.connect(f"file:{folder.inbound_db}?mode=ro", uri=True)) as conn:
        found = {row[0] for row in conn.execute("SELECT name FROM sqlite_master")}
    assert found >= {"messages_in", "delivered", "destinations", "session_routing"}


@pytest.mark.parametrize(
    ("chat", "thread", "expected"),
    [
        ("mg-1", None, ("telegram", "platform-mg-1", None)),
        (None, None, (None, None, None)),
        ("mg-1", "t-9", ("telegram", "platform-mg-1", "t-9")),
    ],
)
def test_t20_default_route_is_the_sessions_chat_and_thread(
    conn: sqlite3.Connection,
    tmp_path: Path,
    chat: str | None,
    thread: str | None,
    expected: tuple[str | None, str | None, str | None],
) -> None:
    group = seed(conn).agent_group
    new = replace(new_session("sess-2", "key-2"), messaging_group_id=chat, thread_id=thread)
    session = sessions.create(conn, new)
    container_configs.ensure(conn, group.id, NOW)
    folder = SessionFolder(tmp_path / group.id / session.id)
    folder.create()
    facts = StartFacts(
        session=session,
        group=group,
        config=ContainerConfig(group.id, NOW),
        install=InstallFacts("UTC", "Andy", "", 300),
        lease=1,
    )

    materialize(conn, folder, facts)

    routing = read_session_routing(folder.inbound_db)
    assert (routing.channel_type, routing.platform_id, routing.thread_id) == expected


def test_t57_channels_are_registered_by_name_and_an_unknown_one_is_named() -> None:
    assert "cli" in {kind.name for kind in KINDS}
    assert kind_of("cli-work").name == "cli"
    with pytest.raises(ConfigError, match="carrier-pigeon"):
        kind_of("carrier-pigeon")


def test_t61_restarts_come_slower_and_a_stable_time_forgives() -> None:
    """What stands for the earlier program's circuit breaker, which delayed the whole host."""
    policy = RestartPolicy()

    delays = [policy.delay_seconds(ends) for ends in range(1, 12)]
    assert delays == sorted(delays)
    assert delays[0] < 1
    assert max(delays) == 60
    tally = Tally()
    for _ in range(policy.crashes_until_fatal - 1):
        verdict = judge_exit(1, tally, policy)
        assert verdict.event is Event.FAILED
        tally = verdict.tally
    assert judge_exit(1, tally, policy).event is Event.FAILED_FOR_GOOD
    assert judge_exit(1, Tally(), policy).event is Event.FAILED


def test_t62_invalid_time_zone_is_refused_by_name_and_a_valid_one_taken(tmp_path: Path) -> None:
    config = load_config(home=tmp_path, environment={"TZ": "Asia/Tokyo"})
    assert config.timezone == "Asia/Tokyo"

    with pytest.raises(ConfigError, match="Mars/Olympus"):
        load_config(home=tmp_path, environment={"TZ": "Mars/Olympus"})


def test_t67_half_done_transaction_of_a_killed_runner_is_not_read(tmp_path: Path) -> None:
    import os
    import subprocess
    import sys

    from contract.errors import SnapshotRefused
    from contract.outbound.snapshot import read_snapshot, repair_private_copy
    from contract.outbound.writer import open_outbound

    out = tmp_path / "out"
    out.mkdir()
    with open_outbound(out / "outbound.db") as writer:
        writer.set_state("x", "1", NOW + timedelta(seconds=1))
    script = (
        "import os, signal, sqlite3, sys\n"
        "conn = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "conn.execute('PRAGMA cache_size=1')\n"
        "conn.execute('BEGIN IMMEDIATE')\n"
        "conn.execute('CREATE TABLE big AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL"
        " SELECT x+1 FROM n WHERE x < 5000) SELECT x, hex(randomblob(200)) AS y FROM n')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    database = str(out / "outbound.db")
    subprocess.run([sys.executable, "-c", script, database], check=False, timeout=60)
    fd = os.open(out, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with pytest.raises(SnapshotRefused):
            read_snapshot(fd)
        with repair_private_copy(fd, tmp_path) as snapshot:
            assert snapshot.messages(0, 10) == []
    finally:
        os.close(fd)
