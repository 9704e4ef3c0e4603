"""Rows that a command refers to and that must be there; in words instead of a constraint's error.

Used by the modules of this package. What is not there raises NotFoundError with the id.
"""

import sqlite3
from collections.abc import Mapping

from nanoclaw.admin.arguments import Arguments
from nanoclaw.admin.context import CommandContext
from nanoclaw.admin.problems import CommandError, InvalidArgsError, NotFoundError
from nanoclaw.db import agent_groups, messaging_groups, sessions, users
from nanoclaw.model import AgentGroup, MessagingGroup, Session, User


def group(conn: sqlite3.Connection, agent_group_id: str) -> AgentGroup:
    found = agent_groups.get(conn, agent_group_id)
    if found is None:
        raise NotFoundError(f"group not found: {agent_group_id}; see `ncl groups list`")
    return found


def chat(conn: sqlite3.Connection, messaging_group_id: str) -> MessagingGroup:
    found = messaging_groups.get(conn, messaging_group_id)
    if found is None:
        raise NotFoundError(
            f"messaging-group not found: {messaging_group_id}; see `ncl messaging-groups list`"
        )
    return found


def user(conn: sqlite3.Connection, user_id: str) -> User:
    found = users.get(conn, user_id)
    if found is None:
        raise NotFoundError(
            f"unknown user: {user_id}; see `ncl users list`, or make it by `ncl users create`"
        )
    return found


def session(context: CommandContext, session_id: str) -> Session:
    """One of another group is as absent as one that never was (N-48)."""
    found = sessions.get(context.conn, session_id)
    only = context.only_group
    if found is None or only not in (None, found.agent_group_id):
        raise NotFoundError(f"session not found: {session_id}")
    return found


def own_group_or(context: CommandContext, given: str | None) -> str:
    """An agent that names no group means its own, in every scope (N-90)."""
    if given is not None:
        return given
    if context.agent is not None:
        return context.agent.agent_group_id
    raise InvalidArgsError("--id is required")


def nothing_refers(counts: Mapping[str, int], what: str, arguments: Arguments) -> None:
    """Raises CommandError for rows that would go with it, by table, unless --cascade allows it."""
    if counts and not arguments.flag("cascade"):
        listed = ", ".join(f"{table}: {count}" for table, count in counts.items())
        raise CommandError(
            f"other rows refer to this {what} ({listed}); add --cascade to delete them too"
        )
