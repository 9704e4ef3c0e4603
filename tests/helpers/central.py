"""A central database in a temporary home, with one agent wired to the terminal."""

import sqlite3
from pathlib import Path

from contract.clock import utc_now
from nanoclaw.config import HostConfig
from nanoclaw.db.connection import open_central
from nanoclaw.db.migrations import migrate
from nanoclaw.first_agent import ensure_first_agent


def make_home(folder: Path) -> tuple[HostConfig, sqlite3.Connection]:
    """A home as ``nanoclaw run`` leaves it at its first start, and a connection to its database."""
    config = HostConfig(folder / "home")
    config.paths.ensure()
    conn = open_central(config.paths.central_db)
    migrate(conn)
    ensure_first_agent(conn, config, utc_now())
    return config, conn
