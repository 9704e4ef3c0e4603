import sqlite3
from dataclasses import replace

import pytest
from helpers.central_rows import NOW, add_agent_group, add_chat, add_user, seconds

from nanoclaw.db import dms, dropped, members, roles
from nanoclaw.db.dms import UserDm
from nanoclaw.db.dropped import DroppedMessage
from nanoclaw.db.members import Member
from nanoclaw.model import Role, RoleGrant

DROPPED = DroppedMessage("telegram", "chat-1", "no_agent_wired", NOW)


@pytest.fixture(autouse=True)
def _people(conn: sqlite3.Connection) -> None:
    for user_id in ("u:owner", "u:admin", "u:scoped", "u:member", "u:nobody"):
        add_user(conn, user_id)
    for agent_group_id in ("ag-1", "ag-2"):
        add_agent_group(conn, agent_group_id)
    roles.grant(conn, RoleGrant("u:owner", Role.OWNER, NOW))
    roles.grant(conn, RoleGrant("u:admin", Role.ADMIN, NOW))
    roles.grant(conn, RoleGrant("u:scoped", Role.ADMIN, NOW, "ag-1"))
    members.add(conn, Member("u:member", "ag-1", NOW))


@pytest.mark.parametrize(
    ("user_id", "in_first", "in_second"),
    [
        ("u:owner", True, True),
        ("u:admin", True, True),
        ("u:scoped", True, False),
        ("u:member", False, False),
        ("u:nobody", False, False),
    ],
)
def test_admin_privilege_follows_the_scope_of_the_role(
    conn: sqlite3.Connection, user_id: str, *, in_first: bool, in_second: bool
) -> None:
    assert roles.has_admin_privilege(conn, user_id, "ag-1") is in_first
    assert roles.has_admin_privilege(conn, user_id, "ag-2") is in_second


def test_roles_are_told_apart(conn: sqlite3.Connection) -> None:
    assert roles.is_owner(conn, "u:owner")
    assert not roles.is_owner(conn, "u:admin")
    assert roles.is_global_admin(conn, "u:admin")
    assert not roles.is_global_admin(conn, "u:scoped")
    assert roles.has_any_owner(conn)


def test_privileged_users_are_members_without_a_row(conn: sqlite3.Connection) -> None:
    members_of_first = {
        user for user in ("u:owner", "u:admin", "u:scoped", "u:member", "u:nobody")
        if members.is_member(conn, user, "ag-1")
    }  # fmt: skip

    assert members_of_first == {"u:owner", "u:admin", "u:scoped", "u:member"}
    assert not members.has_row(conn, "u:owner", "ag-1")
    assert not members.is_member(conn, "u:member", "ag-2")


def test_owner_of_one_agent_group_cannot_be_granted(conn: sqlite3.Connection) -> None:
    with pytest.raises(ValueError, match="not limited"):
        roles.grant(conn, RoleGrant("u:nobody", Role.OWNER, NOW, "ag-1"))


def test_global_role_exists_once_per_user(conn: sqlite3.Connection) -> None:
    assert not roles.grant(conn, RoleGrant("u:owner", Role.OWNER, NOW + seconds(1)))
    assert [grant.granted_at for grant in roles.owners(conn)] == [NOW]
    with pytest.raises(sqlite3.IntegrityError):
        conn.execute("INSERT INTO user_roles SELECT * FROM user_roles WHERE role = 'owner'")


def test_admins_come_by_time_of_grant(conn: sqlite3.Connection) -> None:
    roles.grant(conn, RoleGrant("u:member", Role.ADMIN, NOW - seconds(1), "ag-1", "u:owner"))
    roles.grant(conn, RoleGrant("u:nobody", Role.ADMIN, NOW - seconds(1)))

    of_first = roles.admins_of_agent_group(conn, "ag-1")

    assert [grant.user_id for grant in of_first] == ["u:member", "u:scoped"]
    assert of_first[0].granted_by == "u:owner"
    assert [grant.user_id for grant in roles.global_admins(conn)] == ["u:nobody", "u:admin"]


def test_revoking_meets_exactly_the_scope_given(conn: sqlite3.Connection) -> None:
    roles.grant(conn, RoleGrant("u:scoped", Role.ADMIN, NOW))

    assert roles.revoke(conn, "u:scoped", Role.ADMIN, None)
    assert not roles.revoke(conn, "u:scoped", Role.ADMIN, None)
    assert [grant.agent_group_id for grant in roles.of_user(conn, "u:scoped")] == ["ag-1"]


def test_word_that_is_no_role_grants_nothing(conn: sqlite3.Connection) -> None:
    conn.execute("UPDATE user_roles SET role = 'wizard' WHERE user_id = 'u:admin'")

    assert roles.of_user(conn, "u:admin") == []
    assert {grant.user_id for grant in roles.list_all(conn)} == {"u:owner", "u:scoped"}


def test_adding_a_member_twice_is_no_error(conn: sqlite3.Connection) -> None:
    assert not members.add(conn, Member("u:member", "ag-1", NOW, "u:owner"))
    assert members.add(conn, Member("u:nobody", "ag-1", NOW - seconds(1)))

    assert [member.user_id for member in members.list_all(conn)] == [
        "u:nobody",
        "u:member",
    ]
    assert members.remove(conn, "u:member", "ag-1")
    assert not members.remove(conn, "u:member", "ag-1")
    assert len(members.list_all(conn)) == 1


def test_direct_chat_of_a_user_is_replaced_and_forgotten(conn: sqlite3.Connection) -> None:
    add_chat(conn, "mg-1")
    add_chat(conn, "mg-2")
    dms.upsert(conn, UserDm("u:owner", "telegram", "mg-1", NOW))
    newer = UserDm("u:owner", "telegram", "mg-2", NOW + seconds(1))

    dms.upsert(conn, newer)

    assert dms.get(conn, "u:owner", "telegram") == newer
    assert dms.list_all(conn) == [newer]
    assert dms.forget(conn, "u:owner", "telegram")
    assert dms.get(conn, "u:owner", "telegram") is None


def test_dropped_messages_are_counted_per_sender(conn: sqlite3.Connection) -> None:
    dropped.record(conn, replace(DROPPED, user_id="u:1", sender_name="Mara", agent_group_id="a"))
    dropped.record(
        conn,
        replace(DROPPED, user_id="u:1", reason="strict", at=NOW + seconds(9), agent_group_id="b"),
    )
    dropped.record(conn, replace(DROPPED, at=NOW + seconds(5)))

    first, second = dropped.recent(conn)

    assert (first.user_id, first.message_count, first.reason) == ("u:1", 2, "strict")
    assert (first.sender_name, first.agent_group_id) == ("Mara", "a")
    assert (first.first_seen, first.last_seen) == (NOW, NOW + seconds(9))
    assert (second.user_id, second.message_count) == (None, 1)


def test_dropped_messages_are_listed_newest_first_and_bounded(conn: sqlite3.Connection) -> None:
    for number in range(60):
        dropped.record(conn, replace(DROPPED, user_id=f"u:{number}", at=NOW + seconds(number)))

    listed = dropped.recent(conn)

    assert len(listed) == dropped.DEFAULT_LIMIT
    assert listed[0].user_id == "u:59"
