import sqlite3

import pytest
from helpers.approval_people import add_person
from helpers.central_rows import NOW, add_agent_group, seconds

from nanoclaw.approvals.entitlement import is_entitled, read_approvers, read_owners
from nanoclaw.model import Role


@pytest.fixture(autouse=True)
def _people(conn: sqlite3.Connection) -> None:
    for group in ("ag-1", "ag-2"):
        add_agent_group(conn, group)
    add_person(conn, "tg:owner-2", Role.OWNER, granted_at=NOW + seconds(2))
    add_person(conn, "tg:owner-1", Role.OWNER, granted_at=NOW + seconds(1))
    add_person(conn, "tg:admin", Role.ADMIN)
    add_person(conn, "tg:scoped", Role.ADMIN, "ag-1")
    add_person(conn, "tg:other", Role.ADMIN, "ag-2")
    add_person(conn, "tg:nobody")


@pytest.mark.parametrize(
    ("agent_group_id", "expected"),
    [
        ("ag-1", ("tg:scoped", "tg:admin", "tg:owner-1", "tg:owner-2")),
        ("ag-2", ("tg:other", "tg:admin", "tg:owner-1", "tg:owner-2")),
        (None, ("tg:admin", "tg:owner-1", "tg:owner-2")),
    ],
)
def test_t34_approvers_come_in_order_of_scope_and_grant(
    conn: sqlite3.Connection, agent_group_id: str | None, expected: tuple[str, ...]
) -> None:
    assert read_approvers(conn, agent_group_id) == expected
    assert read_owners(conn) == ("tg:owner-1", "tg:owner-2")


def test_t34_nobody_is_nobody(conn: sqlite3.Connection) -> None:
    conn.execute("DELETE FROM user_roles")

    assert read_approvers(conn, "ag-1") == read_approvers(conn, None) == ()


@pytest.mark.parametrize(
    ("user_id", "agent_group_id", "counts"),
    [
        ("tg:scoped", "ag-1", True),
        ("tg:scoped", "ag-2", False),
        ("tg:scoped", None, False),
        ("tg:admin", "ag-1", True),
        ("tg:admin", None, True),
        ("tg:owner-1", None, True),
        ("tg:nobody", "ag-1", False),
        ("tg:stranger", "ag-1", False),
        ("agent:ag-1", "ag-1", False),
        ("host", "ag-1", True),
    ],
)
def test_w4_who_counts(
    conn: sqlite3.Connection, user_id: str, agent_group_id: str | None, *, counts: bool
) -> None:
    assert is_entitled(conn, user_id, agent_group_id) is counts
