"""Puts a service's secret into one request that is about to leave, and records that it did.

Called by ``intercept`` for every request that the policy allows. The service and its secret are
read live, so that a removed one counts at once; what the agent sent in that header stays behind.
What cannot be recorded is not sent. The value is in the returned headers and nowhere else.
"""

import asyncio
import sqlite3

from contract.clock import utc_now
from contract.killpoint import reached
from nanoclaw import audit
from nanoclaw.db import services
from nanoclaw.db.connection import transaction
from nanoclaw.db.services import Service
from nanoclaw.policy.egress.paths import without_query
from nanoclaw.policy.services import ServiceError, header_value, refusal
from nanoclaw.secret_store.entries import SecretError
from nanoclaw.secret_store.store import SecretStore
from nanoclaw.vault.books import Books
from nanoclaw.vault.client import RefusedError
from nanoclaw.vault.decide import Headers
from nanoclaw.vault.denial import blocked, not_permitted
from nanoclaw.vault.egress_types import EgressRequest

KIND = "injection"
MAX_SHOWN = 200
"""Characters of a path in the audit."""


class Injector:
    """``store`` is this object's own: it is used from one thread at a time."""

    def __init__(self, books: Books, store: SecretStore) -> None:
        self._books = books
        self._store = store
        self._lock = asyncio.Lock()

    async def inject(self, request: EgressRequest, name: str, headers: Headers) -> Headers:
        """The headers with the secret of the service ``name``. Raises RefusedError and
        BooksClosedError."""
        destination = request.destination
        door, host, port = request.door, destination.host, destination.port
        service = await self._books.run(
            lambda conn: services.for_host(conn, door.agent_group_id, host, port)
        )
        if service is None or service.name != name:
            raise RefusedError(
                not_permitted(f"the service {name} has just been changed; try again")
            )
        problem = refusal(service, request.method or "", request.path or "")
        if problem is not None:
            raise RefusedError(not_permitted(problem))
        value = await self._value(service)
        await self._record(request, service)
        kept = tuple(item for item in headers if item[0] != service.header)
        return (*kept, (service.header, value))

    async def _value(self, service: Service) -> str:
        """Raises RefusedError; whose text names the secret and does not contain it."""
        try:
            async with self._lock:
                secret = await asyncio.to_thread(self._store.get, service.secret)
            if secret is None:
                raise ServiceError(
                    f"the secret {service.secret} of the service {service.name} is not set; the "
                    f"owner sets it with `nanoclaw secrets set {service.secret}`"
                )
            return header_value(service, secret)
        except (ServiceError, SecretError) as error:
            raise RefusedError(blocked(str(error), 502)) from error

    async def _record(self, request: EgressRequest, service: Service) -> None:
        door = request.door
        entry = audit.AuditEntry(
            kind=KIND,
            actor=f"agent:{door.agent_group_id}",
            subject=request.destination.authority,
            detail={
                "service": service.name,
                "header": service.header,
                "method": request.method,
                "path": without_query(request.path or "")[:MAX_SHOWN],
            },
            agent_group_id=door.agent_group_id,
            session_id=door.session_id,
        )

        def write(conn: sqlite3.Connection) -> None:
            with transaction(conn):
                audit.record(conn, entry, utc_now())

        await self._books.run(write)
        reached("vault.injection_recorded")
