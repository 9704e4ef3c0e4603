from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.address import Address
from contract.content import ChatOut, dump, parse_outbound
from contract.errors import BadContent
from contract.outbound.row import OutboundRow
from nanoclaw.delivery.decide import (
    MAX_CONTENT_BYTES,
    MAX_SHOWN_CHARACTERS,
    FailureDecision,
    Forward,
    GiveUp,
    Hold,
    HoldUncertain,
    Refusal,
    Refuse,
    RowDecision,
    RowFacts,
    RunAction,
    Send,
    TryAgain,
    decide_after_failure,
    decide_row,
    retry_seconds,
)
from nanoclaw.events import DeliveryFailed, FailureClass

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=24)


CHAT = '{"text":"hello"}'


def row(channel: str | None = "cli", chat: str | None = "local", kind: str = "chat") -> OutboundRow:
    return OutboundRow("m", 1, kind, NOW, CHAT, Address(channel, chat), None, None, None, None, 0)


def facts(content: str = CHAT, **changes: object) -> RowFacts:
    """A message to the session's own chat; ``kind`` and ``row`` as given."""
    given = changes.pop("row", None)
    message = replace(given if isinstance(given, OutboundRow) else row(), content=content)
    base = RowFacts(
        row=message,
        content=parse_outbound(message.kind, content),
        chat_known=True,
        is_own_chat=True,
    )
    return replace(base, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("known", "own", "destination", "expected"),
    [
        (True, True, False, Send()),
        (True, False, True, Send()),
        (True, False, False, Refuse(Refusal.NOT_PERMITTED)),
        (False, False, False, Refuse(Refusal.UNKNOWN_CHAT)),
        (False, False, True, Refuse(Refusal.UNKNOWN_CHAT)),
    ],
)
def test_only_the_own_chat_and_destinations_are_written_to(
    known: bool, own: bool, destination: bool, expected: RowDecision
) -> None:
    given = facts(chat_known=known, is_own_chat=own, has_destination=destination)

    assert decide_row(given) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (row(channel=None), Refuse(Refusal.NO_ADDRESS)),
        (row(chat=""), Refuse(Refusal.NO_ADDRESS)),
        (row(channel="agent", chat="ag-2"), Forward()),
        (row(channel="agent", chat=None), Refuse(Refusal.NO_ADDRESS)),
    ],
)
def test_address_says_who_gets_it(given: OutboundRow, expected: RowDecision) -> None:
    assert decide_row(facts(row=given, chat_known=False)) == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('{"action":"cancel_task","taskId":"t"}', RunAction("cancel_task")),
        ('{"action":"something_new","x":1}', RunAction("something_new")),
        ('{"action":"../../etc"}', Refuse(Refusal.NO_ACTION)),
        ('{"action":""}', Refuse(Refusal.NO_ACTION)),
    ],
)
def test_requests_to_the_host_go_by_their_name(content: str, expected: RowDecision) -> None:
    assert decide_row(facts(content, row=row(None, None, "system"))) == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('{"text":"  "}', Refuse(Refusal.EMPTY)),
        ('{"text":"","files":["a.txt"]}', Send()),
        ('{"markdown":"**hello**"}', Send()),
        (f'{{"text":"x","files":{["f"] * 21}}}'.replace("'", '"'), Refuse(Refusal.TOO_MANY_FILES)),
        ('{"operation":"edit","messageId":"1","text":""}', Refuse(Refusal.EMPTY)),
        ('{"operation":"edit","messageId":"","text":"x"}', Refuse(Refusal.NO_TARGET)),
        ('{"operation":"reaction","messageId":"1","emoji":" "}', Refuse(Refusal.EMPTY)),
        ('{"operation":"reaction","messageId":"1","emoji":"heart"}', Send()),
        ('{"type":"card","card":{}}', Refuse(Refusal.EMPTY)),
        ('{"type":"card","card":{"actions":[{"label":"x"}]}}', Refuse(Refusal.EMPTY)),
        ('{"type":"card","card":{"children":["hello"]}}', Send()),
        ('{"type":"card","card":{},"fallbackText":"hello"}', Send()),
        (
            '{"type":"ask_question","questionId":"q","title":"","question":"?","options":["a"]}',
            Refuse(Refusal.QUESTION),
        ),
        (
            '{"type":"ask_question","questionId":"q","title":"T","question":"?","options":[]}',
            Refuse(Refusal.QUESTION),
        ),
    ],
)
def test_what_nobody_could_show_is_refused_with_its_reason(
    content: str, expected: RowDecision
) -> None:
    assert decide_row(facts(content)) == expected


def test_unreadable_content_is_refused_in_words() -> None:
    unreadable = replace(facts(), content=BadContent("not JSON: line 1"))

    decision = decide_row(unreadable)

    assert decision == Refuse("its content cannot be read: not JSON: line 1")


def test_content_that_would_not_fit_a_frame_is_refused() -> None:
    assert decide_row(facts(content_bytes=MAX_CONTENT_BYTES + 1)) == Refuse(Refusal.TOO_LARGE)
    assert decide_row(facts(content_bytes=MAX_CONTENT_BYTES)) == Send()


@pytest.mark.parametrize(
    ("third", "taint", "guarded", "expected"),
    [
        (True, "web", True, Hold()),
        (True, "web", False, Send()),
        (True, None, True, Send()),
        (True, "agent", True, Send()),
        (True, "agent,mail", True, Hold()),
        (False, "web", True, Send()),
    ],
)
def test_tainted_turn_asks_before_it_writes_to_somebody_else(
    third: bool, taint: str | None, guarded: bool, expected: RowDecision
) -> None:
    given = facts(
        is_own_chat=False, has_destination=True, is_third_party=third, taint=taint, guarded=guarded
    )

    assert decide_row(given) == expected


def test_what_cannot_be_shown_whole_cannot_be_asked() -> None:
    content = dump(ChatOut(text="x" * MAX_SHOWN_CHARACTERS))
    given = facts(
        content, is_own_chat=False, has_destination=True, is_third_party=True, taint="web"
    )

    assert decide_row(given) == Refuse(Refusal.TOO_LONG_TO_ASK)


@given(
    text=st.text(max_size=40),
    chat=st.sampled_from([None, "", "local", "other"]),
    channel=st.sampled_from([None, "", "cli", "agent"]),
    flags=st.tuples(st.booleans(), st.booleans(), st.booleans(), st.booleans(), st.booleans()),
    taint=st.sampled_from([None, "web", "agent", "new-word"]),
)
@settings(deadline=None, max_examples=200)
def test_nothing_leaves_without_permission_whatever_the_facts(
    text: str,
    chat: str | None,
    channel: str | None,
    flags: tuple[bool, bool, bool, bool, bool],
    taint: str | None,
) -> None:
    known, own, destination, third, guarded = flags
    decision = decide_row(
        facts(
            dump(ChatOut(text=text)), row=row(channel, chat), chat_known=known, is_own_chat=own,
            has_destination=destination, is_third_party=third, guarded=guarded, taint=taint,
        )
    )  # fmt: skip

    if isinstance(decision, Send):
        assert known and (own or destination) and text.strip()
        assert not (third and guarded and taint in ("web", "new-word"))


@pytest.mark.parametrize(
    ("failure", "attempts", "now", "expected"),
    [
        (FailureClass.TRANSIENT, 0, NOW, TryAgain(NOW + timedelta(seconds=1), counts=True)),
        (FailureClass.TRANSIENT, 9, NOW, TryAgain(NOW + timedelta(seconds=300), counts=True)),
        (FailureClass.OFFLINE, 3, NOW, TryAgain(NOW + timedelta(seconds=5), counts=False)),
        (FailureClass.AUTH, 0, NOW, TryAgain(NOW + timedelta(seconds=5), counts=False)),
        (FailureClass.PERMANENT, 0, NOW, GiveUp()),
        (FailureClass.PERMANENT, 0, LATER, GiveUp()),
        (FailureClass.TRANSIENT, 0, LATER, GiveUp(expired=True)),
        (FailureClass.OFFLINE, 0, LATER, GiveUp(expired=True)),
        (FailureClass.UNCERTAIN, 0, NOW, HoldUncertain()),
    ],
)
def test_what_a_failure_leads_to(
    failure: FailureClass, attempts: int, now: datetime, expected: FailureDecision
) -> None:
    answer = DeliveryFailed(failure, "x")

    decision = decide_after_failure(answer, attempts=attempts, expires_at=LATER, now=now)

    assert decision == expected


def test_rate_limit_waits_for_the_platform_and_is_no_attempt() -> None:
    answer = DeliveryFailed(FailureClass.RATE_LIMITED, "slow down", retry_after_ms=10_000)

    decision = decide_after_failure(answer, attempts=0, expires_at=LATER, now=NOW)

    assert decision == TryAgain(NOW + timedelta(seconds=10.5), counts=False)


@pytest.mark.parametrize("hint", [10**18, 10**30, -5, 0])
def test_no_hint_of_a_platform_is_beyond_the_calendar(hint: int) -> None:
    answer = DeliveryFailed(FailureClass.RATE_LIMITED, "slow down", retry_after_ms=hint)

    decision = decide_after_failure(answer, attempts=0, expires_at=LATER, now=NOW)

    assert isinstance(decision, TryAgain)
    assert NOW <= decision.at <= NOW + timedelta(days=1)


def test_retries_go_on_for_a_day() -> None:
    total, attempts = 0, 0
    while total < 24 * 3600:
        total += retry_seconds(attempts)
        attempts += 1

    assert attempts > 280
