"""The cases of T-39 by name, with the rules that are ours: an idle limit instead of the ceiling."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from nanoclaw.sweep.decide import AgentFacts, Claim, Stop, StopReason, decide_health

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
IDLE = timedelta(seconds=1800)


def ago(**units: float) -> datetime:
    return NOW - timedelta(**units)


def facts(claimed_at: datetime | None = None, *, beat: datetime | None = None,
          tool: timedelta = timedelta(0)) -> AgentFacts:  # fmt: skip
    claims = () if claimed_at is None else (Claim("msg-1", claimed_at),)
    return AgentFacts(
        now=NOW,
        started_at=ago(minutes=1) if beat is None and claimed_at is None else ago(hours=3),
        claims=claims,
        heartbeat_at=beat,
        idle_limit=IDLE,
        tool_allowance=tool,
    )


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        pytest.param(facts(beat=ago(seconds=2)), None, id="fresh heartbeat"),
        pytest.param(facts(beat=ago(minutes=32)), StopReason.IDLE, id="silent for half an hour"),
        pytest.param(facts(), None, id="no heartbeat and no claims"),
        pytest.param(facts(ago(minutes=5)), StopReason.STUCK, id="no heartbeat and an old claim"),
        pytest.param(
            facts(ago(minutes=45), beat=ago(minutes=45), tool=timedelta(hours=2)),
            None,
            id="Bash with two hours, after 45 minutes",
        ),
        pytest.param(
            facts(ago(seconds=90), beat=ago(seconds=120)), StopReason.STUCK, id="older heartbeat"
        ),
        pytest.param(facts(ago(seconds=90), beat=ago(seconds=5)), None, id="beat after the claim"),
        pytest.param(facts(ago(seconds=20), beat=ago(minutes=9)), None, id="young claim"),
        pytest.param(
            facts(ago(minutes=5), beat=ago(minutes=6), tool=timedelta(minutes=10)),
            None,
            id="Bash with ten minutes and a claim of five",
        ),
        pytest.param(facts(NOW, beat=ago(minutes=9)), None, id="a time nobody can read is now"),
    ],
)
def test_t39_stuck_decision(one: AgentFacts, reason: StopReason | None) -> None:
    decision = decide_health(one)

    assert (decision.reason if isinstance(decision, Stop) else None) is reason


def test_t39_a_stuck_claim_is_named_with_its_silence() -> None:
    decision = decide_health(facts(ago(seconds=90), beat=ago(seconds=120)))

    assert isinstance(decision, Stop)
    assert decision.detail == "msg-1 for 90 s"


def test_w36_a_container_without_any_sign_of_life_is_idle_from_its_start() -> None:
    """In the reference it escaped the ceiling for ever."""
    silent = replace(facts(), started_at=ago(minutes=32))

    decision = decide_health(silent)

    assert isinstance(decision, Stop)
    assert decision.reason is StopReason.IDLE
