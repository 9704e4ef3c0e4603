"""Who is meant, who may speak, and where it goes: the tree of H-71 on a real database."""

from datetime import timedelta
from typing import Any

import pytest
from helpers.routing_stage import ALICE, CHANNEL, CHAT, OWNER, RouterStage, message

from contract.clock import utc_now
from nanoclaw.db import dropped, engagements, inbound_events, messaging_groups, users
from nanoclaw.db.engagements import Engagement
from nanoclaw.events import (
    InboundEvent,
    Outcome,
    Quoted,
    ReplyTarget,
    SetTyping,
    Subscribe,
)
from nanoclaw.model import (
    EngageMode,
    IgnoredMessagePolicy,
    SenderScope,
    SessionMode,
    UnknownSenderPolicy,
)

MENTION = EngageMode.MENTION
STICKY = EngageMode.MENTION_STICKY
ACCUMULATE = IgnoredMessagePolicy.ACCUMULATE


def reasons(stage: RouterStage) -> list[tuple[str | None, str, int]]:
    return [(d.user_id, d.reason, d.message_count) for d in dropped.recent(stage.conn)]


def texts(stage: RouterStage, agent_id: str = "ag-1") -> list[tuple[str, bool]]:
    return [(row.content.split('"')[3], row.trigger) for row in stage.rows_of(agent_id)]


def count(stage: RouterStage, table: str) -> int:
    row = stage.conn.execute(f"SELECT count(*) FROM {table}").fetchone()
    return int(row[0])


# --- chats ----------------------------------------------------------------------------------------


def test_t22_plain_message_in_an_unknown_chat_leaves_no_row_at_all(stage: RouterStage) -> None:
    stage.agent()
    tables = ("messaging_groups", "users", "inbound_events", "dropped_messages", "sessions")
    before = [count(stage, table) for table in tables]

    (answer,) = stage.send(message(1))

    assert answer.outcome is Outcome.IGNORED
    assert [count(stage, table) for table in tables] == before


def test_t22_mention_in_an_unknown_chat_creates_the_chat_and_asks(stage: RouterStage) -> None:
    stage.agent()
    stage.owner()

    (answer,) = stage.send(message(1, is_mention=True, is_group=True))

    chat = messaging_groups.find_by_address(stage.conn, CHANNEL, CHAT)
    assert chat is not None
    assert chat.is_group
    assert chat.unknown_sender_policy is UnknownSenderPolicy.REQUEST_APPROVAL
    assert answer.outcome is Outcome.HELD
    assert inbound_events.count_waiting(stage.conn, chat.id) == 1
    assert reasons(stage) == [(ALICE, "no_agent_wired", 1)]


def test_mention_that_nobody_can_be_asked_about_is_noted_and_not_held(stage: RouterStage) -> None:
    stage.agent()
    stage.conn.execute("DELETE FROM user_roles")

    (answer,) = stage.send(message(1, is_mention=True))

    assert answer.outcome is Outcome.IGNORED
    assert answer.reason == "no_agent_wired"


def test_denied_chat_is_silent(stage: RouterStage) -> None:
    stage.agent()
    stage.owner()
    stage.chat(denied_at=utc_now())

    (answer,) = stage.send(message(1, is_mention=True))

    assert answer.outcome is Outcome.IGNORED
    assert reasons(stage) == []
    assert count(stage, "inbound_events") == 0


# --- several messages, several agents -------------------------------------------------------------


def test_t23_two_messages_land_in_one_session(stage: RouterStage) -> None:
    stage.agent()
    stage.wire(stage.chat())

    stage.send(message(1), message(2))
    stage.settle()

    assert len(stage.rows(stage.session())) == 2


def test_t24_two_wired_agents_get_their_own_sessions_wakes_and_addresses(
    stage: RouterStage,
) -> None:
    stage.agent()
    stage.agent("ag-2", "Bea")
    chat = stage.chat()
    stage.wire(chat)
    stage.wire(chat, "ag-2", priority=5)

    stage.send(message(1))
    stage.spin(lambda: len(stage.sweep.woken) == 2)

    for agent_id in ("ag-1", "ag-2"):
        (row,) = stage.rows_of(agent_id)
        assert row.id == f"m-1:{agent_id}"
        assert (row.address.channel_type, row.address.platform_id) == (CHANNEL, CHAT)
    assert set(stage.sweep.woken) == {stage.session("ag-1").id, stage.session("ag-2").id}


def test_t25_unaddressed_message_is_kept_as_context_and_wakes_nobody(stage: RouterStage) -> None:
    stage.agent()
    stage.wire(stage.chat(), engage_mode=MENTION, ignored_message_policy=ACCUMULATE)

    (answer,) = stage.send(message(1, "just talk"))
    stage.settle()

    assert answer.outcome is Outcome.ROUTED
    assert texts(stage) == [("just talk", False)]
    assert stage.sweep.woken == []
    assert stage.session().next_due_at is None


def test_t26_unaddressed_message_is_dropped_and_makes_no_session(stage: RouterStage) -> None:
    stage.agent()
    stage.wire(stage.chat(), engage_mode=MENTION)

    (answer,) = stage.send(message(1))

    assert answer.outcome is Outcome.IGNORED
    assert stage.sessions() == []
    assert reasons(stage) == [(ALICE, "no_agent_engaged", 1)]


def test_t27_row_carries_channel_chat_and_thread_of_its_source(stage: RouterStage) -> None:
    stage.agent()
    stage.wire(stage.chat())
    stage.worker("double", threads=True)

    stage.send(message(1, thread_id="t-9"))
    stage.settle()

    (row,) = stage.rows_of()
    address = row.address
    assert (address.channel_type, address.platform_id, address.thread_id) == (CHANNEL, CHAT, "t-9")


def test_channel_without_threads_has_none(stage: RouterStage) -> None:
    stage.agent()
    stage.wire(stage.chat(), session_mode=SessionMode.PER_THREAD)

    stage.send(message(1, thread_id="t-1"), message(2, thread_id="t-2"))
    stage.settle()

    assert [row.address.thread_id for row in stage.rows(stage.session())] == [None, None]


def test_t16_second_message_finds_the_session_that_the_first_one_made(
    stage: RouterStage,
) -> None:
    stage.agent()
    stage.wire(stage.chat())

    stage.send(message(1))
    first = stage.session()
    stage.send(message(2))

    assert stage.session().id == first.id
    assert first.thread_id is None


@pytest.mark.parametrize("mention", [True, False])
def test_t19_stored_message_is_pending_and_shows_that_the_session_is_alive(
    stage: RouterStage, mention: bool
) -> None:
    stage.agent()
    stage.wire(stage.chat(), engage_mode=MENTION, ignored_message_policy=ACCUMULATE)

    stage.send(message(1, "words", is_mention=mention))
    stage.settle()

    assert texts(stage) == [("words", mention)]
    assert stage.session().last_active is not None


# --- sessions -------------------------------------------------------------------------------------


def test_t17_each_thread_has_its_own_session(stage: RouterStage) -> None:
    stage.agent()
    stage.wire(stage.chat(is_group=True))
    stage.worker("double", threads=True)

    stage.send(*(message(n, thread_id=f"t-{n % 2}") for n in range(4)))
    stage.settle()

    assert sorted(s.thread_id or "" for s in stage.sessions()) == ["t-0", "t-1"]


def test_t18_shared_agent_has_one_session_and_takes_no_other(stage: RouterStage) -> None:
    stage.agent()
    group = stage.chat("double:threads", is_group=True)
    stage.wire(group)
    for number in (1, 2):
        stage.wire(stage.chat(f"double:s{number}"), session_mode=SessionMode.AGENT_SHARED)
    stage.worker("double", threads=True)

    stage.send(message(1, platform_id="double:threads", thread_id="t-1"))
    # The same platform id in two chats: with a session that both share it is no duplicate (C-10).
    stage.send(message(2, platform_id="double:s1", message_id="same"))
    stage.send(message(3, platform_id="double:s2", message_id="same"))
    stage.settle()

    by_mode = {s.mode: len(stage.rows(s)) for s in stage.sessions()}
    assert by_mode == {SessionMode.PER_THREAD: 1, SessionMode.AGENT_SHARED: 2}


def test_closed_session_is_reopened_by_the_next_message(stage: RouterStage) -> None:
    stage.agent()
    stage.wire(stage.chat())
    stage.send(message(1))
    stage.settle()
    session = stage.session()
    stage.conn.execute("UPDATE sessions SET status = 'closed', next_due_at = NULL")

    stage.send(message(2))
    stage.settle()

    again = stage.session()
    assert again.id == session.id
    assert again.status == "active"
    assert len(stage.rows(again)) == 2


# --- who may speak --------------------------------------------------------------------------------


def test_w55_strict_chat_refuses_strangers_and_says_so_once(stage: RouterStage) -> None:
    stage.agent()
    stage.wire(stage.chat(policy=UnknownSenderPolicy.STRICT), ignored_message_policy=ACCUMULATE)

    (answer,) = stage.send(message(1))

    assert answer.outcome is Outcome.IGNORED
    assert answer.reason == "unknown_sender_strict"
    assert stage.sessions() == []
    assert reasons(stage) == [(ALICE, "unknown_sender_strict", 1)]
    assert users.get(stage.conn, ALICE) is None


def test_w55_dropped_messages_are_counted_per_sender_with_their_own_reason(
    stage: RouterStage,
) -> None:
    stage.agent()
    stage.wire(stage.chat(policy=UnknownSenderPolicy.STRICT))

    stage.send(message(1), message(2), message(3, sender_id="bob"))

    assert sorted(reasons(stage)) == [
        (ALICE, "unknown_sender_strict", 2),
        ("double:bob", "unknown_sender_strict", 1),
    ]


def test_member_and_owner_get_through_a_strict_chat(stage: RouterStage) -> None:
    stage.agent()
    stage.wire(stage.chat(policy=UnknownSenderPolicy.STRICT))
    stage.member()
    stage.owner()

    answers = stage.send(message(1), message(2, sender_id="owner"))

    assert [answer.outcome for answer in answers] == [Outcome.ROUTED] * 2


def test_sender_scope_refuses_in_a_public_chat_without_asking(stage: RouterStage) -> None:
    stage.agent()
    stage.owner()
    stage.wire(stage.chat(), sender_scope=SenderScope.KNOWN, ignored_message_policy=ACCUMULATE)

    (answer,) = stage.send(message(1))

    assert answer.reason == "sender_scope_unknown_user"
    assert stage.sessions() == []
    assert count(stage, "pending_sender_approvals") == 0


def test_stranger_is_held_for_one_agent_and_heard_by_the_other(stage: RouterStage) -> None:
    stage.agent()
    stage.agent("ag-2", "Bea")
    stage.owner()
    chat = stage.chat(policy=UnknownSenderPolicy.REQUEST_APPROVAL)
    stage.wire(chat)
    stage.wire(chat, "ag-2")
    stage.member(agent_id="ag-2")

    (answer,) = stage.send(message(1))
    stage.settle()

    assert answer.outcome is Outcome.ROUTED
    assert [row.id for row in stage.rows_of("ag-2")] == ["m-1:ag-2"]
    assert stage.sessions("ag-1") == []
    assert count(stage, "pending_sender_approvals") == 1


def test_w5_display_name_and_foreign_prefix_prove_nothing(stage: RouterStage) -> None:
    stage.agent()
    stage.wire(stage.chat(policy=UnknownSenderPolicy.STRICT))
    stage.owner("telegram:5")

    answers = stage.send(
        message(1, sender_id="telegram:5"),
        message(2, sender_id="x", sender_name="telegram:5"),
        message(3, sender_id="", sender_name="telegram:5"),
    )

    assert [answer.outcome for answer in answers] == [
        Outcome.IGNORED, Outcome.IGNORED, Outcome.REJECTED,
    ]  # fmt: skip
    assert {user_id for user_id, _, _ in reasons(stage)} == {"double:telegram:5", "double:x"}


def test_w15_only_who_has_to_do_with_an_agent_becomes_a_user(stage: RouterStage) -> None:
    stage.agent()
    stage.wire(stage.chat(), engage_mode=MENTION, ignored_message_policy=ACCUMULATE)

    stage.send(message(1, sender_id="passer-by"), message(2, is_mention=True))

    assert users.get(stage.conn, "double:passer-by") is None
    assert users.get(stage.conn, ALICE) is not None


def test_w62_display_names_follow_the_platform(stage: RouterStage) -> None:
    stage.agent()
    stage.wire(stage.chat())

    stage.send(message(1), message(2, sender_name="Alice B."), message(3, sender_name=None))

    user = users.get(stage.conn, ALICE)
    assert user is not None
    assert user.display_name == "Alice B."


def test_second_account_of_a_channel_has_its_own_chats_and_the_same_users(
    stage: RouterStage,
) -> None:
    stage.agent()
    stage.wire(stage.chat(channel_type="double-work", policy=UnknownSenderPolicy.STRICT))
    stage.member(ALICE)

    (answer,) = stage.send(message(1), channel="double-work")

    assert answer.outcome is Outcome.ROUTED


def test_only_the_terminal_may_name_another_chat(stage: RouterStage) -> None:
    stage.agent()
    stage.wire(stage.chat())
    foreign = message(1, channel_type="double", answer_to=ReplyTarget("double", CHAT))

    (refused,) = stage.send(foreign, channel="other")
    (routed,) = stage.send(message(2, channel_type="double"), channel="cli")

    assert refused.outcome is Outcome.REJECTED
    assert routed.outcome is Outcome.ROUTED
    assert stage.rows_of()[0].content.count('"senderId":"cli:alice"') == 1


# --- staying in the talk --------------------------------------------------------------------------


def test_t65_w37_context_never_engages_and_a_mention_does(stage: RouterStage) -> None:
    stage.agent()
    stage.wire(stage.chat(is_group=True), engage_mode=STICKY, ignored_message_policy=ACCUMULATE)

    stage.send(message(1), message(2), message(3, is_mention=True), message(4))
    stage.settle()

    assert [trigger for _, trigger in texts(stage)] == [False, False, True, True]


def test_talk_ends_after_the_wirings_own_time(stage: RouterStage) -> None:
    stage.agent()
    chat = stage.chat(is_group=True)
    stage.wire(chat, engage_mode=STICKY, sticky_seconds=60)
    past = utc_now() - timedelta(seconds=61)
    engagements.engage(
        stage.conn, Engagement("ag-1", chat.id, None, past, past + timedelta(seconds=60))
    )

    (late,) = stage.send(message(1))
    stage.send(message(2, is_mention=True))
    (soon,) = stage.send(message(3))

    assert [late.outcome, soon.outcome] == [Outcome.IGNORED, Outcome.ROUTED]


def test_direct_chats_have_no_talk(stage: RouterStage) -> None:
    stage.agent()
    stage.wire(stage.chat(), engage_mode=STICKY)

    stage.send(message(1, is_mention=True))
    (answer,) = stage.send(message(2))

    assert answer.outcome is Outcome.IGNORED
    assert count(stage, "engagements") == 0


def test_talk_in_one_thread_is_no_talk_in_another(stage: RouterStage) -> None:
    stage.agent()
    stage.wire(stage.chat(is_group=True), engage_mode=STICKY)
    stage.worker("double", threads=True)

    stage.send(message(1, is_mention=True, thread_id="t-1"))
    (here,) = stage.send(message(2, thread_id="t-1"))
    (there,) = stage.send(message(3, thread_id="t-2"))

    assert [here.outcome, there.outcome] == [Outcome.ROUTED, Outcome.IGNORED]


# --- what else a row carries ----------------------------------------------------------------------


def test_reply_context_and_hint_are_stored(stage: RouterStage) -> None:
    stage.agent()
    stage.wire(stage.chat())
    quoted = Quoted("m-0", "Bob", "x" * 5000)

    stage.send(message(1, reply_to=quoted, reply_hint="topic-7"))
    stage.settle()

    (row,) = stage.rows_of()
    assert f'"replyTo":{{"id":"m-0","sender":"Bob","text":"{"x" * 2000}"}}' in row.content
    assert row.reply_hint == "topic-7"
    assert row.platform_message_id == "m-1"


@pytest.mark.parametrize(
    ("changes", "channel", "taint"),
    [
        ({"sender_id": "owner"}, "double", None),
        ({}, "double", "unknown-sender"),
        ({"sender_id": "owner", "kind": "webhook", "extra_json": '{"payload":1}'}, "double",
         "webhook"),
        ({"sender_id": "x"}, "cli", None),
    ],
    ids=["owner", "stranger", "webhook", "operator"],
)  # fmt: skip
def test_row_says_where_untrusted_content_comes_from(
    stage: RouterStage, changes: dict[str, Any], channel: str, taint: str | None
) -> None:
    stage.agent()
    stage.owner(OWNER)
    stage.wire(stage.chat(channel_type=channel))

    stage.send(message(1, **changes), channel=channel)
    stage.settle()

    assert stage.rows_of()[0].taint == taint


def test_edits_and_reactions_reach_only_those_who_asked_for_them(stage: RouterStage) -> None:
    stage.agent()
    stage.agent("ag-2", "Bea")
    chat = stage.chat()
    stage.wire(chat)
    stage.wire(chat, "ag-2", edits=True, reactions=True)

    stage.send(
        message(1, "helo"),
        message(2, "hello", message_id="m-1", edited=True),
        message(3, "", message_id="m-1", reaction="thumbs_up"),
    )
    stage.settle()

    assert len(stage.rows_of("ag-1")) == 1
    _, edit, reaction = stage.rows_of("ag-2")
    assert edit.content.startswith('{"event":"edit","messageId":"m-1","text":"hello"')
    assert reaction.content.startswith('{"event":"reaction","messageId":"m-1","emoji":"thumbs_up"')
    assert (edit.trigger, reaction.trigger) == (True, False)


def test_other_bots_are_heard_only_where_wanted_and_not_without_end(stage: RouterStage) -> None:
    stage.agent()
    stage.wire(stage.chat())
    stage.wire(stage.chat("double:bots"), bot_messages=True)

    (unwanted,) = stage.send(message(1, sender_is_bot=True))
    answers = stage.send(
        *(message(n, platform_id="double:bots", sender_is_bot=True) for n in range(2, 40))
    )

    assert unwanted.outcome is Outcome.IGNORED
    assert [answer.outcome for answer in answers].count(Outcome.ROUTED) == 30


# --- hints ----------------------------------------------------------------------------------------


def test_typing_begins_where_the_message_came_from(stage: RouterStage) -> None:
    stage.agent()
    stage.wire(stage.chat())
    elsewhere = ReplyTarget("double", "double:other")

    stage.send(message(1))
    stage.send(message(2, channel_type=None, answer_to=elsewhere), channel="cli")
    stage.spin(stage.hints)

    assert stage.hints() == [SetTyping(CHAT, None)]


def test_context_shows_no_typing(stage: RouterStage) -> None:
    stage.agent()
    stage.wire(stage.chat(), engage_mode=MENTION, ignored_message_policy=ACCUMULATE)

    stage.send(message(1))
    stage.send(message(2, is_mention=True))
    stage.spin(stage.hints)

    assert len(stage.hints()) == 1


def test_thread_of_a_sticky_agent_is_followed(stage: RouterStage) -> None:
    stage.agent()
    stage.agent("ag-2", "Bea")
    chat = stage.chat(is_group=True)
    stage.wire(chat, engage_mode=STICKY)
    stage.wire(chat, "ag-2", engage_mode=STICKY)
    stage.worker("double", threads=True)

    stage.send(message(1, is_mention=True, thread_id="t-1"))
    stage.spin(lambda: len(stage.hints()) == 2)

    assert stage.hints() == [SetTyping(CHAT, "t-1"), Subscribe(CHAT, "t-1")]


def test_unsafe_platform_ids_become_safe_row_ids(stage: RouterStage) -> None:
    stage.agent()
    stage.wire(stage.chat())
    event: InboundEvent = message(1, message_id="spaces/../x/m.1")

    stage.send(event, event)
    stage.settle()

    (row,) = stage.rows_of()
    assert row.id.startswith("msg-")
    assert row.platform_message_id == "spaces/../x/m.1"
