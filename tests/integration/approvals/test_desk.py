from datetime import timedelta

import pytest
from helpers.approval_office import Office

from contract.clock import to_text, utc_now
from nanoclaw.approvals import answers, requests
from nanoclaw.approvals.clicks import Click
from nanoclaw.approvals.owner_notice import OwnerNotices, queue_owner_notice
from nanoclaw.bell import DELIVERY, ring
from nanoclaw.db import audit as audit_table
from nanoclaw.db import dms, messaging_groups
from nanoclaw.db.approvals import ApprovalStatus
from nanoclaw.db.connection import open_central, transaction
from nanoclaw.db.dms import UserDm
from nanoclaw.events import (
    ActionOutcome,
    Deliver,
    Delivered,
    DeliveryFailed,
    FailureClass,
    Frame,
    Refused,
    Resolved,
)
from nanoclaw.model import MessagingGroup

TELEGRAM, SLACK = "telegram:7", "slack:U1"


def refuse(frame: Deliver) -> Frame:
    return DeliveryFailed(FailureClass.PERMANENT, "the chat is gone")


def is_shown(office: Office, card: str) -> bool:
    return "shown" in office.states(card)


def test_card_reaches_the_owner_and_the_approval_is_carried_out(office: Office) -> None:
    telegram = office.channel("telegram")
    office.owner(TELEGRAM, "Olga")
    office.start()

    card = office.request()
    office.wait(lambda: is_shown(office, card), "the card is shown")
    (shown,) = telegram.cards
    result = office.press(card, "0", TELEGRAM)

    assert telegram.places == ["7"]
    assert (shown["type"], shown["questionId"], shown["title"], shown["question"]) == (
        "ask_question", card, "Packages for Andy", "Andy wants to install: jq",
    )  # fmt: skip
    assert result.outcome is ActionOutcome.ACCEPTED
    assert office.rows("SELECT kind, approval_id FROM effects") == [("drink_tea", card)]


def test_rejection_is_told_to_the_agent(office: Office) -> None:
    office.channel("telegram")
    office.owner(TELEGRAM, "Olga")
    office.start()
    card = office.request()
    office.wait(lambda: is_shown(office, card), "the card is shown")

    office.press(card, "1", TELEGRAM)
    office.wait(office.notes, "the agent is told")

    (note,) = office.notes()
    assert "Packages for Andy" in note
    assert "Olga said no" in note


def test_t31_bare_handle_is_the_chat_and_is_kept(office: Office) -> None:
    telegram = office.channel("telegram")
    office.owner(TELEGRAM, "Olga")
    office.start()

    first, second = office.request("r-1"), office.request("r-2")
    office.wait(lambda: is_shown(office, first) and is_shown(office, second), "both are shown")

    chat = messaging_groups.find_by_address(office.conn, "telegram", "7")
    assert chat is not None
    assert (chat.name, chat.is_group, chat.unknown_sender_policy) == ("Olga", False, "strict")
    third = office.request("r-3")
    office.wait(lambda: is_shown(office, third), "the third is shown")
    assert len(telegram.opened) <= 2
    dm = dms.get(office.conn, TELEGRAM, "telegram")
    assert dm is not None
    assert dm.messaging_group_id == chat.id


def test_t31_opened_chat_is_stored_and_opened_once(office: Office) -> None:
    slack = office.channel("slack")
    slack.open_answer = lambda handle: Resolved(f"D-{handle}")
    office.owner(SLACK)
    office.start()

    first = office.request("r-1")
    office.wait(lambda: is_shown(office, first), "the first is shown")
    second = office.request("r-2")
    office.wait(lambda: is_shown(office, second), "the second is shown")

    assert slack.opened == ["U1"]
    assert slack.places == ["D-U1", "D-U1"]


def test_t31_known_chat_is_used_again(office: Office) -> None:
    slack = office.channel("slack")
    slack.open_answer = lambda _: Resolved("D1")
    office.owner(SLACK)
    with transaction(office.conn):
        messaging_groups.create(
            office.conn, MessagingGroup("mg-known", "slack", "D1", utc_now(), name="Direct")
        )
    office.start()

    card = office.request()
    office.wait(lambda: is_shown(office, card), "the card is shown")

    dm = dms.get(office.conn, SLACK, "slack")
    assert dm is not None
    assert dm.messaging_group_id == "mg-known"


def test_t31_no_channel_or_a_refusal_reaches_nobody_and_keeps_nothing(office: Office) -> None:
    slack = office.channel("slack")
    slack.open_answer = lambda _: Refused("permanent: no such user")
    office.owner(SLACK)
    office.owner("telegram:none")
    office.start()

    card = office.request()
    office.wait(office.notes, "the agent is told")

    assert "can be reached" in office.notes()[0]
    assert office.approval(card).status is ApprovalStatus.REJECTED
    assert dms.list_all(office.conn) == []


def test_t31_stale_entry_is_resolved_again(office: Office) -> None:
    telegram = office.channel("telegram")
    office.owner(TELEGRAM)
    with transaction(office.conn):
        other = MessagingGroup("mg-other", "slack", "D9", utc_now())
        messaging_groups.create(office.conn, other)
        dms.upsert(office.conn, UserDm(TELEGRAM, "telegram", "mg-other", utc_now()))
    office.start()

    card = office.request()
    office.wait(lambda: is_shown(office, card), "the card is shown")

    assert telegram.opened == ["7"]


def test_w62_refused_chat_is_forgotten_and_the_new_one_is_used(office: Office) -> None:
    slack = office.channel("slack")
    office.owner(SLACK)
    with transaction(office.conn):
        messaging_groups.create(office.conn, MessagingGroup("mg-old", "slack", "D-old", utc_now()))
        dms.upsert(office.conn, UserDm(SLACK, "slack", "mg-old", utc_now()))
    slack.open_answer = lambda _: Resolved("D-new")
    slack.deliver_answer = lambda frame: (
        refuse(frame) if frame.platform_id == "D-old" else _delivered(frame)
    )
    office.start()

    card = office.request()
    office.wait(lambda: office.states(card) == ["failed", "shown"], "the new chat has it")

    assert [copy.place.platform_id for copy in office.copies(card)] == ["D-old", "D-new"]


def _delivered(frame: Deliver) -> Frame:
    return Delivered((f"m-{frame.delivery_id}",))


def test_t34_scoped_admin_is_asked_before_global_admin_and_owner(office: Office) -> None:
    telegram = office.channel("telegram")
    office.owner("telegram:3")
    office.admin("telegram:2")
    office.admin("telegram:1", here=True)
    office.start()

    card = office.request()
    office.wait(lambda: is_shown(office, card), "the card is shown")

    assert telegram.places == ["1"]
    assert office.approval(card).approver_user_id == "telegram:1"


def test_t35_approver_of_the_same_channel_is_preferred(office: Office) -> None:
    office.channel("telegram")
    terminal = office.channel("cli")
    office.admin(TELEGRAM, here=True)
    office.owner("cli:local")
    office.start()

    card = office.request()
    office.wait(lambda: is_shown(office, card), "the card is shown")

    assert terminal.places == ["local"]


def test_t35_falls_back_to_an_approver_on_a_channel_that_is_up(office: Office) -> None:
    office.channel("telegram", up=False)
    slack = office.channel("slack")
    office.admin(TELEGRAM, here=True)
    office.owner(SLACK)
    office.start()

    card = office.request()
    office.wait(lambda: is_shown(office, card), "the card is shown")

    assert slack.places == ["U1"]


def test_t35_without_anybody_the_request_ends_and_the_agent_is_told(office: Office) -> None:
    office.start()

    card = office.request()
    office.wait(office.notes, "the agent is told")

    assert "nobody who may decide" in office.notes()[0]
    assert office.approval(card).status is ApprovalStatus.REJECTED
    kinds = [row.kind for row in audit_table.after(office.conn, 0, 10)]
    assert kinds[-2:] == ["approval.requested", "approval.decided"]


def test_w39_refused_card_goes_to_the_next_approver(office: Office) -> None:
    telegram, slack = office.channel("telegram"), office.channel("slack")
    telegram.deliver_answer = refuse
    office.admin(TELEGRAM, here=True)
    office.owner(SLACK)
    office.start()

    card = office.request()
    office.wait(lambda: office.states(card) == ["failed", "shown"], "the next one has it")

    assert slack.places == ["U1"]
    assert office.approval(card).approver_user_id == SLACK


def test_w39_card_that_everybody_refuses_ends_and_the_agent_is_told(office: Office) -> None:
    telegram = office.channel("telegram")
    telegram.deliver_answer = refuse
    office.owner(TELEGRAM)
    office.start()

    card = office.request()
    office.wait(office.notes, "the agent is told")

    assert "could not be delivered" in office.notes()[0]
    assert office.states(card) == ["closed"]
    again = office.request("r-2")
    assert again != card


def test_w39_card_waits_for_a_channel_that_is_down(office: Office) -> None:
    telegram = office.channel("telegram", up=False)
    office.owner(TELEGRAM)
    office.start()
    card = office.request()
    office.wait(lambda: "card waits" in office.log() or office.copies(card), "it was tried")
    assert office.copies(card) == []

    telegram.open()
    office.wait(lambda: is_shown(office, card), "the card is shown")

    assert office.notes() == []


def test_card_that_is_not_out_after_a_while_goes_to_somebody_else_too(office: Office) -> None:
    telegram, slack = office.channel("telegram"), office.channel("slack")
    telegram.deliver_answer = lambda _: DeliveryFailed(FailureClass.OFFLINE, "no network")
    office.admin(TELEGRAM, here=True)
    office.owner(SLACK)
    office.start()
    card = office.request()
    office.wait(lambda: office.states(card) == ["queued"], "it waits")

    past = to_text(utc_now() - timedelta(minutes=1))
    with transaction(office.conn):
        office.conn.execute("UPDATE card_copies SET look_at = ?", (past,))
    office.ring()
    office.wait(lambda: sorted(office.states(card)) == ["queued", "shown"], "two have it")

    assert slack.places == ["U1"]


def test_decided_card_is_taken_back_from_everywhere_else(office: Office) -> None:
    telegram, slack = office.channel("telegram"), office.channel("slack")
    telegram.deliver_answer = lambda _: DeliveryFailed(FailureClass.OFFLINE, "no network")
    office.admin(TELEGRAM, here=True)
    office.owner(SLACK, "Olga")
    office.start()
    card = office.request()
    office.wait(lambda: office.states(card) == ["queued"], "it waits")
    with transaction(office.conn):
        office.conn.execute("UPDATE card_copies SET look_at = ?", (to_text(utc_now()),))
    office.ring()
    office.wait(lambda: "shown" in office.states(card), "the owner has it")

    office.press(card, "0", SLACK)
    telegram.deliver_answer = None
    office.wait(lambda: set(office.states(card)) == {"closed"}, "all copies are closed")

    (frame,) = telegram.resolved
    assert frame.text.startswith("Packages for Andy: Approved — Olga")
    assert frame.message_id == f"telegram-{frame.delivery_id}"
    assert [item.text for item in slack.resolved] == [frame.text]


def test_channel_that_cannot_change_a_card_says_the_outcome_in_words(office: Office) -> None:
    telegram = office.channel("telegram")
    telegram.resolve_answer = Refused("this channel cannot do that")
    office.owner(TELEGRAM, "Olga")
    office.start()
    card = office.request()
    office.wait(lambda: is_shown(office, card), "the card is shown")

    office.press(card, "0", TELEGRAM)
    office.wait(lambda: len(telegram.delivered) == 2, "the outcome is said")

    assert str(telegram.cards[1]["text"]).startswith("Packages for Andy: Approved — Olga")


def test_w39_unanswered_card_expires_everywhere_and_the_agent_is_told(office: Office) -> None:
    telegram = office.channel("telegram")
    office.owner(TELEGRAM)
    office.start()
    card = office.request()
    office.wait(lambda: is_shown(office, card), "the card is shown")

    with transaction(office.conn):
        office.conn.execute("UPDATE pending_approvals SET expires_at = ?", (to_text(utc_now()),))
    office.ring()
    office.wait(lambda: office.states(card) == ["closed"], "the card is closed")
    office.wait(office.notes, "the agent is told")

    assert "nobody answered in time" in office.notes()[0]
    assert [frame.text for frame in telegram.resolved] == [
        "Packages for Andy: expired, nobody answered"
    ]
    assert office.press(card, "0", TELEGRAM).outcome is ActionOutcome.EXPIRED
    assert office.rows("SELECT kind FROM effects") == [(requests.EXPIRED,)]


def test_request_of_the_earlier_program_ends_and_the_agent_is_told(office: Office) -> None:
    office.channel("telegram")
    office.owner(TELEGRAM)
    card = office.request()
    with transaction(office.conn):
        office.conn.execute(
            "UPDATE pending_approvals SET payload_hash = NULL, expires_at = NULL,"
            " card_state = 'sent'"
        )

    office.start()
    office.wait(office.notes, "the agent is told")

    assert office.approval(card).status is ApprovalStatus.EXPIRED


def test_w40_answer_counts_although_the_card_is_still_on_its_way(office: Office) -> None:
    telegram = office.channel("telegram")
    early: list[ActionOutcome] = []

    def press_at_once(frame: Deliver) -> Frame:
        if not early:  # on another thread, before the delivery is recorded: its own connection
            early.append(_press_elsewhere(office, frame))
        return _delivered(frame)

    telegram.deliver_answer = press_at_once
    office.owner(TELEGRAM)
    office.start()

    card = office.request()
    office.wait(lambda: early and office.states(card) == ["closed"], "the card is closed")

    assert early == [ActionOutcome.ACCEPTED]
    assert office.approval(card).status is ApprovalStatus.APPROVED


def _press_elsewhere(office: Office, frame: Deliver) -> ActionOutcome:
    card = frame.delivery_id.split("/")[1]
    conn = open_central(office.paths.central_db)
    try:
        with transaction(conn):
            click = Click(card, "0", TELEGRAM, "telegram", frame.platform_id, "m-1")
            result = answers.answer(conn, click, utc_now())
    finally:
        conn.close()
    ring(office.paths, DELIVERY)
    return result.outcome


def test_w4_stranger_presses_in_vain_and_the_card_stays(office: Office) -> None:
    telegram = office.channel("telegram")
    office.owner(TELEGRAM)
    office.start()
    card = office.request()
    office.wait(lambda: is_shown(office, card), "the card is shown")

    result = office.press(card, "0", "telegram:stranger", "telegram")

    assert result.outcome is ActionOutcome.NOT_ALLOWED
    assert office.states(card) == ["shown"]
    assert telegram.resolved == []
    assert office.press(card, "0", TELEGRAM).outcome is ActionOutcome.ACCEPTED


@pytest.mark.parametrize("what", ["chat", "outcome"])
def test_desk_ends_in_order_while_a_channel_owes_it_an_answer(office: Office, what: str) -> None:
    telegram = office.channel("telegram")
    office.owner(TELEGRAM)
    telegram.silent = what == "chat"
    office.start()
    card = office.request()
    if what == "chat":
        office.wait(lambda: telegram.opened, "the channel is asked")
    else:
        office.wait(lambda: is_shown(office, card), "the card is shown")
        telegram.silent = True
        office.press(card, "0", TELEGRAM)
        office.wait(lambda: telegram.resolved, "the channel is asked")

    assert office.stop() == 0

    assert "Traceback" not in office.log()
    telegram.silent = False
    office.start()
    if what == "chat":
        office.wait(lambda: is_shown(office, card), "the card is shown")


def test_owner_notice_reaches_the_first_owner_who_can_be_reached(office: Office) -> None:
    office.channel("telegram", up=False)
    slack = office.channel("slack")
    office.owner(TELEGRAM)
    office.owner(SLACK)
    office.admin("slack:admin")
    office.start()

    with transaction(office.conn):
        queue_owner_notice(office.conn, "disk", "The disk is nearly full.", utc_now())
    office.ring()
    office.wait(lambda: office.states("owner/disk") == ["closed"], "the owner is told")

    assert slack.places == ["U1"]
    assert slack.cards == [{"text": "The disk is nearly full."}]


@pytest.mark.parametrize("count", [40])
def test_many_cards_at_once_all_go_out(office: Office, count: int) -> None:
    telegram = office.channel("telegram")
    office.owner(TELEGRAM)
    office.start()
    with transaction(office.conn):
        for number in range(count):
            queue_owner_notice(office.conn, f"{number}", f"notice {number}", utc_now())
    office.ring()
    office.wait(lambda: len(telegram.delivered) == count, "all went out")

    assert OwnerNotices().created(office.conn, 1) == []
    assert len(set(telegram.delivered)) == count
