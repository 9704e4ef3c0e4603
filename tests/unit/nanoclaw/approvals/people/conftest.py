import sqlite3

import pytest
from helpers.people import Town, build_town


@pytest.fixture
def town(conn: sqlite3.Connection) -> Town:
    return build_town(conn)
