from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from nanoclaw.sweep.decide import (
    AgentFacts,
    Claim,
    HealthDecision,
    IdleAgent,
    Keep,
    Places,
    Stop,
    StopReason,
    Waiting,
    choose_starts,
    choose_victims,
    decide_health,
    last_activity,
    looks_deaf,
)

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


# --- whom to start --------------------------------------------------------------------------------


def waiting(name: str, group: str, waits_seconds: float) -> Waiting:
    return Waiting(name, group, ago(waits_seconds))


def test_longest_waiting_goes_first() -> None:
    due = [waiting("b", "g", 5), waiting("a", "g", 9)]

    assert choose_starts(due, Places({}), free=1) == ["a"]


def test_group_with_many_chats_keeps_nobody_out() -> None:
    due = [waiting(f"busy-{n}", "busy", 100 - n) for n in range(5)] + [waiting("shy", "shy", 1)]

    assert choose_starts(due, Places({}), free=2) == ["busy-0", "shy"]


def test_group_that_has_containers_already_waits_behind_one_without() -> None:
    due = [waiting("a", "rich", 100), waiting("b", "poor", 1)]

    assert choose_starts(due, Places({"rich": 1}), free=1) == ["b"]


@pytest.mark.parametrize("free", [0, -1])
def test_nobody_starts_without_a_free_place(free: int) -> None:
    assert choose_starts([waiting("a", "g", 1)], Places({}), free=free) == []


def test_equal_waiting_has_a_fixed_order() -> None:
    due = [waiting("b", "g", 5), waiting("a", "g", 5)]

    assert choose_starts(due, Places({}), free=5) == ["a", "b"]


def test_longest_idle_makes_room_and_a_busy_one_does_not() -> None:
    idle = [IdleAgent("a", seconds(10)), IdleAgent("b", seconds(60)), IdleAgent("c", seconds(1))]

    free = Places({})
    assert choose_victims(idle, {"g": 1}, {}, free) == ["b"]
    assert choose_victims(idle, {"g": 5}, {}, free) == ["b", "a"]
    assert choose_victims(idle, {"g": 1}, {"g": 2}, free) == []


def test_group_never_has_more_than_its_own_places() -> None:
    due = [waiting(f"many-{n}", "many", 100 - n) for n in range(5)] + [waiting("one", "other", 1)]

    chosen = choose_starts(due, Places({"many": 1}, caps={"many": 2}), free=8)

    assert chosen == ["one", "many-0"]


def test_group_that_is_full_makes_room_within_itself_only() -> None:
    idle = [
        IdleAgent("others", seconds(99), "others"),
        IdleAgent("old", seconds(60), "full"),
        IdleAgent("new", seconds(10), "full"),
    ]
    places = Places({"full": 2, "others": 1}, caps={"full": 2})

    assert choose_victims(idle, {"full": 1}, {}, places) == ["old"]
    assert choose_victims(idle, {"full": 1}, {"full": 1}, places) == []
    assert choose_victims(idle, {"full": 1, "poor": 1}, {}, places) == ["old"]


# --- is a running one well ------------------------------------------------------------------------

WELL = AgentFacts(now=NOW, started_at=ago(3600), claims=(), heartbeat_at=ago(100))


def claim(age_seconds: float) -> Claim:
    return Claim("m1", ago(age_seconds))


@pytest.mark.parametrize(
    ("facts", "decision"),
    [
        pytest.param(WELL, Keep(seconds(100)), id="idle for a while"),
        pytest.param(replace(WELL, claims=(claim(30),)), Keep(None), id="young claim"),
        pytest.param(
            replace(WELL, claims=(claim(600),), heartbeat_at=ago(5)), Keep(None), id="long turn"
        ),
        pytest.param(
            replace(WELL, claims=(claim(90),), tool_allowance=seconds(300)),
            Keep(None),
            id="a tool that said it takes long",
        ),
        pytest.param(
            replace(WELL, idle_limit=seconds(50)), Keep(seconds(100)), id="it leaves by itself"
        ),
        pytest.param(
            replace(WELL, claims=(claim(400),), heartbeat_at=ago(1), turn_limit=seconds(360)),
            Keep(None),
            id="over the turn limit, but the runner ends it itself first",
        ),
        pytest.param(replace(WELL, used_bytes=9, disk_bytes=9), Keep(seconds(100)), id="disk full"),
        pytest.param(
            replace(WELL, outdated=True, claims=(claim(1),)), Keep(None), id="outdated at work"
        ),
    ],
)
def test_well_agent_goes_on(facts: AgentFacts, decision: HealthDecision) -> None:
    assert decide_health(facts) == decision


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        pytest.param(replace(WELL, claims=(claim(61),)), StopReason.STUCK, id="silent claim"),
        pytest.param(
            replace(WELL, claims=(claim(90),), heartbeat_at=None), StopReason.STUCK, id="no beat"
        ),
        pytest.param(
            replace(
                WELL, claims=(claim(400),), heartbeat_at=ago(350), tool_allowance=seconds(300)
            ),
            StopReason.STUCK,
            id="a tool beyond its time",
        ),
        pytest.param(
            replace(WELL, claims=(Claim("m", NOW + seconds(9999)),), heartbeat_at=ago(61),
                    started_at=ago(61)),
            Keep,
            id="a claim from the future is taken for now",
        ),
        pytest.param(
            replace(WELL, claims=(claim(421),), heartbeat_at=ago(1), turn_limit=seconds(360)),
            StopReason.OVERTIME,
            id="a turn without end",
        ),
        pytest.param(replace(WELL, idle_limit=seconds(40)), StopReason.IDLE, id="idle too long"),
        pytest.param(replace(WELL, outdated=True), StopReason.OUTDATED, id="older version"),
        pytest.param(replace(WELL, used_bytes=10, disk_bytes=9), StopReason.DISK, id="disk"),
        pytest.param(replace(WELL, locked_for=seconds(10)), StopReason.LOCKED, id="held lock"),
        pytest.param(
            replace(WELL, used_bytes=10, disk_bytes=9, claims=(claim(61),)),
            StopReason.DISK,
            id="disk comes before everything",
        ),
    ],
)  # fmt: skip
def test_sick_agent_is_stopped_with_a_reason(
    facts: AgentFacts, reason: StopReason | type[Keep]
) -> None:
    decision = decide_health(facts)

    if isinstance(decision, Stop):
        assert decision.reason is reason
    else:
        assert isinstance(decision, Keep)
        assert reason is Keep


def test_heartbeat_from_the_future_saves_nobody() -> None:
    facts = replace(WELL, claims=(claim(3600),), heartbeat_at=NOW + seconds(9999))

    assert decide_health(facts) == Keep(None), "believed up to now, not beyond"
    later = replace(facts, now=NOW + seconds(100), heartbeat_at=NOW)
    assert isinstance(decide_health(later), Stop)


def test_outdated_agent_that_just_spoke_is_left_a_moment() -> None:
    assert decide_health(replace(WELL, outdated=True, output_at=ago(1))) == Keep(seconds(1))


def test_last_activity_is_the_newest_of_all_signs() -> None:
    facts = replace(WELL, output_at=ago(40), asked_at=ago(20))

    assert last_activity(facts) == ago(20)
    assert last_activity(replace(WELL, heartbeat_at=None)) == ago(3600)


@pytest.mark.parametrize(
    ("facts", "deaf"),
    [
        pytest.param(replace(WELL, asked_at=ago(61)), True, id="no sign since it was asked"),
        pytest.param(replace(WELL, asked_at=ago(30)), False, id="asked just now"),
        pytest.param(replace(WELL, asked_at=ago(61), output_at=ago(5)), False, id="it answered"),
        pytest.param(replace(WELL, asked_at=ago(61), claims=(claim(1),)), False, id="at work"),
        pytest.param(replace(WELL, asked_at=ago(300)), False, id="a beat came after"),
        pytest.param(WELL, False, id="never asked"),
    ],
)
def test_agent_that_does_not_react_looks_deaf(facts: AgentFacts, deaf: bool) -> None:
    assert looks_deaf(facts) is deaf
