"""Data folders of the earlier program (tests/fixtures), unpacked for one test.

``python -m helpers.earlier HOME`` converts the sessions of a home in a process of its own, so that
a test can kill it at a named step.
"""

import os
import sqlite3
import sys
import tarfile
from contextlib import closing
from pathlib import Path

from contract.clock import utc_now
from nanoclaw.db.connection import open_central
from nanoclaw.db.migrations import migrate
from nanoclaw.paths import HostPaths
from nanoclaw.sessions.convert import convert_all

FIXTURES = Path(__file__).parent.parent / "fixtures"
EARLY = "v2-early"
FULL = "v2-full"


def unpack(name: str, folder: Path) -> HostPaths:
    """The data folder as the earlier program left it, but owned by us."""
    uid, gid = os.getuid(), os.getgid()

    def as_ours(member: tarfile.TarInfo, _: str) -> tarfile.TarInfo:
        return member.replace(uid=uid, gid=gid, uname="", gname="", deep=False)

    with tarfile.open(FIXTURES / f"{name}.tar.gz") as archive:
        archive.extractall(folder, filter=as_ours)
    paths = HostPaths(folder / name / "nanoclaw-v2")
    paths.ensure()
    return paths


def old_session(paths: HostPaths, session_id: str) -> Path:
    """The session's folder before it is converted."""
    (found,) = paths.sessions.glob(f"*/{session_id}")
    return found


def table(database: Path, name: str) -> list[dict[str, object]]:
    """All rows of a table in order of rowid, without changing anything at ``database``."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro&immutable=1", uri=True)) as conn:
        conn.row_factory = sqlite3.Row
        return [dict(row) for row in conn.execute(f"SELECT * FROM {name} ORDER BY rowid")]


def convert(paths: HostPaths) -> int:
    """What preflight does with a folder that was taken over."""
    with closing(open_central(paths.central_db)) as conn:
        migrate(conn)
        return convert_all(conn, paths, utc_now())


if __name__ == "__main__":
    convert(HostPaths(Path(sys.argv[1])))
