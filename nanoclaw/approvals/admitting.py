"""Makes somebody a member of an agent because a person said so; in the decision's transaction.

Used by the cards about strangers and about chats. Whoever decides at the host's own socket is no
user and stands in the audit only.
"""

import sqlite3
from datetime import datetime

from nanoclaw.approvals.entitlement import HOST
from nanoclaw.db import members, users
from nanoclaw.db.members import Member
from nanoclaw.model import User
from nanoclaw.permissions.identity import kind_of


def admit(
    conn: sqlite3.Connection, sender: User, agent_group_id: str, by: str, now: datetime
) -> None:
    """``by`` is the user who decided, or ``HOST``."""
    users.add_if_new(conn, sender)
    if by != HOST:
        users.add_if_new(conn, User(by, kind_of(by), now))
    added_by = by if by != HOST else None
    members.add(conn, Member(sender.id, agent_group_id, now, added_by=added_by))
