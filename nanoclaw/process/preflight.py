"""Composition root of the ``preflight`` process: state on disk, before anybody works on it.

Runs once, to its end, before the other children. A database that cannot be used is left exactly
as it was found; which errors pass by themselves decides about the exit code.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

from contract.clock import utc_now
from nanoclaw.db.connection import open_central
from nanoclaw.db.container_imports import backfill_container_configs
from nanoclaw.db.migrations import migrate
from nanoclaw.errors import StateError
from nanoclaw.first_agent import ensure_first_agent
from nanoclaw.preflight import NO_SPACE, TryLaterError
from nanoclaw.reserve import Reserve
from nanoclaw.sessions.convert import convert_all
from nanoclaw.supervise.child import ChildContext

PASSING_ERRORS = ("SQLITE_FULL", "SQLITE_BUSY", "SQLITE_IOERR")


def run(context: ChildContext) -> None:
    """Brings the database to today and makes the first agent. Raises NanoclawError."""
    config = context.config
    reserve = Reserve(config.paths.reserve_file)
    reserve.give_back_if_full()
    with _plain_errors(), closing(open_central(config.paths.central_db)) as conn:
        migrate(conn)
        backfill_container_configs(conn, config.paths.groups, utc_now())
        convert_all(conn, config.paths, utc_now())
        ensure_first_agent(conn, config, utc_now())
    reserve.take_if_roomy()


@contextmanager
def _plain_errors() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        if _passes(error):
            raise TryLaterError(
                f"the database cannot be written: {error}; see that the disk has room and works, "
                "and that no other program holds it"
            ) from error
        raise StateError(
            f"the database cannot be used: {error}; look into logs/nanoclaw.log, or bring back "
            "a good one with `nanoclaw backup restore`"
        ) from error
    except StateError as error:
        if _passes(error.__cause__):
            raise TryLaterError(str(error)) from error
        raise


def _passes(cause: BaseException | None) -> bool:
    if isinstance(cause, OSError):
        return cause.errno in NO_SPACE
    if isinstance(cause, sqlite3.Error):
        name: str = getattr(cause, "sqlite_errorname", "")
        return name.startswith(PASSING_ERRORS)
    return False
