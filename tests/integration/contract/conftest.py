"""A session folder with an empty ``in/`` and ``out/``, and copies of older session files."""

import gzip
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from contract.inbound.writer import create_inbound

GOLDEN = Path(__file__).parents[2] / "golden" / "session"


@pytest.fixture
def inbound(tmp_path: Path) -> Path:
    """A fresh ``inbound.db``."""
    path = tmp_path / "in" / "inbound.db"
    path.parent.mkdir()
    create_inbound(path)
    return path


@pytest.fixture
def outbound(tmp_path: Path) -> Path:
    """Where ``outbound.db`` will be; only its folder exists."""
    path = tmp_path / "out" / "outbound.db"
    path.parent.mkdir()
    return path


@pytest.fixture
def out_fd(outbound: Path) -> Iterator[int]:
    """The host's handle of ``out/``."""
    fd = os.open(outbound.parent, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


@pytest.fixture
def golden(tmp_path: Path) -> Callable[[str, str], Path]:
    """Unpacks a copy of one golden file: ``golden("2.0.2", "inbound.db")``."""

    def unpack(version: str, name: str) -> Path:
        target = tmp_path / f"{version}-{name}"
        target.write_bytes(gzip.decompress((GOLDEN / version / f"{name}.gz").read_bytes()))
        return target

    return unpack


HOLDER = """
import sqlite3, sys
conn = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
conn.execute("PRAGMA cache_size=1")
for statement in sys.argv[2:]:
    if statement == "ready":
        print("ready", flush=True)
    else:
        conn.execute(statement).fetchall()
sys.stdin.read()
"""


@pytest.fixture
def hold() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Another process that runs statements on a file and then keeps the connection open.

    Its page cache is one page, so that a large transaction reaches the file before its end.
    """
    started: list[subprocess.Popen[str]] = []

    def start(path: Path, *statements: str) -> subprocess.Popen[str]:
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(path), *statements],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(holder)
        assert holder.stdout is not None
        assert holder.stdout.readline() == "ready\n"
        return holder

    yield start
    for holder in started:
        holder.kill()
        holder.communicate()


@pytest.fixture
def churn() -> Iterator[Callable[..., None]]:
    """Another process that repeats statements until the test is over."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*statements: str) -> None:
        body = "\n    ".join(statements)
        program = f"import os\nwhile True:\n    {body}\n"
        started.append(subprocess.Popen([sys.executable, "-W", "ignore", "-c", program]))

    yield start
    for process in started:
        process.kill()
        process.wait()
