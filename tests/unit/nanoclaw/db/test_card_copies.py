import sqlite3
from collections.abc import Callable
from datetime import timedelta

import pytest
from helpers.central_rows import NOW, add_user, new_delivery, queue, seconds, seed

from nanoclaw.db import approvals, card_copies, deliveries, dms, messaging_groups, owner_notices
from nanoclaw.db.card_copies import CopyState, NewCopy, Place
from nanoclaw.db.dms import UserDm
from nanoclaw.db.owner_notices import OwnerNotice
from nanoclaw.model import DeliveryState, MessagingGroup

HERE, THERE = Place("telegram", "dm-1"), Place("slack", "D1")


def add(conn: sqlite3.Connection, number: int = 1, place: Place = HERE, card: str = "c-1") -> str:
    copy_id = f"card/{card}/{number}"
    look_at = NOW + timedelta(minutes=2)
    card_copies.insert(conn, NewCopy(copy_id, card, "approval", "u:1", place, look_at), NOW)
    return copy_id


def states(conn: sqlite3.Connection, card: str = "c-1") -> list[str]:
    return [copy.state.value for copy in card_copies.of_card(conn, card)]


def set_state(conn: sqlite3.Connection, copy_id: str, state: CopyState) -> None:
    copy = card_copies.get(conn, copy_id)
    assert copy is not None
    assert card_copies.set_state(conn, copy_id, copy.state, state, NOW)


def test_copy_is_stored_once_in_the_order_of_sending(conn: sqlite3.Connection) -> None:
    first = add(conn)
    add(conn, 2, THERE)
    add(conn)

    assert [copy.copy_id for copy in card_copies.of_card(conn, "c-1")] == [first, "card/c-1/2"]
    assert states(conn) == ["queued", "queued"]


def test_state_changes_only_from_the_expected_one(conn: sqlite3.Connection) -> None:
    copy_id = add(conn)

    assert card_copies.set_state(conn, copy_id, CopyState.QUEUED, CopyState.SHOWN, NOW)
    assert not card_copies.set_state(conn, copy_id, CopyState.QUEUED, CopyState.FAILED, NOW)


@pytest.mark.parametrize(
    ("state", "is_news"),
    [("queued", False), ("sending", False), ("sent", True), ("failed", True), ("uncertain", True)],
)
def test_news_is_what_ended_a_delivery(
    conn: sqlite3.Connection, state: str, *, is_news: bool
) -> None:
    seed(conn)
    delivery = queue(conn, new_delivery())
    card_copies.insert(
        conn, NewCopy(delivery.delivery_id, "c-1", "approval", "u:1", HERE, NOW), NOW
    )
    conn.execute("UPDATE deliveries SET state = ?, last_error = 'why'", (state,))

    news = card_copies.settled(conn, 10)

    assert [(item.delivery_state, item.error) for item in news] == (
        [(DeliveryState(state), "why")] if is_news else []
    )


def test_copy_without_its_delivery_is_news(conn: sqlite3.Connection) -> None:
    add(conn)

    (news,) = card_copies.settled(conn, 10)

    assert news.delivery_state is None


def test_closing_leaves_out_the_pressed_copy(conn: sqlite3.Connection) -> None:
    pressed, other, failed = add(conn), add(conn, 2, THERE), add(conn, 3, Place("cli", "local"))
    set_state(conn, pressed, CopyState.SHOWN)
    set_state(conn, failed, CopyState.FAILED)
    unrelated = add(conn, card="c-2")

    card_copies.close(conn, "c-1", "over", HERE, NOW)

    assert states(conn) == ["closed", "closing", "closed"]
    (closing,) = card_copies.due(conn, CopyState.CLOSING, NOW, 10)
    assert (closing.copy_id, closing.closing_text) == (other, "over")
    assert states(conn, "c-2") == ["queued"]
    assert card_copies.get(conn, unrelated) is not None


def test_closing_twice_changes_nothing_more(conn: sqlite3.Connection) -> None:
    add(conn)
    card_copies.close(conn, "c-1", "first", None, NOW)

    card_copies.close(conn, "c-1", "second", None, NOW)

    (copy,) = card_copies.of_card(conn, "c-1")
    assert copy.closing_text == "first"


def test_look_is_due_at_its_time(conn: sqlite3.Connection) -> None:
    copy_id = add(conn)
    assert card_copies.next_look(conn, CopyState.QUEUED) == NOW + timedelta(minutes=2)
    assert card_copies.due(conn, CopyState.QUEUED, NOW, 10) == []

    card_copies.look_later(conn, copy_id, NOW, tried=True)

    (copy,) = card_copies.due(conn, CopyState.QUEUED, NOW, 10)
    assert copy.attempts == 1
    assert card_copies.next_look(conn, CopyState.CLOSING) is None


def test_card_is_left_alone_when_every_copy_was_refused(conn: sqlite3.Connection) -> None:
    first, second = add(conn), add(conn, 2, THERE)
    set_state(conn, first, CopyState.FAILED)
    assert card_copies.left_alone(conn) == []

    set_state(conn, second, CopyState.FAILED)

    assert card_copies.left_alone(conn) == [("c-1", "approval")]


def test_open_cards_of_a_chat_know_the_platforms_ids(conn: sqlite3.Connection) -> None:
    seed(conn)
    delivery = queue(conn, new_delivery())
    deliveries.mark_sent(conn, delivery.delivery_id, ["m-1", "m-2"], NOW)
    new = NewCopy(delivery.delivery_id, "c-1", "approval", "u:1", HERE, NOW)
    card_copies.insert(conn, new, NOW)
    closed = add(conn, 2)
    set_state(conn, closed, CopyState.CLOSED)
    add(conn, 3, THERE)

    (found,) = card_copies.open_in_chat(conn, HERE, 10)

    assert (found.copy.card_id, found.message_ids) == ("c-1", ("m-1", "m-2"))


def test_closed_copies_are_forgotten_after_a_while(conn: sqlite3.Connection) -> None:
    set_state(conn, add(conn), CopyState.CLOSED)
    add(conn, 2, THERE)

    assert card_copies.prune(conn, NOW, 10) == 0
    assert card_copies.prune(conn, NOW + seconds(1), 10) == 1
    assert states(conn) == ["queued"]


def test_chat_that_is_gone_is_forgotten_for_everybody(conn: sqlite3.Connection) -> None:
    seed(conn)
    add_user(conn, "u:1")
    add_user(conn, "u:2")
    messaging_groups.create(conn, MessagingGroup("mg-9", "u", "p", NOW))
    for user in ("u:1", "u:2"):
        dms.upsert(conn, UserDm(user, "u", "mg-9", NOW))

    assert dms.forget_chat(conn, "mg-9") == 2
    assert dms.list_all(conn) == []


def test_told_notices_are_forgotten_after_a_while(conn: sqlite3.Connection) -> None:
    for name in ("told", "waiting"):
        owner_notices.insert(conn, OwnerNotice(name, "text", NOW, NOW + seconds(60)))
    owner_notices.mark_sent(conn, "told", NOW)

    assert owner_notices.prune(conn, NOW + seconds(1), 10) == 1
    assert [item.notice_id for item in owner_notices.created(conn, 10)] == ["waiting"]


Ask = Callable[[sqlite3.Connection], object]

FREQUENT: dict[str, tuple[Ask, str]] = {
    "new cards": (lambda c: approvals.with_new_card(c, 9), "pending_approvals_created"),
    "next expiry": (approvals.next_expiry, "pending_approvals_expiry"),
    "known request": (lambda c: approvals.find_request(c, "r"), "pending_approvals_request"),
    "waiting of one agent": (lambda c: approvals.count_pending(c, "a"), "pending_approvals_group"),
    "old requests": (lambda c: approvals.prune(c, NOW, 9), "pending_approvals_age"),
    "news of copies": (lambda c: card_copies.settled(c, 9), "card_copies_open"),
    "due copies": (lambda c: card_copies.due(c, CopyState.CLOSING, NOW, 9), "card_copies_open"),
    "next look": (lambda c: card_copies.next_look(c, CopyState.QUEUED), "card_copies_open"),
    "open in a chat": (lambda c: card_copies.open_in_chat(c, HERE, 9), "card_copies_chat"),
    "copies of a card": (lambda c: card_copies.of_card(c, "c"), "card_copies_card"),
    "old copies": (lambda c: card_copies.prune(c, NOW, 9), "card_copies_age"),
    "new notices": (lambda c: owner_notices.created(c, 9), "owner_notices_created"),
    "next notice to end": (owner_notices.next_expiry, "owner_notices_created"),
}


@pytest.mark.parametrize(("ask", "index"), FREQUENT.values(), ids=FREQUENT.keys())
def test_frequent_question_uses_its_index(conn: sqlite3.Connection, ask: Ask, index: str) -> None:
    statements: list[str] = []
    conn.set_trace_callback(statements.append)
    ask(conn)
    conn.set_trace_callback(None)

    plan = [
        str(row["detail"])
        for statement in statements
        for row in conn.execute(f"EXPLAIN QUERY PLAN {statement}")
    ]
    assert any(index in step for step in plan), plan
    assert not [step for step in plan if step.startswith("SCAN") and "INDEX" not in step], plan
