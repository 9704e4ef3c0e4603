import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from helpers.central_rows import NOW, add_agent_group, add_user
from hypothesis import given, settings
from hypothesis import strategies as st

from nanoclaw.db import members, roles
from nanoclaw.db.connection import open_memory
from nanoclaw.db.members import Member
from nanoclaw.db.migrations import migrate
from nanoclaw.model import Role, RoleGrant, SenderScope, UnknownSenderPolicy
from nanoclaw.permissions.access import (
    AccessReason,
    Refusal,
    Standing,
    judge_access,
    judge_scope,
)
from nanoclaw.permissions.identity import namespaced_platform_id, user_id_of
from nanoclaw.permissions.rights import read_standing

PUBLIC, STRICT = UnknownSenderPolicy.PUBLIC, UnknownSenderPolicy.STRICT
ASK = UnknownSenderPolicy.REQUEST_APPROVAL
MEMBER = Standing("x:1", is_known=True, member_of=frozenset({"ag-1"}))
KNOWN = Standing("x:1", is_known=True)
NOBODY = Standing("x:1")


@pytest.fixture
def conn() -> Iterator[sqlite3.Connection]:
    with closing(open_memory()) as conn:
        migrate(conn)
        add_agent_group(conn, "ag-1")
        add_agent_group(conn, "ag-2", name="Bea")
        yield conn


@pytest.mark.parametrize(
    ("role", "scope", "first", "second"),
    [
        (None, None, AccessReason.NOT_MEMBER, AccessReason.NOT_MEMBER),
        (Role.OWNER, None, AccessReason.OWNER, AccessReason.OWNER),
        (Role.ADMIN, None, AccessReason.GLOBAL_ADMIN, AccessReason.GLOBAL_ADMIN),
        (Role.ADMIN, "ag-1", AccessReason.ADMIN_OF_GROUP, AccessReason.NOT_MEMBER),
    ],
    ids=["known", "owner", "global admin", "scoped admin"],
)
def test_t29_rights_by_role(
    conn: sqlite3.Connection,
    role: Role | None,
    scope: str | None,
    first: AccessReason,
    second: AccessReason,
) -> None:
    add_user(conn, "x:1")
    if role is not None:
        roles.grant(conn, RoleGrant("x:1", role, NOW, scope))

    standing = read_standing(conn, "x:1")

    assert standing.rights_over("ag-1") is first
    assert standing.rights_over("ag-2") is second


def test_t29_unknown_user_is_denied_with_that_reason(conn: sqlite3.Connection) -> None:
    standing = read_standing(conn, "x:nobody")

    assert standing.rights_over("ag-1") is AccessReason.UNKNOWN_USER
    assert not standing.may_talk_to("ag-1")


def test_t29_member_only_in_its_group_and_scoped_admin_counts_as_member(
    conn: sqlite3.Connection,
) -> None:
    for user_id in ("x:member", "x:admin"):
        add_user(conn, user_id)
    members.add(conn, Member("x:member", "ag-1", NOW))
    roles.grant(conn, RoleGrant("x:admin", Role.ADMIN, NOW, "ag-1"))

    member, admin = read_standing(conn, "x:member"), read_standing(conn, "x:admin")

    assert [member.may_talk_to("ag-1"), member.may_talk_to("ag-2")] == [True, False]
    assert [admin.may_talk_to("ag-1"), admin.may_talk_to("ag-2")] == [True, False]
    assert [member.is_admin_of("ag-1"), admin.is_admin_of("ag-1")] == [False, True]


def test_whoever_holds_the_terminal_is_the_operator(conn: sqlite3.Connection) -> None:
    standing = read_standing(conn, "cli:local", is_operator=True)

    assert standing.rights_over("ag-1") is AccessReason.OPERATOR
    assert standing.is_admin_of("ag-2")


@pytest.mark.parametrize(
    ("policy", "standing", "expected"),
    [
        (PUBLIC, NOBODY, None),
        (STRICT, NOBODY, Refusal("unknown_sender_strict", audited=True)),
        (STRICT, KNOWN, Refusal("unknown_sender_strict", audited=True)),
        (ASK, NOBODY, Refusal("unknown_sender_request_approval", audited=True, asks=True)),
        (STRICT, MEMBER, None),
        (ASK, MEMBER, None),
    ],
)
def test_access_gate(
    policy: UnknownSenderPolicy, standing: Standing, expected: Refusal | None
) -> None:
    assert judge_access(policy, standing, "ag-1") == expected


@pytest.mark.parametrize(
    ("scope", "standing", "expected"),
    [
        (SenderScope.ALL, NOBODY, None),
        (SenderScope.KNOWN, NOBODY, "sender_scope_unknown_user"),
        (SenderScope.KNOWN, KNOWN, "sender_scope_not_member"),
        (None, KNOWN, "sender_scope_not_member"),
        (None, MEMBER, None),
        (SenderScope.KNOWN, MEMBER, None),
    ],
)
def test_sender_scope_gate_writes_no_audit_and_asks_nobody(
    scope: SenderScope | None, standing: Standing, expected: str | None
) -> None:
    refusal = judge_scope(scope, standing, "ag-1")

    assert refusal == (None if expected is None else Refusal(expected))


@pytest.mark.parametrize(
    ("kind", "sender_id", "expected"),
    [
        ("telegram", "5", "telegram:5"),
        ("telegram", "telegram:5", "telegram:5"),
        ("discord", "telegram:5", "discord:telegram:5"),
        ("matrix", "@a:example.org", "matrix:@a:example.org"),
        ("teams", "29:abc", "29:abc"),
        ("discord", "29:abc", "discord:29:abc"),
        ("telegram", "telegramx:5", "telegram:telegramx:5"),
    ],
)
def test_w5_user_id_comes_from_the_channels_own_prefix_only(
    kind: str, sender_id: str, expected: str
) -> None:
    assert user_id_of(kind, sender_id) == expected


@settings(deadline=None, max_examples=100)
@given(st.sampled_from(["telegram", "discord", "cli"]), st.text(min_size=1, max_size=20))
def test_w5_nobody_becomes_a_user_of_another_channel(kind: str, sender_id: str) -> None:
    assert user_id_of(kind, sender_id).startswith(f"{kind}:")


@pytest.mark.parametrize(
    ("channel", "raw", "expected"),
    [
        ("telegram", "5", "telegram:5"),
        ("telegram", "telegram:5", "telegram:5"),
        ("whatsapp", "49@s.whatsapp.net", "49@s.whatsapp.net"),
        ("signal", "+49151", "+49151"),
        ("signal", "group:abc", "group:abc"),
        ("deltachat", "12", "12"),
    ],
)
def test_platform_ids_made_by_hand_are_those_that_adapters_send(
    channel: str, raw: str, expected: str
) -> None:
    assert namespaced_platform_id(channel, raw) == expected
