import re
import sqlite3
from pathlib import Path

from contract.inbound import schema as inbound_schema
from contract.outbound import schema as outbound_schema

ROOT = Path(__file__).parents[4]
TEXT = (ROOT / "docs" / "databases.md").read_text()


def words_in_code() -> set[str]:
    return set(re.findall(r"`([^`]+)`", TEXT))


def test_document_names_every_table_of_the_central_database(conn: sqlite3.Connection) -> None:
    tables = {row[0] for row in conn.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}

    assert tables - words_in_code() == set()


def test_document_names_every_table_of_the_session_files() -> None:
    statements = (*inbound_schema.TABLES, *outbound_schema.TABLES)
    tables = {re.split(r"\s+", statement.strip())[5] for statement in statements}

    assert tables - words_in_code() == set()


def test_every_file_that_the_document_names_exists() -> None:
    files = {word for word in words_in_code() if word.endswith(".py")}

    assert [file for file in files if not (ROOT / file).is_file()] == []
