"""Facts about chats that channels report: names, kinds, and new ids (C-14, W-62).

Called by ``routing.loop``. Only chats that are known already are touched: that a platform talks
about a chat is no reason to remember it. A chat that moves keeps its wirings and sessions, because
they refer to its row and never to the platform's id.
"""

import logging
import sqlite3

from nanoclaw.db import messaging_groups
from nanoclaw.db.connection import transaction
from nanoclaw.db.messaging_groups import MessagingGroupChange
from nanoclaw.db.rows import UNSET
from nanoclaw.events import Metadata
from nanoclaw.model import MessagingGroup

MAX_NAME = 200

log = logging.getLogger(__name__)


def store_metadata(conn: sqlite3.Connection, instance: str, metadata: Metadata) -> bool:
    """True when something was changed. Safe to repeat."""
    with transaction(conn):
        moved = _move(conn, instance, metadata)
        chat = messaging_groups.find_by_address(conn, instance, metadata.platform_id)
        return _describe(conn, chat, metadata) or moved if chat is not None else moved


def _describe(conn: sqlite3.Connection, chat: MessagingGroup, metadata: Metadata) -> bool:
    name = metadata.name[:MAX_NAME] if metadata.name else None
    change = MessagingGroupChange(
        name=UNSET if name in (None, chat.name) else name,
        is_group=UNSET if metadata.is_group in (None, chat.is_group) else metadata.is_group is True,
    )
    return messaging_groups.update(conn, chat.id, change)


def _move(conn: sqlite3.Connection, instance: str, metadata: Metadata) -> bool:
    if not metadata.moved_from or metadata.moved_from == metadata.platform_id:
        return False
    old = messaging_groups.find_by_address(conn, instance, metadata.moved_from)
    if old is None:
        return False
    new = messaging_groups.get_by_address(conn, instance, metadata.platform_id)
    if new is not None and (new.wirings or not _forget(conn, new.group)):
        # Somebody has wired the new chat already; then there are two, and people must choose.
        log.warning("chat not moved", extra={"channel": instance, "reason": "both are in use"})
        return False
    return messaging_groups.move(conn, old.id, metadata.platform_id)


def _forget(conn: sqlite3.Connection, chat: MessagingGroup) -> bool:
    """Makes room: a row that a first message made before we heard of the move."""
    try:
        return messaging_groups.delete(conn, chat.id)
    except sqlite3.IntegrityError:
        return False
