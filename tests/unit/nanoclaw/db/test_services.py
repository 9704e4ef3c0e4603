import sqlite3
from dataclasses import replace

import pytest
from helpers.central_rows import NOW

from nanoclaw.db import agent_groups, services
from nanoclaw.db.connection import transaction
from nanoclaw.db.services import Service, ServiceKind
from nanoclaw.model import AgentGroup

SERVICE = Service(
    "b", ServiceKind.HEADER, ("api.example.com",), "authorization", "Bearer {secret}", "token",
    NOW, NOW, "host",
)  # fmt: skip


@pytest.fixture
def groups(conn: sqlite3.Connection) -> list[str]:
    for name in ("one", "two"):
        agent_groups.create(conn, AgentGroup(f"ag-{name}", name, name, NOW))
    return ["ag-one", "ag-two"]


def put(conn: sqlite3.Connection, *found: Service) -> None:
    with transaction(conn):
        for service in found:
            services.put(conn, service)


def found(conn: sqlite3.Connection, group: str, host: str, port: int = 443) -> str | None:
    service = services.for_host(conn, group, host, port)
    return None if service is None else service.name


def test_service_comes_back_as_it_was_put(conn: sqlite3.Connection, groups: list[str]) -> None:
    service = replace(
        SERVICE, hosts=("*.example.com", "a.test"), ports=(443, 8443), methods=("GET", "POST"),
        paths=("/v1",), groups=tuple(groups), kind=ServiceKind.BASIC,
    )  # fmt: skip

    put(conn, SERVICE, service)

    assert services.get(conn, "b") == service
    assert services.list_all(conn) == [service]


def test_exact_host_goes_before_longer_and_shorter_wildcards(
    conn: sqlite3.Connection, groups: list[str]
) -> None:
    put(
        conn,
        replace(SERVICE, name="a", hosts=("*.example.com",)),
        replace(SERVICE, name="c", hosts=("*.api.example.com",)),
        SERVICE,
    )

    assert found(conn, "ag-one", "api.example.com") == "b"
    assert found(conn, "ag-one", "x.api.example.com") == "c"
    assert found(conn, "ag-one", "x.example.com") == "a"
    assert found(conn, "ag-one", "example.com") is None
    assert found(conn, "ag-one", "notexample.com") is None


def test_service_of_a_group_goes_before_the_one_for_all(
    conn: sqlite3.Connection, groups: list[str]
) -> None:
    put(conn, replace(SERVICE, name="a"), replace(SERVICE, groups=("ag-one",)))

    assert found(conn, "ag-one", "api.example.com") == "b"
    assert found(conn, "ag-two", "api.example.com") == "a"


def test_service_of_a_group_that_is_gone_is_nobodys(
    conn: sqlite3.Connection, groups: list[str]
) -> None:
    put(conn, replace(SERVICE, groups=("ag-one",)))

    conn.execute("DELETE FROM agent_groups WHERE id = 'ag-one'")

    assert found(conn, "ag-one", "api.example.com") is None
    assert found(conn, "ag-two", "api.example.com") is None


def test_other_ports_get_nothing(conn: sqlite3.Connection, groups: list[str]) -> None:
    put(conn, SERVICE)

    assert found(conn, "ag-one", "api.example.com", 8443) is None


def test_removed_service_leaves_nothing(conn: sqlite3.Connection, groups: list[str]) -> None:
    put(conn, replace(SERVICE, groups=("ag-one",)))

    assert services.remove(conn, "b")

    assert not services.remove(conn, "b")
    for table in ("service_hosts", "service_groups"):
        assert conn.execute(f"SELECT count(*) FROM {table}").fetchone()[0] == 0


def test_host_of_a_request_is_found_by_an_index(conn: sqlite3.Connection) -> None:
    statements: list[str] = []
    put(conn, SERVICE)
    conn.set_trace_callback(statements.append)
    services.for_host(conn, "ag-one", "api.example.com", 443)
    conn.set_trace_callback(None)

    asked = next(text for text in statements if "service_hosts h" in text)
    steps = [row["detail"] for row in conn.execute(f"EXPLAIN QUERY PLAN {asked}")]

    assert any("SEARCH h USING PRIMARY KEY (host=?)" in step for step in steps), steps
