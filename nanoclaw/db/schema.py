"""Our own migrations: what the host keeps beyond the tables of the earlier program.

Called by ``migrations`` only, after those of ``reference_schema``. Numbered by place; a released
one is never edited. New tables are STRICT and hold every invariant they can; tables of the earlier
program only gain columns. Rows that are mere state of ours go with their session or group; history
(audit, usage, effects) refers by id alone and outlives both.
"""

import sqlite3
from collections.abc import Callable

from nanoclaw.db import (
    schema_agents,
    schema_approvals,
    schema_delivery,
    schema_egress,
    schema_limits,
    schema_money,
    schema_reading,
    schema_retention,
    schema_routing,
    schema_services,
    schema_tasks,
    schema_usage,
)
from nanoclaw.db.session_keys import assign_session_keys

Apply = Callable[[sqlite3.Connection, str], None]
"""Changes the schema and its data; gets the time as stored text. Runs inside a transaction."""

_SESSION_COLUMNS = (
    "ALTER TABLE sessions ADD COLUMN session_key TEXT",
    "ALTER TABLE sessions ADD COLUMN mode TEXT"
    " CHECK (mode IN ('shared', 'per-thread', 'agent-shared', 'task'))",
    "ALTER TABLE sessions ADD COLUMN lease_owner TEXT",
    "ALTER TABLE sessions ADD COLUMN lease_token INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE sessions ADD COLUMN lease_expires_at TEXT",
    "ALTER TABLE sessions ADD COLUMN next_due_at TEXT",
    "ALTER TABLE sessions ADD COLUMN due_epoch INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE sessions ADD COLUMN out_dirty INTEGER NOT NULL DEFAULT 0"
    " CHECK (out_dirty IN (0, 1))",
    "ALTER TABLE sessions ADD COLUMN out_seq INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE sessions ADD COLUMN container_id TEXT",
    "ALTER TABLE sessions ADD COLUMN container_started_at TEXT",
    "ALTER TABLE sessions ADD COLUMN runtime_version TEXT",
    "ALTER TABLE sessions ADD COLUMN quarantined_at TEXT",
    "ALTER TABLE sessions ADD COLUMN quarantine_reason TEXT",
    "ALTER TABLE sessions ADD COLUMN deaths INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE sessions ADD COLUMN container_retry_at TEXT",
    "ALTER TABLE sessions ADD COLUMN container_failures INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE sessions ADD COLUMN container_error TEXT",
    # Both columns may be empty in old rows and stand in the conditions of the indexes below.
    "UPDATE sessions SET status = 'active' WHERE status IS NULL",
    "UPDATE sessions SET container_status = iif(container_status = 'idle', 'running', 'stopped')"
    " WHERE container_status IS NULL OR container_status = 'idle'",
)

_SESSION_INDEXES = (
    "CREATE UNIQUE INDEX sessions_active_key ON sessions(session_key)"
    " WHERE status = 'active' AND session_key IS NOT NULL",
    "CREATE INDEX sessions_closed_key ON sessions(session_key, created_at) WHERE status = 'closed'",
    "CREATE INDEX sessions_due ON sessions(next_due_at)"
    " WHERE status = 'active' AND quarantined_at IS NULL AND next_due_at IS NOT NULL",
    "CREATE INDEX sessions_retry ON sessions(container_retry_at)"
    " WHERE container_retry_at IS NOT NULL",
    "CREATE INDEX sessions_running ON sessions(container_status)"
    " WHERE container_status = 'running'",
    "CREATE INDEX sessions_dirty ON sessions(out_dirty) WHERE out_dirty = 1",
    "CREATE INDEX sessions_quarantined ON sessions(quarantined_at)"
    " WHERE quarantined_at IS NOT NULL",
)

_INBOUND_EVENTS = (
    """CREATE TABLE inbound_events (
        event_id INTEGER PRIMARY KEY,
        instance TEXT NOT NULL,
        event_key TEXT NOT NULL,
        received_at TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('committed', 'routed')),
        outcome TEXT NOT NULL CHECK (outcome IN ('routed', 'held', 'ignored', 'rejected')),
        reason TEXT,
        event_json TEXT,
        targets_json TEXT,
        UNIQUE (instance, event_key)) STRICT""",
    "CREATE INDEX inbound_events_unrouted ON inbound_events(event_id) WHERE state = 'committed'",
    "CREATE INDEX inbound_events_age ON inbound_events(received_at)",
)

_DELIVERIES = (
    """CREATE TABLE deliveries (
        row_number INTEGER PRIMARY KEY,
        delivery_id TEXT NOT NULL UNIQUE,
        message_out_id TEXT NOT NULL,
        session_id TEXT REFERENCES sessions(id) ON DELETE CASCADE,
        seq INTEGER NOT NULL,
        source TEXT NOT NULL CHECK (source IN ('agent', 'host')),
        instance TEXT NOT NULL,
        platform_id TEXT NOT NULL,
        thread_id TEXT,
        kind TEXT NOT NULL,
        content TEXT NOT NULL,
        in_reply_to TEXT,
        reply_hint TEXT,
        reply_to_message_id TEXT,
        completes INTEGER NOT NULL CHECK (completes IN (0, 1)),
        state TEXT NOT NULL
            CHECK (state IN ('queued', 'sending', 'sent', 'failed', 'uncertain')),
        attempts INTEGER NOT NULL DEFAULT 0,
        next_attempt_at TEXT NOT NULL,
        last_error TEXT,
        part_index INTEGER NOT NULL DEFAULT 0,
        platform_message_ids TEXT NOT NULL DEFAULT '[]',
        projected INTEGER NOT NULL DEFAULT 0 CHECK (projected IN (0, 1)),
        created_at TEXT NOT NULL,
        updated_at TEXT NOT NULL,
        expires_at TEXT NOT NULL,
        UNIQUE (session_id, message_out_id),
        CHECK (source = 'host' OR session_id IS NOT NULL)) STRICT""",
    "CREATE INDEX deliveries_due ON deliveries(next_attempt_at) WHERE state = 'queued'",
    "CREATE INDEX deliveries_open ON deliveries(instance, platform_id, thread_id)"
    " WHERE state IN ('queued', 'sending')",
    "CREATE INDEX deliveries_unprojected ON deliveries(session_id)"
    " WHERE projected = 0 AND source = 'agent' AND state IN ('sent', 'failed', 'uncertain')",
    "CREATE INDEX deliveries_age ON deliveries(created_at)",
)

_UNIQUE_ROLES = (
    # W-54: NULL in the primary key lets a global grant exist twice; the oldest grant stays.
    "DELETE FROM user_roles WHERE rowid NOT IN (SELECT rowid FROM (SELECT rowid, row_number()"
    " OVER (PARTITION BY user_id, role, coalesce(agent_group_id, '') ORDER BY granted_at, rowid)"
    " AS place FROM user_roles) WHERE place = 1)",
    "CREATE UNIQUE INDEX user_roles_unique"
    " ON user_roles(user_id, role, coalesce(agent_group_id, ''))",
)

_DROPPED_MESSAGES = (
    # W-55: counted per sender. The table of the earlier program stays as it was left.
    """CREATE TABLE dropped_messages (
        channel_type TEXT NOT NULL,
        platform_id TEXT NOT NULL,
        sender TEXT NOT NULL DEFAULT '',
        user_id TEXT,
        sender_name TEXT,
        reason TEXT NOT NULL,
        messaging_group_id TEXT,
        agent_group_id TEXT,
        message_count INTEGER NOT NULL DEFAULT 1 CHECK (message_count > 0),
        first_seen TEXT NOT NULL,
        last_seen TEXT NOT NULL,
        PRIMARY KEY (channel_type, platform_id, sender)) STRICT""",
    "CREATE INDEX dropped_messages_last_seen ON dropped_messages(last_seen)",
    "INSERT INTO dropped_messages SELECT channel_type, platform_id, coalesce(user_id, ''),"
    " user_id, sender_name, reason, messaging_group_id, agent_group_id, max(message_count, 1),"
    " first_seen, last_seen FROM unregistered_senders",
)

_ENGAGEMENT = (
    # W-37: that an agent has been addressed in a thread is a fact of its own, with an end.
    """CREATE TABLE engagements (
        agent_group_id TEXT NOT NULL REFERENCES agent_groups(id) ON DELETE CASCADE,
        messaging_group_id TEXT NOT NULL REFERENCES messaging_groups(id) ON DELETE CASCADE,
        thread_id TEXT NOT NULL DEFAULT '',
        engaged_at TEXT NOT NULL,
        expires_at TEXT NOT NULL,
        PRIMARY KEY (agent_group_id, messaging_group_id, thread_id)) STRICT, WITHOUT ROWID""",
    "CREATE INDEX engagements_chat ON engagements(messaging_group_id)",
    "CREATE INDEX engagements_expiry ON engagements(expires_at)",
    "ALTER TABLE messaging_group_agents ADD COLUMN sticky_seconds INTEGER"
    " CHECK (sticky_seconds > 0)",
    "ALTER TABLE messaging_group_agents ADD COLUMN uncertain_policy TEXT"
    " CHECK (uncertain_policy IN ('repeat', 'hold'))",
)

_PAIRING = (
    # Only a hash of the code is kept. Five wrong tries end it, whoever made them (C-86).
    """CREATE TABLE pairing_codes (
        pairing_id TEXT PRIMARY KEY,
        instance TEXT NOT NULL,
        code_hash TEXT NOT NULL,
        intent TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('pending', 'consumed', 'invalidated')),
        wrong_tries INTEGER NOT NULL DEFAULT 0,
        created_at TEXT NOT NULL,
        expires_at TEXT NOT NULL,
        consumed_at TEXT,
        consumed_by TEXT,
        platform_id TEXT,
        is_group INTEGER CHECK (is_group IN (0, 1)),
        chat_name TEXT) STRICT""",
    "CREATE UNIQUE INDEX pairing_codes_pending ON pairing_codes(instance, code_hash)"
    " WHERE state = 'pending'",
    """CREATE TABLE pairing_attempts (
        instance TEXT NOT NULL,
        platform_id TEXT NOT NULL,
        at TEXT NOT NULL) STRICT""",
    "CREATE INDEX pairing_attempts_chat ON pairing_attempts(instance, platform_id, at)",
)

_QUESTION_STATES = (
    # W-39: a card that was never sent, or never answered, must not block the next one for ever.
    # Rows of the earlier program count as sent: that is what it believed.
    "ALTER TABLE pending_questions ADD COLUMN card_state TEXT NOT NULL DEFAULT 'sent'"
    " CHECK (card_state IN ('created', 'sent', 'decided', 'expired'))",
    "ALTER TABLE pending_questions ADD COLUMN expires_at TEXT",
    "ALTER TABLE pending_questions ADD COLUMN decided_by TEXT",
    "ALTER TABLE pending_questions ADD COLUMN decided_at TEXT",
    "ALTER TABLE pending_approvals ADD COLUMN card_state TEXT NOT NULL DEFAULT 'sent'"
    " CHECK (card_state IN ('created', 'sent', 'decided', 'expired'))",
    "ALTER TABLE pending_approvals ADD COLUMN approver_user_id TEXT",
    "ALTER TABLE pending_approvals ADD COLUMN payload_hash TEXT",
    "ALTER TABLE pending_approvals ADD COLUMN decided_by TEXT",
    "ALTER TABLE pending_approvals ADD COLUMN decided_at TEXT",
    "ALTER TABLE pending_sender_approvals ADD COLUMN card_state TEXT NOT NULL DEFAULT 'sent'"
    " CHECK (card_state IN ('created', 'sent', 'decided', 'expired'))",
    "ALTER TABLE pending_sender_approvals ADD COLUMN expires_at TEXT",
    "ALTER TABLE pending_channel_approvals ADD COLUMN card_state TEXT NOT NULL DEFAULT 'sent'"
    " CHECK (card_state IN ('created', 'sent', 'decided', 'expired'))",
    "ALTER TABLE pending_channel_approvals ADD COLUMN expires_at TEXT",
    # H-219: somebody was asked for the name of a new agent, in this chat of theirs.
    "ALTER TABLE pending_channel_approvals ADD COLUMN name_asked_of TEXT",
    "ALTER TABLE pending_channel_approvals ADD COLUMN name_channel_type TEXT",
    "ALTER TABLE pending_channel_approvals ADD COLUMN name_platform_id TEXT",
    "CREATE INDEX pending_approvals_expiry ON pending_approvals(expires_at)"
    " WHERE status = 'pending'",
    "CREATE INDEX pending_questions_session ON pending_questions(session_id)",
    "CREATE UNIQUE INDEX pending_channel_approvals_name"
    " ON pending_channel_approvals(name_asked_of) WHERE name_asked_of IS NOT NULL",
)

_EFFECTS = (
    # One place carries out what was approved or asked for; the id makes a repeat harmless.
    """CREATE TABLE effects (
        effect_id TEXT PRIMARY KEY,
        kind TEXT NOT NULL,
        session_id TEXT,
        agent_group_id TEXT,
        approval_id TEXT UNIQUE,
        requested_by TEXT NOT NULL,
        payload TEXT NOT NULL,
        payload_hash TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('pending', 'running', 'done', 'failed')),
        attempts INTEGER NOT NULL DEFAULT 0,
        next_attempt_at TEXT NOT NULL,
        result TEXT,
        last_error TEXT,
        created_at TEXT NOT NULL,
        updated_at TEXT NOT NULL) STRICT""",
    "CREATE INDEX effects_due ON effects(next_attempt_at) WHERE state = 'pending'",
    "CREATE INDEX effects_running ON effects(state) WHERE state = 'running'",
)

_DOORS = (
    """CREATE TABLE doors (
        session_id TEXT PRIMARY KEY REFERENCES sessions(id) ON DELETE CASCADE,
        agent_group_id TEXT NOT NULL,
        folder TEXT NOT NULL UNIQUE,
        token_hash TEXT NOT NULL UNIQUE,
        lease INTEGER NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('open', 'closed')),
        opened_at TEXT NOT NULL,
        closed_at TEXT,
        CHECK ((state = 'closed') = (closed_at IS NOT NULL))) STRICT""",
    "CREATE INDEX doors_open ON doors(state) WHERE state = 'open'",
)

_AUDIT = (
    """CREATE TABLE audit (
        seq INTEGER PRIMARY KEY,
        at TEXT NOT NULL,
        kind TEXT NOT NULL,
        actor TEXT NOT NULL,
        subject TEXT NOT NULL,
        agent_group_id TEXT,
        session_id TEXT,
        detail TEXT NOT NULL,
        previous_hash TEXT NOT NULL,
        hash TEXT NOT NULL UNIQUE) STRICT""",
    "CREATE INDEX audit_kind ON audit(kind, seq)",
    # Rows leave only from the old end, after the hash they lead up to has been kept.
    """CREATE TABLE audit_anchors (
        seq INTEGER PRIMARY KEY,
        hash TEXT NOT NULL,
        at TEXT NOT NULL,
        archive TEXT NOT NULL) STRICT""",
    "CREATE TRIGGER audit_no_change BEFORE UPDATE ON audit"
    " BEGIN SELECT raise(ABORT, 'audit rows are never changed'); END",
    "CREATE TRIGGER audit_no_removal BEFORE DELETE ON audit"
    " WHEN NOT EXISTS (SELECT 1 FROM audit_anchors WHERE seq >= old.seq)"
    " BEGIN SELECT raise(ABORT, 'audit rows leave only through an archive'); END",
    "CREATE TRIGGER audit_anchors_no_change BEFORE UPDATE ON audit_anchors"
    " BEGIN SELECT raise(ABORT, 'audit anchors are never changed'); END",
    "CREATE TRIGGER audit_anchors_no_removal BEFORE DELETE ON audit_anchors"
    " BEGIN SELECT raise(ABORT, 'audit anchors are never removed'); END",
)

_CONTAINER_LIMITS = (
    "ALTER TABLE container_configs ADD COLUMN packages_pip TEXT NOT NULL DEFAULT '[]'",
    "ALTER TABLE container_configs ADD COLUMN memory_mb INTEGER CHECK (memory_mb > 0)",
    "ALTER TABLE container_configs ADD COLUMN cpus REAL CHECK (cpus > 0)",
    "ALTER TABLE container_configs ADD COLUMN pids_limit INTEGER CHECK (pids_limit > 0)",
    "ALTER TABLE container_configs ADD COLUMN disk_mb INTEGER CHECK (disk_mb > 0)",
    "ALTER TABLE container_configs ADD COLUMN max_turn_seconds INTEGER"
    " CHECK (max_turn_seconds > 0)",
    "ALTER TABLE container_configs ADD COLUMN idle_exit_seconds INTEGER"
    " CHECK (idle_exit_seconds >= 0)",
    "ALTER TABLE container_configs ADD COLUMN close_after_days INTEGER"
    " CHECK (close_after_days >= 0)",
    "ALTER TABLE container_configs ADD COLUMN egress_mode TEXT"
    " CHECK (egress_mode IN ('none', 'allowlist', 'open'))",
    "ALTER TABLE container_configs ADD COLUMN egress_allow TEXT NOT NULL DEFAULT '[]'",
    "ALTER TABLE container_configs ADD COLUMN credential TEXT",
    "ALTER TABLE container_configs ADD COLUMN taint_guard INTEGER NOT NULL DEFAULT 1"
    " CHECK (taint_guard IN (0, 1))",
    "ALTER TABLE container_configs ADD COLUMN script TEXT",
)


def _run(*statements: str) -> Apply:
    def apply(conn: sqlite3.Connection, _: str) -> None:
        for statement in statements:
            conn.execute(statement)

    return apply


def _sessions(conn: sqlite3.Connection, now: str) -> None:
    _run(*_SESSION_COLUMNS)(conn, now)
    assign_session_keys(conn)
    _run(*_SESSION_INDEXES)(conn, now)


OURS: tuple[tuple[str, Apply], ...] = (
    ("nanoclaw-1-sessions", _sessions),
    ("nanoclaw-2-inbound-events", _run(*_INBOUND_EVENTS)),
    ("nanoclaw-3-deliveries", _run(*_DELIVERIES)),
    ("nanoclaw-4-unique-roles", _run(*_UNIQUE_ROLES)),
    ("nanoclaw-5-dropped-messages", _run(*_DROPPED_MESSAGES)),
    ("nanoclaw-6-engagement", _run(*_ENGAGEMENT)),
    ("nanoclaw-7-pairing", _run(*_PAIRING)),
    ("nanoclaw-8-question-states", _run(*_QUESTION_STATES)),
    ("nanoclaw-9-effects", _run(*_EFFECTS)),
    ("nanoclaw-10-doors", _run(*_DOORS)),
    ("nanoclaw-11-audit", _run(*_AUDIT)),
    ("nanoclaw-12-usage", _run(*schema_usage.STATEMENTS)),
    ("nanoclaw-13-container-limits", _run(*_CONTAINER_LIMITS)),
    ("nanoclaw-14-held-events", _run(*schema_routing.STATEMENTS)),
    ("nanoclaw-15-tasks", _run(*schema_tasks.STATEMENTS)),
    ("nanoclaw-16-agents", _run(*schema_agents.STATEMENTS)),
    ("nanoclaw-17-approvals", _run(*schema_approvals.STATEMENTS)),
    ("nanoclaw-18-delivery", _run(*schema_delivery.STATEMENTS)),
    ("nanoclaw-19-retention", _run(*schema_retention.STATEMENTS)),
    ("nanoclaw-20-reading", _run(*schema_reading.STATEMENTS)),
    ("nanoclaw-21-egress", _run(*schema_egress.STATEMENTS)),
    ("nanoclaw-22-services", _run(*schema_services.STATEMENTS)),
    ("nanoclaw-23-money", _run(*schema_money.STATEMENTS)),
    ("nanoclaw-24-limits", _run(*schema_limits.STATEMENTS)),
)
