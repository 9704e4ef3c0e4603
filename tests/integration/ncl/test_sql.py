"""``nanoclaw sql``: scenarios 47 to 53."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from helpers.ncl_program import environment

COMMAND = (sys.executable, "-m", "nanoclaw", "sql")


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "some.db"
    with closing(sqlite3.connect(path)) as conn:
        conn.executescript(
            "CREATE TABLE things (id INTEGER PRIMARY KEY, name TEXT);"
            "INSERT INTO things VALUES (1, 'one'), (2, NULL), (3, 'a;b')"
        )
    return path


def sql(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, words)],
        cwd="/",
        env=environment(),
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


def names(path: Path) -> list[str | None]:
    with closing(sqlite3.connect(path)) as conn:
        return [row[0] for row in conn.execute("SELECT name FROM things ORDER BY id")]


def test_scenario_47_48_rows_have_bars_between_and_nothing_for_null(database: Path) -> None:
    result = sql(database, "SELECT id, name FROM things WHERE id < 3 ORDER BY id")

    assert (result.returncode, result.stdout, result.stderr) == (0, "1|one\n2|\n", "")


def test_scenario_49_no_rows_are_no_output(database: Path) -> None:
    assert sql(database, "SELECT * FROM things WHERE id > 9").stdout == ""


def test_scenario_50_what_is_inserted_stays(database: Path) -> None:
    assert sql(database, "INSERT INTO things VALUES (4, 'four')").returncode == 0

    assert names(database) == ["one", None, "a;b", "four"]


def test_scenario_51_several_statements_are_carried_out_in_their_order(database: Path) -> None:
    lines = "DELETE FROM things; INSERT INTO things VALUES (7, 'x;y'); SELECT name FROM things;"

    assert sql(database, lines).stdout == "x;y\n"
    assert names(database) == ["x;y"]


def test_scenario_52_with_and_delete_is_a_change(database: Path) -> None:
    line = "WITH old AS (SELECT 1 AS id) DELETE FROM things WHERE id IN (SELECT id FROM old)"

    assert (sql(database, line).stdout, names(database)) == ("", [None, "a;b"])


def test_scenario_53_words_that_are_missing_end_with_status_2(database: Path) -> None:
    result = sql(database)

    assert result.returncode == 2
    assert "usage" in result.stderr


def test_trigger_is_one_statement(database: Path) -> None:
    lines = (
        "CREATE TRIGGER t AFTER INSERT ON things BEGIN UPDATE things SET name = 'seen' WHERE id ="
        " new.id; END; INSERT INTO things VALUES (5, 'five'); SELECT name FROM things WHERE id = 5"
    )

    assert sql(database, lines).stdout == "seen\n"


@pytest.mark.parametrize("line", ["SELEC 1", "SELECT * FROM nothing", "SELECT 'open"])
def test_what_is_no_sql_is_told_in_one_line(database: Path, line: str) -> None:
    result = sql(database, line)

    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith(f"nanoclaw: {database}: ")


def test_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    result = sql(tmp_path / "none.db", "SELECT 1")

    assert (result.returncode, "no database" in result.stderr) == (1, True)
    assert list(tmp_path.iterdir()) == []


def test_file_of_an_agent_is_not_opened(tmp_path: Path, database: Path) -> None:
    folder = tmp_path / "data" / "v2-sessions" / "ag-1" / "sess-1" / "out"
    folder.mkdir(parents=True)
    database.rename(folder / "outbound.db")
    (tmp_path / "link.db").symlink_to(folder / "outbound.db")

    for path in (folder / "outbound.db", tmp_path / "link.db"):
        result = sql(path, "SELECT 1")
        assert (result.returncode, "not opened" in result.stderr) == (1, True)
