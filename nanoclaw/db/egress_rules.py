"""Statements on ``egress_rules``: what owners have said about hosts that agents want to reach.

Written by ``ncl egress`` and by the owner's answer to a card; read by the vault with every request.
The text of a rule is the one spelling that ``policy.egress.rule`` gives it.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from contract.clock import parse_text, to_text
from nanoclaw.db.rows import changed, id_list, many, number, one, text_of, time_of


class EgressEffect(StrEnum):
    ALLOW = "allow"
    DENY = "deny"


@dataclass(frozen=True, slots=True)
class Once:
    """For one session, as long as its container runs and no longer than ``expires_at``."""

    session_id: str
    lease: int
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class EgressRule:
    """``agent_group_id`` None: for the whole installation. ``created_by``: a user or ``host``."""

    rule_id: str
    effect: EgressEffect
    text: str
    host: str
    subdomains: bool
    created_at: datetime
    created_by: str
    agent_group_id: str | None = None
    once: Once | None = None
    note: str = ""


def add(conn: sqlite3.Connection, rule: EgressRule) -> None:
    """Replaces what was said about the same text before, also if it was the contrary."""
    once = rule.once
    session_id = once.session_id if once is not None else None
    conn.execute(
        "DELETE FROM egress_rules WHERE rule = ? AND coalesce(agent_group_id, '') = ?"
        " AND coalesce(session_id, '') = ?",
        (rule.text, rule.agent_group_id or "", session_id or ""),
    )
    conn.execute(
        "INSERT INTO egress_rules (rule_id, agent_group_id, effect, rule, host, subdomains,"
        " session_id, lease, expires_at, note, created_at, created_by)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            rule.rule_id,
            rule.agent_group_id,
            rule.effect,
            rule.text,
            rule.host,
            int(rule.subdomains),
            session_id,
            once.lease if once is not None else None,
            text_of(once.expires_at if once is not None else None),
            rule.note,
            to_text(rule.created_at),
            rule.created_by,
        ),
    )


def get(conn: sqlite3.Connection, rule_id: str) -> EgressRule | None:
    return one(conn, _rule_of, "SELECT * FROM egress_rules WHERE rule_id = ?", (rule_id,))


def remove(conn: sqlite3.Connection, rule_id: str) -> bool:
    return bool(changed(conn, "DELETE FROM egress_rules WHERE rule_id = ?", (rule_id,)))


def for_host(
    conn: sqlite3.Connection, agent_group_id: str, names: Sequence[str], now: datetime
) -> list[EgressRule]:
    """Rules of the group and of the installation under any of these names, leases not compared."""
    return many(
        conn,
        _rule_of,
        "SELECT * FROM egress_rules INDEXED BY egress_rules_host"
        " WHERE host IN (SELECT value FROM json_each(?))"
        " AND (agent_group_id = ? OR agent_group_id IS NULL)"
        " AND (expires_at IS NULL OR expires_at > ?)",
        (id_list(names), agent_group_id, to_text(now)),
    )


def count_of(conn: sqlite3.Connection, agent_group_id: str | None) -> int:
    """Those that do not go by themselves."""
    return number(
        conn,
        "SELECT count(*) FROM egress_rules WHERE agent_group_id IS ? AND session_id IS NULL",
        (agent_group_id,),
    )


def prune(conn: sqlite3.Connection, now: datetime) -> int:
    """What was allowed once and is over."""
    return changed(
        conn,
        "DELETE FROM egress_rules WHERE expires_at IS NOT NULL AND expires_at <= ?",
        (to_text(now),),
    )


def _rule_of(row: sqlite3.Row) -> EgressRule:
    once = None
    if row["session_id"] is not None:
        expires_at = parse_text(row["expires_at"]) or time_of(None)
        once = Once(row["session_id"], row["lease"], expires_at)
    return EgressRule(
        rule_id=row["rule_id"],
        effect=EgressEffect(row["effect"]),
        text=row["rule"],
        host=row["host"],
        subdomains=bool(row["subdomains"]),
        created_at=time_of(row["created_at"]),
        created_by=row["created_by"],
        agent_group_id=row["agent_group_id"],
        once=once,
        note=row["note"],
    )
