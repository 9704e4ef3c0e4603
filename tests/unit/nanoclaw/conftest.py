import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from nanoclaw.db.connection import open_memory
from nanoclaw.db.migrations import migrate


@pytest.fixture(scope="session")
def migrated_bytes() -> bytes:
    with closing(open_memory()) as conn:
        migrate(conn)
        return conn.serialize()


@pytest.fixture
def conn(migrated_bytes: bytes) -> Iterator[sqlite3.Connection]:
    """An empty database of today, in memory, with the rules of a real one."""
    with closing(open_memory()) as conn:
        conn.deserialize(migrated_bytes)
        yield conn
