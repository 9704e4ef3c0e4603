"""What the gateway's list of waiting requests says, and how long each may wait (H-232, H-234).

Pure. A request whose id can be used and whose rest cannot is denied: a person must not be shown
half of what is asked. One without a usable id cannot even be answered and is left to the gateway.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from contract.clock import parse_text
from nanoclaw.approvals.credential_use import CredentialUse

MAX_LISTED = 1000
"""Entries of one list that are looked at; what waits is listed again."""
MAX_TEXT = 8 * 1024
SHORTEST_SECONDS = 1.0
MARGIN_SECONDS = 1.0
"""The gateway has to hear the answer before it gives up itself."""
LONGEST_SECONDS = 24 * 3600.0
POSTED = frozenset({*range(200, 300), 404, 410})
"""404 and 410: it does not wait any more (H-231)."""
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:~-]{0,127}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that a person can be asked about. ``seconds``: how long there is for it."""

    request_id: str
    use: CredentialUse
    seconds: float


@dataclass(frozen=True, slots=True)
class Unusable:
    """A request that is denied at once; ``reason`` is for the log."""

    request_id: str
    reason: str


Listed = Asked | Unusable


class BadListError(Exception):
    """The answer is no list of requests."""


def parse_pending(value: object, now: datetime) -> list[Listed]:
    """In the order of the answer, each id once. Raises BadListError."""
    requests = value.get("requests") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(requests, list):
        raise BadListError("the answer has no list of requests")
    usual = value.get("timeoutSeconds")
    found: dict[str, Listed] = {}
    for entry in requests[:MAX_LISTED]:
        if not isinstance(entry, dict):
            continue
        request_id = entry.get("id")
        if isinstance(request_id, str) and _ID.fullmatch(request_id):
            found.setdefault(request_id, _listed(request_id, entry, usual, now))
    return list(found.values())


def _listed(request_id: str, entry: dict[str, object], usual: object, now: datetime) -> Listed:
    method, host, path = (entry.get(key) for key in ("method", "host", "path"))
    if not (_is_text(method) and _is_text(host) and _is_text(path)):
        return Unusable(request_id, "method, host or path is missing or no text")
    assert isinstance(method, str) and isinstance(host, str) and isinstance(path, str)
    preview, agent = entry.get("bodyPreview"), entry.get("agent")
    if preview is not None and not isinstance(preview, str):
        return Unusable(request_id, "bodyPreview is no text")
    if not isinstance(agent, dict):
        return Unusable(request_id, "agent is no object")
    name, external = agent.get("name"), agent.get("externalId")
    if not isinstance(name, str | None) or not isinstance(external, str | None):
        return Unusable(request_id, "the agent's name or externalId is no text")
    if not _is_of_host(entry.get("url"), host):
        return Unusable(request_id, "url and host are not of the same host")
    seconds = _seconds(entry, usual, now)
    if seconds is None:
        return Unusable(request_id, "it does not say until when it waits")
    use = CredentialUse(
        request_id=request_id,
        method=method,
        host=host,
        path=path,
        body_preview=preview,
        agent_name=(name or "")[:MAX_TEXT],
        agent_group_id=external,
        expires_at=now + timedelta(seconds=seconds),
    )
    return Asked(request_id, use, seconds)


def _seconds(entry: dict[str, object], usual: object, now: datetime) -> float | None:
    """H-234: until a second before the gateway gives up, and never less than one."""
    expires_at = parse_text(entry.get("expiresAt"))
    if expires_at is not None:
        left = (expires_at - now).total_seconds()
    else:
        number = entry.get("timeoutSeconds", usual)
        if isinstance(number, bool) or not isinstance(number, int | float) or number <= 0:
            return None
        left = float(min(number, LONGEST_SECONDS))
    return min(max(SHORTEST_SECONDS, left - MARGIN_SECONDS), LONGEST_SECONDS)


def _is_of_host(url: object, host: str) -> bool:
    """What is shown is what is sent: a url that names another host is not believed."""
    if not isinstance(url, str):
        return url is None
    try:
        named = urlsplit(url).hostname
        shown = urlsplit(f"//{host}").hostname
    except ValueError:
        return False
    return named is None or named == shown


def _is_text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_TEXT
