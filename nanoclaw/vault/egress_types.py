"""What the parts of egress say to each other: who wants to reach what, and what was decided.

Values only. ``egress`` (CONNECT and plain HTTP) and ``intercept`` (inside TLS) ask an
``EgressPolicy`` before anything is sent; ``egress_policy`` is the one that reads the rules.
"""

import asyncio
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from nanoclaw.db.doors import Door


@dataclass(frozen=True, slots=True)
class Destination:
    """``host`` in lower case, an IDNA name or an address without brackets."""

    host: str
    port: int
    tls: bool

    @property
    def authority(self) -> str:
        name = f"[{self.host}]" if ":" in self.host else self.host
        return f"{name}:{self.port}"


@dataclass(frozen=True, slots=True)
class EgressRequest:
    """``method`` and ``path`` are None for a CONNECT: nothing is known of its inside yet."""

    door: Door
    destination: Destination
    method: str | None = None
    path: str | None = None


class Verdict(StrEnum):
    ALLOW = "allow"
    INSPECT = "inspect"
    """Only with the inside of the TLS connection looked at: a rule has methods or paths, or a
    service's credential is to be put in."""
    DENY = "deny"
    ASK = "ask"
    """Refused for now; an owner is being asked."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """``text`` is one plain sentence for the agent, ``rule`` names what decided (for the audit).

    ``local``: the owner allows this host although its address is a private one.
    ``service``: whose credential goes in, by name.
    """

    verdict: Verdict
    text: str
    rule: str
    local: bool = False
    service: str | None = None


class EgressPolicy(Protocol):
    """Implemented by ``egress_policy.StoredPolicy``; a stub in tests."""

    async def judge(self, request: EgressRequest) -> Judgement:
        """Decides, asks the owner where nobody decided yet, and records the decision in the audit
        trail. Raises BooksClosedError when it cannot be recorded; then nothing passes."""


class BlockedError(Exception):
    """No connection is made: ``text`` is a plain sentence for the agent, ``status`` is what to
    answer (403, 502 or 504)."""

    def __init__(self, text: str, status: int = 502) -> None:
        super().__init__(text, status)
        self.text = text
        self.status = status

    def __str__(self) -> str:
        return self.text


class Parent(Protocol):
    """A proxy behind the vault (``gateway.parent``): where it is used, nothing goes out beside it.

    Each method: None means to go by oneself; raises BlockedError.
    """

    async def open(
        self, agent_group_id: str, destination: Destination, *, tls: bool
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """A tunnel; with ``tls`` the server's certificate is verified."""

    async def open_plain(
        self, agent_group_id: str
    ) -> tuple[tuple[asyncio.StreamReader, asyncio.StreamWriter], str] | None:
        """The proxy itself, and the value of ``Proxy-Authorization``."""


class Keyhole(Protocol):
    """A door as a connection sees it."""

    door: Door

    def fits(self, token: str) -> bool: ...


class Interceptor(Protocol):
    """Implemented by ``intercept``: looks into a TLS connection."""

    async def missing(self) -> str | None:
        """Why no connection can be looked into now, with the next step; asked before the 200."""

    async def serve(
        self,
        keyhole: Keyhole,
        request: EgressRequest,
        judgement: Judgement,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        """Called once per CONNECT with Verdict.INSPECT, after the 200 was sent. ``reader`` is
        empty and the transport's reading is paused: ``writer.start_tls`` loses nothing (it
        resumes); who reads otherwise calls ``writer.transport.resume_reading()`` first. Returns at
        the connection's end; the caller closes it. It is cancelled when the door closes."""
