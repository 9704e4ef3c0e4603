import resource
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from contract.address import Address, Destination, DestinationType
from contract.errors import (
    SchemaMismatch,
    SessionFileBusy,
    SessionFileCorrupt,
    SessionFileMissing,
)
from contract.inbound.reader import read_delivered, read_destinations, read_session_routing
from contract.inbound.row import (
    AckStatus,
    DeliveredMark,
    DeliveredStatus,
    InboundStatus,
    NewInbound,
)
from contract.inbound.writer import create_inbound, open_inbound

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
CHAT = Address("telegram", "telegram:1", "t9")


def new(message_id: str, **fields: object) -> NewInbound:
    values: dict[str, object] = {"kind": "chat", "timestamp": NOW, "content": "{}", **fields}
    return NewInbound(id=message_id, **values)  # type: ignore[arg-type]  # a builder's open end


def insert(path: Path, *rows: NewInbound) -> list[int | None]:
    with open_inbound(path) as writer:
        return [writer.insert_message(row) for row in rows]


def test_numbers_of_the_host_are_even_and_rise(inbound: Path) -> None:
    assert insert(inbound, new("a"), new("b")) == [2, 4]
    assert insert(inbound, new("c")) == [6]


def test_the_next_number_is_even_also_after_an_odd_one(inbound: Path) -> None:
    insert(inbound, new("a"))
    with sqlite3.connect(inbound) as conn:
        conn.execute("UPDATE messages_in SET seq = 7")
    conn.close()

    assert insert(inbound, new("b")) == [8]


def test_a_second_copy_of_a_message_is_a_no_op(inbound: Path) -> None:
    insert(inbound, new("a", content='{"text":"first"}'))

    assert insert(inbound, new("a", content='{"text":"again"}'), new("b")) == [None, 4]
    with open_inbound(inbound) as writer:
        row = writer.find("a")
    assert row is not None
    assert row.content == '{"text":"first"}'


def test_every_field_comes_back_as_it_was_written(inbound: Path) -> None:
    later = NOW + timedelta(milliseconds=1500)
    message = NewInbound(
        id="a",
        kind="task",
        timestamp=NOW,
        content='{"prompt":"Grüße"}',
        address=CHAT,
        trigger=False,
        process_after=later,
        recurrence="0 9 * * *",
        series_id="s",
        on_wake=True,
        source_session_id="sess-2",
        taint="web",
        chain_id="c",
        hop=3,
        tz="Europe/Berlin",
        catch_up="skip",
        reply_hint="hint",
        platform_message_id="77",
        event_key="k",
    )
    insert(inbound, message)

    with open_inbound(inbound) as writer:
        row = writer.find("a")

    assert row is not None
    assert (row.seq, row.status, row.tries) == (2, InboundStatus.PENDING, 0)
    for name in NewInbound.__slots__:
        assert getattr(row, name) == getattr(message, name), name


def test_a_row_without_series_is_its_own_series(inbound: Path) -> None:
    insert(inbound, new("a"))

    with open_inbound(inbound) as writer:
        row = writer.find("a")
        nobody = writer.find("b")

    assert row is not None
    assert row.series_id == "a"
    assert nobody is None


def test_an_error_inside_the_block_leaves_nothing_behind(inbound: Path) -> None:
    def write_and_stumble() -> None:
        with open_inbound(inbound) as writer:
            writer.insert_message(new("a"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_and_stumble()
    with open_inbound(inbound) as writer:
        assert writer.max_seq() == 0


def test_a_receipt_is_projected_once(inbound: Path) -> None:
    first = DeliveredMark("o1", "p1", DeliveredStatus.DELIVERED, NOW)
    failed = DeliveredMark("o2", None, DeliveredStatus.FAILED, NOW)
    with open_inbound(inbound) as writer:
        writer.mark_delivered([first, failed])
        writer.mark_delivered([DeliveredMark("o1", "p9", DeliveredStatus.FAILED, None)])
        writer.mark_delivered([])

    assert set(read_delivered(inbound, ["o1", "o2", "o3"])) == {first, failed}


def test_a_receipt_without_a_time_is_still_a_receipt(inbound: Path) -> None:
    mark = DeliveredMark("o1", None, DeliveredStatus.FAILED, None)
    with open_inbound(inbound) as writer:
        writer.mark_delivered([mark])

    assert read_delivered(inbound, ["o1"]) == (mark,)


def test_only_finished_claims_of_waiting_rows_are_taken_over(inbound: Path) -> None:
    insert(inbound, new("done"), new("broken"), new("busy"), new("gone"))
    with open_inbound(inbound) as writer:
        writer.mark_failed("gone")
        changed = writer.sync_acks(
            {
                "done": AckStatus.COMPLETED,
                "broken": AckStatus.FAILED,
                "busy": AckStatus.PROCESSING,
                "gone": AckStatus.COMPLETED,
                "unknown": AckStatus.COMPLETED,
            }
        )
        again = writer.sync_acks({"done": AckStatus.COMPLETED})
        nothing = writer.sync_acks({})
        found = [writer.find(name) for name in ("done", "broken", "busy", "gone")]

    assert (changed, again, nothing) == (2, 0, 0)
    assert [row.status if row else None for row in found] == [
        InboundStatus.COMPLETED,
        InboundStatus.FAILED,
        InboundStatus.PENDING,
        InboundStatus.FAILED,
    ]


def test_destinations_are_replaced_as_a_whole(inbound: Path) -> None:
    family = Destination("family", "Family", DestinationType.CHANNEL, "telegram", "telegram:1")
    scribe = Destination("scribe", "Scribe", DestinationType.AGENT, agent_group_id="ag-2")
    with open_inbound(inbound) as writer:
        writer.replace_destinations([scribe, family])
    assert read_destinations(inbound) == (family, scribe)

    with open_inbound(inbound) as writer:
        writer.replace_destinations([])
    assert read_destinations(inbound) == ()


def test_routing_can_be_set_changed_and_emptied(inbound: Path) -> None:
    assert read_session_routing(inbound) == Address()
    for address in (CHAT, Address("cli", "local")):
        with open_inbound(inbound) as writer:
            writer.set_session_routing(address)
        assert read_session_routing(inbound) == address

    with open_inbound(inbound) as writer:
        writer.set_session_routing(None)
    assert read_session_routing(inbound) == Address()


def test_a_retry_counts_one_try_and_waits(inbound: Path) -> None:
    insert(inbound, new("a"))
    with open_inbound(inbound) as writer:
        writer.retry_later("a", NOW + timedelta(seconds=5))
        writer.retry_later("a", NOW + timedelta(seconds=10))
        row = writer.find("a")

    assert row is not None
    assert row.tries == 2
    assert row.process_after == NOW + timedelta(seconds=10)


def test_a_finished_row_is_neither_retried_nor_failed(inbound: Path) -> None:
    insert(inbound, new("a"))
    with open_inbound(inbound) as writer:
        writer.sync_acks({"a": AckStatus.COMPLETED})
        writer.retry_later("a", NOW)
        writer.mark_failed("a")
        row = writer.find("a")

    assert row is not None
    assert (row.status, row.tries) == (InboundStatus.COMPLETED, 0)


def test_scenario_46_row_of_an_older_writer_is_not_on_wake(inbound: Path) -> None:
    with sqlite3.connect(inbound) as conn:
        conn.execute(
            "INSERT INTO messages_in (id, seq, kind, timestamp, status, content)"
            " VALUES ('old', 2, 'chat', '2026-11-21T07:00:00.000Z', 'pending', '{}')"
        )
        stored = conn.execute("SELECT on_wake FROM messages_in").fetchall()
    conn.close()

    assert stored == [(0,)]


def test_the_summary_counts_what_wakes_and_names_the_next_time(inbound: Path) -> None:
    soon = NOW + timedelta(seconds=5)
    insert(
        inbound,
        new("due"),
        new("was due", process_after=NOW - timedelta(hours=1)),
        new("exactly now", process_after=NOW),
        new("context", trigger=False),
        new("answer", kind="system"),
        new("later", process_after=soon + timedelta(hours=1)),
        new("soon", process_after=soon),
    )
    with sqlite3.connect(inbound) as conn:
        conn.execute(
            "UPDATE messages_in SET process_after = '2026-11-21 07:00:00' WHERE id = 'was due'"
        )
    conn.close()

    with open_inbound(inbound) as writer:
        summary = writer.pending_summary(NOW)
        ids = writer.pending_ids()

    assert (summary.due_wake, summary.next_due_at, summary.total_pending) == (3, soon, 7)
    assert ids == {"due", "was due", "exactly now", "context", "answer", "later", "soon"}


def test_a_time_nobody_can_read_is_never_due(inbound: Path) -> None:
    insert(inbound, new("a"))
    with sqlite3.connect(inbound) as conn:
        conn.execute("UPDATE messages_in SET process_after = 'tomorrow'")
    conn.close()

    with open_inbound(inbound) as writer:
        summary = writer.pending_summary(NOW)

    assert (summary.due_wake, summary.next_due_at, summary.total_pending) == (0, None, 1)


def test_the_newest_row_of_an_agent_with_a_return_path_is_found(inbound: Path) -> None:
    agent = Address("agent", "ag-2")
    insert(
        inbound,
        new("old", address=agent, source_session_id="s1"),
        new("newer", address=agent, source_session_id="s2"),
        new("without", address=agent),
        new("other", address=Address("agent", "ag-3"), source_session_id="s3"),
    )
    with open_inbound(inbound) as writer:
        found = writer.find_newest_from_agent("ag-2")
        nobody = writer.find_newest_from_agent("ag-9")

    assert found is not None
    assert found.source_session_id == "s2"
    assert nobody is None


def test_looking_for_what_waits_reads_the_index_only(inbound: Path) -> None:
    with sqlite3.connect(inbound) as conn:
        plans = [
            conn.execute(
                f"EXPLAIN QUERY PLAN SELECT {columns} FROM messages_in WHERE status = 'pending'"
            ).fetchone()[3]
            for columns in ("seq, id, kind, trigger, on_wake, process_after", "id")
        ]
    conn.close()

    assert all("COVERING INDEX idx_messages_in_pending" in plan for plan in plans)


def test_creating_twice_keeps_the_rows(inbound: Path) -> None:
    insert(inbound, new("a"))

    create_inbound(inbound)

    assert insert(inbound, new("b")) == [4]


def test_the_file_is_readable_for_the_containers_user_and_writable_for_ours(inbound: Path) -> None:
    assert inbound.stat().st_mode & 0o777 == 0o644


def test_creating_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "inbound.db").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(OSError, match="symbolic"):
        create_inbound(tmp_path / "inbound.db")
    assert not (tmp_path / "elsewhere").exists()


def test_opening_creates_nothing(tmp_path: Path) -> None:
    with pytest.raises(SessionFileMissing), open_inbound(tmp_path / "inbound.db"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_path_with_special_characters_is_one_path(tmp_path: Path) -> None:
    path = tmp_path / "a?mode=memory#%20.db"

    create_inbound(path)

    assert insert(path, new("a")) == [2]
    assert path.stat().st_size > 0


def test_a_reader_that_keeps_its_lock_is_not_waited_for(inbound: Path) -> None:
    reader = sqlite3.connect(inbound, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM messages_in").fetchall()

    with pytest.raises(SessionFileBusy, match="SQLITE_BUSY"):
        insert(inbound, new("a"))
    reader.close()

    assert insert(inbound, new("a")) == [2]


def test_another_writer_is_not_waited_for(inbound: Path) -> None:
    other = sqlite3.connect(inbound, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(SessionFileBusy), open_inbound(inbound, busy_ms=1):
        pass
    other.close()


@pytest.mark.parametrize(
    "damage",
    [b"this is no database at all, only text that fills a header " * 20, b"SQLite format 3\0" * 9],
    ids=["text", "broken header"],
)
def test_a_malformed_file_is_reported_with_its_name(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "inbound.db"
    path.write_bytes(damage)

    with pytest.raises(SessionFileCorrupt, match=r"inbound\.db"), open_inbound(path):
        pass
    assert path.read_bytes() == damage


def test_a_page_of_garbage_in_the_middle_is_reported(inbound: Path) -> None:
    insert(inbound, *(new(f"m{number}", content="x" * 500) for number in range(50)))
    data = bytearray(inbound.read_bytes())
    data[4096:] = b"\xa5" * (len(data) - 4096)
    inbound.write_bytes(data)

    with pytest.raises(SessionFileCorrupt):
        insert(inbound, new("a"))


def test_a_missing_table_is_reported_as_damage(inbound: Path) -> None:
    with sqlite3.connect(inbound) as conn:
        conn.execute("DROP TABLE messages_in")
    conn.close()

    with pytest.raises(SessionFileCorrupt):
        insert(inbound, new("a"))


def test_text_that_is_not_utf8_is_reported_as_damage(inbound: Path) -> None:
    insert(inbound, new("a"))
    with sqlite3.connect(inbound) as conn:
        conn.execute("UPDATE messages_in SET content = CAST(x'ff' AS TEXT)")
    conn.close()

    with pytest.raises(SessionFileCorrupt), open_inbound(inbound) as writer:
        writer.find("a")


def test_a_newer_file_is_refused_with_both_numbers_and_not_touched(inbound: Path) -> None:
    with sqlite3.connect(inbound) as conn:
        conn.execute("PRAGMA user_version = 7")
    conn.close()
    before = inbound.read_bytes()

    with pytest.raises(SchemaMismatch) as caught, open_inbound(inbound):
        pass

    assert (caught.value.found, caught.value.supported) == (7, 1)
    assert inbound.read_bytes() == before


def test_a_wal_file_is_brought_back_to_the_rollback_journal(inbound: Path) -> None:
    with sqlite3.connect(inbound) as conn:
        conn.execute("PRAGMA journal_mode=WAL")
    conn.close()

    insert(inbound, new("a"))

    assert inbound.read_bytes()[18:20] == b"\1\1"
    assert [path.name for path in inbound.parent.iterdir()] == ["inbound.db"]


def test_a_wal_file_that_somebody_has_open_is_busy(inbound: Path) -> None:
    other = sqlite3.connect(inbound, isolation_level=None)
    other.execute("PRAGMA journal_mode=WAL")
    other.execute("SELECT count(*) FROM messages_in").fetchone()

    with pytest.raises(SessionFileBusy):
        insert(inbound, new("a"))
    other.close()


def test_a_full_disk_is_passing_trouble_and_harms_nothing(inbound: Path) -> None:
    insert(inbound, new("a"))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (inbound.stat().st_size, hard))
    try:
        with pytest.raises(SessionFileBusy):
            insert(inbound, new("big", content="x" * 1_000_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert insert(inbound, new("b")) == [4]
    assert [path.name for path in inbound.parent.iterdir()] == ["inbound.db"]


def test_a_mistake_of_the_caller_is_not_blamed_on_the_file(inbound: Path) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        insert(inbound, new("a", content=None))
