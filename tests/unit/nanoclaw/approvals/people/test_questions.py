import sqlite3
from dataclasses import replace
from datetime import timedelta

import pytest
from helpers.central_rows import NOW, add_user, new_delivery, new_session
from helpers.central_rows import queue as queue_delivery
from helpers.people import OWNER, STRANGER, Town, click, hold, released, said, stranger, typed

from contract.address import Address
from contract.content import Option, QuestionCard
from contract.jsontext import parse_object
from contract.outbound.row import OutboundRow
from nanoclaw.approvals import answers, questions, senders
from nanoclaw.approvals.incoming import Intercepted
from nanoclaw.approvals.intercept import intercept
from nanoclaw.approvals.questions import CARDS, EFFECT, GRACE, LATE_FOR
from nanoclaw.db import card_copies, deliveries, effects, members, messaging_groups, sessions
from nanoclaw.db import questions as rows
from nanoclaw.db.card_copies import NewCopy, Place
from nanoclaw.db.members import Member
from nanoclaw.db.messaging_groups import MessagingGroupChange
from nanoclaw.events import ActionOutcome
from nanoclaw.model import DeliverySource, Session, UnknownSenderPolicy

CARD = QuestionCard(
    question_id="msg-1",
    title="Deploy",
    question="Go live?",
    options=(
        Option(label="Yes", selected_label="Going live", value="y"),
        Option(label="No", selected_label="Not now", value="n"),
    ),
    timeout=60.0,
)
PLACE = "platform-mg-1"
END = NOW + timedelta(seconds=60) + GRACE


@pytest.fixture
def session(conn: sqlite3.Connection, town: Town) -> Session:
    return sessions.create(conn, new_session())


def out_row(row_id: str = "msg-1", thread_id: str | None = None) -> OutboundRow:
    return OutboundRow(
        row_id, 3, "chat-sdk", NOW, "{}", Address("telegram", PLACE, thread_id), None, None,
        None, None, 0,
    )  # fmt: skip


def ask(
    conn: sqlite3.Connection, session: Session, question_id: str = "msg-1",
    thread_id: str | None = None,
) -> None:  # fmt: skip
    """A question that was sent; the platform calls it ``p-<id>``."""
    row = out_row(question_id, thread_id)
    assert questions.record(conn, session, row, replace(CARD, question_id=question_id), NOW)
    delivery_id = f"{session.id}/{question_id}"
    new = replace(new_delivery(), delivery_id=delivery_id, message_out_id=question_id)
    queue_delivery(conn, new)
    deliveries.mark_sent(conn, delivery_id, [f"p-{question_id}"], NOW)


def payload(conn: sqlite3.Connection) -> dict[str, object]:
    [effect] = effects.due(conn, NOW + timedelta(days=9), 10)
    assert effect.kind == EFFECT
    return parse_object(effect.payload, max_bytes=10_000)


# --- recording ------------------------------------------------------------------------------------


def test_question_is_recorded_with_the_end_of_the_wait(
    conn: sqlite3.Connection, session: Session
) -> None:
    assert questions.record(conn, session, out_row(), CARD, NOW)
    assert questions.record(conn, session, out_row(), CARD, NOW)

    stored = rows.get(conn, "msg-1")
    assert stored is not None
    assert (stored.title, stored.expires_at) == ("Deploy", END)


@pytest.mark.parametrize(
    ("timeout", "seconds"),
    [(None, 300), (0.0, 300), (-5.0, 0), (10.0, 10), (1e9, 3600)],
    ids=["not said", "zero", "negative", "short", "for ever"],
)
def test_wait_is_bounded(
    conn: sqlite3.Connection, session: Session, timeout: float | None, seconds: int
) -> None:
    questions.record(conn, session, out_row(), replace(CARD, timeout=timeout), NOW)

    stored = rows.get(conn, "msg-1")
    assert stored is not None
    assert stored.expires_at == NOW + timedelta(seconds=seconds) + GRACE


@pytest.mark.parametrize(
    "card",
    [
        pytest.param(replace(CARD, title=" "), id="no title"),
        pytest.param(replace(CARD, options=()), id="no options"),
        pytest.param(replace(CARD, options=CARD.options * 26), id="too many options"),
        pytest.param(replace(CARD, question_id=""), id="no id"),
        pytest.param(replace(CARD, question_id="x" * 181), id="long id"),
        pytest.param(replace(CARD, question_id="a\nb"), id="id with control characters"),
        pytest.param(replace(CARD, question_id="appr-1-abc"), id="id of an approval"),
        pytest.param(replace(CARD, question_id="oa-12345678"), id="id of a credential approval"),
        pytest.param(replace(CARD, question_id="nsa-1-abc"), id="id of a stranger's card"),
        pytest.param(replace(CARD, question_id="mg-1-abc~x"), id="id of a chat's card"),
    ],
)
def test_card_that_cannot_be_answered_safely_is_not_sent(
    conn: sqlite3.Connection, session: Session, card: QuestionCard
) -> None:
    assert not questions.record(conn, session, out_row(card.question_id), card, NOW)
    assert rows.of_session(conn, session.id) == []


def test_agent_cannot_take_over_the_question_of_another(
    conn: sqlite3.Connection, session: Session
) -> None:
    other = sessions.create(conn, new_session("sess-2", "key-2"))
    assert questions.record(conn, other, out_row(), CARD, NOW)

    assert not questions.record(conn, session, out_row(), replace(CARD, title="Mine"), NOW)
    stored = rows.get(conn, "msg-1")
    assert stored is not None
    assert stored.session_id == "sess-2"


# --- pressed --------------------------------------------------------------------------------------


def test_press_records_the_answer_for_the_agent(conn: sqlite3.Connection, session: Session) -> None:
    ask(conn, session)

    result = answers.answer(conn, click("msg-1", "1", STRANGER, chat=PLACE), NOW)

    assert result.outcome is ActionOutcome.ACCEPTED
    assert (result.title, result.chosen_label) == ("Deploy", "Not now")
    told = payload(conn)
    assert told["selectedOption"] == "n"
    assert told["userId"] == STRANGER
    assert told["trigger"] is True
    assert (told["channelType"], told["platformId"]) == ("telegram", PLACE)
    assert rows.of_session(conn, session.id) == []


def test_second_press_learns_of_the_first(conn: sqlite3.Connection, session: Session) -> None:
    ask(conn, session)
    answers.answer(conn, click("msg-1", "0", STRANGER, chat=PLACE), NOW)

    result = answers.answer(conn, click("msg-1", "1", OWNER, chat=PLACE), NOW)

    assert result.outcome is ActionOutcome.ALREADY_ANSWERED
    assert (result.chosen_label, result.chosen_by) == ("Going live", STRANGER)
    assert payload(conn)["selectedOption"] == "y"


def test_an_id_that_is_used_again_is_another_question(
    conn: sqlite3.Connection, session: Session
) -> None:
    """The agent chooses ids; an answer must not be taken for the one before."""
    for row_id, value in (("msg-1", "0"), ("msg-2", "1")):
        assert questions.record(conn, session, out_row(row_id), CARD, NOW)
        result = answers.answer(conn, click("msg-1", value, STRANGER, chat=PLACE), NOW)
        assert result.outcome is ActionOutcome.ACCEPTED

    found = effects.due(conn, NOW + timedelta(days=9), 10)
    chosen = [parse_object(item.payload, max_bytes=10_000)["selectedOption"] for item in found]
    assert chosen == ["y", "n"]


@pytest.mark.parametrize(
    ("value", "outcome"),
    [
        ("y", ActionOutcome.ACCEPTED),
        ("2", ActionOutcome.UNKNOWN),
        ("maybe", ActionOutcome.UNKNOWN),
    ],
    ids=["literal value of old cards", "no such position", "no such value"],
)
def test_value_must_be_one_of_the_options(
    conn: sqlite3.Connection, session: Session, value: str, outcome: ActionOutcome
) -> None:
    ask(conn, session)

    result = answers.answer(conn, click("msg-1", value, STRANGER, chat=PLACE), NOW)

    assert result.outcome is outcome


def test_press_from_another_chat_does_not_count(conn: sqlite3.Connection, session: Session) -> None:
    ask(conn, session)

    result = answers.answer(conn, click("msg-1", "0", STRANGER, chat="elsewhere"), NOW)

    assert result.outcome is ActionOutcome.NOT_ALLOWED
    assert len(rows.of_session(conn, session.id)) == 1


@pytest.mark.parametrize("is_member", [True, False], ids=["member", "stranger"])
def test_answer_of_a_stranger_is_marked_as_foreign(
    conn: sqlite3.Connection, session: Session, is_member: bool
) -> None:
    add_user(conn, STRANGER)
    if is_member:
        members.add(conn, Member(STRANGER, session.agent_group_id, NOW))
    ask(conn, session)

    answers.answer(conn, click("msg-1", "0", STRANGER, chat=PLACE), NOW)

    assert payload(conn)["taint"] == (None if is_member else "unknown-sender")


@pytest.mark.parametrize(
    ("after", "trigger"),
    [(timedelta(0), True), (END - NOW - timedelta(seconds=1), True), (END - NOW, False)],
    ids=["at once", "just in time", "late"],
)
def test_t71_late_answer_wakes_nobody(
    conn: sqlite3.Connection, session: Session, after: timedelta, trigger: bool
) -> None:
    ask(conn, session)

    result = answers.answer(conn, click("msg-1", "0", STRANGER, chat=PLACE), NOW + after)

    assert result.outcome is ActionOutcome.ACCEPTED
    assert payload(conn)["trigger"] is trigger


def test_w35_question_takes_no_answer_after_a_day(
    conn: sqlite3.Connection, session: Session
) -> None:
    ask(conn, session)

    pressed = answers.answer(conn, click("msg-1", "0", STRANGER, chat=PLACE), END + LATE_FOR)

    assert pressed.outcome is ActionOutcome.EXPIRED
    assert effects.due(conn, END + LATE_FOR, 10) == []


def test_unanswered_question_is_taken_back_in_its_chat(
    conn: sqlite3.Connection, session: Session
) -> None:
    ask(conn, session)
    assert CARDS.next_expiry(conn) == END + LATE_FOR

    CARDS.expire(conn, END + LATE_FOR)

    assert CARDS.next_expiry(conn) is None
    [copy] = card_copies.of_card(conn, "msg-1")
    assert copy.copy_id == f"{session.id}/msg-1"
    assert copy.state is card_copies.CopyState.CLOSING
    assert copy.closing_text == "Deploy: this question is closed"


# --- typed ----------------------------------------------------------------------------------------


def say(
    conn: sqlite3.Connection, text: str, user_id: str = OWNER, *, quotes: str | None = None,
    thread: str | None = None, chat: str = PLACE,
) -> Intercepted | None:  # fmt: skip
    incoming = typed(text, user_id, chat=chat, is_group=True, quotes=quotes, thread=thread)
    return intercept(conn, incoming, NOW)


@pytest.mark.parametrize("text", ["2", "no", "/No", " NO "])
def test_typed_number_or_label_answers_the_only_open_question(
    conn: sqlite3.Connection, session: Session, text: str
) -> None:
    ask(conn, session)

    assert say(conn, text) == Intercepted("answer")
    assert payload(conn)["selectedOption"] == "n"
    [copy] = card_copies.of_card(conn, "msg-1")
    assert copy.state is card_copies.CopyState.CLOSING
    assert copy.closing_text is not None
    assert "Not now" in copy.closing_text


@pytest.mark.parametrize("text", ["3", "0", "nope", "no, never", "y", "x" * 200, "1\n2"])
def test_text_that_is_no_option_goes_to_the_agent(
    conn: sqlite3.Connection, session: Session, text: str
) -> None:
    ask(conn, session)

    assert say(conn, text) is None
    assert effects.due(conn, NOW, 10) == []


def test_with_two_open_questions_only_a_quotation_answers(
    conn: sqlite3.Connection, session: Session
) -> None:
    ask(conn, session)
    ask(conn, session, "msg-2")

    assert say(conn, "1") is None
    assert say(conn, "1", quotes="p-msg-2") == Intercepted("answer")
    assert payload(conn)["questionId"] == "msg-2"


def test_quotation_of_something_else_is_an_ordinary_message(
    conn: sqlite3.Connection, session: Session
) -> None:
    ask(conn, session)

    assert say(conn, "1", quotes="p-other") is None


def test_question_that_timed_out_is_answered_by_a_quotation_only(
    conn: sqlite3.Connection, session: Session
) -> None:
    ask(conn, session)
    plain = typed("1", OWNER, chat=PLACE, is_group=True)
    quoting = typed("1", OWNER, chat=PLACE, is_group=True, quotes="p-msg-1", key="t-2")

    assert intercept(conn, plain, END) is None
    assert intercept(conn, quoting, END) == Intercepted("answer")
    assert payload(conn)["trigger"] is False


def test_number_in_another_thread_is_an_ordinary_message(
    conn: sqlite3.Connection, session: Session
) -> None:
    ask(conn, session, thread_id="th-1")

    assert say(conn, "1", thread="th-2") is None
    assert say(conn, "1", thread="th-1") == Intercepted("answer")


@pytest.mark.parametrize(
    ("policy", "consumed"),
    [
        (UnknownSenderPolicy.STRICT, False),
        (UnknownSenderPolicy.REQUEST_APPROVAL, False),
        (UnknownSenderPolicy.PUBLIC, True),
    ],
)
def test_stranger_answers_by_typing_only_where_strangers_may_write(
    conn: sqlite3.Connection, session: Session, policy: UnknownSenderPolicy, consumed: bool
) -> None:
    messaging_groups.update(conn, "mg-1", MessagingGroupChange(unknown_sender_policy=policy))
    ask(conn, session)

    assert (say(conn, "1", STRANGER) is not None) is consumed


def test_question_that_was_not_sent_is_not_open(conn: sqlite3.Connection, session: Session) -> None:
    questions.record(conn, session, out_row(), CARD, NOW)

    assert say(conn, "1") is None


# --- typed answers to cards of the host -----------------------------------------------------------


@pytest.fixture
def card(conn: sqlite3.Connection, town: Town) -> str:
    """A stranger's card, shown to the owner as ``p-card``."""
    request_id = senders.request(conn, stranger(town), NOW)
    assert request_id is not None
    hold(conn, request_id)
    place = Place("telegram", town.owner_chat.platform_id)
    copy_id = f"card/{request_id}/1"
    new = NewCopy(copy_id, request_id, "sender", OWNER, place, NOW)
    card_copies.insert(conn, new, NOW)
    new_one = new_delivery(session_id=None)
    host = replace(
        new_one, delivery_id=copy_id, message_out_id=copy_id, source=DeliverySource.HOST,
        platform_id=place.platform_id,
    )  # fmt: skip
    queue_delivery(conn, host)
    deliveries.mark_sent(conn, copy_id, ["p-card"], NOW)
    senders.CARDS.mark_sent(conn, request_id, OWNER, NOW)
    return request_id


@pytest.mark.parametrize(
    ("text", "quotes"),
    [("1", None), ("allow", None), ("/allow", "p-card"), ("1", "p-card")],
)
def test_typed_answer_decides_the_only_card_of_the_person(
    conn: sqlite3.Connection, card: str, text: str, quotes: str | None
) -> None:
    assert intercept(conn, typed(text, quotes=quotes), NOW) == Intercepted("answer")
    assert released(conn) == ["e-1"]
    [copy] = card_copies.of_card(conn, card)
    assert copy.state is card_copies.CopyState.CLOSING


def agent_speaks(conn: sqlite3.Connection, session: Session) -> None:
    """As in a chat where the owner also talks to an agent."""
    new = replace(
        new_delivery(), delivery_id=f"{session.id}/later", message_out_id="later",
        platform_id="platform-mg-dm",
    )  # fmt: skip
    queue_delivery(conn, new)
    deliveries.mark_sent(conn, new.delivery_id, ["p-later"], NOW)


@pytest.mark.parametrize("text", ["1", "allow"])
def test_number_after_words_of_an_agent_is_meant_for_the_agent(
    conn: sqlite3.Connection, session: Session, card: str, text: str
) -> None:
    agent_speaks(conn, session)

    assert intercept(conn, typed(text), NOW) is None
    assert released(conn) == []

    assert intercept(conn, typed(text, quotes="p-card"), NOW) == Intercepted("answer")


def test_typed_answer_of_somebody_else_in_that_chat_is_an_ordinary_message(
    conn: sqlite3.Connection, card: str
) -> None:
    assert intercept(conn, typed("1", STRANGER), NOW) is None
    assert intercept(conn, typed("1", STRANGER, quotes="p-card"), NOW) is None
    assert released(conn) == []


def test_card_that_is_still_on_its_way_is_not_answered_by_a_number(
    conn: sqlite3.Connection, card: str
) -> None:
    conn.execute("UPDATE deliveries SET state = 'queued', platform_message_ids = '[]'")

    assert intercept(conn, typed("1"), NOW) is None


@pytest.mark.parametrize(
    ("text", "outcome"), [("approve {}", ["e-1"]), ("/Reject {}", []), ("deny {}", [])]
)
def test_card_is_answered_by_its_id_from_a_direct_chat(
    conn: sqlite3.Connection, card: str, text: str, outcome: list[str]
) -> None:
    incoming = typed(text.format(card), chat="another-dm")

    assert intercept(conn, incoming, NOW) == Intercepted("answer")
    assert released(conn) == outcome


@pytest.mark.parametrize(
    ("user_id", "is_group"),
    [pytest.param(STRANGER, False, id="stranger"), pytest.param(OWNER, True, id="in a group")],
)
def test_card_is_not_answered_by_its_id_otherwise(
    conn: sqlite3.Connection, card: str, user_id: str, is_group: bool
) -> None:
    incoming = typed(f"approve {card}", user_id, chat="another", is_group=is_group)

    assert intercept(conn, incoming, NOW) is None
    assert released(conn) == []


def test_answer_by_id_to_a_closed_card_says_what_was_decided(
    conn: sqlite3.Connection, card: str
) -> None:
    intercept(conn, typed(f"reject {card}"), NOW)

    assert intercept(conn, typed(f"approve {card}", key="t-2"), NOW) == Intercepted("answer")
    assert "already answered with Denied" in said(conn)[-1].content
    assert released(conn) == []


def test_id_that_is_no_card_goes_to_the_agent(conn: sqlite3.Connection, town: Town) -> None:
    assert intercept(conn, typed("approve everything"), NOW) is None
