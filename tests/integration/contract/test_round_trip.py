"""One message there and back through both files, without a container; and writers that race."""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from contract.address import Address
from contract.clock import utc_now
from contract.content import ChatIn, ChatOut, dump, parse_inbound, parse_outbound
from contract.inbound.reader import read_delivered, read_max_seq, read_pending, read_pending_ids
from contract.inbound.row import DeliveredMark, DeliveredStatus, InboundStatus, NewInbound
from contract.inbound.select import PendingQuery
from contract.inbound.writer import open_inbound
from contract.outbound.reader import read_outbound
from contract.outbound.row import NewOutbound
from contract.outbound.snapshot import read_snapshot
from contract.outbound.writer import open_outbound

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
CHAT = Address("cli", "local", None)
REPOSITORY = Path(__file__).parents[3]

RACER = """
import sys
from contract.clock import utc_now
from contract.inbound.row import NewInbound
from contract.inbound.writer import open_inbound
from pathlib import Path

path, name = Path(sys.argv[1]), sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
for number in range(200):
    with open_inbound(path, busy_ms=30000) as writer:
        writer.insert_message(NewInbound(f"{name}-{number}", "chat", utc_now(), "{}"))
"""


def test_a_message_goes_there_and_its_answer_comes_back(
    inbound: Path, outbound: Path, out_fd: int
) -> None:
    # The host writes.
    question = ChatIn(text="Wie geht's? 東京", sender="Ann", sender_id="cli:local")
    with open_inbound(inbound) as writer:
        writer.set_session_routing(CHAT)
        assert writer.insert_message(NewInbound("m1", "chat", NOW, dump(question), CHAT)) == 2

    # The runner reads, claims, answers and completes in one transaction.
    (row,) = read_pending(inbound, PendingQuery(NOW, limit=10, first_poll=True)).rows
    assert parse_inbound(row.kind, row.content) == question
    with open_outbound(outbound) as out:
        assert out.release_stale_claims(7) == []
        out.claim([row.id], 7, NOW)
    answer = ChatOut(text="Gut.")
    with open_outbound(outbound) as out:
        message = NewOutbound("o1", "chat", NOW, dump(answer), row.address, row.id)
        assert out.write_message(message, read_max_seq(inbound)) == 3
        out.complete([row.id], NOW)

    # The host takes the answer over, delivers it and records what happened.
    with read_snapshot(out_fd) as snapshot:
        (found,) = snapshot.messages(0, 10)
        acks = {ack.message_id: ack.status for ack in snapshot.acks()}
    assert parse_outbound(found.kind, found.content) == answer
    assert (found.address, found.in_reply_to) == (CHAT, "m1")
    with open_inbound(inbound) as writer:
        writer.mark_delivered([DeliveredMark("o1", "platform-9", DeliveredStatus.DELIVERED, NOW)])
        assert writer.sync_acks(acks) == 1
        settled = writer.find("m1")
    assert settled is not None
    assert settled.status is InboundStatus.COMPLETED

    # The runner sees the receipt and tidies up.
    with read_outbound(outbound) as reader:
        delivered = read_delivered(inbound, reader.message_ids())
    assert [mark.platform_message_id for mark in delivered] == ["platform-9"]
    with open_outbound(outbound) as out:
        assert out.drop_settled_acks(read_pending_ids(inbound)) == 1
        assert out.acked_ids(["m1"]) == frozenset()


def test_a_crashed_runner_costs_one_try_and_its_successor_starts_over(
    inbound: Path, outbound: Path, out_fd: int
) -> None:
    with open_inbound(inbound) as writer:
        writer.insert_message(NewInbound("m1", "chat", NOW, "{}", CHAT))
    with open_outbound(outbound) as out:
        out.claim(["m1"], 7, NOW)

    with read_snapshot(out_fd) as snapshot:
        (claim,) = snapshot.acks()
    assert claim.lease == 7
    later = NOW + timedelta(seconds=5)
    with open_inbound(inbound) as writer:
        writer.retry_later(claim.message_id, later)
        assert writer.pending_summary(NOW).next_due_at == later

    with open_outbound(outbound) as out:
        assert out.release_stale_claims(8) == ["m1"]
        acked = out.acked_ids(read_pending_ids(inbound))
    assert read_pending(inbound, PendingQuery(NOW, 10, acked_ids=acked)).rows == ()
    (row,) = read_pending(inbound, PendingQuery(later, 10, acked_ids=acked)).rows
    assert row.tries == 1


def test_two_processes_that_write_the_same_file_share_the_even_numbers(inbound: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, str(inbound), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for name in ("a", "b")
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"

    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    codes = [racer.wait() for racer in racers]
    for racer in racers:
        racer.communicate()

    assert codes == [0, 0]
    rows = read_pending(inbound, PendingQuery(utc_now(), limit=1000)).rows
    assert [row.seq for row in rows] == list(range(2, 802, 2))
    assert len({row.id for row in rows}) == 400
