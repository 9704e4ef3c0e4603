"""People who may decide, and requests that wait for them, in a central database."""

import sqlite3
from datetime import datetime

from helpers.central_rows import NOW

from nanoclaw.approvals.clicks import Click
from nanoclaw.approvals.requests import NewRequest
from nanoclaw.db import roles, users
from nanoclaw.model import Role, RoleGrant, Session, User

PAYLOAD = '{"apt":["jq"]}'


def add_person(
    conn: sqlite3.Connection,
    user_id: str,
    role: Role | None = None,
    agent_group_id: str | None = None,
    *,
    name: str | None = None,
    granted_at: datetime = NOW,
) -> None:
    users.upsert(conn, User(user_id, user_id.partition(":")[0], NOW, display_name=name))
    if role is not None:
        roles.grant(conn, RoleGrant(user_id, role, granted_at, agent_group_id))


def new_request(session: Session | None, request_id: str = "r-1") -> NewRequest:
    group = session.agent_group_id if session is not None else "ag-1"
    return NewRequest(
        request_id=request_id,
        action="drink_tea",
        payload=PAYLOAD,
        title="Packages for Andy",
        question="Andy wants to install: jq",
        session=session,
        agent_group_id=group,
        requested_by=f"agent:{group}",
    )


def click(card_id: str, value: str = "0", user_id: str = "telegram:owner") -> Click:
    return Click(card_id, value, user_id, "telegram", "dm-owner", "m-1")
