"""A lock on an SQLite file that another process holds, as a container can."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_CODE = """
import sqlite3, sys
conn = sqlite3.connect(sys.argv[1], isolation_level=None)
conn.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def locked_exclusively(path: Path) -> Iterator[None]:
    """Nobody can read the file meanwhile."""
    process = subprocess.Popen(
        [sys.executable, "-c", _CODE, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"held\n"
        yield
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()


_KILLED_CODE = """
import os, sqlite3, sys
conn = sqlite3.connect(sys.argv[1], isolation_level=None)
conn.execute("PRAGMA cache_size=1")
conn.execute("BEGIN IMMEDIATE")
for n in range(400):
    conn.execute("INSERT INTO session_state VALUES (?, ?, 'now')", (str(n), "x" * 500))
os.kill(os.getpid(), 9)
"""


def leave_hot_journal(path: Path) -> None:
    """As a runner does that is killed in the middle of a commit."""
    subprocess.run([sys.executable, "-c", _KILLED_CODE, str(path)], check=False)
    assert path.with_name(f"{path.name}-journal").exists()
