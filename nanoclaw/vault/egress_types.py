"""What the parts of egress say to each other: who wants to reach what, and what was decided.

Values only. ``egress`` (CONNECT and plain HTTP) and ``intercept`` (inside TLS) ask an
``EgressPolicy`` before anything is sent; ``egress_policy`` is the one that reads the rules.
"""

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
