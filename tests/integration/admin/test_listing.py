"""``list`` and ``get`` of every resource that has them: N-51, N-55, N-56, N-58."""

import pytest
from helpers.admin_desk import NOW, AdminDesk

from nanoclaw.admin.commands import host_registry
from nanoclaw.db import agent_groups, users
from nanoclaw.model import AgentGroup, User

TABLES = (
    "approvals", "destinations", "dropped-messages", "groups", "members", "messaging-groups",
    "roles", "sessions", "user-dms", "users", "wirings",
)  # fmt: skip


@pytest.mark.parametrize("plural", TABLES)
def test_list_has_the_declared_columns_in_their_order(desk: AdminDesk, plural: str) -> None:
    resource = host_registry().resource(plural)
    assert resource is not None
    for column in resource.columns:
        for order in (column.name, f"{column.name}:desc", column.name.replace("_", "-")):
            desk.get(f"{plural} list", order=order)

    for row in desk.get(f"{plural} list"):
        assert list(row) == [column.name for column in resource.columns]


@pytest.mark.parametrize("plural", TABLES)
def test_every_column_that_is_not_generated_is_a_filter(desk: AdminDesk, plural: str) -> None:
    resource = host_registry().resource(plural)
    assert resource is not None
    for column in resource.columns:
        if column.generated:
            assert desk.fail(f"{plural} list", **{column.name: "x"})[0] == "invalid-args"
        else:
            value = "1" if column.kind != "string" else (column.choices or ("x",))[0]
            assert isinstance(desk.get(f"{plural} list", **{column.name: value}), list)


def test_filters_are_added_up(desk: AdminDesk) -> None:
    for number in range(4):
        name = f"name-{number % 2}"
        users.upsert(desk.conn, User(f"telegram:{number}", "telegram", NOW, name))

    assert len(desk.get("users list", kind="telegram", display_name="name-1")) == 2
    assert desk.get("users list", kind="nobody") == []
    assert desk.get("users list", display_name="'; DROP TABLE users; --") == []


def test_null_as_a_value_finds_what_is_empty(desk: AdminDesk) -> None:
    users.upsert(desk.conn, User("x:1", "x", NOW))
    users.upsert(desk.conn, User("x:2", "x", NOW, "Ada"))

    assert [row["id"] for row in desk.get("users list", kind="x", display_name="null")] == ["x:1"]
    assert [row["id"] for row in desk.get("users list", kind="x", display_name="")] == ["x:1"]


def test_pages_follow_each_other(desk: AdminDesk) -> None:
    for number in range(5):
        users.upsert(desk.conn, User(f"x:{number}", "x", NOW))

    pages = [
        [row["id"] for row in desk.get("users list", kind="x", limit="2", offset=str(offset))]
        for offset in (0, 2, 4)
    ]

    assert pages == [["x:0", "x:1"], ["x:2", "x:3"], ["x:4"]]
    backwards = desk.get("users list", kind="x", order="id:desc", limit="1")
    assert backwards[0]["id"] == "x:4"


@pytest.mark.parametrize(
    "args",
    [
        {"limit": "0"}, {"limit": "10001"}, {"limit": "ten"}, {"limit": True}, {"offset": "-1"},
        {"order": "nonsense"}, {"order": "id:up"}, {"order": "id; DROP TABLE users"},
        {"kind": True}, {"nonsense": "1"}, {"id": "x"},
    ],
)  # fmt: skip
def test_n56_list_refuses_what_makes_no_sense(desk: AdminDesk, args: dict[str, str | bool]) -> None:
    words = "groups list" if "id" in args else "users list"

    assert desk.fail(words, **args)[0] == "invalid-args"


def test_limit_is_200_unless_said_otherwise(desk: AdminDesk) -> None:
    for number in range(230):
        users.upsert(desk.conn, User(f"x:{number}", "x", NOW))

    assert len(desk.get("users list", kind="x")) == 200
    assert len(desk.get("users list", kind="x", limit="10000")) == 230


def test_n51_agent_finds_its_own_rows_behind_those_of_others(desk: AdminDesk) -> None:
    for number in range(210):
        group = AgentGroup(f"ag-0{number}", "x", f"x{number}", NOW.replace(year=2000))
        agent_groups.create(desk.conn, group)

    rows = desk.get("groups list", desk.agent())

    assert [row["id"] for row in rows] == [desk.group_id]


@pytest.mark.parametrize(
    ("plural", "name"),
    [("groups", "group"), ("messaging-groups", "messaging-group"), ("wirings", "wiring"),
     ("users", "user"), ("sessions", "session"), ("approvals", "approval")],
)  # fmt: skip
def test_n58_get_names_what_is_missing(desk: AdminDesk, plural: str, name: str) -> None:
    assert desk.fail(f"{plural} get") == ("invalid-args", f"{name} id is required")
    assert desk.fail(f"{plural} get no-such-id") == ("not-found", f"{name} not found: no-such-id")
