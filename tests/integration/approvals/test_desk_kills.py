"""The delivery process dies at every step of a card's way; nothing is lost and nothing repeated."""

from collections.abc import Callable

import pytest
from helpers.approval_office import Office
from helpers.kill_points import find_kill_points

from contract.clock import to_text, utc_now
from nanoclaw.approvals.owner_notice import queue_owner_notice
from nanoclaw.db.approvals import ApprovalStatus
from nanoclaw.db.connection import transaction
from nanoclaw.events import (
    ActionOutcome,
    DeliveryFailed,
    FailureClass,
    Refused,
    Resolved,
)

OWNER = "telegram:7"


def is_over(office: Office, card: str) -> bool:
    return set(office.states(card)) == {"closed"}


def shown_and_answered(office: Office, point: str) -> None:
    """A card comes and is answered; what was armed happens on the way."""
    office.request()
    _revive_after(office, point)
    card = _only_card(office)
    office.wait(lambda: office.states(card) == ["shown"], "the card is shown")
    assert len(office.channels["telegram"].delivered) == 1
    office.press(card, "1", OWNER)
    office.wait(lambda: is_over(office, card), "the card is closed")
    _told_once(office, "said no")


def answered(office: Office, point: str) -> None:
    """As above, with the death after the answer."""
    card = _shown(office)
    office.kill.arm(point, "self")
    office.press(card, "1", OWNER)
    _revive_after(office, point)
    office.wait(lambda: is_over(office, card), "the card is closed")
    _told_once(office, "said no")


def answered_in_words(office: Office, point: str) -> None:
    office.channels["telegram"].resolve_answer = Refused("this channel cannot do that")
    answered(office, point)
    office.wait(lambda: len(office.channels["telegram"].delivered) == 2, "the outcome is said")
    assert "Rejected — Olga" in str(office.channels["telegram"].cards[1]["text"])


def expired(office: Office, point: str) -> None:
    card = _shown(office)
    office.kill.arm(point, "self")
    with transaction(office.conn):
        office.conn.execute("UPDATE pending_approvals SET expires_at = ?", (to_text(utc_now()),))
    office.ring()
    _revive_after(office, point)
    office.wait(lambda: is_over(office, card), "the card is closed")
    _told_once(office, "nobody answered in time")


def given_up(office: Office, point: str) -> None:
    office.channels["telegram"].deliver_answer = lambda _: DeliveryFailed(
        FailureClass.PERMANENT, "blocked"
    )
    card = office.request()
    _revive_after(office, point)
    office.wait(office.notes, "the agent is told")
    assert office.approval(card).status is ApprovalStatus.REJECTED
    assert is_over(office, card)
    _told_once(office, "could not be delivered")


WAYS: dict[str, Callable[[Office, str], None]] = {
    "desk.dm_resolved": shown_and_answered,
    "desk.card_queued": shown_and_answered,
    "desk.copies_settled": shown_and_answered,
    "desk.copy_closed": answered,
    "desk.outcome_said": answered_in_words,
    "desk.expired": expired,
    "desk.given_up": given_up,
}


def test_every_step_of_the_desk_is_killed() -> None:
    assert {point for point in find_kill_points() if point.startswith("desk.")} == set(WAYS)


@pytest.mark.parametrize("point", WAYS)
def test_desk_that_dies_at_a_step_loses_and_repeats_nothing(office: Office, point: str) -> None:
    office.channel("telegram")
    office.owner(OWNER, "Olga")
    way = WAYS[point]
    if way in (shown_and_answered, given_up):
        office.kill.arm(point, "self")
    office.start()

    way(office, point)


def test_refused_card_finds_the_next_approver_after_a_death_in_between(office: Office) -> None:
    office.channel("telegram").deliver_answer = lambda _: DeliveryFailed(
        FailureClass.PERMANENT, "blocked"
    )
    slack = office.channel("slack")
    office.admin(OWNER, here=True)
    office.owner("slack:U1")
    office.kill.arm("desk.copies_settled", "self")
    office.start()

    card = office.request()
    _revive_after(office, "desk.copies_settled")
    office.wait(lambda: office.states(card) == ["failed", "shown"], "the next one has it")

    assert slack.places == ["U1"]


def test_t70_request_is_stored_before_any_card_and_survives_a_restart(office: Office) -> None:
    telegram = office.channel("telegram")
    office.owner(OWNER)
    card = office.request()
    assert office.approval(card).status is ApprovalStatus.PENDING
    assert telegram.delivered == {}

    office.start()
    office.wait(lambda: office.states(card) == ["shown"], "the card is shown")
    office.stop()
    office.start()
    result = office.press(card, "0", OWNER)

    assert result.outcome is ActionOutcome.ACCEPTED
    assert len(telegram.delivered) == 1
    assert office.rows("SELECT kind FROM effects") == [("drink_tea",)]


def test_t70_answer_given_while_delivery_is_down_is_carried_out_later(office: Office) -> None:
    telegram = office.channel("telegram")
    telegram.open_answer = Resolved
    office.owner(OWNER, "Olga")
    office.start()
    card = _shown(office)
    office.kill_now()

    office.press(card, "1", OWNER)
    office.start()
    office.wait(lambda: is_over(office, card), "the card is closed")

    _told_once(office, "Olga said no")


def test_owner_notice_is_told_once_although_the_desk_dies(office: Office) -> None:
    telegram = office.channel("telegram")
    office.owner(OWNER)
    office.kill.arm("desk.card_queued", "self")
    office.start()

    with transaction(office.conn):
        queue_owner_notice(office.conn, "disk", "The disk is nearly full.", utc_now())
    office.ring()
    _revive_after(office, "desk.card_queued")
    office.wait(lambda: is_over(office, "owner/disk"), "the owner is told")

    assert len(telegram.delivered) == 1


def _shown(office: Office) -> str:
    card = office.request()
    office.wait(lambda: office.states(card) == ["shown"], "the card is shown")
    return card


def _revive_after(office: Office, point: str) -> None:
    office.wait_for_death()
    assert office.kill.was_reached(point)
    office.start()


def _only_card(office: Office) -> str:
    ((card,),) = office.rows("SELECT approval_id FROM pending_approvals")
    return str(card)


def _told_once(office: Office, words: str) -> None:
    office.wait(office.notes, "the agent is told")
    (note,) = office.notes()
    assert words in note
