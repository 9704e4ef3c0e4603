from datetime import UTC, datetime, timedelta

import pytest

from contract.address import Address
from contract.outbound.row import OutboundRow
from nanoclaw.delivery.decide import (
    FailureDecision,
    GiveUp,
    HoldUncertain,
    Refuse,
    RefusedTarget,
    Send,
    TargetDecision,
    TargetFacts,
    TryAgain,
    decide_after_failure,
    decide_target,
    retry_seconds,
)
from nanoclaw.events import DeliveryFailed, FailureClass

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=24)


def row(channel: str | None = "cli", chat: str | None = "local", kind: str = "chat") -> OutboundRow:
    return OutboundRow("m", 1, kind, NOW, "{}", Address(channel, chat), None, None, None, None, 0)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (TargetFacts(row(), True, True, False), Send("cli", "local")),
        (TargetFacts(row(), True, False, True), Send("cli", "local")),
        (TargetFacts(row(), True, False, False), Refuse(RefusedTarget.NOT_PERMITTED)),
        (TargetFacts(row(), False, False, False), Refuse(RefusedTarget.UNKNOWN_CHAT)),
        (TargetFacts(row(channel=None), False, False, False), Refuse(RefusedTarget.NO_ADDRESS)),
        (TargetFacts(row(chat=""), False, False, False), Refuse(RefusedTarget.NO_ADDRESS)),
        (TargetFacts(row(channel="agent"), False, False, False), Refuse(RefusedTarget.AGENT)),
        (TargetFacts(row(kind="system"), True, True, True), Refuse(RefusedTarget.SYSTEM)),
    ],
)
def test_only_the_own_chat_and_destinations_are_written_to(
    facts: TargetFacts, expected: TargetDecision
) -> None:
    assert decide_target(facts) == expected


@pytest.mark.parametrize(
    ("failure", "attempts", "now", "expected"),
    [
        (FailureClass.TRANSIENT, 0, NOW, TryAgain(NOW + timedelta(seconds=1), counts=True)),
        (FailureClass.TRANSIENT, 9, NOW, TryAgain(NOW + timedelta(seconds=300), counts=True)),
        (FailureClass.OFFLINE, 3, NOW, TryAgain(NOW + timedelta(seconds=5), counts=False)),
        (FailureClass.AUTH, 0, NOW, TryAgain(NOW + timedelta(seconds=5), counts=False)),
        (FailureClass.PERMANENT, 0, NOW, GiveUp()),
        (FailureClass.TRANSIENT, 0, LATER, GiveUp()),
        (FailureClass.OFFLINE, 0, LATER, GiveUp()),
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


def test_retries_go_on_for_a_day() -> None:
    total, attempts = 0, 0
    while total < 24 * 3600:
        total += retry_seconds(attempts)
        attempts += 1

    assert attempts > 280
