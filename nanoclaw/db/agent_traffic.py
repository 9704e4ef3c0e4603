"""Statements on ``agent_traffic``, ``agent_brakes`` and ``created_agents``.

Agents among themselves; used by ``nanoclaw.agents`` only. A pair has no direction: two agents that
keep answering each other are one conversation, whoever speaks.
"""

import sqlite3
from dataclasses import dataclass
from datetime import datetime

from contract.clock import to_text
from nanoclaw.db.rows import changed, number, one, time_of


@dataclass(frozen=True, slots=True)
class Pair:
    """Two agent groups in a fixed order; the same one twice for notes to oneself."""

    first_id: str
    second_id: str

    @classmethod
    def of(cls, one_id: str, other_id: str) -> "Pair":
        return cls(*sorted((one_id, other_id)))


@dataclass(frozen=True, slots=True)
class Passage:
    """One message between agents and what was decided about it. ``refused`` None: it went."""

    effect_id: str
    pair: Pair
    sender_id: str
    chain_id: str
    hop: int
    target_session_id: str | None
    refused: str | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Brake:
    """Nothing passes between the two; ``tried_at`` is the last time that one of them tried."""

    pair: Pair
    reason: str
    braked_at: datetime
    tried_at: datetime


@dataclass(frozen=True, slots=True)
class CreatedAgent:
    """An agent that another one has made."""

    agent_group_id: str
    effect_id: str
    created_by: str
    local_name: str
    created_at: datetime


def record(conn: sqlite3.Connection, passage: Passage) -> None:
    conn.execute(
        "INSERT OR IGNORE INTO agent_traffic"
        " (effect_id, first_id, second_id, sender_id, chain_id, hop, target_session_id, refused,"
        " at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            passage.effect_id,
            passage.pair.first_id,
            passage.pair.second_id,
            passage.sender_id,
            passage.chain_id,
            passage.hop,
            passage.target_session_id,
            passage.refused,
            to_text(passage.at),
        ),
    )


def get(conn: sqlite3.Connection, effect_id: str) -> Passage | None:
    return one(conn, _passage_of, "SELECT * FROM agent_traffic WHERE effect_id = ?", (effect_id,))


def count_since(conn: sqlite3.Connection, pair: Pair, since: datetime) -> int:
    """How many messages have passed between the two."""
    return number(
        conn,
        "SELECT count(*) FROM agent_traffic INDEXED BY agent_traffic_pair"
        " WHERE first_id = ? AND second_id = ? AND at > ? AND refused IS NULL",
        (pair.first_id, pair.second_id, to_text(since)),
    )


def forget_before(conn: sqlite3.Connection, before: datetime, limit: int) -> int:
    """Old traffic counts for nothing; the newest stays for those who look."""
    return changed(
        conn,
        "DELETE FROM agent_traffic WHERE effect_id IN"
        " (SELECT effect_id FROM agent_traffic WHERE at < ? ORDER BY at LIMIT ?)",
        (to_text(before), limit),
    )


def get_brake(conn: sqlite3.Connection, pair: Pair) -> Brake | None:
    return one(
        conn,
        _brake_of,
        "SELECT * FROM agent_brakes WHERE first_id = ? AND second_id = ?",
        (pair.first_id, pair.second_id),
    )


def put_brake(conn: sqlite3.Connection, brake: Brake) -> None:
    """A new one, in place of an older one."""
    conn.execute(
        "INSERT OR REPLACE INTO agent_brakes (first_id, second_id, reason, braked_at, tried_at)"
        " VALUES (?, ?, ?, ?, ?)",
        (
            brake.pair.first_id,
            brake.pair.second_id,
            brake.reason,
            to_text(brake.braked_at),
            to_text(brake.tried_at),
        ),
    )


def note_try(conn: sqlite3.Connection, pair: Pair, at: datetime) -> None:
    """Somebody ran into the brake, which keeps it shut."""
    conn.execute(
        "UPDATE agent_brakes SET tried_at = ? WHERE first_id = ? AND second_id = ?",
        (to_text(at), pair.first_id, pair.second_id),
    )


def release_brake(conn: sqlite3.Connection, pair: Pair) -> bool:
    """It was quiet long enough, or somebody decided so."""
    return bool(
        changed(
            conn,
            "DELETE FROM agent_brakes WHERE first_id = ? AND second_id = ?",
            (pair.first_id, pair.second_id),
        )
    )


def record_created(conn: sqlite3.Connection, created: CreatedAgent) -> None:
    conn.execute(
        "INSERT INTO created_agents (agent_group_id, effect_id, created_by, local_name, created_at)"
        " VALUES (?, ?, ?, ?, ?)",
        (
            created.agent_group_id,
            created.effect_id,
            created.created_by,
            created.local_name,
            to_text(created.created_at),
        ),
    )


def find_created(conn: sqlite3.Connection, effect_id: str) -> CreatedAgent | None:
    """What this effect has made already."""
    return one(conn, _created_of, "SELECT * FROM created_agents WHERE effect_id = ?", (effect_id,))


def count_created_by(conn: sqlite3.Connection, agent_group_id: str) -> int:
    """Of those that still exist."""
    return number(
        conn, "SELECT count(*) FROM created_agents WHERE created_by = ?", (agent_group_id,)
    )


def _passage_of(row: sqlite3.Row) -> Passage:
    return Passage(
        effect_id=row["effect_id"],
        pair=Pair(row["first_id"], row["second_id"]),
        sender_id=row["sender_id"],
        chain_id=row["chain_id"],
        hop=row["hop"],
        target_session_id=row["target_session_id"],
        refused=row["refused"],
        at=time_of(row["at"]),
    )


def _brake_of(row: sqlite3.Row) -> Brake:
    return Brake(
        pair=Pair(row["first_id"], row["second_id"]),
        reason=row["reason"],
        braked_at=time_of(row["braked_at"]),
        tried_at=time_of(row["tried_at"]),
    )


def _created_of(row: sqlite3.Row) -> CreatedAgent:
    return CreatedAgent(
        agent_group_id=row["agent_group_id"],
        effect_id=row["effect_id"],
        created_by=row["created_by"],
        local_name=row["local_name"],
        created_at=time_of(row["created_at"]),
    )
