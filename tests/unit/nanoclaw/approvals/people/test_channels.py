import sqlite3
from dataclasses import replace
from datetime import timedelta

import pytest
from helpers.central_rows import NOW, add_agent_group, add_chat
from helpers.people import (
    GLOBAL,
    OWNER,
    SCOPED,
    STRANGER,
    Town,
    audited,
    click,
    event_json,
    grant,
    hold,
    released,
    said,
    typed,
    unknown_chat,
)

from contract.clock import to_text
from nanoclaw.approvals import answers, channels
from nanoclaw.approvals.channels import CARDS, EXPIRES_AFTER
from nanoclaw.approvals.intercept import intercept
from nanoclaw.approvals.naming import OWED_FOR
from nanoclaw.db import (
    agent_groups,
    chat_requests,
    container_configs,
    destinations,
    dms,
    inbound_events,
    members,
    messaging_groups,
    roles,
    users,
    wirings,
)
from nanoclaw.db.dms import UserDm
from nanoclaw.db.messaging_groups import MessagingGroupChange
from nanoclaw.events import ActionOutcome, ReplyTarget
from nanoclaw.model import (
    EngageMode,
    IgnoredMessagePolicy,
    MessagingGroup,
    Role,
    SenderScope,
    SessionMode,
    Wiring,
)


@pytest.fixture
def card(conn: sqlite3.Connection, town: Town) -> str:
    """Somebody has addressed us in a group that no agent is wired to; the message is held."""
    request_id = channels.request(conn, unknown_chat(town.chat), NOW)
    assert request_id is not None
    hold(conn, request_id)
    return request_id


def value(conn: sqlite3.Connection, card_id: str, option: str) -> str:
    """The button with this value, as platforms send it: its position."""
    found = CARDS.find(conn, card_id)
    assert found is not None
    return str([item.value for item in found.options].index(option))


def card_of(conn: sqlite3.Connection, chat: MessagingGroup) -> str:
    row = chat_requests.get(conn, chat.id)
    assert row is not None
    return row.card_id


def wiring_of(conn: sqlite3.Connection, chat: MessagingGroup) -> Wiring:
    [wiring] = wirings.of_chat(conn, chat.id)
    return wiring


# --- the first card -------------------------------------------------------------------------------


def test_t33_mention_in_a_group_makes_one_card_that_names_the_only_agent(
    conn: sqlite3.Connection, town: Town
) -> None:
    first = channels.request(conn, unknown_chat(town.chat), NOW)
    second = channels.request(conn, unknown_chat(town.chat), NOW)

    assert first == second == town.chat.id
    [card] = CARDS.created(conn, 10)
    assert card.card_id == town.chat.id
    assert [item.value for item in card.options] == ["connect:ag-1", "new_agent", "reject"]
    assert card.options[0].label == "Connect to Andy"
    assert card.agent_group_id is None
    assert "`Family`" in card.question


def test_t33_direct_message_makes_a_card_of_its_own_wording(
    conn: sqlite3.Connection, town: Town
) -> None:
    channels.request(conn, unknown_chat(town.chat, is_group=False), NOW)

    [card] = CARDS.created(conn, 10)
    assert card.title == "New direct chat"
    assert "wrote to me directly" in card.question


def test_t33_without_somebody_to_ask_there_is_no_card(conn: sqlite3.Connection, town: Town) -> None:
    roles.revoke(conn, OWNER, Role.OWNER, None)
    grant(conn, SCOPED, Role.ADMIN, town.agent.id)

    assert channels.request(conn, unknown_chat(town.chat), NOW) is None
    assert chat_requests.list_all(conn) == []


def test_t33_without_agents_there_is_no_card(conn: sqlite3.Connection, town: Town) -> None:
    agent_groups.delete(conn, town.agent.id)

    assert channels.request(conn, unknown_chat(town.chat), NOW) is None
    assert chat_requests.list_all(conn) == []


def test_chats_that_wait_are_bounded(conn: sqlite3.Connection, town: Town) -> None:
    asked = [
        channels.request(conn, unknown_chat(add_chat(conn, f"mg-x{number}")), NOW)
        for number in range(channels.MAX_WAITING + 1)
    ]

    assert asked[-1] is None
    assert None not in asked[:-1]


# --- decisions ------------------------------------------------------------------------------------


def test_t33_connecting_a_group_wires_it_for_mentions_and_lets_the_message_go_on(
    conn: sqlite3.Connection, town: Town, card: str
) -> None:
    result = answers.answer(conn, click(card, "0"), NOW)

    assert result.outcome is ActionOutcome.ACCEPTED
    assert result.chosen_label == "Connected to Andy"
    wiring = wiring_of(conn, town.chat)
    assert wiring.agent_group_id == town.agent.id
    assert wiring.engage_mode is EngageMode.MENTION_STICKY
    assert wiring.sender_scope is SenderScope.KNOWN
    assert wiring.ignored_message_policy is IgnoredMessagePolicy.ACCUMULATE
    assert (wiring.session_mode, wiring.priority) == (SessionMode.SHARED, 0)
    assert members.has_row(conn, STRANGER, town.agent.id)
    assert destinations.has_channel(conn, town.agent.id, town.chat.id)
    assert chat_requests.list_all(conn) == []
    assert released(conn) == ["e-1"]
    assert audited(conn) == [("chat.connected", OWNER)]


def test_t33_connecting_a_direct_chat_wires_it_for_everything(
    conn: sqlite3.Connection, town: Town
) -> None:
    chat = add_chat(conn, "mg-2", name=None)
    channels.request(conn, unknown_chat(chat, is_group=False), NOW)

    answers.answer(conn, click("mg-2", "0"), NOW)

    wiring = wiring_of(conn, chat)
    assert (wiring.engage_mode, wiring.engage_pattern) == (EngageMode.PATTERN, ".")


@pytest.mark.parametrize(
    ("stored", "said", "expected"),
    [
        pytest.param(True, True, EngageMode.MENTION_STICKY, id="group"),
        pytest.param(False, True, EngageMode.MENTION_STICKY, id="group known as direct chat"),
        pytest.param(True, None, EngageMode.MENTION_STICKY, id="event says nothing"),
        pytest.param(True, False, EngageMode.PATTERN, id="direct chat known as group"),
        pytest.param(False, None, EngageMode.PATTERN, id="direct, event says nothing"),
    ],
)
def test_w38_group_without_threads_is_a_group(
    conn: sqlite3.Connection, town: Town, stored: bool, said: bool | None, expected: EngageMode
) -> None:
    messaging_groups.update(conn, town.chat.id, MessagingGroupChange(is_group=stored))
    chat = unknown_chat(town.chat, is_group=bool(said))
    told = event_json(town.chat.platform_id, is_group=said)
    asked = channels.UnknownChat(chat.messaging_group, bool(said), STRANGER, "Bo", told)
    channels.request(conn, asked, NOW)

    answers.answer(conn, click(town.chat.id, "0"), NOW)

    assert wiring_of(conn, town.chat).engage_mode is expected


def test_t33_rejecting_silences_the_chat(conn: sqlite3.Connection, town: Town, card: str) -> None:
    result = answers.answer(conn, click(card, "2"), NOW)

    assert result.outcome is ActionOutcome.ACCEPTED
    chat = messaging_groups.get(conn, town.chat.id)
    assert chat is not None
    assert chat.denied_at == NOW
    assert chat_requests.list_all(conn) == []
    assert (released(conn), inbound_events.count_waiting(conn, card)) == ([], 0)
    assert audited(conn) == [("chat.denied", OWNER)]


def test_t33_click_of_a_stranger_changes_nothing(
    conn: sqlite3.Connection, town: Town, card: str
) -> None:
    for place in ("0", "1", "2", "9"):
        result = answers.answer(conn, click(card, place, STRANGER), NOW)
        assert result.outcome is ActionOutcome.NOT_ALLOWED

    assert [row.messaging_group_id for row in chat_requests.list_all(conn)] == [card]
    assert wirings.of_chat(conn, town.chat.id) == []
    assert said(conn) == []


@pytest.mark.parametrize(
    ("role", "scope", "answer", "expected"),
    [
        pytest.param(Role.ADMIN, None, "connect:ag-1", ActionOutcome.ACCEPTED, id="global"),
        pytest.param(Role.ADMIN, None, "reject", ActionOutcome.ACCEPTED, id="global rejects"),
        pytest.param(Role.ADMIN, "ag-1", "connect:ag-1", ActionOutcome.ACCEPTED, id="own agent"),
        pytest.param(Role.ADMIN, "ag-1", "connect:ag-2", ActionOutcome.NOT_ALLOWED, id="other"),
        pytest.param(Role.ADMIN, "ag-1", "reject", ActionOutcome.NOT_ALLOWED, id="scoped rejects"),
        pytest.param(Role.ADMIN, "ag-1", "new_agent", ActionOutcome.NOT_ALLOWED, id="scoped new"),
        pytest.param(
            Role.ADMIN, "ag-1", "choose_existing", ActionOutcome.NOT_ALLOWED, id="scoped chooses"
        ),
    ],
)
def test_w8_scoped_administrator_decides_only_for_the_own_agent(
    conn: sqlite3.Connection, town: Town, card: str, role: Role, scope: str | None, answer: str,
    expected: ActionOutcome,
) -> None:  # fmt: skip
    add_agent_group(conn, "ag-2", name="Zoe")
    grant(conn, GLOBAL, role, scope)

    assert answers.answer(conn, click(card, answer, GLOBAL), NOW).outcome is expected


def test_agent_that_is_gone_ends_the_request_and_the_next_mention_asks_again(
    conn: sqlite3.Connection, town: Town
) -> None:
    gone = add_agent_group(conn, "ag-0", name="Aaron")
    agent_groups.delete(conn, town.agent.id)
    card = channels.request(conn, unknown_chat(town.chat), NOW)
    assert card is not None
    add_agent_group(conn, "ag-2", name="Zoe")
    conn.execute("UPDATE pending_channel_approvals SET agent_group_id = 'ag-2'")
    agent_groups.delete(conn, gone.id)

    assert answers.answer(conn, click(card, "0"), NOW).outcome is ActionOutcome.EXPIRED
    assert chat_requests.list_all(conn) == []
    assert channels.request(conn, unknown_chat(town.chat), NOW) == town.chat.id


def test_chat_that_somebody_wired_meanwhile_keeps_its_wiring(
    conn: sqlite3.Connection, town: Town, card: str
) -> None:
    wirings.create(conn, Wiring("mga-1", town.chat.id, town.agent.id, NOW))

    assert answers.answer(conn, click(card, "0"), NOW).outcome is ActionOutcome.ACCEPTED
    assert wiring_of(conn, town.chat).id == "mga-1"


def test_second_decision_learns_of_the_first(
    conn: sqlite3.Connection, town: Town, card: str
) -> None:
    answers.answer(conn, click(card, "2"), NOW)

    result = answers.answer(conn, click(card, "0"), NOW)

    assert (result.outcome, result.chosen_label) == (ActionOutcome.ALREADY_ANSWERED, "Ignored")
    assert wirings.of_chat(conn, town.chat.id) == []


# --- the second card ------------------------------------------------------------------------------


@pytest.fixture
def choice(conn: sqlite3.Connection, town: Town) -> str:
    """Two agents; somebody has asked to choose between them. The second card's id."""
    add_agent_group(conn, "ag-2", name="Zoe")
    channels.request(conn, unknown_chat(town.chat), NOW)
    hold(conn, town.chat.id)
    CARDS.mark_sent(conn, town.chat.id, OWNER, NOW)
    first = value(conn, town.chat.id, "choose_existing")
    assert answers.answer(conn, click(town.chat.id, first), NOW).outcome is ActionOutcome.ACCEPTED
    return card_of(conn, town.chat)


def test_choosing_brings_a_second_card_with_every_agent_to_who_asked(
    conn: sqlite3.Connection, town: Town, choice: str
) -> None:
    [card] = CARDS.created(conn, 10)

    assert choice != town.chat.id
    assert card.card_id == choice
    assert card.prefer == OWNER
    assert [item.value for item in card.options] == ["connect:ag-1", "connect:ag-2", "reject"]


def test_second_card_connects_the_chosen_agent(
    conn: sqlite3.Connection, town: Town, choice: str
) -> None:
    answers.answer(conn, click(choice, "1"), NOW)

    assert wiring_of(conn, town.chat).agent_group_id == "ag-2"
    assert released(conn) == ["e-1"]


def test_press_on_the_first_card_never_means_an_option_of_the_second(
    conn: sqlite3.Connection, town: Town, choice: str
) -> None:
    result = answers.answer(conn, click(town.chat.id, "0"), NOW)

    assert result.outcome is ActionOutcome.ALREADY_ANSWERED
    assert result.chosen_label == "An agent is being chosen"
    assert wirings.of_chat(conn, town.chat.id) == []


# --- a new agent ----------------------------------------------------------------------------------


@pytest.fixture
def owed(conn: sqlite3.Connection, town: Town, card: str) -> str:
    """The owner wants a new agent and has been asked for its name."""
    new_agent = value(conn, card, "new_agent")
    assert answers.answer(conn, click(card, new_agent), NOW).outcome is ActionOutcome.ACCEPTED
    return card


def test_new_agent_asks_for_a_name_in_the_direct_chat(
    conn: sqlite3.Connection, town: Town, owed: str
) -> None:
    [question] = said(conn)

    assert question.platform_id == town.owner_chat.platform_id
    assert "name" in question.content
    row = chat_requests.owing_name(conn, OWNER)
    assert row is not None
    assert row.messaging_group_id == town.chat.id


def test_second_press_on_new_agent_asks_once(
    conn: sqlite3.Connection, town: Town, owed: str
) -> None:
    answers.answer(conn, click(owed, value(conn, owed, "new_agent")), NOW)

    assert len(said(conn)) == 1


def test_new_agent_does_not_get_a_folder_that_is_there(
    conn: sqlite3.Connection, town: Town, owed: str
) -> None:
    """It may have the memory of an agent that is gone."""
    intercept(conn, replace(typed("Helper"), folders=lambda: ["helper", "Helper-2"]), NOW)

    assert "helper-3" in [group.folder for group in agent_groups.list_all(conn)]


def test_decision_at_the_hosts_own_socket_is_nobodys_membership(
    conn: sqlite3.Connection, town: Town, card: str
) -> None:
    [group] = agent_groups.list_all(conn)
    agent = value(conn, card, f"connect:{group.id}")
    answers.answer(conn, click(card, agent, "host", chat=""), NOW)

    [wiring] = wirings.of_chat(conn, town.chat.id)
    assert members.has_row(conn, STRANGER, wiring.agent_group_id)
    assert users.get(conn, "host") is None


def test_name_makes_the_agent_and_connects_the_chat(
    conn: sqlite3.Connection, town: Town, owed: str
) -> None:
    consumed = intercept(conn, typed("Jürgen's helper"), NOW)

    assert consumed is not None
    wiring = wiring_of(conn, town.chat)
    group = agent_groups.get(conn, wiring.agent_group_id)
    assert group is not None
    assert (group.name, group.folder) == ("Jürgen's helper", "j-rgen-s-helper")
    assert container_configs.get(conn, group.id) is not None
    assert wiring.engage_mode is EngageMode.MENTION_STICKY
    assert members.has_row(conn, STRANGER, group.id)
    assert released(conn) == ["e-1"]
    assert "is ready" in said(conn)[-1].content
    assert audited(conn) == [("agent.created", OWNER), ("chat.connected", OWNER)]
    assert intercept(conn, typed("Another", key="t-2"), NOW) is None


@pytest.mark.parametrize(
    ("user_id", "chat"),
    [
        pytest.param(STRANGER, "platform-mg-dm", id="somebody else there"),
        pytest.param(OWNER, "platform-mg-1", id="the debtor elsewhere"),
    ],
)
def test_only_the_debtor_is_heard_and_only_where_the_name_was_asked(
    conn: sqlite3.Connection, town: Town, owed: str, user_id: str, chat: str
) -> None:
    assert intercept(conn, typed("Helper", user_id, chat=chat), NOW) is None
    assert wirings.of_chat(conn, town.chat.id) == []


@pytest.mark.parametrize("text", ["cancel", "/status", "  ", "x" * 81, "two\nlines", "?!"])
def test_w39_message_that_is_no_name_ends_the_debt_and_the_card_comes_again(
    conn: sqlite3.Connection, town: Town, owed: str, text: str
) -> None:
    consumed = intercept(conn, typed(text), NOW)

    assert consumed is not None
    assert chat_requests.owing_name(conn, OWNER) is None
    [card] = CARDS.created(conn, 10)
    assert card.card_id == card_of(conn, town.chat) != owed
    assert [group.name for group in agent_groups.list_all(conn)] == ["Andy"]


def test_w39_debt_ends_by_itself_and_the_message_goes_to_the_agent(
    conn: sqlite3.Connection, town: Town, owed: str
) -> None:
    assert intercept(conn, typed("Good morning"), NOW + OWED_FOR) is None
    assert chat_requests.owing_name(conn, OWNER) is None
    assert len(CARDS.created(conn, 10)) == 1


def test_w39_name_that_is_never_given_brings_the_card_back(
    conn: sqlite3.Connection, town: Town, owed: str
) -> None:
    end = NOW + OWED_FOR
    assert CARDS.next_expiry(conn) == end

    CARDS.expire(conn, end)

    assert CARDS.next_expiry(conn) == NOW + EXPIRES_AFTER
    assert chat_requests.owing_name(conn, OWNER) is None
    [card] = CARDS.created(conn, 10)
    assert card.card_id != owed


def test_debtor_who_lost_the_role_names_nothing(
    conn: sqlite3.Connection, town: Town, owed: str
) -> None:
    roles.revoke(conn, OWNER, Role.OWNER, None)

    assert intercept(conn, typed("Helper"), NOW) is None
    assert [group.name for group in agent_groups.list_all(conn)] == ["Andy"]


def test_second_debt_brings_the_first_question_back(
    conn: sqlite3.Connection, town: Town, owed: str
) -> None:
    other = add_chat(conn, "mg-2", name="Club")
    channels.request(conn, unknown_chat(other), NOW)

    answers.answer(conn, click("mg-2", value(conn, "mg-2", "new_agent")), NOW)

    row = chat_requests.owing_name(conn, OWNER)
    assert row is not None
    assert row.messaging_group_id == "mg-2"
    waiting = {card.card_id for card in CARDS.created(conn, 10)}
    assert card_of(conn, town.chat) in waiting
    assert card_of(conn, town.chat) != owed


def test_name_cannot_be_asked_for_in_a_group(
    conn: sqlite3.Connection, town: Town, card: str
) -> None:
    pressed = click(card, value(conn, card, "new_agent"), chat=town.chat.platform_id)

    result = answers.answer(conn, pressed, NOW)

    assert result.outcome is ActionOutcome.NOT_ALLOWED
    assert "direct chat" in result.title
    assert said(conn) == []


@pytest.mark.parametrize("name", ["Global", "GLOBAL", " global "])
def test_w53_agent_named_global_gets_a_folder_of_its_own(
    conn: sqlite3.Connection, town: Town, owed: str, name: str
) -> None:
    intercept(conn, typed(name), NOW)

    folders = {group.folder for group in agent_groups.list_all(conn)}
    assert "global-2" in folders
    assert "global" not in folders


# --- the end --------------------------------------------------------------------------------------


def test_w39_unanswered_card_expires_and_the_next_mention_asks_again(
    conn: sqlite3.Connection, town: Town, card: str
) -> None:
    end = NOW + EXPIRES_AFTER
    assert CARDS.next_expiry(conn) == end

    CARDS.expire(conn, end)

    assert inbound_events.count_waiting(conn, card) == 0
    assert answers.answer(conn, click(card, "0"), end).outcome is ActionOutcome.EXPIRED
    assert channels.request(conn, unknown_chat(town.chat), end) == town.chat.id
    assert answers.answer(conn, click(card, "0"), end).outcome is ActionOutcome.ACCEPTED


def test_w39_card_that_reaches_nobody_ends(conn: sqlite3.Connection, town: Town, card: str) -> None:
    CARDS.nobody_reachable(conn, card, "no channel", NOW)

    assert chat_requests.list_all(conn) == []
    assert audited(conn) == [("chat.expired", "host")]
    assert channels.request(conn, unknown_chat(town.chat), NOW) == town.chat.id


def test_click_and_message_after_the_end_find_it_over_before_the_timer(
    conn: sqlite3.Connection, town: Town, card: str
) -> None:
    end = NOW + EXPIRES_AFTER + timedelta(seconds=1)

    assert answers.answer(conn, click(card, "0"), end).outcome is ActionOutcome.EXPIRED
    assert wirings.of_chat(conn, town.chat.id) == []


def test_row_of_the_earlier_program_is_decided_and_its_message_goes_on(
    conn: sqlite3.Connection, town: Town
) -> None:
    told = event_json(town.chat.platform_id, is_group=True, sender="77")
    conn.execute(
        "INSERT INTO pending_channel_approvals (messaging_group_id, agent_group_id,"
        " original_message, approver_user_id, created_at, title, options_json, expires_at)"
        " VALUES (?, ?, ?, ?, ?, 'Channel', ?, ?)",
        (
            town.chat.id,
            town.agent.id,
            told,
            OWNER,
            to_text(NOW),
            '[{"label":"Connect","selectedLabel":"Connected","value":"connect:ag-1"}]',
            to_text(NOW + EXPIRES_AFTER),
        ),
    )

    result = answers.answer(conn, click(town.chat.id, "connect:ag-1"), NOW)

    assert result.outcome is ActionOutcome.ACCEPTED
    assert wiring_of(conn, town.chat).engage_mode is EngageMode.MENTION_STICKY
    assert members.has_row(conn, "telegram:77", town.agent.id)
    assert [event.event_json for event in inbound_events.released(conn, 10)] == [told]


@pytest.mark.parametrize("value", ["7", "connect:ag-9", "sing"])
def test_value_that_means_nothing_leaves_the_request_open(
    conn: sqlite3.Connection, town: Town, card: str, value: str
) -> None:
    assert answers.answer(conn, click(card, value), NOW).outcome is ActionOutcome.UNKNOWN
    assert [row.card_id for row in chat_requests.list_all(conn)] == [card]


def test_chat_that_was_refused_before_is_heard_again_once_connected(
    conn: sqlite3.Connection, town: Town, card: str
) -> None:
    messaging_groups.set_denied(conn, town.chat.id, NOW)

    answers.answer(conn, click(card, "0"), NOW)

    chat = messaging_groups.get(conn, town.chat.id)
    assert chat is not None
    assert chat.denied_at is None


def test_name_is_asked_for_in_the_known_direct_chat_when_pressed_elsewhere(
    conn: sqlite3.Connection, town: Town, card: str
) -> None:
    dms.upsert(conn, UserDm(OWNER, "telegram", town.owner_chat.id, NOW))
    pressed = click(card, value(conn, card, "new_agent"), chat=town.chat.platform_id)

    assert answers.answer(conn, pressed, NOW).outcome is ActionOutcome.ACCEPTED
    assert said(conn)[0].platform_id == town.owner_chat.platform_id


def test_words_of_the_operator_for_an_agent_are_never_taken_for_a_name(
    conn: sqlite3.Connection, town: Town, owed: str
) -> None:
    incoming = typed("Helper")
    injected = replace(incoming.event, answer_to=ReplyTarget("cli", "local"))

    assert intercept(conn, replace(incoming, event=injected), NOW) is None
    assert chat_requests.owing_name(conn, OWNER) is not None
