"""Finds the direct chat in which a person is reached, also one that never wrote (H-203 to H-206).

Used by the desk. Asks the channel's worker, which knows whether the handle itself is the chat;
the answer comes later, in one call. What was found is kept in ``user_dms`` until a platform says
that the chat is gone (W-62). Nothing is kept of a refusal.
"""

import logging
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass

from contract.clock import utc_now
from contract.ids import new_id
from contract.killpoint import reached
from nanoclaw.approvals.approvers import DirectAddress, direct_address
from nanoclaw.db import dms, messaging_groups, users
from nanoclaw.db.connection import transaction
from nanoclaw.db.dms import UserDm
from nanoclaw.effects.base import Requests
from nanoclaw.events import (
    DeadlinePassed,
    DeliveryStatus,
    FailureClass,
    LinkDown,
    OpenDm,
    Refused,
    Resolved,
    Unsupported,
)
from nanoclaw.link import Answer
from nanoclaw.model import MessagingGroup, UnknownSenderPolicy, User
from nanoclaw.paths import HostPaths

OPEN_SECONDS = 30.0
ALIVE_SECONDS = 5.0
MAX_PLATFORM_ID = 512
_PROBE = "desk/probe"
_PASSING = frozenset(
    {
        FailureClass.OFFLINE, FailureClass.TRANSIENT, FailureClass.RATE_LIMITED,
        FailureClass.UNCERTAIN, FailureClass.AUTH, FailureClass.CONFLICT,
    }
)  # fmt: skip
"""Failures after which the same question may have another answer."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Found:
    """The direct chat; its channel is there."""

    chat: MessagingGroup


@dataclass(frozen=True, slots=True)
class Away:
    """The channel cannot be asked now; later it may."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unreachable:
    """There is no way to this person."""

    reason: str


Reach = Found | Away | Unreachable
OnReach = Callable[[Reach], None]


class DirectMessages:
    """One per process; holds no state between questions. Silent once it is closed."""

    def __init__(self, conn: sqlite3.Connection, paths: HostPaths, requests: Requests) -> None:
        self._conn = conn
        self._paths = paths
        self._requests = requests
        self._closed = False

    def close(self) -> None:
        """Questions under way end without their callback: their process ends."""
        self._closed = True

    def ensure(self, user_id: str, on_reach: OnReach) -> None:
        """Calls back exactly once, at once or later."""
        if self._closed:
            return
        user = users.get(self._conn, user_id)
        if user is None:
            on_reach(Unreachable("nobody knows this user"))
            return
        address = direct_address(user.id, user.kind, self._known_instances())
        if address is None:
            on_reach(Unreachable("no channel of this installation reaches this user"))
            return
        cached = self._cached(user, address.instance)
        if cached is None:
            self._open(user, address, on_reach)
        else:
            self._check(cached, on_reach)

    def _known_instances(self) -> frozenset[str]:
        """Every account that has ever run here; a worker makes its folder before its socket."""
        try:
            return frozenset(item.name for item in self._paths.channel("").iterdir())
        except OSError:
            return frozenset()

    def _cached(self, user: User, instance: str) -> MessagingGroup | None:
        dm = dms.get(self._conn, user.id, instance)
        if dm is None:
            return None
        chat = messaging_groups.get(self._conn, dm.messaging_group_id)
        if chat is None or chat.channel_type != instance:
            log.warning("direct chat is resolved again", extra={"channel": instance})
            return None
        return chat

    def _check(self, chat: MessagingGroup, on_reach: OnReach) -> None:
        """Any answer shows that the worker is there."""

        def answered(answer: Answer) -> None:
            if not self._closed:
                down = _down(answer)
                on_reach(Found(chat) if down is None else down)

        self._requests.to_channel(
            chat.channel_type, DeliveryStatus(_PROBE), ALIVE_SECONDS, answered
        )

    def _open(self, user: User, address: DirectAddress, on_reach: OnReach) -> None:
        def answered(answer: Answer) -> None:
            if not self._closed:
                on_reach(self._opened(user, address.instance, answer))

        self._requests.to_channel(address.instance, OpenDm(address.handle), OPEN_SECONDS, answered)

    def _opened(self, user: User, instance: str, answer: Answer) -> Reach:
        match answer:
            case Resolved(str() as platform_id) if 0 < len(platform_id) <= MAX_PLATFORM_ID:
                return Found(self._keep(user, instance, platform_id))
            case Refused(reason):
                return Away(reason) if _is_passing(reason) else Unreachable(reason)
            case Resolved() | Unsupported():
                return Unreachable(f"{instance} opens no direct chat")
        return _down(answer) or Unreachable(f"{instance} gave no answer to the question")

    def _keep(self, user: User, instance: str, platform_id: str) -> MessagingGroup:
        now = utc_now()
        with transaction(self._conn):
            chat = messaging_groups.find_or_create(
                self._conn,
                MessagingGroup(
                    new_id("mg"),
                    instance,
                    platform_id,
                    now,
                    name=user.display_name,
                    is_group=False,
                    unknown_sender_policy=UnknownSenderPolicy.STRICT,
                ),
            )
            dms.upsert(self._conn, UserDm(user.id, instance, chat.id, now))
        reached("desk.dm_resolved")
        return chat


def forget_chat(conn: sqlite3.Connection, instance: str, platform_id: str) -> bool:
    """A platform said that this chat is gone: whoever was reached there is looked for again."""
    chat = messaging_groups.find_by_address(conn, instance, platform_id)
    return chat is not None and bool(dms.forget_chat(conn, chat.id))


def _down(answer: Answer) -> Away | None:
    """Why there was no answer; None when there was one."""
    match answer:
        case LinkDown(detail):
            return Away(f"the channel is not there: {detail}")
        case DeadlinePassed():
            return Away("the channel does not answer")
    return None


def _is_passing(reason: str) -> bool:
    """A refusal begins with its failure's class, where the adapter named one."""
    return reason.partition(":")[0] in _PASSING
