"""Decides one request of an agent: which rule lets it out, which one stops it, or nobody has said.

Pure; called by the vault for every CONNECT, every plain request and every one inside an inspected
connection, and by ``ncl egress test``. Order: mode ``none``, what denies, what was allowed once,
the group's rules, those of the whole installation, a service, mode ``open``. Of a CONNECT only host
and port are known; where that is not enough the answer is to look inside.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from nanoclaw.model import EgressMode
from nanoclaw.policy.egress.hosts import is_of_own_network, never_reachable
from nanoclaw.policy.egress.paths import ambiguity, without_query
from nanoclaw.policy.egress.rule import Rule


class Source(IntEnum):
    """Who made a rule, in the order in which they count."""

    DENY = 0
    ONCE = 1
    GROUP = 2
    INSTALL = 3
    SERVICE = 4


@dataclass(frozen=True, slots=True)
class Stored:
    """A rule in force. ``name`` is the audit's; ``service``: whose credential goes in."""

    source: Source
    rule: Rule
    name: str
    service: str | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """``method`` and ``path`` are None for a CONNECT; ``host`` is normal."""

    host: str
    port: int
    method: str | None = None
    path: str | None = None


@dataclass(frozen=True, slots=True)
class Allow:
    rule: str
    local: bool = False
    service: str | None = None


@dataclass(frozen=True, slots=True)
class Inspect:
    """Ask again with method and path of each request inside."""

    rule: str
    local: bool = False
    service: str | None = None


@dataclass(frozen=True, slots=True)
class Refuse:
    """``why`` completes the sentence "<host> was refused: ..."."""

    rule: str
    why: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nobody has decided about this host."""


Decision = Allow | Inspect | Refuse | Unknown


def decide(mode: EgressMode, rules: Sequence[Stored], wanted: Wanted) -> Decision:
    """``rules`` may have more than concern this host."""
    if mode is EgressMode.NONE:
        return Refuse("mode none", "this agent may reach no hosts at all")
    if never_reachable(wanted.host):
        return Refuse("address", "agents never reach link-local, metadata and multicast addresses")
    about = sorted(
        (
            item
            for item in rules
            if item.rule.covers_host(wanted.host)
            and item.rule.covers_port(wanted.port, denies=item.source is Source.DENY)
        ),
        key=lambda item: (item.source, not item.rule.is_whole, item.rule.text),
    )
    if wanted.method is None or wanted.path is None:
        return _of_connection(mode, about, wanted.host)
    return _of_request(mode, about, wanted, without_query(wanted.path))


def _of_connection(mode: EgressMode, about: Sequence[Stored], host: str) -> Decision:
    denying = [item for item in about if item.source is Source.DENY]
    allowing = [item for item in about if item.source is not Source.DENY]
    forbidding = next((item for item in denying if item.rule.is_whole), None)
    if forbidding is not None:
        return _denied(forbidding)
    local = any(item.rule.local for item in allowing)
    service = next((item.service for item in allowing if item.service is not None), None)
    whole = next((item for item in allowing if item.rule.is_whole), None)
    if not allowing or (mode is EgressMode.OPEN and not (local or service or whole)):
        return _open_or_unknown(mode, host, inspect=bool(denying))
    first = whole or allowing[0]
    lends = local and not any(item.rule.local for item in allowing if item.rule.is_whole)
    if whole is None or denying or service is not None or lends:
        return Inspect(first.name, local, service)
    return Allow(first.name, local)


def _of_request(mode: EgressMode, about: Sequence[Stored], wanted: Wanted, path: str) -> Decision:
    unclear = ambiguity(path) if any(item.rule.path for item in about) else None
    if unclear is not None:
        return Refuse("path", f"its path cannot be compared with the rules ({unclear})")
    method = wanted.method or ""
    matching = [
        item
        for item in about
        if item.rule.covers_request(method, path, denies=item.source is Source.DENY)
    ]
    if matching and matching[0].source is Source.DENY:
        return _denied(matching[0])
    if matching:
        service = next((item.service for item in matching if item.service is not None), None)
        return Allow(matching[0].name, any(item.rule.local for item in matching), service)
    decision = _open_or_unknown(mode, wanted.host, inspect=False)
    limited = [item for item in about if item.source is not Source.DENY]
    if isinstance(decision, Unknown) and limited:
        return Refuse(
            limited[0].name, f"{method} {path[:200]} is not among what is allowed at this host"
        )
    return decision


def _open_or_unknown(mode: EgressMode, host: str, *, inspect: bool) -> Decision:
    if is_of_own_network(host):
        return Refuse(
            "address", "it is of the private network, which agents reach by an owner's rule only"
        )
    if mode is EgressMode.OPEN:
        return Inspect("mode open") if inspect else Allow("mode open")
    return Unknown()


def _denied(item: Stored) -> Refuse:
    return Refuse(item.name, "the owner does not allow it")
