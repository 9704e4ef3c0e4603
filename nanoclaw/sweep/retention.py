"""Forgets history of the central database that nobody will ask for any more (W-61).

One timer of the ``sweep`` process: a few rows of each table an hour, so that it never holds the
database up, and again soon where more is left. What is kept how long stands in ``KEPT``; the audit
trail is never forgotten, its old rows move into files. Session files have their own rules.
"""

import logging
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from contract.clock import utc_now
from nanoclaw import audit_archive, audit_head
from nanoclaw.db import (
    approvals,
    card_copies,
    closed_cards,
    delivery_history,
    dropped,
    effects,
    engagements,
    inbound_events,
    owner_notices,
    pairing,
    sender_requests,
    tasks,
)
from nanoclaw.errors import NanoclawError
from nanoclaw.reactor import Reactor, Timer

FIRST_SECONDS = 120.0
"""A start has better things to do."""
ROUND_SECONDS = 3600.0
AGAIN_SECONDS = 2.0
ROWS_PER_ROUND = 500
AUDIT_DAYS = 365
"""How long an audit row stays in the table; its file is kept for good."""

Forget = Callable[[sqlite3.Connection, datetime, int], int]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Kept:
    """``forget`` drops at most so many rows that are older than ``days``; how many it dropped."""

    table: str
    days: int
    forget: Forget


def _pairing(conn: sqlite3.Connection, before: datetime, limit: int) -> int:
    del limit  # a code is made by hand, tries are limited
    pairing.prune(conn, before)
    return 0


def _closed_cards(conn: sqlite3.Connection, before: datetime, limit: int) -> int:
    del limit  # one for each decision of a person
    closed_cards.prune(conn, before)
    return 0


def _denials(conn: sqlite3.Connection, before: datetime, limit: int) -> int:
    del limit
    sender_requests.prune_denials(conn, before)
    return 0


def _engagements(conn: sqlite3.Connection, before: datetime, limit: int) -> int:
    del limit  # one row for each thread that an agent has joined lately
    engagements.prune(conn, before)
    return 0


KEPT: tuple[Kept, ...] = (
    Kept("effects", 30, effects.delete_ended),
    Kept("task_runs", 90, tasks.delete_old_runs),
    Kept("task_series", 90, tasks.delete_ended_series),
    # A platform may repeat an event for days; its key must be known that long.
    Kept("inbound_events", 30, inbound_events.prune),
    Kept("deliveries", 90, delivery_history.prune),
    Kept("dropped_messages", 90, dropped.delete_old),
    Kept("engagements", 0, _engagements),
    Kept("pairing_codes", 7, _pairing),
    Kept("sender_denials", 0, _denials),
    Kept("pending_approvals", 90, approvals.prune),
    Kept("card_copies", 90, card_copies.prune),
    Kept("closed_cards", 90, _closed_cards),
    Kept("owner_notices", 30, owner_notices.prune),
)


class Retention:
    """Every method runs on the sweep's reactor."""

    def __init__(self, reactor: Reactor, conn: sqlite3.Connection, audit_folder: Path) -> None:
        self._reactor = reactor
        self._conn = conn
        self._audit_folder = audit_folder
        self._timer: Timer | None = None

    def start(self) -> None:
        self._timer = self._reactor.call_later(FIRST_SECONDS, self._round)

    def _round(self) -> None:
        more = forget_some(self._conn, utc_now())
        more = move_audit(self._conn, self._audit_folder, utc_now()) or more
        keep_head(self._conn, self._audit_folder, utc_now())
        seconds = AGAIN_SECONDS if more else ROUND_SECONDS
        self._timer = self._reactor.call_later(seconds, self._round)


def forget_some(conn: sqlite3.Connection, now: datetime, limit: int = ROWS_PER_ROUND) -> bool:
    """Each table in a transaction of its own; whether more is left."""
    more = False
    for kept in KEPT:
        gone = kept.forget(conn, now - timedelta(days=kept.days), limit)
        if gone:
            log.info("old rows forgotten", extra={"count": gone, "reason": kept.table})
        more = more or gone >= limit
    return more


def move_audit(conn: sqlite3.Connection, folder: Path, now: datetime) -> bool:
    """One file of old audit rows, if there are any; whether there may be more."""
    try:
        file = audit_archive.archive(conn, folder, now - timedelta(days=AUDIT_DAYS))
    except (NanoclawError, OSError) as error:
        # A broken chain stays where it is, as evidence; `ncl audit verify` names the row.
        log.error("audit rows not archived", extra={"reason": str(error)})
        return False
    return file is not None


def keep_head(conn: sqlite3.Connection, folder: Path, now: datetime) -> None:
    """So that a cut end of the audit is noticed."""
    try:
        audit_head.keep(conn, folder, now)
    except OSError as error:
        log.error("audit head not kept", extra={"reason": str(error)})
