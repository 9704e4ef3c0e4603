"""The search index by itself: what is found, in which order, and with how much work."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanoclaw.admin.search_words import UnsearchableError, normal_text, parse_words
from nanoclaw.db.search_index import SCHEMA, Entry, SearchIndex, open_for_search
from nanoclaw.db.search_query import (
    Hits,
    Patience,
    SearchQuery,
    TooMuchWorkError,
    find_message,
    search,
)

THEN = datetime(2026, 11, 21, tzinfo=UTC)


@pytest.fixture
def index(tmp_path: Path) -> Iterator[SearchIndex]:
    with closing(SearchIndex.open(tmp_path / "search.db")) as made:
        yield made


@pytest.fixture
def conn(index: SearchIndex, tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_for_search(tmp_path / "search.db")) as made:
        yield made


def entry(number: int, text: str, *, group: str = "ag-1", at: datetime | None = None) -> Entry:
    when = at or THEN + timedelta(seconds=number)
    return Entry("sess-1", "in", f"m-{number}", group, "cli", "Ann", when, text)


def put(index: SearchIndex, *entries: Entry) -> None:
    with index.writing():
        index.put(entries)


def ask(conn: sqlite3.Connection, typed: str, **more: object) -> Hits:
    words = parse_words(typed)
    return search(conn, SearchQuery(words.match, words.short, **more))  # type: ignore[arg-type]  # each test its own


def texts(hits: Hits) -> list[str]:
    return [hit.text for hit in hits.found]


def test_newest_come_first_in_whatever_order_they_were_put(
    index: SearchIndex, conn: sqlite3.Connection
) -> None:
    put(index, entry(3, "word three"), entry(1, "word one"))
    put(index, entry(2, "word two"))

    assert texts(ask(conn, "word")) == ["word three", "word two", "word one"]
    assert texts(ask(conn, "wo", limit=2)) == ["word three", "word two"]


def test_messages_of_one_moment_all_have_their_place(
    index: SearchIndex, conn: sqlite3.Connection
) -> None:
    put(index, *(entry(number, f"crowd {number}", at=THEN) for number in range(500)))
    put(index, *(entry(number, f"crowd {number}", at=THEN) for number in range(500, 700)))

    assert len(ask(conn, "crowd", limit=1000).found) == 700


def test_an_entry_that_changes_is_found_by_its_new_words_only(
    index: SearchIndex, conn: sqlite3.Connection
) -> None:
    put(index, entry(1, "the old words"))
    put(index, entry(1, "something new"))

    assert texts(ask(conn, "old")) == []
    assert texts(ask(conn, "new")) == ["something new"]
    put(index, entry(1, ""))
    assert texts(ask(conn, "new")) == []


def test_filters_leave_out_what_was_not_asked_for(
    index: SearchIndex, conn: sqlite3.Connection
) -> None:
    put(index, entry(1, "plan one"), entry(2, "plan two", group="ag-2"))

    assert texts(ask(conn, "plan", agent_group_id="ag-2")) == ["plan two"]
    assert texts(ask(conn, "pl", agent_group_id="ag-2")) == ["plan two"]
    assert texts(ask(conn, "plan", since="2026-11-21T00:00:02.000Z")) == ["plan two"]
    assert texts(ask(conn, "pl", kind="out")) == []
    assert texts(ask(conn, "plan", session_id="sess-2")) == []


def test_short_words_alone_look_through_the_newest_and_say_so(
    index: SearchIndex, conn: sqlite3.Connection
) -> None:
    put(index, entry(0, "会议"), *(entry(number, "x y z") for number in range(1, 20)))

    bounded = ask(conn, "会议", patience=Patience(scanned=10))
    assert (bounded.found, bounded.complete) == ((), False)
    assert ask(conn, "会议", patience=Patience(scanned=20)).complete
    grouped = ask(conn, "会议", agent_group_id="ag-1", patience=Patience(scanned=10))
    assert (grouped.found, grouped.complete) == ((), False)


def test_too_much_work_is_given_up(index: SearchIndex, conn: sqlite3.Connection) -> None:
    put(index, *(entry(number, "many words here") for number in range(3000)))

    with pytest.raises(TooMuchWorkError, match="longer words"):
        ask(conn, "words", agent_group_id="ag-9", patience=Patience(rounds=0))
    assert len(ask(conn, "words", limit=5).found) == 5


def test_sessions_of_a_message_are_found_by_its_id(
    index: SearchIndex, conn: sqlite3.Connection
) -> None:
    put(index, entry(1, "hello"))

    assert find_message(conn, ["m-1"]) == ["sess-1"]
    assert find_message(conn, ["m-2"]) == []


@given(st.text(min_size=1, max_size=40), st.data())
@settings(deadline=None, max_examples=150)
def test_whatever_is_in_a_message_finds_it(text: str, data: st.DataObject) -> None:
    """Any piece of it, if it can be asked for at all."""
    stored = normal_text(text)
    words = stored.replace('"', " ").split()
    if not words:
        return
    word = data.draw(st.sampled_from(words))
    start = data.draw(st.integers(0, len(word) - 1))
    piece = word[start : data.draw(st.integers(start + 1, len(word)))]
    with closing(_memory()) as conn:
        put(SearchIndex(conn), entry(1, stored))
        try:
            found = ask(conn, piece)
        except UnsearchableError:
            return

    if parse_words(piece).plain == (piece,):
        assert texts(found) == [stored]


def _memory() -> sqlite3.Connection:
    conn = sqlite3.connect(":memory:", isolation_level=None)
    for statement in SCHEMA:
        conn.execute(statement)
    return conn
