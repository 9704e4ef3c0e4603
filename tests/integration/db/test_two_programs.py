"""Programs that start, migrate and create at the same moment, as real processes."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from helpers import programs

from contract.clock import utc_now
from nanoclaw.db import agent_groups
from nanoclaw.db.connection import open_central
from nanoclaw.db.migrations import MIGRATIONS, applied, migrate, pending
from nanoclaw.model import AgentGroup

ROOT = Path(__file__).parents[3]
PROGRAMS = 4
WAIT_SECONDS = 60

MIGRATE = """
conn = open_central(Path(sys.argv[1]))
print(len(migrate(conn)))
"""

CREATE_SESSIONS = """
conn = open_central(Path(sys.argv[1]))
for number in range(100):
    key = f"key-{number}"
    with transaction(conn):
        session = sessions.find_active(conn, key) or sessions.create(
            conn,
            NewSession(new_id("sess"), "ag-1", None, None, SessionMode.SHARED, key, utc_now()),
        )
    print(session.id)
"""

CREATE_SESSIONS_BLINDLY = """
conn = open_central(Path(sys.argv[1]))
for number in range(100):
    print(sessions.create(
        conn, NewSession(new_id("sess"), "ag-1", None, None, SessionMode.AGENT_SHARED,
                         f"key-{number}", utc_now())).id)
"""

TAKE_LEASES = """
from datetime import timedelta
conn = open_central(Path(sys.argv[1]))
for _ in range(100):
    print(sessions.acquire_lease(conn, "sess-1", "same owner", utc_now(), timedelta(minutes=1)))
"""

PREPARE = """
import sys
from pathlib import Path
from contract.clock import utc_now
from contract.ids import new_id
from nanoclaw.db import sessions
from nanoclaw.db.connection import open_central, transaction
from nanoclaw.db.migrations import migrate
from nanoclaw.model import NewSession, SessionMode
print("ready", flush=True)
sys.stdin.readline()
"""

Unpack = Callable[[str], Path]


def run_together(program: str, path: Path) -> list[list[str]]:
    """What each of the programs printed; all are let loose at the same moment."""
    return programs.run_together([(PREPARE + program, str(path))] * PROGRAMS)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "data" / "v2.db"
    with closing(open_central(path)) as conn:
        migrate(conn)
        agent_groups.create(conn, AgentGroup("ag-1", "Andy", "andy", utc_now()))
    return path


def test_programs_that_make_a_database_at_once_make_one(tmp_path: Path) -> None:
    path = tmp_path / "new" / "data" / "v2.db"

    counts = run_together(MIGRATE, path)

    assert sorted(int(line) for lines in counts for line in lines)[-1] == len(MIGRATIONS)
    assert sum(int(line) for lines in counts for line in lines) == len(MIGRATIONS)


@pytest.mark.parametrize("level", ["level-01", "level-09", "level-13", "v2-full"])
def test_programs_that_migrate_at_once_apply_each_migration_once(
    unpack: Unpack, level: str
) -> None:
    path = unpack(level)

    counts = run_together(MIGRATE, path)

    with closing(open_central(path)) as conn:
        assert pending(conn) == []
        ours = [line for line in applied(conn) if line.name.startswith("nanoclaw-")]
        assert [line.name for line in ours] == [item.name for item in MIGRATIONS if item.number]
        assert conn.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    already = int(level[-2:]) if level.startswith("level") else 13
    assert sum(int(line) for lines in counts for line in lines) == len(MIGRATIONS) - already


@pytest.mark.parametrize("program", [CREATE_SESSIONS, CREATE_SESSIONS_BLINDLY])
def test_programs_that_need_the_same_session_get_the_same_one(path: Path, program: str) -> None:
    found = run_together(program, path)

    assert len(found[0]) == 100
    assert all(ids == found[0] for ids in found)


def test_programs_never_get_the_same_lease_token(path: Path) -> None:
    with closing(open_central(path)) as conn:
        conn.execute(
            "INSERT INTO sessions (id, agent_group_id, created_at) VALUES ('sess-1', 'ag-1', 'x')"
        )

    tokens = [int(token) for lines in run_together(TAKE_LEASES, path) for token in lines]

    assert sorted(tokens) == list(range(1, PROGRAMS * 100 + 1))
