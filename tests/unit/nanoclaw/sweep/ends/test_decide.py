from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from contract.exits import RunnerExit
from nanoclaw.sweep.decide import (
    StopReason,
)
from nanoclaw.sweep.ends.decide import (
    LIMITS,
    MAX_TRIES,
    MAX_TRIES_AT_A_LIMIT,
    TELL_AFTER_FAILURES,
    UNTIL_SOMEBODY_ACTS,
    Cause,
    ClaimDecision,
    ExitClass,
    ExitFacts,
    GiveUp,
    Leave,
    TryAgain,
    cause_of,
    classify_exit,
    decide_claim,
    decide_exit,
    describe_exit,
    start_delay,
)

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


ENDED = ExitFacts(
    now=NOW,
    code=0,
    stop_reason=None,
    out_of_memory=False,
    ran_for=seconds(60),
    open_claims=0,
    settled_claims=1,
    due_left=0,
    spoke=True,
    earlier_failures=0,
)
CRASHED = replace(ENDED, code=1)


@pytest.mark.parametrize(
    ("facts", "kind"),
    [
        pytest.param(ENDED, ExitClass.PLANNED, id="0"),
        pytest.param(CRASHED, ExitClass.CRASH, id="1"),
        pytest.param(replace(ENDED, code=137), ExitClass.CRASH, id="killed"),
        pytest.param(replace(ENDED, code=127), ExitClass.CRASH, id="docker's own code"),
        pytest.param(replace(ENDED, code=RunnerExit.TEMPFAIL), ExitClass.LATER, id="75"),
        pytest.param(replace(ENDED, code=RunnerExit.CONFIG), ExitClass.CONFIG, id="78"),
        pytest.param(replace(ENDED, code=None), ExitClass.UNKNOWN, id="nobody knows"),
        pytest.param(
            replace(CRASHED, stop_reason=StopReason.IDLE), ExitClass.PLANNED, id="we stopped it"
        ),
        pytest.param(
            replace(ENDED, stop_reason=StopReason.STUCK), ExitClass.CRASH, id="stopped as stuck"
        ),
        pytest.param(
            replace(ENDED, stop_reason=StopReason.DEAF), ExitClass.LATER, id="stopped as deaf"
        ),
    ],
)
def test_exit_is_classified(facts: ExitFacts, kind: ExitClass) -> None:
    assert classify_exit(facts) is kind


def test_planned_end_leaves_no_trace() -> None:
    plan = decide_exit(ENDED)

    assert not plan.failed
    assert not plan.counts_try
    assert plan.retry_at is None


def test_crash_in_a_turn_counts_a_try_and_holds_up_nothing_else() -> None:
    plan = decide_exit(replace(CRASHED, open_claims=2))

    assert plan.counts_try
    assert not plan.failed


@pytest.mark.parametrize(
    "facts",
    [
        pytest.param(CRASHED, id="it had finished a turn"),
        pytest.param(replace(CRASHED, settled_claims=0), id="it had lasted and said something"),
        pytest.param(replace(CRASHED, settled_claims=0, spoke=False), id="nothing is due"),
    ],
)
def test_crash_between_turns_delays_nothing(facts: ExitFacts) -> None:
    assert decide_exit(facts).retry_at is None


@pytest.mark.parametrize(
    "facts",
    [
        pytest.param(replace(CRASHED, spoke=False, due_left=1), id="it lasted, and did nothing"),
        pytest.param(replace(CRASHED, ran_for=seconds(1)), id="it complained and died"),
    ],
)
def test_crash_before_any_claim_delays_the_next_start(facts: ExitFacts) -> None:
    plan = decide_exit(replace(facts, settled_claims=0, earlier_failures=2))

    assert not plan.counts_try
    assert plan.retry_at == NOW + seconds(10)
    assert plan.error == "exit code 1"


def test_runner_that_leaves_without_working_is_not_started_in_a_circle() -> None:
    plan = decide_exit(replace(ENDED, settled_claims=0, due_left=3, ran_for=seconds(1)))

    assert plan.retry_at == NOW + seconds(1)


@pytest.mark.parametrize(
    "facts",
    [
        pytest.param(replace(ENDED, due_left=3, ran_for=seconds(1)), id="it worked"),
        pytest.param(replace(ENDED, settled_claims=0, due_left=3), id="it ran for a while"),
        pytest.param(replace(ENDED, settled_claims=0, ran_for=seconds(1)), id="nothing is due"),
        pytest.param(
            replace(ENDED, settled_claims=0, due_left=3, ran_for=seconds(1),
                    stop_reason=StopReason.PRESSURE),
            id="we asked it to",
        ),
    ],
)  # fmt: skip
def test_ordinary_early_end_starts_again_at_once(facts: ExitFacts) -> None:
    assert decide_exit(facts).retry_at is None


def test_broken_configuration_waits_until_somebody_acts() -> None:
    plan = decide_exit(replace(ENDED, code=78, spoke=False))

    assert plan.retry_at == NOW + UNTIL_SOMEBODY_ACTS
    assert plan.tell_chat


def test_host_is_silent_when_the_runner_has_told_its_chat() -> None:
    assert not decide_exit(replace(ENDED, code=78, spoke=True)).tell_chat


@pytest.mark.parametrize(
    ("earlier", "told"),
    [(0, False), (TELL_AFTER_FAILURES - 1, True), (TELL_AFTER_FAILURES, False)],
)
def test_chat_hears_once_of_starts_that_keep_failing(earlier: int, told: bool) -> None:
    plan = decide_exit(replace(ENDED, code=75, spoke=False, earlier_failures=earlier))

    assert plan.tell_chat is told


def test_end_that_nobody_saw_is_nobodys_fault() -> None:
    plan = decide_exit(replace(ENDED, code=None, open_claims=1))

    assert not plan.counts_try
    assert not plan.failed


def test_deaf_runner_is_called_by_its_name() -> None:
    plan = decide_exit(replace(ENDED, stop_reason=StopReason.DEAF))

    assert plan.error == StopReason.DEAF.value


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        (replace(CRASHED, out_of_memory=True), "it needed more memory than it may have"),
        (replace(CRASHED, code=137), "killed by signal 9"),
        (replace(CRASHED, code=3), "exit code 3"),
        (replace(CRASHED, code=None), "it ended and left no trace"),
    ],
)
def test_end_is_described_for_people(facts: ExitFacts, text: str) -> None:
    assert describe_exit(facts) == text


def test_delays_between_starts_grow_to_a_limit() -> None:
    delays = [start_delay(failures).total_seconds() for failures in range(9)]

    assert delays == [1, 5, 10, 30, 60, 300, 300, 300, 300]


@pytest.mark.parametrize(
    ("tries", "process_after", "decision"),
    [
        (0, None, TryAgain(NOW + seconds(5))),
        (1, ago(5), TryAgain(NOW + seconds(10))),
        (2, ago(5), TryAgain(NOW + seconds(20))),
        (3, ago(5), TryAgain(NOW + seconds(40))),
        (4, ago(5), TryAgain(NOW + seconds(80))),
        (MAX_TRIES, ago(5), GiveUp()),
        (2, NOW + seconds(1), Leave()),
        (MAX_TRIES, NOW + seconds(1), Leave()),
    ],
)
def test_claimed_message_is_retried_then_given_up(
    tries: int, process_after: datetime | None, decision: ClaimDecision
) -> None:
    assert decide_claim(NOW, tries, process_after) == decision


@pytest.mark.parametrize(
    ("facts", "cause"),
    [
        (replace(CRASHED, code=137, out_of_memory=True), Cause.MEMORY),
        (replace(CRASHED, out_of_processes=True), Cause.PROCESSES),
        (replace(ENDED, stop_reason=StopReason.OVERTIME), Cause.TIME),
        (replace(ENDED, stop_reason=StopReason.DISK), Cause.DISK),
        (replace(ENDED, stop_reason=StopReason.DISK, out_of_memory=True), Cause.DISK),
        (replace(ENDED, stop_reason=StopReason.STUCK, out_of_memory=True), Cause.MEMORY),
        (replace(ENDED, stop_reason=StopReason.STUCK), Cause.SILENT),
        (replace(CRASHED, code=137), Cause.OTHER),
    ],
)
def test_death_has_a_cause_that_people_understand(facts: ExitFacts, cause: Cause) -> None:
    assert cause_of(facts) is cause


@pytest.mark.parametrize("cause", sorted(LIMITS))
def test_message_that_breaks_a_limit_is_tried_once_more_only(cause: Cause) -> None:
    assert decide_claim(NOW, 0, None, cause) == TryAgain(NOW + seconds(5))
    assert decide_claim(NOW, MAX_TRIES_AT_A_LIMIT, ago(1), cause) == GiveUp()
