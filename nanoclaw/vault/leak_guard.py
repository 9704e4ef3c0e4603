"""Stops requests that carry one of the owner's secrets out of the install.

Asked by ``exchange`` (bodies of model requests), ``plain_http`` and ``intercept`` (addresses,
headers, bodies), always before the vault puts a key in itself. What was found is in the audit trail
and the owner's notices before the client hears of it. Texts never contain what was found.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Mapping
from pathlib import Path

from contract.clock import utc_now
from contract.killpoint import reached
from nanoclaw.approvals.owner_notice import queue_owner_notice
from nanoclaw.audit import AuditEntry, record
from nanoclaw.bell import DELIVERY, ring
from nanoclaw.config import HostConfig
from nanoclaw.db import agent_groups
from nanoclaw.db.connection import transaction
from nanoclaw.db.doors import Door
from nanoclaw.leaks.current import CurrentSecrets
from nanoclaw.leaks.scanner import Found
from nanoclaw.leaks.telling import owner_text, remedy
from nanoclaw.vault import answers
from nanoclaw.vault.books import Books, BooksClosedError
from nanoclaw.vault.client import RefusedError
from nanoclaw.vault.quiet_thread import QuietThread

LARGE_BYTES = 64 * 1024
"""More is looked through on a thread, one body at a time."""
HELD_BACK_BYTES = 16 * 1024

log = logging.getLogger(__name__)


class LeakGuard:
    """One for all doors."""

    def __init__(self, config: HostConfig, environment: Mapping[str, str], books: Books) -> None:
        self._secrets = CurrentSecrets(config, environment)
        self._paths = config.paths
        self._books = books
        self._looking = asyncio.Lock()
        self._thread = QuietThread("guard")

    async def check(self, door: Door, where: str, *parts: bytes) -> None:
        """Raises RefusedError (403) when a part contains a secret; recorded, the owner told.

        ``where`` is for people: "a request to the model", "a request to api.example.com".
        """
        scanner = self._secrets.known()
        if scanner is None:
            scanner = await self._thread.run(self._secrets.scanner)
        for part in parts:
            if len(part) > LARGE_BYTES:
                async with self._looking:
                    found = await asyncio.to_thread(scanner.find, part)
            else:
                found = scanner.find(part)
            if found is not None:
                await self._refuse(door, where, found)

    def window(self, door: Door, where: str) -> "BodyWindow":
        """For a body that is passed on in pieces."""
        return BodyWindow(self, door, where)

    async def _refuse(self, door: Door, where: str, found: Found) -> None:
        try:
            await self._books.run(lambda conn: _note(conn, door, where, found))
            ring(self._paths, DELIVERY)
        except BooksClosedError as error:
            log.error("leak not recorded", extra={"reason": str(error)})
        reached("vault.leak_recorded")
        log.warning(
            "leak stopped",
            extra={
                "session": door.session_id,
                "group": door.agent_group_id,
                "reason": f"{found.name} {found.form} in {where}",
            },
        )
        raise RefusedError(
            answers.not_allowed(
                f"{where} was stopped: it contains a secret of this installation. The owner was "
                f"told. {remedy(found.name)}"
            )
        )


class BodyWindow:
    """Holds back the end of a body until it is known that no secret begins there."""

    def __init__(self, guard: LeakGuard, door: Door, where: str) -> None:
        self._guard, self._door, self._where = guard, door, where
        self._sent = b""
        self._held = b""

    async def feed(self, piece: bytes) -> bytes:
        """What may be sent now, perhaps nothing. Raises RefusedError."""
        self._held += piece
        if len(self._held) < 2 * HELD_BACK_BYTES:
            return b""
        await self._guard.check(self._door, self._where, self._sent + self._held)
        free = self._held[:-HELD_BACK_BYTES]
        self._held = self._held[-HELD_BACK_BYTES:]
        self._sent = (self._sent + free)[-HELD_BACK_BYTES:]
        return free

    async def finish(self) -> bytes:
        """The rest, at the body's end. Raises RefusedError."""
        await self._guard.check(self._door, self._where, self._sent + self._held)
        rest, self._held = self._held, b""
        return rest


def _note(conn: sqlite3.Connection, door: Door, where: str, found: Found) -> None:
    now = utc_now()
    group = agent_groups.get(conn, door.agent_group_id)
    agent = group.name if group is not None else door.agent_group_id
    detail = {"where": where, "form": found.form}
    entry = AuditEntry(
        "leak.stopped", f"agent:{door.agent_group_id}", found.name, detail,
        agent_group_id=door.agent_group_id, session_id=door.session_id,
    )  # fmt: skip
    with transaction(conn):
        record(conn, entry, now)
        occasion = f"leak/{door.agent_group_id}/{now.date()}/{Path(found.name).name}"
        queue_owner_notice(conn, occasion, owner_text(agent, where, found), now)
