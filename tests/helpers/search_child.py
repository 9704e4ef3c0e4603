"""A process that keeps a search index, or one that makes work for it; until it is done or killed.

Usage: ``python -m helpers.search_child index HOME`` or ``... write HOME SESSION COUNT``.
"""

import sys
from pathlib import Path

from helpers.reading_rows import chat_row, hear, say

from contract.clock import utc_now
from nanoclaw.admin.search_index import Indexer
from nanoclaw.db import sessions
from nanoclaw.db.connection import open_central
from nanoclaw.paths import HostPaths
from nanoclaw.reactor import Reactor


def index(home: Path) -> None:
    """One row at a time, so that there are many moments to be killed in."""
    indexer = Indexer(Reactor(), HostPaths(home))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        indexer.work(utc_now())


def write(home: Path, session_id: str, count: int) -> None:
    paths = HostPaths(home)
    conn = open_central(paths.central_db)
    session = sessions.get(conn, session_id)
    assert session is not None
    for number in range(count):
        hear(conn, paths, session, chat_row(f"in-{number}", f"heard {number} things", utc_now()))
        say(conn, number, f"said {number} things", utc_now(), session_id=session_id)
    conn.close()


if __name__ == "__main__":
    if sys.argv[1] == "index":
        index(Path(sys.argv[2]))
    else:
        write(Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
