"""Session folders made by the earlier program, after conversion."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from helpers.earlier import EARLY, FULL, convert, old_session, table, unpack
from helpers.kill_points import KillFolder
from helpers.runner_process import PROJECT

from nanoclaw.db.connection import open_central
from nanoclaw.paths import HostPaths

KEPT = ("id", "seq", "kind", "recurrence", "series_id", "trigger", "platform_id", "channel_type",
        "thread_id")  # fmt: skip
BOOTS = "sess-1778576401429-6g2jvj"
"""A conversation of the full install with attachments, tasks, files and a failed message."""
STEPS = ("preflight.earlier_moved", "preflight.session_built", "preflight.session_converted")


@pytest.fixture(params=[EARLY, FULL])
def install(request: pytest.FixtureRequest, tmp_path: Path) -> HostPaths:
    return unpack(request.param, tmp_path)


@pytest.fixture
def full(tmp_path: Path) -> HostPaths:
    return unpack(FULL, tmp_path)


def sessions_of(paths: HostPaths) -> list[dict[str, object]]:
    with closing(open_central(paths.central_db)) as conn:
        return [dict(row) for row in conn.execute("SELECT * FROM sessions ORDER BY id")]


def receipts_of(paths: HostPaths) -> dict[str, str]:
    with closing(open_central(paths.central_db)) as conn:
        rows = conn.execute("SELECT message_out_id, state FROM deliveries")
        return {row[0]: row[1] for row in rows}


def everything(paths: HostPaths) -> dict[str, object]:
    """All that a conversion is to leave behind, apart from times of its own."""
    found: dict[str, object] = {"receipts": receipts_of(paths)}
    for session in sessions_of(paths):
        shown = {key: session[key] for key in ("id", "converted", "out_dirty", "quarantine_reason")}
        shown["due"] = session["next_due_at"] is not None
        found[str(session["id"])] = shown
    for inbound in sorted(paths.sessions.glob("*/*/in/inbound.db")):
        found[str(inbound.relative_to(paths.sessions))] = table(inbound, "messages_in")
    for file in sorted(paths.sessions.glob("*/*/*/files/*/*")):
        found[str(file.relative_to(paths.sessions))] = file.read_bytes()
    return found


def test_every_message_keeps_its_number_state_and_address(install: HostPaths) -> None:
    before = {path.parent.name: table(path, "messages_in")
              for path in install.sessions.glob("*/*/inbound.db")}  # fmt: skip

    convert(install)

    assert before
    for session_id, rows in before.items():
        (new,) = install.sessions.glob(f"*/{session_id}/in/inbound.db")
        after = table(new, "messages_in")
        assert [[row[key] for key in KEPT] for row in after] == [
            [row.get(key) for key in KEPT]
            for row in sorted(rows, key=lambda row: int(str(row["seq"])))
        ]


def test_what_the_agent_had_finished_is_not_given_to_it_again(full: HostPaths) -> None:
    session = old_session(full, "sess-1778577600486-yriixp")
    waiting = [row["id"] for row in table(session / "inbound.db", "messages_in")
               if row["status"] == "pending"]  # fmt: skip
    acked = {row["message_id"] for row in table(session / "outbound.db", "processing_ack")}
    assert waiting and set(waiting) <= acked

    convert(full)

    (new,) = full.sessions.glob("*/sess-1778577600486-yriixp/in/inbound.db")
    assert {row["status"] for row in table(new, "messages_in")} == {"completed"}


def test_what_the_earlier_host_had_said_has_a_receipt_and_the_rest_none(
    install: HostPaths,
) -> None:
    said: dict[object, str] = {}
    unsaid: set[object] = set()
    for session in install.sessions.glob("*/sess-*"):
        marks = {row["message_out_id"]: row for row in table(session / "inbound.db", "delivered")}
        for row in table(session / "outbound.db", "messages_out"):
            if row["id"] in marks:
                failed = marks[row["id"]].get("status") == "failed"
                said[row["id"]] = "failed" if failed else "sent"
            else:
                unsaid.add(row["id"])
    assert said and unsaid

    convert(install)

    assert receipts_of(install) == said
    assert {row["id"] for row in sessions_of(install) if row["out_dirty"]}


def test_attachments_are_where_the_message_says(full: HostPaths) -> None:
    convert(full)

    (in_dir,) = full.sessions.glob(f"*/{BOOTS}/in")
    paths = [
        attachment["localPath"]
        for row in table(in_dir / "inbound.db", "messages_in")
        for attachment in json.loads(str(row["content"])).get("attachments", [])
    ]
    assert paths
    for path in paths:
        assert (in_dir / path).is_file()


def test_the_old_folder_is_kept_as_it_was(full: HostPaths) -> None:
    session = old_session(full, BOOTS)
    before = {path.relative_to(session): path.lstat().st_size for path in session.rglob("*")}

    convert(full)

    (kept,) = (full.data / "earlier").glob(f"*/{BOOTS}")
    assert {path.relative_to(kept): path.lstat().st_size for path in kept.rglob("*")} == before


def test_converting_again_changes_nothing(install: HostPaths) -> None:
    convert(install)
    before = everything(install)

    assert convert(install) == 0

    assert everything(install) == before


@pytest.mark.parametrize("step", STEPS)
def test_conversion_that_is_killed_at_a_step_ends_the_same_when_repeated(
    tmp_path: Path, step: str
) -> None:
    undisturbed, killed = unpack(FULL, tmp_path / "a"), unpack(FULL, tmp_path / "b")
    convert(undisturbed)
    kill = KillFolder(tmp_path / "kill")
    kill.path.mkdir()
    kill.arm(step, "self")

    program = subprocess.run(
        [sys.executable, "-m", "helpers.earlier", str(killed.home)],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{PROJECT}:{PROJECT / 'tests'}",
            "NANOCLAW_KILL_DIR": str(kill.path),
        },
        check=False,
        timeout=60,
    )
    assert program.returncode == -signal.SIGKILL
    convert(killed)

    assert everything(killed) == everything(undisturbed)


def test_linked_database_is_not_followed_and_stops_only_its_session(
    full: HostPaths, tmp_path: Path
) -> None:
    session = old_session(full, BOOTS)
    outside = tmp_path / "outside.db"
    (session / "inbound.db").rename(outside)
    (session / "inbound.db").symlink_to(outside)
    content = outside.read_bytes()

    convert(full)

    by_id = {row["id"]: row for row in sessions_of(full)}
    assert "not converted" in str(by_id[BOOTS]["quarantine_reason"])
    assert [row["id"] for row in sessions_of(full) if row["quarantined_at"]] == [BOOTS]
    assert outside.read_bytes() == content


def test_links_pipes_and_shared_files_among_the_attachments_stay_behind(
    full: HostPaths, tmp_path: Path
) -> None:
    session = old_session(full, BOOTS)
    (message,) = (session / "inbox").iterdir()
    secret = tmp_path / "secret"
    secret.write_text("SECRET")
    (message / "link.txt").symlink_to(secret)
    os.link(secret, message / "shared.txt")
    os.mkfifo(message / "pipe")
    (session / "inbox" / "elsewhere").symlink_to(tmp_path)

    convert(full)

    (files,) = full.sessions.glob(f"*/{BOOTS}/in/files")
    assert [path.name for path in files.rglob("*") if not path.is_dir()] == ["boots.jpg"]


def test_planted_tables_and_triggers_of_an_old_file_do_not_come_along(full: HostPaths) -> None:
    session = old_session(full, BOOTS)
    with closing(sqlite3.connect(session / "inbound.db")) as conn, conn:
        conn.execute("CREATE TABLE planted (x)")
    convert(full)

    (new,) = full.sessions.glob(f"*/{BOOTS}/in/inbound.db")
    with closing(sqlite3.connect(f"file:{new}?mode=ro", uri=True)) as conn:
        names = {row[0] for row in conn.execute("SELECT name FROM sqlite_master")}
    assert "planted" not in names
    assert "messages_in" in names


def test_trigger_in_an_old_file_refuses_the_file(full: HostPaths) -> None:
    session = old_session(full, BOOTS)
    with closing(sqlite3.connect(session / "inbound.db")) as conn, conn:
        conn.execute(
            "CREATE TRIGGER t AFTER INSERT ON messages_in BEGIN DELETE FROM messages_in; END"
        )

    convert(full)

    by_id = {row["id"]: row for row in sessions_of(full)}
    assert "not converted" in str(by_id[BOOTS]["quarantine_reason"])


def test_half_done_transaction_of_a_killed_host_is_rolled_back(full: HostPaths) -> None:
    session = old_session(full, BOOTS)
    before = len(table(session / "inbound.db", "messages_in"))
    script = (
        "import os, signal, sqlite3, sys\n"
        "conn = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "conn.execute('PRAGMA cache_size=1')\n"
        "conn.execute('BEGIN IMMEDIATE')\n"
        "conn.execute('DELETE FROM messages_in')\n"
        "conn.execute('CREATE TABLE big AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL"
        " SELECT x+1 FROM n WHERE x < 5000) SELECT x, hex(randomblob(200)) AS y FROM n')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    database = str(session / "inbound.db")
    subprocess.run([sys.executable, "-c", script, database], check=False, timeout=60)
    assert (session / "inbound.db-journal").stat().st_size > 0

    convert(full)

    (new,) = full.sessions.glob(f"*/{BOOTS}/in/inbound.db")
    assert len(table(new, "messages_in")) == before
