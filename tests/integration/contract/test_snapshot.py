import os
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from contract.address import Address
from contract.errors import SnapshotMissing
from contract.inbound.row import AckStatus
from contract.outbound.row import Ack, ContainerState, NewOutbound, OutboundRow
from contract.outbound.snapshot import MAX_ACKS, change_token, read_snapshot
from contract.outbound.writer import open_outbound

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)


def write(path: Path, *message_ids: str) -> None:
    with open_outbound(path) as writer:
        for message_id in message_ids:
            writer.write_message(NewOutbound(message_id, "chat", NOW, '{"text":"hi"}'), 0)


def test_before_the_runner_has_written_there_is_nothing(out_fd: int) -> None:
    with pytest.raises(SnapshotMissing):
        read_snapshot(out_fd)
    assert change_token(out_fd) is None


def test_a_message_arrives_with_every_field(outbound: Path, out_fd: int) -> None:
    message = NewOutbound(
        id="msg-1",
        kind="chat",
        timestamp=NOW,
        content='{"text":"Grüße"}',
        address=Address("telegram", "telegram:1", "t1"),
        in_reply_to="m2",
        deliver_after=NOW,
        taint="web",
        chain_id="c1",
        hop=2,
    )
    with open_outbound(outbound) as writer:
        writer.write_message(message, 2)

    with read_snapshot(out_fd) as snapshot:
        (row,) = snapshot.messages(0, 10)
        assert snapshot.max_seq == 3

    assert row == OutboundRow(
        id="msg-1",
        seq=3,
        kind="chat",
        timestamp=NOW,
        content='{"text":"Grüße"}',
        address=Address("telegram", "telegram:1", "t1"),
        in_reply_to="m2",
        deliver_after=NOW,
        taint="web",
        chain_id="c1",
        hop=2,
    )


def test_messages_come_in_order_from_where_the_host_stopped(outbound: Path, out_fd: int) -> None:
    write(outbound, "a", "b", "c", "d")

    with read_snapshot(out_fd) as snapshot:
        assert [row.id for row in snapshot.messages(1, 2)] == ["b", "c"]
        assert [row.id for row in snapshot.messages(5, 10)] == ["d"]
        assert snapshot.messages(7, 10) == []


def test_large_messages_are_handed_over_in_portions(outbound: Path, out_fd: int) -> None:
    with open_outbound(outbound) as writer:
        for number in range(20):
            writer.write_message(NewOutbound(f"m{number}", "chat", NOW, "x" * 1_000_000), 0)

    with read_snapshot(out_fd) as snapshot:
        first = snapshot.messages(0, 100)
        second = snapshot.messages(first[-1].seq, 100)

    assert len(first) == 17
    assert len(second) == 3


def test_claims_are_seen_with_their_lease(outbound: Path, out_fd: int) -> None:
    with open_outbound(outbound) as writer:
        writer.claim(["m2"], 7, NOW)
        writer.complete(["m4"], NOW)

    with read_snapshot(out_fd) as snapshot:
        assert snapshot.acks() == [
            Ack("m2", AckStatus.PROCESSING, NOW, 7, 1),
            Ack("m4", AckStatus.COMPLETED, NOW, None, 0),
        ]


def test_the_running_tool_is_seen(outbound: Path, out_fd: int) -> None:
    write(outbound)
    with read_snapshot(out_fd) as snapshot:
        assert snapshot.container_state() is None

    with open_outbound(outbound) as writer:
        writer.set_tool_in_flight("Bash", 1000, NOW)
    with read_snapshot(out_fd) as snapshot:
        assert snapshot.container_state() == ContainerState("Bash", 1000, NOW, NOW)


def test_an_empty_file_has_nothing_in_it(outbound: Path, out_fd: int) -> None:
    outbound.touch()

    with read_snapshot(out_fd) as snapshot:
        assert snapshot.max_seq == 0
        assert snapshot.messages(0, 10) == []
        assert snapshot.acks() == []
        assert snapshot.container_state() is None


def test_a_file_without_messages_has_the_number_zero(outbound: Path, out_fd: int) -> None:
    write(outbound)

    with read_snapshot(out_fd) as snapshot:
        assert snapshot.max_seq == 0


def test_a_snapshot_does_not_change_afterwards(outbound: Path, out_fd: int) -> None:
    write(outbound, "a")

    with read_snapshot(out_fd) as snapshot:
        write(outbound, "b")
        assert [row.id for row in snapshot.messages(0, 10)] == ["a"]


def test_the_token_changes_with_every_commit_and_with_nothing_else(
    outbound: Path, out_fd: int
) -> None:
    tokens = []
    for number in range(5):
        write(outbound, f"m{number}")
        # Two commits within one tick of the file system's clock must differ all the same.
        os.utime(outbound, ns=(1, 1))
        tokens.append(change_token(out_fd))
        assert change_token(out_fd) == tokens[-1]

    assert len(set(tokens)) == 5
    with read_snapshot(out_fd) as snapshot:
        assert snapshot.token == tokens[-1]


def test_reading_writes_nothing_at_all(outbound: Path, out_fd: int) -> None:
    write(outbound, "a")
    before = outbound.stat()

    with read_snapshot(out_fd) as snapshot:
        snapshot.messages(0, 10)
    change_token(out_fd)

    assert [path.name for path in outbound.parent.iterdir()] == ["outbound.db"]
    after = outbound.stat()
    assert (after.st_mtime_ns, after.st_ctime_ns) == (before.st_mtime_ns, before.st_ctime_ns)


def test_a_file_of_the_reference_is_readable(
    golden: Callable[[str, str], Path], outbound: Path, out_fd: int
) -> None:
    golden("2.0.64", "outbound.db").rename(outbound)

    with read_snapshot(out_fd) as snapshot:
        messages = snapshot.messages(9, 10)
        claims = snapshot.acks()

    assert [(row.seq, row.content, row.hop) for row in messages] == [
        (11, '{"text":"This one waits."}', 0)
    ]
    assert messages[0].timestamp == datetime(2026, 5, 18, 8, 0, tzinfo=UTC)
    assert [claim.lease for claim in claims] == [None] * 4


def test_the_number_of_claims_is_bounded(outbound: Path, out_fd: int) -> None:
    with open_outbound(outbound) as writer:
        writer.complete((f"m{number}" for number in range(MAX_ACKS + 5)), NOW)

    with read_snapshot(out_fd) as snapshot:
        found = snapshot.acks()

    assert len(found) == MAX_ACKS
    assert found[-1].message_id == f"m{MAX_ACKS + 4}"


def test_closing_frees_the_copy(outbound: Path, out_fd: int) -> None:
    write(outbound, "a")
    snapshot = read_snapshot(out_fd)

    snapshot.close()

    with pytest.raises(sqlite3.ProgrammingError):
        snapshot.messages(0, 1)
