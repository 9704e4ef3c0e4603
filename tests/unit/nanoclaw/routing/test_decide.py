from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from nanoclaw.events import InboundEvent
from nanoclaw.model import AgentGroup, EngageMode, MessagingGroup, SessionMode, Wiring
from nanoclaw.routing.decide import (
    DropReason,
    Ignore,
    Reject,
    Route,
    RouteDecision,
    RoutingFacts,
    WiredAgent,
    decide_route,
    engages,
    render_content,
)

NOW = datetime(2026, 11, 21, tzinfo=UTC)
CHAT = MessagingGroup("mg-1", "telegram", "telegram:5", NOW)
EVENT = InboundEvent("key-1", "m-1", "telegram:5", "77", "2026-11-21T10:00:00.000Z", text="hello")


def wired(agent: str = "ag-1", **changes: Any) -> WiredAgent:
    wiring = Wiring(
        f"mga-{agent}", CHAT.id, agent, NOW, engage_mode=EngageMode.PATTERN, engage_pattern="."
    )
    return WiredAgent(replace(wiring, **changes), AgentGroup(agent, agent, agent, NOW))


def facts(*agents: WiredAgent, **changes: Any) -> RoutingFacts:
    base = RoutingFacts(EVENT, "telegram", False, CHAT, agents)
    return replace(base, **changes)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (facts(wired(), event=replace(EVENT, sender_id="")), Reject(DropReason.NO_SENDER)),
        (facts(wired(), event=replace(EVENT, text="")), Reject(DropReason.EMPTY)),
        (facts(messaging_group=None), Ignore(DropReason.UNKNOWN_CHAT)),
        (facts(), Ignore(DropReason.NOT_WIRED)),
        (facts(messaging_group=replace(CHAT, denied_at=NOW)), Ignore(DropReason.CHAT_DENIED)),
        (facts(wired(engage_mode=EngageMode.MENTION)), Ignore(DropReason.NOT_ENGAGED)),
    ],
    ids=["no sender", "empty", "unknown chat", "not wired", "denied", "not engaged"],
)
def test_events_that_go_nowhere_name_their_reason(
    given: RoutingFacts, expected: RouteDecision
) -> None:
    assert decide_route(given) == expected


def test_every_engaged_agent_gets_a_row_in_its_own_session() -> None:
    decision = decide_route(facts(wired("ag-1"), wired("ag-2")))

    assert isinstance(decision, Route)
    assert [target.agent_group_id for target in decision.targets] == ["ag-1", "ag-2"]
    assert len({target.session.text for target in decision.targets}) == 2


@pytest.mark.parametrize(
    ("mode", "pattern", "text", "mention", "expected"),
    [
        (EngageMode.PATTERN, None, "anything", None, True),
        (EngageMode.PATTERN, ".", "", None, True),
        (EngageMode.PATTERN, "^!", "!go", None, True),
        (EngageMode.PATTERN, "^!", "go", None, False),
        (EngageMode.PATTERN, "(", "an invalid pattern engages", None, True),
        (EngageMode.MENTION, None, "x", True, True),
        (EngageMode.MENTION, None, "x", None, False),
        (EngageMode.PATTERN_OR_MENTION, "^!", "x", True, True),
        (EngageMode.PATTERN_OR_MENTION, "^!", "!x", False, True),
        (EngageMode.PATTERN_OR_MENTION, "^!", "x", False, False),
        (None, None, "x", True, False),
    ],
)
def test_engage_modes(
    mode: EngageMode | None, pattern: str | None, text: str, mention: bool | None, expected: bool
) -> None:
    wiring = wired(engage_mode=mode, engage_pattern=pattern).wiring

    assert engages(wiring, replace(EVENT, text=text, is_mention=mention)) is expected


@pytest.mark.parametrize(
    ("mode", "threads", "group", "expected"),
    [
        (SessionMode.SHARED, False, False, SessionMode.SHARED),
        (SessionMode.SHARED, True, False, SessionMode.SHARED),
        (SessionMode.SHARED, True, True, SessionMode.PER_THREAD),
        (SessionMode.PER_THREAD, False, False, SessionMode.PER_THREAD),
        (SessionMode.AGENT_SHARED, True, True, SessionMode.AGENT_SHARED),
    ],
)
def test_session_mode_follows_wiring_and_channel(
    mode: SessionMode, threads: bool, group: bool, expected: SessionMode
) -> None:
    given = facts(
        wired(session_mode=mode),
        supports_threads=threads,
        messaging_group=replace(CHAT, is_group=group),
        event=replace(EVENT, thread_id="t-1"),
    )

    decision = decide_route(given)

    assert isinstance(decision, Route)
    assert decision.targets[0].session.mode is expected


def test_channel_without_threads_loses_the_thread_id() -> None:
    decision = decide_route(facts(wired(), event=replace(EVENT, thread_id="t-1")))

    assert isinstance(decision, Route)
    assert decision.targets[0].thread_id is None


def test_content_is_compact_and_keeps_the_sender_id_apart_from_the_name() -> None:
    text = render_content(replace(EVENT, sender_name="Ann", text="Grüße"), "telegram")

    assert text == '{"text":"Grüße","sender":"Ann","senderId":"telegram:77","senderName":"Ann"}'
