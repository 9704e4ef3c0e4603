from dataclasses import replace
from datetime import UTC, datetime
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanoclaw.events import Attachment, InboundEvent, ReplyTarget
from nanoclaw.model import (
    AgentGroup,
    EngageMode,
    IgnoredMessagePolicy,
    MessagingGroup,
    SenderScope,
    SessionMode,
    UnknownSenderPolicy,
    Wiring,
)
from nanoclaw.permissions.access import Standing
from nanoclaw.routing.decide import (
    MAX_BOT_MESSAGES,
    AskForChat,
    Command,
    Deliver,
    DropReason,
    Ignore,
    Judged,
    Refuse,
    Reject,
    RouteDecision,
    RoutingFacts,
    Skip,
    Verdict,
    WiredAgent,
    decide_route,
)
from nanoclaw.routing.engage import Call, Said, begins_talk, judge_call
from nanoclaw.routing.gate import Answer, Deny, Drop, Gate, Pass, judge_command

NOW = datetime(2026, 11, 21, tzinfo=UTC)
CHAT = MessagingGroup(
    "mg-1", "telegram", "telegram:5", NOW, unknown_sender_policy=UnknownSenderPolicy.PUBLIC
)
EVENT = InboundEvent("key-1", "m-1", "telegram:5", "77", "2026-11-21T10:00:00.000Z", text="hello")
STRANGER = Standing("telegram:77")
MEMBER = Standing("telegram:77", is_known=True, member_of=frozenset({"ag-1", "ag-2", "ag-3"}))
OWNER = Standing("telegram:77", is_known=True, is_owner=True)
ACCUMULATE = IgnoredMessagePolicy.ACCUMULATE


def wired(agent: str = "ag-1", *, in_talk: bool = False, **changes: Any) -> WiredAgent:
    wiring = Wiring(
        f"mga-{agent}", CHAT.id, agent, NOW, engage_mode=EngageMode.PATTERN, engage_pattern="."
    )
    return WiredAgent(replace(wiring, **changes), AgentGroup(agent, agent, agent, NOW), in_talk)


def facts(*agents: WiredAgent, **changes: Any) -> RoutingFacts:
    base = RoutingFacts(EVENT, "telegram", "telegram", False, CHAT, agents, MEMBER)
    return replace(base, **changes)


def event(**changes: Any) -> InboundEvent:
    return replace(EVENT, **changes)


def verdicts(given: RoutingFacts) -> tuple[Verdict, ...]:
    decision = decide_route(given)
    assert isinstance(decision, Judged)
    return decision.verdicts


MENTIONED = event(is_mention=True)
SILENT = {"silent": True}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (facts(wired(), event=event(sender_id="")), Reject(DropReason.NO_SENDER)),
        (facts(wired(), event=event(text="")), Reject(DropReason.EMPTY)),
        (facts(wired(), event=event(channel_type="x")), Reject(DropReason.NO_OPERATOR)),
        (facts(wired(), event=event(kind="system")), Reject(DropReason.BAD_KIND)),
        (facts(wired(), event=event(kind="task")), Reject(DropReason.BAD_KIND)),
        (facts(wired(), event=event(thread_id="x" * 1025)), Reject(DropReason.LONG_ID)),
        (facts(wired(), event=event(platform_id="\u00e9" * 513)), Reject(DropReason.LONG_ID)),
        (
            facts(wired(), event=event(answer_to=ReplyTarget("x", "y"))),
            Reject(DropReason.NO_OPERATOR),
        ),
        (facts(messaging_group=None), Ignore(DropReason.UNKNOWN_CHAT, silent=True)),
        (facts(messaging_group=None, event=MENTIONED), AskForChat(None)),
        (facts(), Ignore(DropReason.NO_AGENT_WIRED, silent=True)),
        (facts(event=MENTIONED), AskForChat(CHAT)),
        (
            facts(event=MENTIONED, messaging_group=replace(CHAT, denied_at=NOW)),
            Ignore(DropReason.CHAT_DENIED, silent=True),
        ),
        (
            facts(event=replace(MENTIONED, sender_is_bot=True), messaging_group=None),
            Ignore(DropReason.UNKNOWN_CHAT, silent=True),
        ),
        (
            facts(event=replace(MENTIONED, edited=True), messaging_group=None),
            Ignore(DropReason.UNKNOWN_CHAT, silent=True),
        ),
        (
            facts(
                wired(bot_messages=True),
                event=event(sender_is_bot=True),
                bot_messages=MAX_BOT_MESSAGES,
            ),
            Ignore(DropReason.TOO_MANY_BOTS, silent=True),
        ),
    ],
    ids=[
        "no sender", "empty", "foreign address", "kind system", "kind task", "long thread",
        "long chat", "foreign answer address", "unknown chat",
        "unknown chat, mention", "not wired", "not wired, mention", "denied", "bot mentions us",
        "edited mention", "too many bots",
    ],
)  # fmt: skip
def test_events_that_reach_no_wiring_name_their_reason(
    given: RoutingFacts, expected: RouteDecision
) -> None:
    assert decide_route(given) == expected


@pytest.mark.parametrize(
    ("agent", "changes", "expected"),
    [
        (wired(), {}, (Deliver, True)),
        (wired(engage_mode=EngageMode.MENTION), {}, (Skip, None)),
        (
            wired(engage_mode=EngageMode.MENTION, ignored_message_policy=ACCUMULATE), {},
            (Deliver, False),
        ),
        (wired(ignored_message_policy=None, engage_mode=None), {}, (Skip, None)),
        (wired(sender_scope=SenderScope.KNOWN), {"standing": STRANGER}, (Refuse, None)),
        (
            wired(sender_scope=None, ignored_message_policy=ACCUMULATE), {"standing": STRANGER},
            (Refuse, None),
        ),
        (wired(), {"event": event(text="/clear")}, (Command, None)),
        (wired(), {"event": event(text="/clear"), "standing": OWNER}, (Deliver, True)),
        (wired(), {"event": event(text="/clear", kind="webhook")}, (Deliver, True)),
        (wired(), {"event": event(sender_is_bot=True)}, (Skip, None)),
        (wired(bot_messages=True), {"event": event(sender_is_bot=True)}, (Deliver, True)),
        (wired(), {"event": event(edited=True)}, (Skip, None)),
        (wired(edits=True), {"event": event(edited=True, text="/clear")}, (Deliver, True)),
        (wired(), {"event": event(reaction="x", text="")}, (Skip, None)),
        (wired(reactions=True), {"event": event(reaction="x", text="")}, (Deliver, False)),
        (
            wired(reactions=True, sender_scope=SenderScope.KNOWN),
            {"event": event(reaction="x", text=""), "standing": STRANGER}, (Skip, None),
        ),
    ],
)  # fmt: skip
def test_verdict_about_one_wiring(
    agent: WiredAgent, changes: dict[str, Any], expected: tuple[type[Verdict], bool | None]
) -> None:
    (verdict,) = verdicts(facts(agent, **changes))

    kind, wakes = expected
    assert type(verdict) is kind
    assert wakes is None or (isinstance(verdict, Deliver) and verdict.wakes is wakes)


@pytest.mark.parametrize(
    ("mode", "pattern", "said", "expected"),
    [
        (EngageMode.PATTERN, None, Said("anything", False, False), Call.PATTERN),
        (EngageMode.PATTERN, ".", Said("", False, False), Call.PATTERN),
        (EngageMode.PATTERN, "^!", Said("!go", False, False), Call.PATTERN),
        (EngageMode.PATTERN, "^!", Said("go", True, False), Call.NOT_MEANT),
        (EngageMode.PATTERN, "(", Said("x", False, False), Call.PATTERN_UNREADABLE),
        (EngageMode.PATTERN, "(?=(a+)+b)", Said("a" * 4000, False, False), Call.PATTERN_TOO_SLOW),
        (EngageMode.MENTION, None, Said("x", True, False), Call.MENTION),
        (EngageMode.MENTION, None, Said("x", False, True, True), Call.NOT_MEANT),
        (EngageMode.PATTERN_OR_MENTION, "^!", Said("x", True, False), Call.MENTION),
        (EngageMode.PATTERN_OR_MENTION, "^!", Said("!x", False, False), Call.PATTERN),
        (EngageMode.PATTERN_OR_MENTION, "^!", Said("x", False, False), Call.NOT_MEANT),
        (EngageMode.MENTION_STICKY, None, Said("x", True, False), Call.MENTION),
        (EngageMode.MENTION_STICKY, None, Said("x", False, True), Call.NOT_MEANT),
        (EngageMode.MENTION_STICKY, None, Said("x", False, True, True), Call.IN_TALK),
        (EngageMode.MENTION_STICKY, None, Said("x", False, False, True), Call.NOT_MEANT),
        (None, None, Said("x", True, True, True), Call.NOT_MEANT),
    ],
)
def test_engage_modes(
    mode: EngageMode | None, pattern: str | None, said: Said, expected: Call
) -> None:
    wiring = wired(engage_mode=mode, engage_pattern=pattern).wiring

    assert judge_call(wiring, said) is expected


def test_w37_only_a_mention_in_a_group_begins_or_prolongs_a_talk() -> None:
    sticky = wired(engage_mode=EngageMode.MENTION_STICKY).wiring

    assert begins_talk(sticky, Said("x", is_mention=True, is_group=True))
    assert not begins_talk(sticky, Said("x", is_mention=False, is_group=True, in_talk=True))
    assert not begins_talk(sticky, Said("x", is_mention=True, is_group=False))
    assert not begins_talk(wired().wiring, Said("x", is_mention=True, is_group=True))


@pytest.mark.parametrize(
    ("text", "is_admin", "expected"),
    [
        ("hello", False, Pass()),
        ("", False, Pass()),
        ("/weather Berlin", False, Pass()),
        ("/clearx", False, Pass()),
        ("/clear", True, Pass()),
        ("/clear", False, Deny("/clear")),
        ("  /Clear now", False, Deny("/clear")),
        ("/compact", False, Deny("/compact")),
        ("/context", False, Deny("/context")),
        ("/cost", False, Deny("/cost")),
        ("/files", False, Deny("/files")),
        ("/stop", False, Deny("/stop")),
        ("/help", True, Answer("/help")),
        ("/start", False, Answer("/start")),
        ("/status", False, Answer("/status")),
        ("/login", True, Drop("/login")),
        ("/logout", False, Drop("/logout")),
        ("/doctor", True, Drop("/doctor")),
        ("/config x", False, Drop("/config")),
        ("/remote-control", True, Drop("/remote-control")),
    ],
)
def test_t64_command_gate_table(text: str, is_admin: bool, expected: Gate) -> None:
    assert judge_command(text, is_admin=is_admin) == expected


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
        event=event(thread_id="t-1"),
    )

    (verdict,) = verdicts(given)

    assert isinstance(verdict, Deliver)
    assert verdict.session.mode is expected


def test_taint_names_every_source() -> None:
    given = facts(
        wired(), kind="email", standing=STRANGER, event=event(attachments=(Attachment("file"),))
    )

    (verdict,) = verdicts(given)

    assert isinstance(verdict, Deliver)
    assert verdict.taint == "unknown-sender,mail,file"


# --- properties -----------------------------------------------------------------------------------

AGENTS = ("ag-1", "ag-2", "ag-3")
CHOICES: dict[str, st.SearchStrategy[Any]] = {
    "engage_mode": st.sampled_from([*EngageMode, None]),
    "engage_pattern": st.sampled_from([None, ".", "^!", "(", "hello"]),
    "sender_scope": st.sampled_from([*SenderScope, None]),
    "ignored_message_policy": st.sampled_from([*IgnoredMessagePolicy, None]),
    "session_mode": st.sampled_from(
        [SessionMode.SHARED, SessionMode.PER_THREAD, SessionMode.AGENT_SHARED, None]
    ),
    "bot_messages": st.booleans(),
    "edits": st.booleans(),
    "reactions": st.booleans(),
}


@st.composite
def any_agents(draw: st.DrawFn) -> tuple[WiredAgent, ...]:
    chosen = draw(st.lists(st.sampled_from(AGENTS), unique=True))
    return tuple(
        wired(
            agent,
            in_talk=draw(st.booleans()),
            **{name: draw(choice) for name, choice in CHOICES.items()},
        )
        for agent in chosen
    )


@st.composite
def any_facts(draw: st.DrawFn) -> RoutingFacts:
    standing = Standing(
        "telegram:77",
        is_known=draw(st.booleans()),
        is_owner=draw(st.booleans()),
        admin_of=draw(st.frozensets(st.sampled_from(AGENTS))),
        member_of=draw(st.frozensets(st.sampled_from(AGENTS))),
    )
    said = event(
        sender_id=draw(st.sampled_from(["77", ""])),
        text=draw(st.sampled_from(["hello", "", "!go", "/clear", "/help", "/login"])),
        is_mention=draw(st.sampled_from([True, False, None])),
        is_group=draw(st.sampled_from([True, False, None])),
        thread_id=draw(st.sampled_from([None, "t-1"])),
        sender_is_bot=draw(st.booleans()),
        edited=draw(st.booleans()),
        reaction=draw(st.sampled_from([None, "x"])),
    )
    group = replace(
        CHAT,
        is_group=draw(st.booleans()),
        unknown_sender_policy=draw(st.sampled_from(list(UnknownSenderPolicy))),
        denied_at=draw(st.sampled_from([None, NOW])),
    )
    return facts(
        *draw(any_agents()),
        event=said,
        standing=standing,
        supports_threads=draw(st.booleans()),
        messaging_group=draw(st.sampled_from([group, None])),
        bot_messages=draw(st.sampled_from([0, MAX_BOT_MESSAGES])),
    )


@settings(deadline=None, max_examples=300)
@given(any_facts())
def test_any_facts_lead_to_one_decision_with_a_verdict_per_wiring(given: RoutingFacts) -> None:
    decision = decide_route(given)

    assert isinstance(decision, Reject | Ignore | AskForChat | Judged)
    if isinstance(decision, Judged):
        assert [v.agent for v in decision.verdicts] == list(given.agents)


@settings(deadline=None, max_examples=300)
@given(any_facts())
def test_sender_who_is_refused_when_calling_an_agent_is_never_stored_for_it(
    given: RoutingFacts,
) -> None:
    decision = decide_route(given)

    if not isinstance(decision, Judged):
        return
    for verdict in decision.verdicts:
        group_id = verdict.agent.agent_group.id
        if isinstance(verdict, Deliver) and verdict.wakes:
            assert decision.messaging_group.unknown_sender_policy is UnknownSenderPolicy.PUBLIC or (
                given.standing.may_talk_to(group_id)
            )
            assert verdict.agent.wiring.sender_scope is SenderScope.ALL or (
                given.standing.may_talk_to(group_id)
            )
        if isinstance(verdict, Deliver) and not given.standing.may_talk_to(group_id):
            assert "unknown-sender" in (verdict.taint or "")


@settings(deadline=None, max_examples=200)
@given(any_facts())
def test_every_wiring_is_judged_independently_of_the_others(given: RoutingFacts) -> None:
    decision = decide_route(given)

    if isinstance(decision, Judged):
        alone = {agent: verdicts(replace(given, agents=(agent,)))[0] for agent in given.agents}
        assert {v.agent: v for v in decision.verdicts} == alone
        for order in permutations(given.agents):
            assert {v.agent: v for v in verdicts(replace(given, agents=order))} == alone


@settings(deadline=None, max_examples=200)
@given(any_facts())
def test_context_begins_no_talk_and_wakes_nobody(given: RoutingFacts) -> None:
    decision = decide_route(given)

    if not isinstance(decision, Judged):
        return
    for verdict in decision.verdicts:
        if isinstance(verdict, Deliver) and verdict.begins_talk:
            assert verdict.wakes
            assert given.event.is_mention
            assert decision.messaging_group.is_group
