"""The thirteen migrations of the earlier program, as it applied them.

Called by ``migrations`` only. Names are their identity in the ledger (H-13); effects, default
values and even nullability are what old databases have on disk, so nothing here is ever improved.
What we would do differently stands in ``schema``. No table that others refer to is rebuilt (H-17).
"""

import json
import sqlite3
from collections.abc import Callable

from nanoclaw.db.names import destination_name, free_name

Apply = Callable[[sqlite3.Connection, str], None]
"""Changes the schema and its data; gets the time as stored text. Runs inside a transaction."""

_INITIAL = (
    """CREATE TABLE agent_groups (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        folder TEXT NOT NULL UNIQUE,
        agent_provider TEXT,
        created_at TEXT NOT NULL)""",
    """CREATE TABLE messaging_groups (
        id TEXT PRIMARY KEY,
        channel_type TEXT NOT NULL,
        platform_id TEXT NOT NULL,
        name TEXT,
        is_group INTEGER DEFAULT 0,
        unknown_sender_policy TEXT NOT NULL DEFAULT 'strict',
        created_at TEXT NOT NULL,
        UNIQUE (channel_type, platform_id))""",
    """CREATE TABLE messaging_group_agents (
        id TEXT PRIMARY KEY,
        messaging_group_id TEXT NOT NULL REFERENCES messaging_groups(id),
        agent_group_id TEXT NOT NULL REFERENCES agent_groups(id),
        trigger_rules TEXT,
        response_scope TEXT DEFAULT 'all',
        session_mode TEXT DEFAULT 'shared',
        priority INTEGER DEFAULT 0,
        created_at TEXT NOT NULL,
        UNIQUE (messaging_group_id, agent_group_id))""",
    """CREATE TABLE users (
        id TEXT PRIMARY KEY,
        kind TEXT NOT NULL,
        display_name TEXT,
        created_at TEXT NOT NULL)""",
    """CREATE TABLE user_roles (
        user_id TEXT NOT NULL REFERENCES users(id),
        role TEXT NOT NULL,
        agent_group_id TEXT REFERENCES agent_groups(id),
        granted_by TEXT REFERENCES users(id),
        granted_at TEXT NOT NULL,
        PRIMARY KEY (user_id, role, agent_group_id))""",
    "CREATE INDEX idx_user_roles_scope ON user_roles(agent_group_id, role)",
    """CREATE TABLE agent_group_members (
        user_id TEXT NOT NULL REFERENCES users(id),
        agent_group_id TEXT NOT NULL REFERENCES agent_groups(id),
        added_by TEXT REFERENCES users(id),
        added_at TEXT NOT NULL,
        PRIMARY KEY (user_id, agent_group_id))""",
    """CREATE TABLE user_dms (
        user_id TEXT NOT NULL REFERENCES users(id),
        channel_type TEXT NOT NULL,
        messaging_group_id TEXT NOT NULL REFERENCES messaging_groups(id),
        resolved_at TEXT NOT NULL,
        PRIMARY KEY (user_id, channel_type))""",
    """CREATE TABLE sessions (
        id TEXT PRIMARY KEY,
        agent_group_id TEXT NOT NULL REFERENCES agent_groups(id),
        messaging_group_id TEXT REFERENCES messaging_groups(id),
        thread_id TEXT,
        agent_provider TEXT,
        status TEXT DEFAULT 'active',
        container_status TEXT DEFAULT 'stopped',
        last_active TEXT,
        created_at TEXT NOT NULL)""",
    "CREATE INDEX idx_sessions_agent_group ON sessions(agent_group_id)",
    "CREATE INDEX idx_sessions_lookup ON sessions(messaging_group_id, thread_id)",
    """CREATE TABLE pending_questions (
        question_id TEXT PRIMARY KEY,
        session_id TEXT NOT NULL REFERENCES sessions(id),
        message_out_id TEXT NOT NULL,
        platform_id TEXT,
        channel_type TEXT,
        thread_id TEXT,
        title TEXT NOT NULL,
        options_json TEXT NOT NULL,
        created_at TEXT NOT NULL)""",
)

_CHAT_SDK_STATE = (
    "CREATE TABLE chat_sdk_kv (key TEXT PRIMARY KEY, value TEXT NOT NULL, expires_at INTEGER)",
    """CREATE TABLE chat_sdk_subscriptions (
        thread_id TEXT PRIMARY KEY,
        subscribed_at TEXT NOT NULL DEFAULT (datetime('now')))""",
    """CREATE TABLE chat_sdk_locks (
        thread_id TEXT PRIMARY KEY,
        token TEXT NOT NULL,
        expires_at INTEGER NOT NULL)""",
    """CREATE TABLE chat_sdk_lists (
        key TEXT NOT NULL,
        idx INTEGER NOT NULL,
        value TEXT NOT NULL,
        expires_at INTEGER,
        PRIMARY KEY (key, idx))""",
)

_PENDING_APPROVALS = (
    """CREATE TABLE pending_approvals (
        approval_id TEXT PRIMARY KEY,
        session_id TEXT REFERENCES sessions(id),
        request_id TEXT NOT NULL,
        action TEXT NOT NULL,
        payload TEXT NOT NULL,
        created_at TEXT NOT NULL,
        agent_group_id TEXT REFERENCES agent_groups(id),
        channel_type TEXT,
        platform_id TEXT,
        platform_message_id TEXT,
        expires_at TEXT,
        status TEXT NOT NULL DEFAULT 'pending',
        title TEXT NOT NULL DEFAULT '',
        options_json TEXT NOT NULL DEFAULT '[]')""",
    "CREATE INDEX idx_pending_approvals_action_status ON pending_approvals(action, status)",
)

_AGENT_DESTINATIONS = (
    """CREATE TABLE agent_destinations (
        agent_group_id TEXT NOT NULL REFERENCES agent_groups(id),
        local_name TEXT NOT NULL,
        target_type TEXT NOT NULL,
        target_id TEXT NOT NULL,
        created_at TEXT NOT NULL,
        PRIMARY KEY (agent_group_id, local_name))""",
    "CREATE INDEX idx_agent_dest_target ON agent_destinations(target_type, target_id)",
)

_DROPPED_MESSAGES = (
    """CREATE TABLE IF NOT EXISTS unregistered_senders (
        channel_type TEXT NOT NULL,
        platform_id TEXT NOT NULL,
        user_id TEXT,
        sender_name TEXT,
        reason TEXT NOT NULL,
        messaging_group_id TEXT,
        agent_group_id TEXT,
        message_count INTEGER NOT NULL DEFAULT 1,
        first_seen TEXT NOT NULL,
        last_seen TEXT NOT NULL,
        PRIMARY KEY (channel_type, platform_id))""",
    "CREATE INDEX IF NOT EXISTS idx_unregistered_senders_last_seen"
    " ON unregistered_senders(last_seen)",
)

_DROP_PENDING_CREDENTIALS = (
    "DROP INDEX IF EXISTS idx_pending_credentials_status",
    "DROP TABLE IF EXISTS pending_credentials",
)

_ENGAGE_COLUMNS = (
    "ALTER TABLE messaging_group_agents ADD COLUMN engage_mode TEXT",
    "ALTER TABLE messaging_group_agents ADD COLUMN engage_pattern TEXT",
    "ALTER TABLE messaging_group_agents ADD COLUMN sender_scope TEXT",
    "ALTER TABLE messaging_group_agents ADD COLUMN ignored_message_policy TEXT",
)

_DROP_OLD_TRIGGERS = (
    "ALTER TABLE messaging_group_agents DROP COLUMN trigger_rules",
    "ALTER TABLE messaging_group_agents DROP COLUMN response_scope",
)

_PENDING_SENDER_APPROVALS = (
    """CREATE TABLE IF NOT EXISTS pending_sender_approvals (
        id TEXT PRIMARY KEY,
        messaging_group_id TEXT NOT NULL REFERENCES messaging_groups(id),
        agent_group_id TEXT NOT NULL REFERENCES agent_groups(id),
        sender_identity TEXT NOT NULL,
        sender_name TEXT,
        original_message TEXT NOT NULL,
        approver_user_id TEXT NOT NULL,
        created_at TEXT NOT NULL,
        UNIQUE (messaging_group_id, sender_identity))""",
    "CREATE INDEX IF NOT EXISTS idx_pending_sender_approvals_mg"
    " ON pending_sender_approvals(messaging_group_id)",
)

_PENDING_CHANNEL_APPROVALS = """CREATE TABLE IF NOT EXISTS pending_channel_approvals (
        messaging_group_id TEXT PRIMARY KEY REFERENCES messaging_groups(id),
        agent_group_id TEXT NOT NULL REFERENCES agent_groups(id),
        original_message TEXT NOT NULL,
        approver_user_id TEXT NOT NULL,
        created_at TEXT NOT NULL)"""

_CONTAINER_CONFIGS = """CREATE TABLE container_configs (
        agent_group_id TEXT PRIMARY KEY REFERENCES agent_groups(id) ON DELETE CASCADE,
        provider TEXT,
        model TEXT,
        effort TEXT,
        image_tag TEXT,
        assistant_name TEXT,
        max_messages_per_prompt INTEGER,
        skills TEXT NOT NULL DEFAULT '"all"',
        mcp_servers TEXT NOT NULL DEFAULT '{}',
        packages_apt TEXT NOT NULL DEFAULT '[]',
        packages_npm TEXT NOT NULL DEFAULT '[]',
        additional_mounts TEXT NOT NULL DEFAULT '[]',
        updated_at TEXT NOT NULL)"""

_CLI_SCOPE = ("ALTER TABLE container_configs ADD COLUMN cli_scope TEXT NOT NULL DEFAULT 'group'",)


def _run(*statements: str) -> Apply:
    def apply(conn: sqlite3.Connection, _: str) -> None:
        for statement in statements:
            conn.execute(statement)

    return apply


def _agent_destinations(conn: sqlite3.Connection, now: str) -> None:
    """H-14: whoever is wired to a chat may write to it, under a name made from the chat's."""
    _run(*_AGENT_DESTINATIONS)(conn, now)
    wirings = conn.execute(
        "SELECT w.agent_group_id, w.messaging_group_id, m.channel_type, m.name"
        " FROM messaging_group_agents w JOIN messaging_groups m ON m.id = w.messaging_group_id"
        " ORDER BY m.rowid, w.agent_group_id"  # its order decides who gets a number
    ).fetchall()
    taken: dict[str, set[str]] = {}
    for agent_group_id, messaging_group_id, channel_type, chat_name in wirings:
        names = taken.setdefault(agent_group_id, set())
        name = free_name(destination_name(chat_name, channel_type, messaging_group_id), names)
        names.add(name)
        conn.execute(
            "INSERT INTO agent_destinations VALUES (?, ?, 'channel', ?, ?)",
            (agent_group_id, name, messaging_group_id, now),
        )


def _approval_titles(conn: sqlite3.Connection, _: str) -> None:
    """Early installs made the table without these two columns."""
    _add_missing(
        conn,
        "pending_approvals",
        {
            "title": "ALTER TABLE pending_approvals ADD COLUMN title TEXT NOT NULL DEFAULT ''",
            "options_json": "ALTER TABLE pending_approvals"
            " ADD COLUMN options_json TEXT NOT NULL DEFAULT '[]'",
        },
    )


def _engage_modes(conn: sqlite3.Connection, now: str) -> None:
    """H-16: the old trigger rules become engage mode, pattern and sender scope."""
    _run(*_ENGAGE_COLUMNS)(conn, now)
    old = conn.execute(
        "SELECT id, trigger_rules, response_scope FROM messaging_group_agents"
    ).fetchall()
    for wiring_id, trigger_rules, response_scope in old:
        mode, pattern = _engagement(trigger_rules, response_scope)
        scope = "known" if response_scope == "allowlisted" else "all"
        conn.execute(
            "UPDATE messaging_group_agents SET engage_mode = ?, engage_pattern = ?,"
            " sender_scope = ?, ignored_message_policy = 'drop' WHERE id = ?",
            (mode, pattern, scope, wiring_id),
        )
    _run(*_DROP_OLD_TRIGGERS)(conn, now)


def _engagement(trigger_rules: object, response_scope: object) -> tuple[str, str | None]:
    """Whatever is no JSON object, ``null`` included, counts as no rules."""
    try:
        rules = json.loads(str(trigger_rules)) if trigger_rules else {}
    except (ValueError, RecursionError):
        rules = {}
    if not isinstance(rules, dict):
        rules = {}
    pattern = rules.get("pattern")
    if isinstance(pattern, str) and pattern:
        return "pattern", pattern
    if rules.get("requiresTrigger") is False or response_scope == "all":
        return "pattern", "."
    return "mention", None


def _channel_registration(conn: sqlite3.Connection, now: str) -> None:
    _add_missing(
        conn,
        "messaging_groups",
        {"denied_at": "ALTER TABLE messaging_groups ADD COLUMN denied_at TEXT"},
    )
    _run(_PENDING_CHANNEL_APPROVALS)(conn, now)


def _approval_render_metadata(conn: sqlite3.Connection, _: str) -> None:
    _add_missing(
        conn,
        "pending_channel_approvals",
        {
            "title": "ALTER TABLE pending_channel_approvals"
            " ADD COLUMN title TEXT NOT NULL DEFAULT ''",
            "options_json": "ALTER TABLE pending_channel_approvals"
            " ADD COLUMN options_json TEXT NOT NULL DEFAULT '[]'",
        },
    )
    _add_missing(
        conn,
        "pending_sender_approvals",
        {
            "title": "ALTER TABLE pending_sender_approvals"
            " ADD COLUMN title TEXT NOT NULL DEFAULT ''",
            "options_json": "ALTER TABLE pending_sender_approvals"
            " ADD COLUMN options_json TEXT NOT NULL DEFAULT '[]'",
        },
    )


def _add_missing(conn: sqlite3.Connection, table: str, columns: dict[str, str]) -> None:
    present = {row[0] for row in conn.execute("SELECT name FROM pragma_table_info(?)", (table,))}
    for column, statement in columns.items():
        if column not in present:
            conn.execute(statement)


REFERENCE: tuple[tuple[str, Apply], ...] = (
    ("initial-v2-schema", _run(*_INITIAL)),
    ("chat-sdk-state", _run(*_CHAT_SDK_STATE)),
    ("pending-approvals", _run(*_PENDING_APPROVALS)),
    ("agent-destinations", _agent_destinations),
    ("pending-approvals-title-options", _approval_titles),
    ("dropped-messages", _run(*_DROPPED_MESSAGES)),
    ("drop-pending-credentials", _run(*_DROP_PENDING_CREDENTIALS)),
    ("engage-modes", _engage_modes),
    ("pending-sender-approvals", _run(*_PENDING_SENDER_APPROVALS)),
    ("channel-registration", _channel_registration),
    ("approval-render-metadata", _approval_render_metadata),
    ("container-configs", _run(_CONTAINER_CONFIGS)),
    ("cli-scope", _run(*_CLI_SCOPE)),
)
