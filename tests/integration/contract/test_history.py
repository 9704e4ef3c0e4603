"""The host's looks into a session's file, beside those who write it."""

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from helpers.reading_rows import chat_row, task_row

from contract.clock import utc_now
from contract.errors import SchemaMismatch, SessionFileBusy, SessionFileMissing
from contract.inbound.history import read_after, read_by_id, read_task
from contract.inbound.writer import create_inbound, open_inbound

NOW = utc_now()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "inbound.db"
    create_inbound(made)
    with open_inbound(made) as writer:
        writer.insert_message(chat_row("m-1", "one", NOW))
        writer.insert_message(task_row("plants", "water", NOW))
        writer.insert_message(task_row("plants", "more", NOW + timedelta(1), row_id="plants-2"))
    return made


def test_rows_are_read_on_from_a_number(path: Path) -> None:
    first = read_after(path, 0, 2)
    rest = read_after(path, first[-1].seq, 10)

    assert [row.id for row in (*first, *rest)] == ["m-1", "plants", "plants-2"]


def test_one_row_is_found_by_its_id(path: Path) -> None:
    row = read_by_id(path, "m-1")

    assert row is not None
    assert row.kind == "chat"
    assert read_by_id(path, "m-2") is None


def test_the_newest_row_of_a_series_is_found(path: Path) -> None:
    row = read_task(path, "plants")

    assert row is not None
    assert row.id == "plants-2"
    assert read_task(path, "m-1") is None


def test_a_file_that_is_being_written_keeps_nobody(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as conn:
        conn.execute("BEGIN EXCLUSIVE")
        with pytest.raises(SessionFileBusy):
            read_after(path, 0, 1)


def test_a_file_that_is_not_there_is_missing(tmp_path: Path) -> None:
    with pytest.raises(SessionFileMissing):
        read_by_id(tmp_path / "inbound.db", "m-1")


def test_a_file_of_a_newer_program_is_refused(path: Path) -> None:
    with closing(sqlite3.connect(path)) as conn:
        conn.execute("PRAGMA user_version = 999")

    with pytest.raises(SchemaMismatch):
        read_task(path, "plants")
