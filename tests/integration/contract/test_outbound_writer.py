import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest

from contract.address import Address
from contract.errors import SchemaMismatch, SessionFileBusy, SessionFileMissing
from contract.outbound.reader import read_outbound
from contract.outbound.row import NewOutbound, UsageEntry
from contract.outbound.writer import open_outbound

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)


def new(message_id: str) -> NewOutbound:
    return NewOutbound(message_id, "chat", NOW, '{"text":"hi"}', Address("cli", "local"), "m2")


def acks(path: Path) -> list[tuple[str, str, int | None, int]]:
    with sqlite3.connect(path) as conn:
        rows = conn.execute(
            "SELECT message_id, status, lease, tries FROM processing_ack ORDER BY message_id"
        ).fetchall()
    conn.close()
    return rows


def test_the_runner_creates_the_file(outbound: Path) -> None:
    with open_outbound(outbound):
        pass

    assert outbound.exists()
    assert [path.name for path in outbound.parent.iterdir()] == ["outbound.db"]


def test_an_empty_file_gets_its_tables(outbound: Path) -> None:
    outbound.touch()

    with open_outbound(outbound) as writer:
        assert writer.max_seq() == 0


@pytest.mark.parametrize(
    ("inbound_max", "expected"), [(0, [1, 3]), (2, [3, 5]), (5, [7, 9]), (1, [3, 5])]
)
def test_numbers_of_the_runner_are_odd_and_above_both_files(
    outbound: Path, inbound_max: int, expected: list[int]
) -> None:
    with open_outbound(outbound) as writer:
        assert [writer.write_message(new(name), inbound_max) for name in "ab"] == expected


def test_a_message_written_twice_keeps_its_number(outbound: Path) -> None:
    with open_outbound(outbound) as writer:
        assert writer.write_message(new("a"), 2) == 3
        assert writer.write_message(new("b"), 2) == 5
        assert writer.write_message(new("a"), 9) == 3
        assert writer.message_ids() == ("a", "b")


def test_output_and_completion_are_on_disk_together_or_not_at_all(outbound: Path) -> None:
    with open_outbound(outbound) as writer:
        writer.claim(["m2"], 7, NOW)

    def answer_and_stumble() -> None:
        with open_outbound(outbound) as writer:
            writer.write_message(new("a"), 2)
            writer.complete(["m2"], NOW)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        answer_and_stumble()

    assert acks(outbound) == [("m2", "processing", 7, 1)]
    with read_outbound(outbound) as reader:
        assert reader.message_ids() == ()


def test_claims_carry_the_lease_and_count_tries(outbound: Path) -> None:
    with open_outbound(outbound) as writer:
        writer.claim(["m2", "m4"], 7, NOW)
        writer.claim(["m2"], 8, NOW)
        writer.claim([], 8, NOW)

    assert acks(outbound) == [("m2", "processing", 8, 2), ("m4", "processing", 7, 1)]


def test_a_settled_row_is_not_claimed_again(outbound: Path) -> None:
    with open_outbound(outbound) as writer:
        writer.claim(["m2", "m4"], 7, NOW)
        writer.complete(["m2"], NOW)
        writer.fail(["m4"], NOW)
        writer.claim(["m2", "m4"], 8, NOW)

    assert acks(outbound) == [("m2", "completed", 7, 1), ("m4", "failed", 7, 1)]


def test_rows_can_be_settled_unread(outbound: Path) -> None:
    with open_outbound(outbound) as writer:
        writer.complete(["m2"], NOW)

    assert acks(outbound) == [("m2", "completed", None, 0)]


def test_released_claims_are_gone_and_settled_ones_stay(outbound: Path) -> None:
    with open_outbound(outbound) as writer:
        writer.claim(["m2", "m4"], 7, NOW)
        writer.complete(["m4"], NOW)
        writer.release(["m2", "m4", "unknown"])

    assert acks(outbound) == [("m4", "completed", 7, 1)]


def test_claims_of_other_leases_and_of_none_are_stale(outbound: Path) -> None:
    with open_outbound(outbound) as writer:
        writer.claim(["old"], 6, NOW)
        writer.claim(["mine"], 7, NOW)
        writer.claim(["done"], 6, NOW)
        writer.complete(["done"], NOW)
    with sqlite3.connect(outbound) as conn:
        conn.execute(
            "INSERT INTO processing_ack (message_id, status, status_changed)"
            " VALUES ('reference', 'processing', '2026-05-15 08:00:01')"
        )
    conn.close()

    with open_outbound(outbound) as writer:
        released = writer.release_stale_claims(7)

    assert sorted(released) == ["old", "reference"]
    assert [row[0] for row in acks(outbound)] == ["done", "mine"]


def test_acknowledged_ids_are_found_among_many(outbound: Path) -> None:
    every = [f"m{number}" for number in range(1200)]
    with open_outbound(outbound) as writer:
        writer.complete(every[:700], NOW)
        assert writer.acked_ids(every) == frozenset(every[:700])
        assert writer.acked_ids([]) == frozenset()


def test_state_is_set_changed_and_deleted(outbound: Path) -> None:
    with open_outbound(outbound) as writer:
        writer.set_state("continuation:claude", "nc1-a", NOW)
        writer.set_state("continuation:claude", "nc1-b", NOW)
        writer.set_state("continuation:scripted", "s", NOW)
        writer.delete_state("continuation:scripted")

    with read_outbound(outbound) as reader:
        assert reader.get_state("continuation:claude") == "nc1-b"
        assert reader.get_state("continuation:scripted") is None


def test_the_tool_in_flight_is_one_row(outbound: Path) -> None:
    with open_outbound(outbound) as writer:
        writer.set_tool_in_flight("Bash", 60_000, NOW)
        writer.set_tool_in_flight("Read", None, NOW)
        writer.clear_tool_in_flight(NOW)

    with sqlite3.connect(outbound) as conn:
        rows = conn.execute("SELECT * FROM container_state").fetchall()
    conn.close()
    assert rows == [(1, None, None, None, "2026-11-21T08:00:00.000Z")]


def test_usage_is_logged(outbound: Path) -> None:
    with open_outbound(outbound) as writer:
        writer.log_usage(UsageEntry(NOW, "nc1-a", "t1", "main", "opus", input_tokens=5))

    with sqlite3.connect(outbound) as conn:
        rows = conn.execute("SELECT model, input_tokens, cost_usd FROM usage_log").fetchall()
    conn.close()
    assert rows == [("opus", 5, None)]


def test_pruning_deletes_what_was_delivered_except_the_newest(outbound: Path) -> None:
    with open_outbound(outbound) as writer:
        for name in "abcdef":
            writer.write_message(new(name), 0)
        gone = writer.prune(["a", "c", "e", "f"], keep_newest=2)
        left = writer.message_ids()

    assert gone == 2
    assert left == ("b", "d", "e", "f")


def test_pruning_everything_keeps_the_highest_number(outbound: Path) -> None:
    with open_outbound(outbound) as writer:
        writer.write_message(new("a"), 0)
        writer.write_message(new("b"), 0)
        writer.prune(["a", "b"], keep_newest=0)

        assert writer.write_message(new("c"), 0) == 5


def test_acknowledgements_that_the_host_has_taken_over_are_dropped(outbound: Path) -> None:
    with open_outbound(outbound) as writer:
        writer.claim(["busy"], 7, NOW)
        writer.complete(["taken over", "still pending"], NOW)

        assert writer.drop_settled_acks(["still pending"]) == 1

    assert [row[0] for row in acks(outbound)] == ["busy", "still pending"]


def test_a_message_is_found_by_its_number(outbound: Path) -> None:
    with open_outbound(outbound) as writer:
        seq = writer.write_message(new("a"), 0)

    with read_outbound(outbound) as reader:
        found = reader.find_by_seq(seq)
        assert reader.find_by_seq(99) is None

    assert found is not None
    assert (found.id, found.address, found.in_reply_to) == ("a", Address("cli", "local"), "m2")
    assert found.timestamp == NOW


def test_reading_creates_nothing(outbound: Path) -> None:
    with pytest.raises(SessionFileMissing), read_outbound(outbound):
        pass
    assert not outbound.exists()


def test_a_newer_file_is_refused_and_not_touched(outbound: Path) -> None:
    with open_outbound(outbound):
        pass
    with sqlite3.connect(outbound) as conn:
        conn.execute("PRAGMA user_version = 2")
    conn.close()
    before = outbound.read_bytes()

    with pytest.raises(SchemaMismatch), open_outbound(outbound):
        pass
    with pytest.raises(SchemaMismatch), read_outbound(outbound):
        pass

    assert outbound.read_bytes() == before


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SessionFileMissing), open_outbound(tmp_path / "none" / "outbound.db"):
        pass


def test_another_writer_is_waited_for_no_longer_than_asked(outbound: Path) -> None:
    with open_outbound(outbound):
        pass
    other = sqlite3.connect(outbound, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(SessionFileBusy), open_outbound(outbound, busy_ms=1):
        pass
    other.close()


def test_text_of_any_kind_is_stored(outbound: Path) -> None:
    message = NewOutbound("a", "chat", NOW, '{"text":"东京 \N{GRINNING FACE}"}')
    with open_outbound(outbound) as writer:
        seq = writer.write_message(message, 0)
        found = writer.find_by_seq(seq)

    assert found is not None
    assert found.content == message.content
