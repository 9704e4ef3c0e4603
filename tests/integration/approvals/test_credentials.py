from datetime import timedelta

from helpers.approval_office import Office

from contract.clock import utc_now
from nanoclaw.approvals import credentials
from nanoclaw.approvals.credential_use import CredentialUse
from nanoclaw.db.approvals import ApprovalStatus
from nanoclaw.db.connection import transaction
from nanoclaw.events import ActionOutcome, Refused

TELEGRAM, SLACK = "telegram:7", "slack:U1"


def ask(office: Office, *, seconds: float = 60.0) -> str:
    now = utc_now()
    use = CredentialUse(
        request_id="gw-1",
        method="POST",
        host="api.example.com",
        path="/v1/things?token=abcdef123456",
        body_preview="hello\n# big",
        agent_name="Andy",
        agent_group_id=office.session.agent_group_id,
        expires_at=now + timedelta(seconds=seconds),
    )
    with transaction(office.conn):
        card = credentials.ask(office.conn, use, now)
    assert card is not None
    office.ring()
    return card


def test_h233_card_reaches_somebody_who_may_decide(office: Office) -> None:
    telegram = office.channel("telegram")
    office.owner(TELEGRAM, "Olga")
    office.start()

    card = ask(office)
    office.wait(lambda: office.states(card) == ["shown"], "the card is shown")
    (shown,) = telegram.cards
    result = office.press(card, "0", TELEGRAM)

    assert shown["questionId"] == card
    assert shown["title"] == "Use of a credential"
    question = str(shown["question"])
    assert "`POST` `api.example.com/v1/things?token=•••`" in question
    assert "`# big`" in question
    assert result.outcome is ActionOutcome.ACCEPTED
    assert office.approval(card).status is ApprovalStatus.APPROVED
    assert office.rows("SELECT kind FROM effects") == []


def test_second_press_is_told_what_became_of_it(office: Office) -> None:
    office.owner(TELEGRAM, "Olga")
    card = ask(office)

    office.press(card, "1", TELEGRAM)
    again = office.press(card, "0", TELEGRAM)

    assert again.outcome is ActionOutcome.ALREADY_ANSWERED
    assert office.approval(card).status is ApprovalStatus.REJECTED


def test_h233_nobody_reachable_ends_the_request(office: Office) -> None:
    telegram = office.channel("telegram")
    telegram.open_answer = lambda handle: Refused("this user reads nothing")
    office.owner(TELEGRAM, "Olga")
    telegram.deliver_answer = lambda frame: Refused("no")
    office.start()

    card = ask(office)
    office.wait(
        lambda: office.approval(card).status is not ApprovalStatus.PENDING, "the request ends"
    )

    assert office.approval(card).status is ApprovalStatus.EXPIRED


def test_h234_desk_takes_the_card_back_in_time(office: Office) -> None:
    telegram = office.channel("telegram")
    office.owner(TELEGRAM, "Olga")
    office.start()

    card = ask(office, seconds=1.5)
    office.wait(lambda: telegram.resolved, "the card is taken back")

    assert telegram.resolved[0].text == "Use of a credential: expired, nobody answered in time"
    assert office.press(card, "0", TELEGRAM).outcome is ActionOutcome.EXPIRED


def test_ordinary_approvals_are_left_as_they_were(office: Office) -> None:
    telegram = office.channel("telegram")
    office.owner(TELEGRAM, "Olga")
    office.start()

    ordinary, credential = office.request(), ask(office)
    office.wait(
        lambda: office.states(ordinary) == office.states(credential) == ["shown"],
        "both cards are shown",
    )

    assert {card["questionId"] for card in telegram.cards} == {ordinary, credential}
