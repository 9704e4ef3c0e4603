"""The search index against real files: what gets in, how it is kept, and what it costs to idle."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from helpers.admin_desk import NOW, AdminDesk
from helpers.reading_rows import add_series, chat_row, hear, put_row, say, task_row
from helpers.waiting import wait_until

from contract.clock import utc_now
from nanoclaw.admin.caller import HOST, Caller
from nanoclaw.admin.search_index import MAX_TRIES, ROWS_PER_STEP, Indexer
from nanoclaw.db import deliveries, sessions, tasks
from nanoclaw.db.search_index import SearchIndex
from nanoclaw.model import CliScope, Session
from nanoclaw.reactor import Reactor
from nanoclaw.sessions.archive import pack, remove_folder

ROOT = Path(__file__).parents[3]


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    made = Reactor()
    yield made
    made.close()


@pytest.fixture
def indexer(desk: AdminDesk, reactor: Reactor) -> Indexer:
    return Indexer(reactor, desk.config.paths)


@pytest.fixture
def session(desk: AdminDesk) -> Session:
    return desk.add_session()


def catch_up(indexer: Indexer) -> None:
    while indexer.work(utc_now()):
        pass


def found(desk: AdminDesk, words: str, caller: Caller = HOST, **args: str) -> list[str]:
    """The texts, newest first."""
    data = desk.get("search", caller, text=words, **args)
    return [row["text"] for row in data["results"]]


def later(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


def test_what_people_and_agents_said_is_found_newest_first(
    desk: AdminDesk, indexer: Indexer, session: Session
) -> None:
    paths = desk.config.paths
    hear(desk.conn, paths, session, chat_row("m-1", "Call the dentist", NOW - later(60)))
    say(desk.conn, 1, "The dentist has a place on Tuesday", NOW)
    say(desk.conn, 2, "Nothing of interest", NOW)

    catch_up(indexer)

    assert found(desk, "DENTIST") == ["The dentist has a place on Tuesday", "Call the dentist"]
    assert found(desk, "dentist call") == ["Call the dentist"]
    assert found(desk, "enti") == ["The dentist has a place on Tuesday", "Call the dentist"]
    assert found(desk, "dentist", kind="in") == ["Call the dentist"]
    assert found(desk, "hygienist") == []


def test_two_character_words_are_found(desk: AdminDesk, indexer: Indexer, session: Session) -> None:
    put_row(desk.config.paths, session, chat_row("m-1", "明天下午开会议", NOW))
    put_row(desk.config.paths, session, chat_row("m-2", "Жук ok", NOW + later(1)))

    catch_up(indexer)

    assert found(desk, "会议") == ["明天下午开会议"]
    assert found(desk, "会") == ["明天下午开会议"]
    assert found(desk, "开会议") == ["明天下午开会议"]
    assert found(desk, "会议 下午开") == ["明天下午开会议"]
    assert found(desk, "议会") == []
    assert found(desk, "жУ") == ["Жук ok"]
    assert found(desk, "OK") == ["Жук ok"]


def test_tasks_are_found_once_with_their_newest_prompt(
    desk: AdminDesk, indexer: Indexer, session: Session
) -> None:
    paths = desk.config.paths
    add_series(desk.conn, paths, session, "plants", "Water the plants", NOW - later(5))
    catch_up(indexer)
    assert found(desk, "plants", kind="task") == ["Water the plants"]

    put_row(paths, session, task_row("plants", "Water the roses", NOW, row_id="plants-2"))
    series = tasks.get(desk.conn, session.id, "plants")
    assert series is not None
    tasks.set_plan(desk.conn, series, NOW + later(1))
    catch_up(indexer)

    assert found(desk, "water", kind="task") == ["Water the roses"]
    assert found(desk, "plants") == []


@pytest.mark.parametrize("scope", [CliScope.GROUP, CliScope.GLOBAL])
def test_agents_need_no_quotes_around_several_words(
    desk: AdminDesk, indexer: Indexer, session: Session, scope: CliScope
) -> None:
    paths = desk.config.paths
    hear(desk.conn, paths, session, chat_row("m-1", "A flight to Rome on Tuesday", NOW))
    hear(desk.conn, paths, session, chat_row("m-2", "To Rome? A flight!", NOW - later(1)))
    catch_up(indexer)

    apart = desk.get("search rome flight", desk.agent(scope))["results"]
    together = desk.get("search", desk.agent(scope), text='"flight to" rome')["results"]

    assert [row["message_id"] for row in apart] == ["m-1", "m-2"]
    assert [row["message_id"] for row in together] == ["m-1"]


def test_many_runs_of_one_task_in_one_piece_are_one_entry(
    desk: AdminDesk, indexer: Indexer, session: Session
) -> None:
    paths = desk.config.paths
    for number, plant in enumerate(("roses", "tulips", "lilies")):
        row = task_row("plants", f"Water the {plant}", NOW, row_id=f"plants-{number}")
        put_row(paths, session, row)
    hear(desk.conn, paths, session, chat_row("m-1", "Thanks for the water", NOW))

    catch_up(indexer)

    assert found(desk, "water", kind="task") == ["Water the lilies"]
    assert found(desk, "water", kind="in") == ["Thanks for the water"]


def test_agents_of_group_scope_find_their_own_group_only(
    desk: AdminDesk, indexer: Indexer, session: Session
) -> None:
    other = desk.add_session("sess-2", desk.add_group())
    put_row(desk.config.paths, session, chat_row("m-1", "our secret plan", NOW))
    put_row(desk.config.paths, other, chat_row("m-2", "their secret plan 计划", NOW))
    catch_up(indexer)

    own = desk.agent()
    assert found(desk, "secret", own) == ["our secret plan"]
    assert found(desk, "计划", own) == []
    assert found(desk, "secret", own, session="sess-2") == []
    assert desk.fail("search", own, text="secret", agent_group_id="ag-other")[0] == "forbidden"
    assert desk.fail("search", own, text="x", **{"agent-group-id": "ag-other"})[0] == "forbidden"
    assert len(found(desk, "secret", desk.agent(CliScope.GLOBAL))) == 2
    assert desk.fail("search", desk.agent(CliScope.DISABLED), text="secret")[0] == "forbidden"


def test_a_session_is_read_on_from_where_it_was_left(
    desk: AdminDesk, indexer: Indexer, session: Session
) -> None:
    paths = desk.config.paths
    put_row(paths, session, chat_row("m-1", "first words", NOW))
    catch_up(indexer)
    hear(desk.conn, paths, session, chat_row("m-2", "second words", utc_now()))

    catch_up(indexer)

    assert found(desk, "words") == ["second words", "first words"]


def test_a_row_that_comes_after_its_mark_is_found_a_minute_later(
    desk: AdminDesk, indexer: Indexer, session: Session
) -> None:
    now = utc_now()
    sessions.touch(desk.conn, session.id, now)
    catch_up(indexer)
    put_row(desk.config.paths, session, chat_row("m-1", "late words", now))

    indexer.work(now + later(61))

    assert found(desk, "late") == ["late words"]


def test_a_long_session_is_read_in_pieces(
    desk: AdminDesk, indexer: Indexer, session: Session
) -> None:
    for number in range(ROWS_PER_STEP + 10):
        say(desk.conn, number, f"number {number} of many", NOW)

    assert indexer.work(utc_now())
    catch_up(indexer)

    assert len(found(desk, "of many", limit="10000")) == ROWS_PER_STEP + 10


def test_receipts_are_read_on_when_all_earlier_ones_were_forgotten(
    desk: AdminDesk, indexer: Indexer, session: Session
) -> None:
    for number in range(3):
        say(desk.conn, number, "an old one", NOW)
    catch_up(indexer)
    desk.conn.execute("DELETE FROM deliveries")
    catch_up(indexer)
    say(desk.conn, 9, "a new one", NOW + later(1))

    catch_up(indexer)

    assert found(desk, "new one") == ["a new one"]
    assert deliveries.get(desk.conn, "sess-1/out-9") is not None


def test_a_session_that_is_just_written_is_read_afterwards(
    desk: AdminDesk, indexer: Indexer, session: Session
) -> None:
    put_row(desk.config.paths, session, chat_row("m-1", "patience", NOW))
    conn = sqlite3.connect(desk.folder(session).inbound_db, isolation_level=None)
    with closing(conn):
        conn.execute("BEGIN EXCLUSIVE")
        catch_up(indexer)
        assert found(desk, "patience") == []
        assert desk.get("search", text="patience")["sessions_to_read"] == 1
        conn.execute("ROLLBACK")

    indexer.work(utc_now() + later(6))

    assert found(desk, "patience") == ["patience"]


def test_a_session_that_can_never_be_read_is_given_up(
    desk: AdminDesk, indexer: Indexer, session: Session
) -> None:
    conn = sqlite3.connect(desk.folder(session).inbound_db, isolation_level=None)
    with closing(conn):
        conn.execute("BEGIN EXCLUSIVE")
        now = utc_now()
        for _ in range(MAX_TRIES + 1):
            indexer.work(now)
            now += later(600)

    assert desk.get("search", text="anything")["sessions_to_read"] == 0


def test_a_damaged_session_file_stops_no_other(
    desk: AdminDesk, indexer: Indexer, session: Session
) -> None:
    desk.folder(session).inbound_db.write_bytes(b"no database at all" * 100)
    good = desk.add_session("sess-2")
    put_row(desk.config.paths, good, chat_row("m-1", "still here", NOW))

    catch_up(indexer)

    assert found(desk, "still") == ["still here"]


def test_closed_sessions_are_found_even_if_they_were_closed_before(
    desk: AdminDesk, indexer: Indexer, session: Session
) -> None:
    put_row(desk.config.paths, session, chat_row("m-1", "from the archive", NOW))
    sessions.close(desk.conn, session.id, NOW)
    pack(desk.folder(session).root)
    remove_folder(desk.folder(session).root)

    catch_up(indexer)

    assert found(desk, "archive") == ["from the archive"]
    assert not desk.folder(session).root.exists()
    assert not (desk.config.paths.run / "search-unpacked").exists()


def test_words_of_deleted_sessions_go_away(
    desk: AdminDesk, reactor: Reactor, session: Session
) -> None:
    say(desk.conn, 1, "to be forgotten", NOW)
    put_row(desk.config.paths, session, chat_row("m-1", "forgotten too", NOW))
    catch_up(Indexer(reactor, desk.config.paths))
    desk.conn.execute("DELETE FROM sessions WHERE id = ?", (session.id,))
    assert found(desk, "forgotten") == []

    catch_up(Indexer(reactor, desk.config.paths))

    index = sqlite3.connect(desk.config.paths.data / "search.db")
    with closing(index):
        assert index.execute("SELECT count(*) FROM entries").fetchone()[0] == 0
        words = "SELECT count(*) FROM words WHERE words MATCH 'forgotten'"
        assert index.execute(words).fetchone()[0] == 0


@pytest.mark.parametrize("damage", ["text", "cut", "older"])
def test_a_damaged_or_older_index_is_made_anew(
    desk: AdminDesk, indexer: Indexer, session: Session, damage: str
) -> None:
    for number in range(50):
        say(desk.conn, number, f"message {number} " + "words " * 30, NOW)
    catch_up(indexer)
    path = desk.config.paths.data / "search.db"
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    if damage == "text":
        path.write_bytes(b"this is no database" * 1000)
    elif damage == "cut":
        os.truncate(path, 4096)
    else:
        with closing(sqlite3.connect(path)) as conn:
            conn.execute("PRAGMA user_version = 999")
    say(desk.conn, 99, "after the damage", NOW)

    catch_up(indexer)
    catch_up(indexer)

    assert len(found(desk, "message", limit="100")) == 50
    assert found(desk, "damage") == ["after the damage"]


def test_notes_of_the_host_and_answers_of_programs_are_no_conversation(
    desk: AdminDesk, indexer: Indexer, session: Session
) -> None:
    note = chat_row("sys-1", "you were restarted, sentinel", NOW, sender="system")
    put_row(desk.config.paths, session, note)
    content = '{"action":"cli_request","requestId":"r","command":"sentinel","args":{}}'
    say(desk.conn, 1, "", NOW, kind="system", content=content)

    catch_up(indexer)

    assert found(desk, "sentinel") == []


def test_an_idle_host_opens_nothing(
    desk: AdminDesk, indexer: Indexer, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    catch_up(indexer)
    opened: list[datetime] = []

    def work(self: Indexer, now: datetime) -> bool:
        opened.append(now)
        return False

    monkeypatch.setattr(Indexer, "work", work)
    old = utc_now().timestamp() - 10
    for path in desk.config.paths.central_db.parent.glob("v2.db*"):
        os.utime(path, (old, old))
    indexer._next_look = None

    for _ in range(3):
        indexer._tick()
    assert len(opened) == 1  # the times that were just set

    say(desk.conn, 1, "news", NOW)
    indexer._tick()
    assert len(opened) == 2


def test_search_before_there_is_an_index_says_so(desk: AdminDesk) -> None:
    code, message = desk.fail("search", text="anything")

    assert code == "handler-error"
    assert "no search yet" in message


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"text": "a b c d"}, "characters"),
        ({"text": '""'}, "nothing to search for"),
        ({"text": "x", "since": "yesterday"}, "--since"),
        ({"text": "x", "kind": "letters"}, "--kind"),
        ({}, "give the words"),
    ],
)
def test_a_bad_question_names_what_is_wrong(
    desk: AdminDesk, args: dict[str, str], words: str
) -> None:
    code, message = desk.fail("search", HOST, **args)

    assert code == "invalid-args"
    assert words in message


def test_one_index_has_one_writer_at_a_time(tmp_path: Path) -> None:
    first = SearchIndex.open(tmp_path / "search.db")
    second = SearchIndex.open(tmp_path / "search.db")

    with first.writing():
        first.set_mark("messages", "1")
    with second.writing():
        second.set_mark("messages", "2")

    assert first.mark("messages") == "2"
    first.close()
    second.close()


# --- several processes ----------------------------------------------------------------------------

COUNT = 150


def test_what_another_process_writes_meanwhile_is_all_found_once(
    desk: AdminDesk, indexer: Indexer, session: Session
) -> None:
    writer = child("write", str(desk.config.home), session.id, str(COUNT))
    while writer.poll() is None:
        indexer.work(utc_now())
    assert writer.returncode == 0

    catch_up(indexer)
    indexer.work(utc_now() + later(61))

    assert len(found(desk, "heard things", limit="1000")) == COUNT
    assert len(found(desk, "said things", limit="1000")) == COUNT


def test_an_indexer_that_is_killed_again_and_again_loses_and_doubles_nothing(
    desk: AdminDesk, indexer: Indexer, session: Session
) -> None:
    writer = child("write", str(desk.config.home), session.id, str(COUNT))
    while writer.poll() is None:
        victim = child("index", str(desk.config.home), pipe=True)
        assert victim.stdout is not None
        victim.stdout.readline()
        before = index_size(desk)
        wait_until(partial(_goes_on, writer, desk, before))
        victim.kill()
        victim.wait(10)
        victim.stdout.close()
    assert writer.returncode == 0

    catch_up(indexer)
    indexer.work(utc_now() + later(61))

    assert len(found(desk, "heard things", limit="1000")) == COUNT
    assert len(found(desk, "said things", limit="1000")) == COUNT
    with closing(sqlite3.connect(desk.config.paths.data / "search.db")) as conn:
        conn.execute("INSERT INTO words (words, rank) VALUES ('integrity-check', 1)")


def _goes_on(writer: subprocess.Popen[bytes], desk: AdminDesk, before: int) -> bool:
    return writer.poll() is not None or index_size(desk) > before


def index_size(desk: AdminDesk) -> int:
    path = desk.config.paths.data / "search.db"
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as conn:
            return int(conn.execute("SELECT count(*) FROM entries").fetchone()[0])
    except sqlite3.Error:
        return 0


def child(*words: str, pipe: bool = False) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "helpers.search_child", *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
        stdout=subprocess.PIPE if pipe else None,
    )
