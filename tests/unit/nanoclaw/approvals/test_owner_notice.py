import sqlite3

from helpers.central_rows import NOW

from nanoclaw.approvals.owner_notice import (
    LIFETIME,
    MAX_TEXT,
    MAX_WAITING,
    OwnerNotices,
    queue_owner_notice,
)

SOURCE = OwnerNotices()


def test_same_occasion_is_one_notice(conn: sqlite3.Connection) -> None:
    assert queue_owner_notice(conn, "disk full", "The disk is full.", NOW)
    assert not queue_owner_notice(conn, "disk full", "Still full.", NOW)

    (card,) = SOURCE.created(conn, 10)
    assert (card.card_id, card.question, card.options) == (
        "owner/disk full", "The disk is full.", (),
    )  # fmt: skip
    assert card.owners_only


def test_told_notice_is_not_told_again(conn: sqlite3.Connection) -> None:
    queue_owner_notice(conn, "one", "text", NOW)

    assert SOURCE.mark_sent(conn, "owner/one", "telegram:o", NOW)

    assert SOURCE.created(conn, 10) == []
    assert not queue_owner_notice(conn, "one", "text", NOW)


def test_oldest_notices_are_given_up_beyond_the_bound(conn: sqlite3.Connection) -> None:
    for number in range(MAX_WAITING + 3):
        queue_owner_notice(conn, f"{number}", "x" * (MAX_TEXT + 1), NOW)

    waiting = SOURCE.created(conn, 2 * MAX_WAITING)
    assert len(waiting) == MAX_WAITING
    assert {len(card.question) for card in waiting} == {MAX_TEXT}


def test_notice_waits_for_an_owner_until_it_expires(conn: sqlite3.Connection) -> None:
    queue_owner_notice(conn, "one", "text", NOW)

    SOURCE.nobody_reachable(conn, "owner/one", "there is nobody", NOW)
    assert len(SOURCE.created(conn, 10)) == 1
    assert SOURCE.next_expiry(conn) == NOW + LIFETIME

    SOURCE.expire(conn, NOW + LIFETIME)
    assert SOURCE.created(conn, 10) == []
    assert SOURCE.find(conn, "owner/one") is None
    assert SOURCE.next_expiry(conn) is None


def test_notice_that_every_chat_refused_is_given_up(conn: sqlite3.Connection) -> None:
    queue_owner_notice(conn, "one", "text", NOW)
    SOURCE.mark_sent(conn, "owner/one", "telegram:o", NOW)

    SOURCE.nobody_reachable(conn, "owner/one", "refused", NOW)

    assert SOURCE.find(conn, "owner/one") is None
