import os
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from nanoclaw.db import agent_groups
from nanoclaw.db.connection import SCHEMA_NUMBER, open_central, open_read_only, transaction
from nanoclaw.db.migrations import applied, migrate
from nanoclaw.errors import StateError

Unpack = Callable[[str], Path]


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def content_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def pragma(conn: sqlite3.Connection, name: str) -> object:
    return conn.execute(f"PRAGMA {name}").fetchone()[0]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "data" / "v2.db"


def make_newer(path: Path) -> None:
    with closing(open_central(path)) as conn:
        migrate(conn)
        conn.execute(f"PRAGMA user_version = {SCHEMA_NUMBER + 1}")


def test_fresh_database_and_its_folder_belong_to_us_alone(path: Path) -> None:
    with closing(open_central(path)) as conn:
        migrate(conn)

        assert mode_of(path.parent) == 0o700
        assert {mode_of(file) for file in path.parent.iterdir()} == {0o600}


def test_connection_is_durable_and_checks_references(path: Path) -> None:
    with closing(open_central(path)) as conn:
        assert pragma(conn, "journal_mode") == "wal"
        assert pragma(conn, "synchronous") == 2
        assert pragma(conn, "foreign_keys") == 1
        assert pragma(conn, "busy_timeout") == 5000
        assert pragma(conn, "trusted_schema") == 0
        assert pragma(conn, "wal_autocheckpoint") == 1000
        assert conn.isolation_level is None


def test_rows_are_there_after_reopening(path: Path) -> None:
    with closing(open_central(path)) as conn:
        migrate(conn)
        first = applied(conn)

    with closing(open_central(path)) as conn:
        assert migrate(conn) == []
        assert applied(conn) == first


def test_path_with_odd_characters_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "a ?mode=memory&b#%41 é" / "v2.db"

    open_central(path).close()

    assert path.is_file()


def test_missing_database_is_not_made_unless_wanted(path: Path) -> None:
    with pytest.raises(StateError, match="no database at"):
        open_central(path, create=False)
    with pytest.raises(StateError, match="no database at"):
        open_read_only(path)

    assert not path.parent.exists()


def test_empty_file_is_a_fresh_database(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.touch()

    with closing(open_central(path)) as conn:
        assert migrate(conn) != []


def test_newer_database_is_refused_and_not_touched(path: Path) -> None:
    make_newer(path)
    before = content_of(path.parent)

    for opener in (open_central, open_read_only):
        with pytest.raises(StateError) as refusal:
            opener(path)
        text = str(refusal.value)
        assert "\n" not in text
        for word in (f"schema {SCHEMA_NUMBER + 1}", f"knows {SCHEMA_NUMBER}", "newer nanoclaw",
                     "nanoclaw backup restore"):  # fmt: skip
            assert word in text

    after = content_of(path.parent)
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) <= {"v2.db-shm", "v2.db-wal"}


def test_newer_database_is_refused_while_the_newer_program_runs(path: Path) -> None:
    with closing(open_central(path)) as conn:
        migrate(conn)
        conn.execute(f"PRAGMA user_version = {SCHEMA_NUMBER + 1}")
        before = path.read_bytes()

        with pytest.raises(StateError, match="newer nanoclaw"):
            open_central(path)

        assert path.read_bytes() == before


@pytest.mark.parametrize(
    "content",
    [
        b"this is no database, and it is longer than a header " * 40,
        b"SQLite format 3\x00" + b"\xff" * 4080,
    ],
    ids=["text", "broken header"],
)
def test_file_that_is_no_database_is_refused_and_not_touched(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(content)

    for opener in (open_central, open_read_only):
        with pytest.raises(StateError) as refusal:
            opener(path)
        assert str(path) in str(refusal.value)
        assert "nanoclaw backup restore" in str(refusal.value)
        assert "\n" not in str(refusal.value)

    assert content_of(path.parent) == {"v2.db": content}


def test_truncated_database_is_refused(unpack: Unpack) -> None:
    path = unpack("level-13")
    path.write_bytes(path.read_bytes()[:5000])
    before = path.read_bytes()

    with pytest.raises(StateError, match="damaged"):
        open_central(path)

    assert path.read_bytes() == before


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["folder", "pipe"])
def test_thing_that_is_no_file_is_refused_without_waiting(
    path: Path, make: Callable[[Path], None]
) -> None:
    path.parent.mkdir(parents=True)
    make(path)

    with pytest.raises(StateError, match="is not a file"):
        open_central(path)
    with pytest.raises(StateError, match="is not a file"):
        open_read_only(path)


def test_dangling_link_is_refused(path: Path, tmp_path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.symlink_to(tmp_path / "elsewhere.db")

    with pytest.raises(StateError, match="is not a file"):
        open_central(path)

    assert not (tmp_path / "elsewhere.db").exists()


def test_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file where the folder should be")

    with pytest.raises(StateError) as refusal:
        open_central(tmp_path / "home" / "data" / "v2.db")

    assert "cannot" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_missing_rights_are_named(path: Path) -> None:
    with closing(open_central(path)) as conn:
        migrate(conn)
    child = os.fork()
    if child == 0:  # rights do not bind root, so somebody else looks
        os._exit(_try_without_rights(path))
    _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 0


def _try_without_rights(path: Path) -> int:
    """0 when the refusal speaks of rights. Runs in a forked child that has no connection."""
    if os.getuid() == 0:
        os.chown(path, 0, 0)
        os.setgid(65534)
        os.setuid(65534)
    else:
        path.chmod(0)
    try:
        open_central(path)
    except StateError as error:
        text = str(error)
        return 0 if "\n" not in text and ("Permission" in text or "rights" in text) else 2
    return 1


def test_read_only_connection_reads_beside_a_writer_and_writes_nothing(path: Path) -> None:
    with closing(open_central(path)) as writer:
        migrate(writer)
        with closing(open_read_only(path)) as reader, transaction(writer):
            assert agent_groups.list_all(reader) == []
            with pytest.raises(sqlite3.OperationalError):
                reader.execute("DELETE FROM users")


def test_second_connection_of_a_process_leaves_the_first_ones_locks_alone(path: Path) -> None:
    """Closing any handle on the file would drop them; looking first must not do that."""
    with closing(open_central(path)) as first:
        migrate(first)
        with transaction(first):
            open_read_only(path).close()
            open_central(path).close()
            rival = sqlite3.connect(path, timeout=0)
            with closing(rival), pytest.raises(sqlite3.OperationalError, match="locked"):
                rival.execute("BEGIN IMMEDIATE")


def test_database_without_a_log_is_switched_to_one(unpack: Unpack) -> None:
    path = unpack("level-13")
    with closing(sqlite3.connect(path)) as old:
        old.execute("PRAGMA journal_mode=DELETE")

    with closing(open_central(path)) as conn:
        migrate(conn)
        assert pragma(conn, "journal_mode") == "wal"
