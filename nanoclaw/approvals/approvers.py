"""In which order people are asked (H-220, H-221) and where each of them is met (H-204).

Pure. Called by ``entitlement`` with the roles and by the desk with what it knows of the channels.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

MAX_APPROVERS = 50
"""Nobody is asked beyond this many; a card is not a broadcast."""
TERMINAL = "cli"
_INSTANCE = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")


@dataclass(frozen=True, slots=True)
class Approvers:
    """User ids with a right to decide, each list by the time of the grant."""

    scoped: tuple[str, ...] = ()
    everywhere: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DirectAddress:
    """Whom to reach through which channel account."""

    instance: str
    handle: str


def in_order(approvers: Approvers) -> tuple[str, ...]:
    """Those nearest to the agent first, nobody twice.

    Whoever sits at the terminal comes last: a card there is kept until somebody opens a client,
    which may be never.
    """
    everybody = (*approvers.scoped, *approvers.everywhere, *approvers.owners)
    users = sorted(dict.fromkeys(everybody), key=lambda user: channel_of(user) == TERMINAL)
    return tuple(users)[:MAX_APPROVERS]


def for_origin(user_ids: Iterable[str], origin: str, prefer: str | None = None) -> tuple[str, ...]:
    """Those of the channel that the request came from first, otherwise in the given order."""
    users = tuple(user_ids)
    preferred = tuple(user for user in users if user == prefer)
    same = tuple(user for user in users if origin and channel_of(user) == origin)
    return tuple(dict.fromkeys((*preferred, *same, *users)))


def channel_of(user_id: str) -> str:
    channel, colon, _ = user_id.partition(":")
    return channel if colon else ""


def direct_address(user_id: str, kind: str, known: Collection[str]) -> DirectAddress | None:
    """Where somebody is reached; None when no known channel account fits.

    The channel's first account, or another account of the same kind. A Teams id (``29:...``) has
    its channel in ``kind`` only and is then the handle as a whole.
    """
    channel, _, handle = user_id.partition(":")
    for name, reached in ((channel, handle), (kind, user_id)):
        if not name or not reached or _INSTANCE.fullmatch(name) is None:
            continue
        if name in known:
            return DirectAddress(name, reached)
        others = sorted(item for item in known if item.startswith(f"{name}-"))
        if others:
            return DirectAddress(others[0], reached)
    return None
