import sqlite3
from dataclasses import replace

import pytest
from helpers.central_rows import NOW, add_agent_group, add_chat, add_user, seconds, seed, wiring

from nanoclaw.capabilities import UncertainPolicy
from nanoclaw.db import agent_groups, destinations, messaging_groups, users, wirings
from nanoclaw.db.agent_groups import AgentGroupChange
from nanoclaw.db.connection import transaction
from nanoclaw.db.destinations import NewDestination
from nanoclaw.db.messaging_groups import MessagingGroupChange
from nanoclaw.db.rows import UNSET
from nanoclaw.db.users import UserChange
from nanoclaw.db.wirings import WiringChange
from nanoclaw.model import (
    EngageMode,
    IgnoredMessagePolicy,
    SenderScope,
    SessionMode,
    TargetType,
    UnknownSenderPolicy,
    User,
)


def names(conn: sqlite3.Connection, agent_group_id: str = "ag-1") -> list[str]:
    return [row.local_name for row in destinations.of_agent_group(conn, agent_group_id)]


def test_agent_groups_are_listed_by_name(conn: sqlite3.Connection) -> None:
    assert not agent_groups.any_exists(conn)
    for agent_group_id, name in (("ag-1", "Zoe"), ("ag-2", "Ada")):
        add_agent_group(conn, agent_group_id, name=name)

    assert [group.name for group in agent_groups.list_all(conn)] == ["Ada", "Zoe"]
    assert agent_groups.any_exists(conn)
    by_folder = agent_groups.get_by_folder(conn, "ag-2")
    assert by_folder == agent_groups.get(conn, "ag-2")


def test_two_agent_groups_never_share_a_folder(conn: sqlite3.Connection) -> None:
    group = add_agent_group(conn)

    with pytest.raises(sqlite3.IntegrityError):
        agent_groups.create(conn, replace(group, id="ag-2"))


def test_update_writes_only_the_fields_that_are_given(conn: sqlite3.Connection) -> None:
    add_agent_group(conn)

    assert agent_groups.update(conn, "ag-1", AgentGroupChange(agent_provider="claude"))
    assert agent_groups.update(conn, "ag-1", AgentGroupChange(name="Bo"))
    group = agent_groups.get(conn, "ag-1")
    assert group is not None
    assert (group.name, group.agent_provider) == ("Bo", "claude")
    assert agent_groups.update(conn, "ag-1", AgentGroupChange(agent_provider=None))
    assert agent_groups.get(conn, "ag-1") == replace(group, agent_provider=None)


def test_update_without_fields_does_nothing(conn: sqlite3.Connection) -> None:
    assert not agent_groups.update(conn, "ag-1", AgentGroupChange())
    assert repr(AgentGroupChange().name) == repr(UNSET) == "UNSET"


def test_agent_group_with_a_session_cannot_be_deleted(conn: sqlite3.Connection) -> None:
    seed(conn)

    with pytest.raises(sqlite3.IntegrityError):
        agent_groups.delete(conn, "ag-1")


def test_chat_is_found_by_its_address_with_wirings_by_priority(conn: sqlite3.Connection) -> None:
    chat = add_chat(conn)
    for number, priority in ((1, 0), (2, 10), (3, 5)):
        add_agent_group(conn, f"ag-{number}")
        wirings.create(
            conn, replace(wiring(f"mga-{number}", agent=f"ag-{number}"), priority=priority)
        )

    found = messaging_groups.get_by_address(conn, "telegram", chat.platform_id)

    assert found is not None
    assert found.group == chat
    assert [item.agent_group_id for item in found.wirings] == ["ag-2", "ag-3", "ag-1"]
    assert messaging_groups.get_by_address(conn, "slack", chat.platform_id) is None


def test_chat_is_unique_per_channel_and_platform_id(conn: sqlite3.Connection) -> None:
    chat = add_chat(conn)

    assert messaging_groups.find_or_create(conn, replace(chat, id="mg-2")) == chat
    with pytest.raises(sqlite3.IntegrityError):
        messaging_groups.create(conn, replace(chat, id="mg-2"))


def test_chats_are_listed_by_name(conn: sqlite3.Connection) -> None:
    add_chat(conn, "mg-1", name="Work")
    add_chat(conn, "mg-2", name="Family", channel_type="slack")

    assert [chat.name for chat in messaging_groups.list_all(conn)] == ["Family", "Work"]


def test_chat_can_be_changed_refused_and_moved(conn: sqlite3.Connection) -> None:
    chat = add_chat(conn)
    add_chat(conn, "mg-2")

    messaging_groups.update(
        conn,
        chat.id,
        MessagingGroupChange(
            name="Home", is_group=True, unknown_sender_policy=UnknownSenderPolicy.PUBLIC
        ),
    )
    messaging_groups.set_denied(conn, chat.id, NOW)

    assert messaging_groups.move(conn, chat.id, "new-id")
    assert not messaging_groups.move(conn, "mg-2", "new-id")
    assert messaging_groups.get(conn, chat.id) == replace(
        chat,
        name="Home",
        is_group=True,
        unknown_sender_policy=UnknownSenderPolicy.PUBLIC,
        denied_at=NOW,
        platform_id="new-id",
    )
    messaging_groups.set_denied(conn, chat.id, None)
    again = messaging_groups.get(conn, chat.id)
    assert again is not None
    assert again.denied_at is None


def test_wired_chat_cannot_be_deleted(conn: sqlite3.Connection) -> None:
    seed(conn)
    wirings.create(conn, wiring())

    with pytest.raises(sqlite3.IntegrityError):
        messaging_groups.delete(conn, "mg-1")


def test_unwired_chat_can_be_deleted(conn: sqlite3.Connection) -> None:
    add_chat(conn)

    assert messaging_groups.delete(conn, "mg-1")
    assert not messaging_groups.delete(conn, "mg-1")


def test_new_wiring_permits_the_agent_to_answer(conn: sqlite3.Connection) -> None:
    seed(conn)

    wirings.create(conn, wiring())

    assert names(conn) == ["family"]
    assert destinations.has_channel(conn, "ag-1", "mg-1")
    row = destinations.get(conn, "ag-1", "family")
    assert row is not None
    assert (row.target_type, row.target_id, row.created_at) == (TargetType.CHANNEL, "mg-1", NOW)


def test_destination_of_a_nameless_chat_is_named_after_channel_and_id(
    conn: sqlite3.Connection,
) -> None:
    add_agent_group(conn)
    add_chat(conn, "mg-123456789", name=None)

    wirings.create(conn, wiring(chat="mg-123456789"))

    assert names(conn) == ["telegram-mg-12345"]


def test_destinations_of_one_agent_with_equal_names_get_numbers(conn: sqlite3.Connection) -> None:
    add_agent_group(conn)
    for number in (1, 2, 3):
        add_chat(conn, f"mg-{number}")
        wirings.create(conn, wiring(f"mga-{number}", f"mg-{number}"))

    assert sorted(names(conn)) == ["family", "family-2", "family-3"]


def test_recreated_wiring_leaves_exactly_one_destination(conn: sqlite3.Connection) -> None:
    seed(conn)
    wirings.create(conn, wiring())
    assert wirings.delete(conn, "mga-1")

    wirings.create(conn, wiring("mga-2"))

    assert names(conn) == ["family"]


def test_wiring_of_an_unknown_chat_leaves_nothing_behind(conn: sqlite3.Connection) -> None:
    add_agent_group(conn)

    with pytest.raises(sqlite3.IntegrityError):
        wirings.create(conn, wiring(chat="nobody"))

    assert wirings.list_all(conn) == []
    assert names(conn) == []


def test_wiring_belongs_to_the_transaction_of_its_caller(conn: sqlite3.Connection) -> None:
    seed(conn)

    with pytest.raises(RuntimeError), transaction(conn):
        wirings.create(conn, wiring())
        raise RuntimeError

    assert wirings.list_all(conn) == []
    assert names(conn) == []


def test_wiring_is_read_back_and_changed(conn: sqlite3.Connection) -> None:
    seed(conn)
    created = wiring()
    wirings.create(conn, created)
    change = WiringChange(
        engage_mode=EngageMode.PATTERN_OR_MENTION,
        engage_pattern="^!",
        sender_scope=SenderScope.KNOWN,
        ignored_message_policy=IgnoredMessagePolicy.ACCUMULATE,
        session_mode=SessionMode.PER_THREAD,
        priority=3,
        sticky_seconds=60,
        uncertain_policy=UncertainPolicy.HOLD,
    )

    assert wirings.get(conn, "mga-1") == created
    assert wirings.update(conn, "mga-1", change)
    changed = wirings.get_by_pair(conn, "mg-1", "ag-1")
    assert changed == replace(
        created,
        engage_mode=EngageMode.PATTERN_OR_MENTION,
        engage_pattern="^!",
        sender_scope=SenderScope.KNOWN,
        ignored_message_policy=IgnoredMessagePolicy.ACCUMULATE,
        session_mode=SessionMode.PER_THREAD,
        priority=3,
        sticky_seconds=60,
        uncertain_policy=UncertainPolicy.HOLD,
    )
    assert wirings.of_agent_group(conn, "ag-1") == [changed]


def test_unknown_words_in_a_wiring_read_as_none(conn: sqlite3.Connection) -> None:
    seed(conn)
    wirings.create(conn, wiring())
    conn.execute(
        "UPDATE messaging_group_agents SET engage_mode = 'telepathy', sender_scope = NULL,"
        " session_mode = NULL, priority = NULL"
    )

    found = wirings.get(conn, "mga-1")

    assert found is not None
    assert (found.engage_mode, found.sender_scope, found.session_mode) == (None, None, None)
    assert found.priority == 0


def test_destinations_find_agents_and_those_that_point_at_them(conn: sqlite3.Connection) -> None:
    for number in (1, 2, 3):
        add_agent_group(conn, f"ag-{number}")
    for number in (1, 2):
        destinations.create_with_free_name(
            conn, NewDestination(f"ag-{number}", "helper", TargetType.AGENT, "ag-3", NOW)
        )

    assert destinations.has_agent(conn, "ag-1", "ag-3")
    assert not destinations.has_agent(conn, "ag-3", "ag-1")
    assert not destinations.has_channel(conn, "ag-1", "ag-3")
    pointing = destinations.pointing_at(conn, TargetType.AGENT, "ag-3")
    assert {row.agent_group_id for row in pointing} == {"ag-1", "ag-2"}
    assert destinations.delete(conn, "ag-1", "helper")
    assert destinations.delete_pointing_at(conn, TargetType.AGENT, "ag-3") == {"ag-2"}


def test_destination_name_is_unique_per_agent(conn: sqlite3.Connection) -> None:
    seed(conn)
    wirings.create(conn, wiring())
    row = destinations.get(conn, "ag-1", "family")
    assert row is not None

    with pytest.raises(sqlite3.IntegrityError):
        destinations.create(conn, row)


def test_upsert_keeps_the_display_name_unless_there_is_a_new_one(conn: sqlite3.Connection) -> None:
    user = User("telegram:1", "telegram", NOW, "Mara")
    users.upsert(conn, user)

    users.upsert(conn, User("telegram:1", "telegram", NOW + seconds(5)))
    assert users.get(conn, "telegram:1") == user
    users.upsert(conn, replace(user, display_name="Mara K."))
    assert users.get(conn, "telegram:1") == replace(user, display_name="Mara K.")


def test_meeting_a_known_user_changes_nothing(conn: sqlite3.Connection) -> None:
    user = add_user(conn)

    assert not users.add_if_new(conn, replace(user, display_name="Other"))
    assert users.get(conn, user.id) == user
    assert users.add_if_new(conn, replace(user, id="slack:1", kind="slack"))


def test_users_are_listed_oldest_first_changed_and_deleted(conn: sqlite3.Connection) -> None:
    users.upsert(conn, User("b:2", "b", NOW + seconds(1)))
    users.upsert(conn, User("a:1", "a", NOW + seconds(2)))

    assert [user.id for user in users.list_all(conn)] == ["b:2", "a:1"]
    assert users.update(conn, "b:2", UserChange(display_name="Bo", kind="c"))
    assert users.get(conn, "b:2") == User("b:2", "c", NOW + seconds(1), "Bo")
    assert users.delete(conn, "b:2")
    assert users.get(conn, "b:2") is None
