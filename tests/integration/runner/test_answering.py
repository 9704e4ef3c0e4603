from contextlib import closing
from datetime import timedelta
from sqlite3 import connect

import pytest
from helpers.runner_process import CHAT, RunnerSession, text_of
from helpers.waiting import wait_until

from contract.address import Address, Destination, DestinationType
from contract.clock import utc_now
from contract.content import MAX_INBOUND_BYTES
from contract.inbound.row import AckStatus
from contract.jsontext import dump

WAKE_UPS = pytest.mark.parametrize("watch", ["inotify", "polling"])


def test_message_that_waits_at_start_is_answered_to_its_origin(session: RunnerSession) -> None:
    message = session.send("hello")

    session.start()

    session.wait_for_texts(1)
    [row] = session.messages()
    assert text_of(row) == "You said: hello"
    assert (row.kind, row.address, row.in_reply_to) == ("chat", CHAT, message)
    assert row.seq % 2 == 1
    assert session.status_of(message) is AckStatus.COMPLETED


@WAKE_UPS
def test_message_that_comes_later_wakes_the_runner(session: RunnerSession, watch: str) -> None:
    session.start(NANOCLAW_WATCH=watch)
    wait_until(session.paths.heartbeat.exists)

    session.send("one")
    session.wait_for_texts(1)
    session.send("two")

    assert session.wait_for_texts(2) == ["You said: one", "You said: two"]


def test_backlog_is_answered_oldest_first_and_in_full(session: RunnerSession) -> None:
    ids = [session.send(f"number {n}") for n in range(25)]

    session.start()

    session.wait_for_status(ids[-1], AckStatus.COMPLETED)
    said = "\n".join(text.removeprefix("You said: ") for text in session.texts())
    assert said.splitlines() == [f"number {n}" for n in range(25)]
    assert all(session.status_of(message) is AckStatus.COMPLETED for message in ids)


def test_context_waits_for_a_row_that_wakes_and_goes_with_it(session: RunnerSession) -> None:
    context = session.send("only listening", trigger=False)
    process = session.start()
    process.wait_for_log("runner up")

    waking = session.send("now you")

    session.wait_for_status(waking, AckStatus.COMPLETED)
    session.wait_for_status(context, AckStatus.COMPLETED)
    assert session.texts() == ["You said: now you"]


def test_on_wake_row_is_taken_by_the_first_poll_only(session: RunnerSession) -> None:
    early = session.send("good morning", on_wake=True)
    session.start()
    session.wait_for_status(early, AckStatus.COMPLETED)

    late = session.send("too late", on_wake=True)
    ordinary = session.send("ordinary")

    session.wait_for_status(ordinary, AckStatus.COMPLETED)
    assert session.status_of(late) is None


def test_due_time_is_honoured_without_another_wake_up(session: RunnerSession) -> None:
    due = utc_now() + timedelta(seconds=1)
    later = session.send("later", process_after=due)
    now = session.send("now")
    session.start()

    session.wait_for_status(now, AckStatus.COMPLETED)
    session.wait_for_status(later, AckStatus.COMPLETED)

    ack = session.ack_of(later)
    assert ack is not None
    assert ack.status_changed is not None
    assert ack.status_changed >= due.replace(microsecond=0)
    assert session.texts() == ["You said: now", "You said: later"]


def test_blocks_go_to_named_destinations_in_the_thread_of_their_chat(
    session: RunnerSession,
) -> None:
    ops = Destination("ops", "Ops", DestinationType.CHANNEL, "slack", "C1")
    session.permit(Destination("me", "Me", DestinationType.CHANNEL, "cli", "local"), ops)
    from_ops = session.send("status?", address=Address("slack", "C1", "t-7"), trigger=False)
    answer = (
        '<internal>hm</internal><message to="ops">fine</message>\n<message to="me">ok</message>'
    )
    session.configure([{"match": None, "steps": [{"say": answer}]}])
    asked = session.send("tell ops")

    session.start()

    session.wait_for_texts(2)
    to_ops, to_me = session.messages()
    assert (text_of(to_ops), to_ops.address) == ("fine", Address("slack", "C1", "t-7"))
    assert (text_of(to_me), to_me.address) == ("ok", CHAT)
    assert (to_ops.in_reply_to, to_me.in_reply_to) == (from_ops, asked)


def test_conversation_continues_in_the_next_container(session: RunnerSession) -> None:
    session.configure([{"match": None, "steps": [{"say": "turn {count}"}]}])
    session.send("a")
    first = session.start()
    session.wait_for_texts(1)
    first.terminate()
    session.renew_lease()

    session.send("b")
    session.start()

    assert session.wait_for_texts(2) == ["turn 1", "turn 2"]


def test_clear_begins_a_new_conversation_and_is_confirmed(session: RunnerSession) -> None:
    session.configure([{"match": None, "steps": [{"say": "turn {count}"}]}])
    session.start()
    session.send("a")
    session.wait_for_texts(1)

    clear = session.send("/clear")
    session.wait_for_texts(2)
    session.send("b")

    texts = session.wait_for_texts(3)
    assert (texts[0], texts[2]) == ("turn 1", "turn 1")
    assert "cleared" in texts[1]
    assert session.messages()[1].in_reply_to == clear


def test_messages_before_a_clear_are_not_answered_and_those_after_it_are(
    session: RunnerSession,
) -> None:
    before, _, after = session.send("old"), session.send("/clear"), session.send("new")

    session.start()

    session.wait_for_status(after, AckStatus.COMPLETED)
    assert session.status_of(before) is AckStatus.COMPLETED
    assert [text for text in session.texts() if "cleared" not in text] == ["You said: new"]


def test_word_that_only_begins_like_a_command_is_an_ordinary_message(
    session: RunnerSession,
) -> None:
    session.send("/clearance sale")

    session.start()

    assert session.wait_for_texts(1) == ["You said: /clearance sale"]


def test_message_over_the_limit_is_settled_like_any_other(session: RunnerSession) -> None:
    message = session.send("x" * (MAX_INBOUND_BYTES + 1))

    session.start()

    session.wait_for_status(message, AckStatus.COMPLETED)
    assert "too large" in session.texts()[0]


def test_delivered_answers_are_deleted_except_the_newest(session: RunnerSession) -> None:
    first = session.start()
    session.send("hello")
    session.wait_for_texts(1)
    first.terminate()
    with closing(connect(session.paths.outbound_db)) as outbound, outbound:
        outbound.executemany(
            """
            INSERT INTO messages_out (id, seq, timestamp, kind, content)
            VALUES (?, ?, '', 'chat', ?)
            """,
            [(f"old-{n}", 1001 + 2 * n, dump({"text": "old"})) for n in range(600)],
        )
    session.record_delivered([row.id for row in session.messages()])
    session.renew_lease()

    session.start()

    wait_until(lambda: len(session.messages()) == 500, within=15)
    assert session.messages()[-1].id == "old-599"


def test_heartbeat_beats_during_a_turn_and_rests_afterwards(session: RunnerSession) -> None:
    session.configure([{"match": "work", "steps": [{"hang": True}]}])
    session.start()
    wait_until(session.paths.heartbeat.exists)
    started = session.paths.heartbeat.stat().st_mtime_ns
    work = session.send("work")
    session.wait_for_status(work, AckStatus.PROCESSING)

    wait_until(lambda: session.paths.heartbeat.stat().st_mtime_ns > started)
    during = session.paths.heartbeat.stat().st_mtime_ns
    wait_until(lambda: session.paths.heartbeat.stat().st_mtime_ns > during)
    session.send("/stop")
    session.wait_for_status(work, AckStatus.COMPLETED)

    rested = session.paths.heartbeat.stat().st_mtime_ns
    session.send("quick")
    wait_until(lambda: session.paths.heartbeat.stat().st_mtime_ns > rested)
