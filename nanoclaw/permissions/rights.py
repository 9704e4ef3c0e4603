"""Reads what one user may do, all of it at once.

Called by the router once per event of a wired chat, inside its transaction. Three small look-ups
by key, however many agents listen; nothing is kept between events (H-10).
"""

import sqlite3

from nanoclaw.db import members, roles, users
from nanoclaw.model import Role
from nanoclaw.permissions.access import Standing


def read_standing(conn: sqlite3.Connection, user_id: str, *, is_operator: bool = False) -> Standing:
    """The standing of somebody who may well be nobody."""
    if users.get(conn, user_id) is None:
        return Standing(user_id, is_operator=is_operator)
    grants = roles.of_user(conn, user_id)
    everywhere = {grant.role for grant in grants if grant.agent_group_id is None}
    return Standing(
        user_id=user_id,
        is_known=True,
        is_owner=Role.OWNER in everywhere,
        is_global_admin=Role.ADMIN in everywhere,
        admin_of=frozenset(
            grant.agent_group_id
            for grant in grants
            if grant.role is Role.ADMIN and grant.agent_group_id is not None
        ),
        member_of=members.groups_of(conn, user_id),
        is_operator=is_operator,
    )
