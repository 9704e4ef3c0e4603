import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from helpers.central_rows import NOW
from hypothesis import given, settings
from hypothesis import strategies as st

from nanoclaw.containers.group_folder import is_valid_folder
from nanoclaw.db import agent_groups, container_configs
from nanoclaw.db.connection import open_memory, transaction
from nanoclaw.db.migrations import migrate
from nanoclaw.sessions.new_group import create_agent_group, folder_name


@pytest.fixture
def conn() -> Iterator[sqlite3.Connection]:
    with closing(open_memory()) as conn:
        migrate(conn)
        yield conn


@pytest.mark.parametrize(
    ("name", "taken", "expected"),
    [
        pytest.param("Research Team", set[str](), "research-team", id="plain"),
        pytest.param("Research Team", {"research-team"}, "research-team-2", id="taken"),
        pytest.param("a", {"a", "a-2", "a-3"}, "a-4", id="taken often"),
        pytest.param("Global", set[str](), "global-2", id="shared memory"),
        pytest.param("../../etc", set[str](), "etc", id="path"),
        pytest.param("日本", set[str](), "unnamed", id="no letter that fits"),
        pytest.param("x" * 100, set[str](), "x" * 64, id="long"),
        pytest.param("x" * 100, {"x" * 64}, "x" * 62 + "-2", id="long and taken"),
        pytest.param("x" * 63 + " y", set[str](), "x" * 63, id="cut at a blank"),
    ],
)
def test_folder_is_made_from_the_name(name: str, taken: set[str], expected: str) -> None:
    assert folder_name(name, taken) == expected


@given(st.text(max_size=200), st.sets(st.text(alphabet="ab-2", max_size=4), max_size=30))
@settings(deadline=None, max_examples=300)
def test_w53_folder_of_any_name_is_valid_and_free(name: str, taken: set[str]) -> None:
    folder = folder_name(name, taken)

    assert is_valid_folder(folder)
    assert folder not in taken


def test_group_has_its_configuration_and_keeps_its_name(conn: sqlite3.Connection) -> None:
    with transaction(conn):
        first = create_agent_group(conn, " Ada ", NOW)
        second = create_agent_group(conn, "ada", NOW)

    assert (first.name, first.folder) == ("Ada", "ada")
    assert second.folder == "ada-2"
    assert agent_groups.get(conn, first.id) == first
    assert container_configs.get(conn, second.id) is not None
