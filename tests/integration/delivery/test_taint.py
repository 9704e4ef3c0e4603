"""A turn that has read foreign content writes to nobody else before a person has seen the text."""

import sqlite3
from dataclasses import replace
from datetime import timedelta

import pytest
from helpers.delivery_room import DeliveryRoom

from contract.address import Address
from contract.clock import utc_now
from contract.content import ChatOut, EditOut, Option, QuestionCard
from contract.inbound.row import NewInbound
from contract.inbound.writer import open_inbound
from contract.outbound.writer import open_outbound
from nanoclaw.approvals import answers
from nanoclaw.approvals.clicks import Click
from nanoclaw.bell import DELIVERY, ring
from nanoclaw.db import approvals, container_configs, dms, questions, roles, users
from nanoclaw.db.approvals import Approval
from nanoclaw.db.connection import transaction
from nanoclaw.db.container_configs import ContainerConfigChange
from nanoclaw.db.dms import UserDm
from nanoclaw.events import ActionOutcome
from nanoclaw.model import DeliveryState, Role, RoleGrant, User
from nanoclaw.paths import make_private_folder

OWNER = "cli:local"


@pytest.fixture
def room(delivery: DeliveryRoom) -> DeliveryRoom:
    """With a second chat that the agent may write to, and an owner at the terminal."""
    delivery.add_chat("friends")
    users.add_if_new(delivery.conn, User(OWNER, "cli", utc_now()))
    roles.grant(delivery.conn, RoleGrant(OWNER, Role.OWNER, utc_now()))
    dms.upsert(delivery.conn, UserDm(OWNER, "cli", delivery.chat.id, utc_now()))
    make_private_folder(delivery.config.paths.channel("cli"))  # as the channel's process does
    delivery.start_worker()
    delivery.start_loop(companions=True)
    return delivery


def inbound(
    row_id: str = "in-1", taint: str | None = None, chat: str = "local", **fields: object
) -> NewInbound:
    base = NewInbound(row_id, "chat", utc_now(), "{}", Address("cli", chat), taint=taint)
    return replace(base, **fields)  # type: ignore[arg-type]  # fields of NewInbound


def pending(room: DeliveryRoom) -> list[Approval]:
    return approvals.pending(room.conn)


def decide(room: DeliveryRoom, value: str, by: str = OWNER) -> ActionOutcome:
    """Somebody presses a button of the only open card."""
    (approval,) = pending(room)
    click = Click(approval.approval_id, value, by, "cli", "local")
    with transaction(room.conn):
        result = answers.answer(room.conn, click, utc_now())
    ring(room.config.paths, DELIVERY)
    return result.outcome


def to_friends(room: DeliveryRoom, text: str = "psst", taint: str | None = None) -> None:
    row = room.row(f"out-{text}", ChatOut(text=text), chat="friends")
    room.write([replace(row, taint=taint)])


def test_approved_message_is_sent_exactly_once(room: DeliveryRoom) -> None:
    room.receive(inbound(taint="web"))
    room.claim("in-1")
    to_friends(room)
    room.spin(lambda: pending(room))
    held = room.stored("out-psst")
    assert held.state is DeliveryState.HELD
    (approval,) = pending(room)
    for needed in ("friends", "psst", "a web page", room.group.name):
        assert needed in approval.question

    assert decide(room, "approve") is ActionOutcome.ACCEPTED
    room.spin(lambda: room.stored("out-psst").state is DeliveryState.SENT)
    ring(room.config.paths, DELIVERY)
    room.say("afterwards")
    room.spin(lambda: room.stored("out-afterwards").state is DeliveryState.SENT)

    to_them = [frame for frame in room.worker.frames if frame.platform_id == "friends"]
    assert len(to_them) == 1


def test_rejected_message_ends_as_failed_and_its_agent_is_told(room: DeliveryRoom) -> None:
    room.receive(inbound(taint="mail"))
    to_friends(room)
    room.spin(lambda: pending(room))

    decide(room, "reject")
    room.spin(lambda: room.stored("out-psst").state is DeliveryState.FAILED)
    room.spin(room.notes)

    assert [frame for frame in room.worker.frames if frame.platform_id == "friends"] == []


def test_message_that_nobody_decided_ends_with_its_request(room: DeliveryRoom) -> None:
    room.receive(inbound(taint="mail"))
    to_friends(room)
    room.spin(lambda: pending(room))
    (approval,) = pending(room)
    late = utc_now() - timedelta(hours=1)
    room.conn.execute(
        "UPDATE pending_approvals SET expires_at = ?", (late.isoformat().replace("+00:00", "Z"),)
    )
    ring(room.config.paths, DELIVERY)

    room.spin(lambda: room.stored("out-psst").state is DeliveryState.FAILED, within=20)

    assert approvals.get(room.conn, approval.approval_id) is not None


@pytest.mark.parametrize("taint", ["web", "mail", "file", "unknown-sender", "mcp", "agent,web"])
def test_host_knows_the_taint_though_the_agent_says_nothing(room: DeliveryRoom, taint: str) -> None:
    room.receive(inbound(taint=taint))
    room.claim("in-1")

    to_friends(room, taint=None)
    room.spin(lambda: pending(room))

    assert room.stored("out-psst").taint == taint


def test_what_the_agents_own_tools_have_read_counts_as_well(room: DeliveryRoom) -> None:
    room.receive(inbound())

    to_friends(room, taint="web")
    room.spin(lambda: pending(room))


def test_answer_in_the_chat_that_asked_needs_nobody(room: DeliveryRoom) -> None:
    room.receive(inbound("in-1", "unknown-sender", chat="friends"))
    room.receive(inbound("in-2", "file"))
    room.claim("in-1", "in-2")

    to_friends(room)
    room.say("and to you")
    room.spin(lambda: room.states() == ["sent", "sent"])

    assert pending(room) == []


def test_clean_turn_needs_nobody(room: DeliveryRoom) -> None:
    room.receive(inbound())

    to_friends(room)
    room.spin(lambda: room.states() == ["sent"])


def test_task_of_tomorrow_taints_nothing_today(room: DeliveryRoom) -> None:
    tomorrow = utc_now() + timedelta(days=1)
    room.receive(inbound(taint="web", kind="task", process_after=tomorrow))

    to_friends(room)
    room.spin(lambda: room.states() == ["sent"])


def test_settled_turn_leaves_no_taint_behind(room: DeliveryRoom) -> None:
    room.receive(inbound(taint="web"))
    room.write([room.row("out-1", ChatOut(text="answer"))], done=["in-1"])
    room.spin(lambda: room.states() == ["sent"])

    def settled() -> bool:
        conn = sqlite3.connect(room.folder.inbound_db)
        try:
            rows = conn.execute("SELECT 1 FROM messages_in WHERE status = 'pending'").fetchall()
        finally:
            conn.close()
        return rows == []

    room.spin(settled)
    to_friends(room)
    room.spin(lambda: room.states() == ["sent", "sent"])


def test_last_words_of_a_tainted_turn_are_judged_with_it(room: DeliveryRoom) -> None:
    """The rows and the end of their input come in one transaction."""
    room.receive(inbound(taint="web"))

    row = room.row("out-psst", ChatOut(text="psst"), chat="friends")
    room.write([row], done=["in-1"])
    room.spin(lambda: pending(room))


def test_owner_may_switch_the_guard_off(room: DeliveryRoom) -> None:
    container_configs.ensure(room.conn, room.group.id, utc_now())
    change = ContainerConfigChange(taint_guard=False)
    container_configs.update(room.conn, room.group.id, change, utc_now())
    room.receive(inbound(taint="web"))

    to_friends(room)
    room.spin(lambda: room.states() == ["sent"])


def test_session_whose_inbox_cannot_be_read_is_taken_for_tainted(room: DeliveryRoom) -> None:
    room.folder.inbound_db.write_bytes(b"no database" * 100)

    to_friends(room)
    room.spin(lambda: pending(room))

    assert "an unknown source" in pending(room)[0].question


def test_held_files_are_copied_before_anybody_is_asked_and_sent_as_they_were(
    room: DeliveryRoom,
) -> None:
    room.worker.capabilities = replace(room.worker.capabilities, max_files=5, max_file_bytes=10**9)
    room.stop_worker()
    room.start_worker()
    room.receive(inbound(taint="web"))
    path = room.put_file("out-1", "report.txt", b"what was shown")
    room.write([room.row("out-1", ChatOut(text="see", files=("report.txt",)), chat="friends")])
    room.spin(lambda: pending(room))
    assert "report.txt (14 bytes)" in pending(room)[0].question
    path.write_bytes(b"something else")

    decide(room, "approve")
    room.spin(lambda: room.stored("out-1").state is DeliveryState.SENT)

    (frame,) = [frame for frame in room.worker.frames if frame.platform_id == "friends"]
    assert [(file.name, file.size) for file in frame.files] == [("report.txt", 14)]


def test_held_question_waits_for_answers_only_when_it_was_allowed(room: DeliveryRoom) -> None:
    room.receive(inbound(taint="web"))
    card = QuestionCard(
        question_id="q-1", title="Really?", question="Really?",
        options=(Option(label="yes", selected_label="yes", value="yes"),),
    )  # fmt: skip
    room.write([room.row("out-1", card, chat="friends")])
    room.spin(lambda: pending(room))
    assert questions.get(room.conn, "q-1") is None

    decide(room, "approve")
    room.spin(lambda: room.stored("out-1").state is DeliveryState.SENT)

    assert questions.get(room.conn, "q-1") is not None


def test_stranger_cannot_allow_it(room: DeliveryRoom) -> None:
    room.receive(inbound(taint="web"))
    to_friends(room)
    room.spin(lambda: pending(room))

    assert decide(room, "approve", by="cli:stranger") is ActionOutcome.NOT_ALLOWED
    assert room.stored("out-psst").state is DeliveryState.HELD


def test_message_that_is_held_delays_nobody(room: DeliveryRoom) -> None:
    room.receive(inbound(taint="web"))
    to_friends(room)
    room.say("own chat")
    room.spin(lambda: room.stored("out-own chat").state is DeliveryState.SENT)

    assert room.stored("out-psst").state is DeliveryState.HELD


def test_allowed_message_still_waits_for_its_own_time(room: DeliveryRoom) -> None:
    room.receive(inbound(taint="web"))
    tomorrow = utc_now() + timedelta(days=1)
    row = room.row("out-1", ChatOut(text="good morning"), chat="friends")
    room.write([replace(row, deliver_after=tomorrow)])
    room.spin(lambda: pending(room))

    decide(room, "approve")
    room.spin(lambda: room.stored("out-1").state is DeliveryState.QUEUED)

    waiting = room.stored("out-1")
    assert abs(waiting.next_attempt_at - tomorrow) < timedelta(seconds=1)
    assert waiting.expires_at > tomorrow
    assert all(frame.platform_id != "friends" for frame in room.worker.frames)


def test_edit_of_a_held_message_ends_and_delays_nobody(room: DeliveryRoom) -> None:
    room.receive(inbound(taint="web"))
    room.claim("in-1")
    to_friends(room)
    room.spin(lambda: pending(room))
    with open_outbound(room.folder.out_dir / "outbound.db") as out:
        out.complete(["in-1"], utc_now())
    with open_inbound(room.folder.inbound_db) as writer:
        writer.mark_failed("in-1")

    edit = EditOut(message_id="out-psst", text="pssst")
    room.write([room.row("out-edit", edit, chat="friends")])
    room.say("hello", chat="friends")

    room.spin(lambda: room.stored("out-hello").state is DeliveryState.SENT)
    assert room.stored("out-edit").state is DeliveryState.FAILED
    assert "still to allow" in (room.stored("out-edit").last_error or "")
