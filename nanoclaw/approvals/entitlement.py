"""Who may decide, read from the roles: the order of asking, and whether a click counts.

Used by the desk for its search and by every kind of card for its answers (H-209, H-226, W-4). An
agent is never among them, whatever the roles say.
"""

import sqlite3

from nanoclaw.approvals.approvers import Approvers, in_order
from nanoclaw.db import roles

AGENT_PREFIX = "agent:"
HOST = "host"
"""Whoever may open the host's own socket (N-42). A platform's user id always has a colon."""


def read_approvers(conn: sqlite3.Connection, agent_group_id: str | None) -> tuple[str, ...]:
    """User ids in the order of H-220; for None no scoped administrators."""
    scoped = roles.admins_of_agent_group(conn, agent_group_id) if agent_group_id else []
    return in_order(
        Approvers(
            scoped=tuple(grant.user_id for grant in scoped),
            everywhere=tuple(grant.user_id for grant in roles.global_admins(conn)),
            owners=tuple(grant.user_id for grant in roles.owners(conn)),
        )
    )


def read_owners(conn: sqlite3.Connection) -> tuple[str, ...]:
    return in_order(Approvers(owners=tuple(grant.user_id for grant in roles.owners(conn))))


def is_entitled(conn: sqlite3.Connection, user_id: str, agent_group_id: str | None) -> bool:
    """Anybody with administration rights over the agent group, at this moment.

    To have been asked gives no right: whoever has lost theirs since does not decide any more.
    """
    if user_id.startswith(AGENT_PREFIX):
        return False
    if user_id == HOST:
        return True
    if agent_group_id is not None:
        return roles.has_admin_privilege(conn, user_id, agent_group_id)
    return roles.is_owner(conn, user_id) or roles.is_global_admin(conn, user_id)
