import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from helpers.central_rows import NOW, seconds

from contract.clock import to_text
from nanoclaw.db.connection import SCHEMA_NUMBER, open_memory, transaction
from nanoclaw.db.migrations import MIGRATIONS, applied, migrate, pending
from nanoclaw.db.reference_schema import REFERENCE
from nanoclaw.errors import StateError
from nanoclaw.model import SessionMode
from nanoclaw.sessions.decide import SessionKey

REFERENCE_NAMES = [
    "initial-v2-schema", "chat-sdk-state", "pending-approvals", "agent-destinations",
    "pending-approvals-title-options", "dropped-messages", "drop-pending-credentials",
    "engage-modes", "pending-sender-approvals", "channel-registration",
    "approval-render-metadata", "container-configs", "cli-scope",
]  # fmt: skip
OUR_TABLES = {
    "inbound_events", "deliveries", "dropped_messages", "engagements", "pairing_codes",
    "pairing_attempts", "effects", "doors", "audit", "audit_anchors", "usage", "budgets",
    "budget_told", "spending", "task_series", "task_runs", "agent_traffic", "agent_brakes",
    "created_agents",
    "egress_rules", "egress_asks", "egress_ask_sessions", "egress_counts",
    "services", "service_hosts", "service_groups",
    "card_copies", "closed_cards", "owner_notices", "sender_denials",
    "disk_excess",
}  # fmt: skip
TIME = to_text(NOW)


@pytest.fixture
def empty() -> Iterator[sqlite3.Connection]:
    with closing(open_memory()) as conn:
        yield conn


def make_old(conn: sqlite3.Connection, level: int) -> None:
    """A database as the earlier program left it after its first ``level`` migrations."""
    conn.execute("CREATE TABLE schema_version (version INTEGER PRIMARY KEY, name TEXT NOT NULL,"
                 " applied TEXT NOT NULL)")  # fmt: skip
    for version, (name, apply) in enumerate(REFERENCE[:level], start=1):
        apply(conn, TIME)
        conn.execute("INSERT INTO schema_version VALUES (?, ?, ?)", (version, name, TIME))


def add_old_wirings(conn: sqlite3.Connection, *rules: tuple[str | None, str | None]) -> None:
    conn.execute("INSERT INTO agent_groups VALUES ('ag-1', 'Pip', 'pip', NULL, ?)", (TIME,))
    for number, (trigger_rules, response_scope) in enumerate(rules):
        conn.execute(
            "INSERT INTO messaging_groups (id, channel_type, platform_id, name, created_at)"
            " VALUES (?, 'telegram', ?, 'Garden Club', ?)",
            (f"mg-{number}", f"p-{number}", TIME),
        )
        conn.execute(
            "INSERT INTO messaging_group_agents (id, messaging_group_id, agent_group_id,"
            " trigger_rules, response_scope, created_at) VALUES (?, ?, 'ag-1', ?, ?, ?)",
            (f"mga-{number}", f"mg-{number}", trigger_rules, response_scope, TIME),
        )


def test_fresh_database_gets_everything_with_a_line_for_each(empty: sqlite3.Connection) -> None:
    names = migrate(empty, NOW)

    assert names == [migration.name for migration in MIGRATIONS]
    lines = applied(empty)
    assert [line.name for line in lines] == names
    assert [line.version for line in lines] == list(range(1, len(names) + 1))
    assert {line.applied_at for line in lines} == {NOW}
    assert pending(empty) == []
    assert empty.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_NUMBER


def test_names_of_the_earlier_program_are_its_own(empty: sqlite3.Connection) -> None:
    assert [migration.name for migration in pending(empty)][:13] == REFERENCE_NAMES
    assert applied(empty) == []


def test_second_run_changes_nothing(empty: sqlite3.Connection) -> None:
    migrate(empty, NOW)
    before = empty.serialize()

    assert migrate(empty, NOW + seconds(60)) == []
    assert empty.serialize() == before


@pytest.mark.parametrize("level", range(14))
def test_every_level_of_the_earlier_program_reaches_the_schema_of_a_fresh_database(
    empty: sqlite3.Connection, conn: sqlite3.Connection, level: int
) -> None:
    make_old(empty, level)

    assert migrate(empty, NOW) == [migration.name for migration in MIGRATIONS[level:]]
    assert columns_of(empty) == columns_of(conn)
    assert [line.version for line in applied(empty)] == list(range(1, len(MIGRATIONS) + 1))


def columns_of(conn: sqlite3.Connection) -> set[tuple[object, ...]]:
    tables = conn.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
    return {
        (table, *column)
        for (table,) in tables
        for column in conn.execute(
            'SELECT cid, name, type, "notnull", dflt_value, pk FROM pragma_table_info(?)', (table,)
        )
    }


def test_migrations_that_were_withdrawn_are_left_in_the_ledger(empty: sqlite3.Connection) -> None:
    make_old(empty, 4)
    empty.execute("INSERT INTO schema_version VALUES (5, 'pending-credentials', ?)", (TIME,))
    empty.execute("INSERT INTO schema_version VALUES (6, 'pending-swaps', ?)", (TIME,))
    empty.execute("CREATE TABLE pending_credentials (id TEXT PRIMARY KEY, status TEXT)")
    empty.execute("CREATE INDEX idx_pending_credentials_status ON pending_credentials(status)")
    empty.execute("CREATE TABLE pending_swaps (id TEXT PRIMARY KEY)")

    migrate(empty, NOW)

    ledger = {line.name: line.version for line in applied(empty)}
    assert (ledger["pending-credentials"], ledger["pending-swaps"]) == (5, 6)
    assert ledger["pending-approvals-title-options"] == 7
    left = {row[0] for row in empty.execute("SELECT name FROM sqlite_schema")}
    assert "pending_credentials" not in left
    assert "pending_swaps" in left


def test_early_approvals_table_gets_the_columns_it_lacks(empty: sqlite3.Connection) -> None:
    make_old(empty, 4)
    empty.execute("ALTER TABLE pending_approvals DROP COLUMN title")
    empty.execute("ALTER TABLE pending_approvals DROP COLUMN options_json")

    migrate(empty, NOW)

    row = empty.execute(
        "INSERT INTO pending_approvals (approval_id, request_id, action, payload, created_at)"
        " VALUES ('a', 'a', 'x', '{}', ?) RETURNING title, options_json",
        (TIME,),
    ).fetchall()[0]
    assert tuple(row) == ("", "[]")


@pytest.mark.parametrize(
    ("trigger_rules", "response_scope", "expected"),
    [
        ('{"pattern":"^hey"}', "triggered", ("pattern", "^hey", "all")),
        ('{"pattern":"^hey","requiresTrigger":false}', "all", ("pattern", "^hey", "all")),
        ('{"pattern":""}', "triggered", ("mention", None, "all")),
        ('{"pattern":7}', "triggered", ("mention", None, "all")),
        ('{"requiresTrigger":false}', "triggered", ("pattern", ".", "all")),
        ('{"requiresTrigger":0}', "triggered", ("mention", None, "all")),
        ('{"requiresTrigger":true}', "all", ("pattern", ".", "all")),
        ("{broken", "triggered", ("mention", None, "all")),
        ("null", "triggered", ("mention", None, "all")),
        ("[1]", "all", ("pattern", ".", "all")),
        (None, "allowlisted", ("mention", None, "known")),
        (None, None, ("mention", None, "all")),
        ("", "all", ("pattern", ".", "all")),
    ],
)
def test_old_trigger_rules_become_engage_modes(
    empty: sqlite3.Connection,
    trigger_rules: str | None,
    response_scope: str | None,
    expected: tuple[str, str | None, str],
) -> None:
    make_old(empty, 7)
    add_old_wirings(empty, (trigger_rules, response_scope))

    migrate(empty, NOW)

    row = empty.execute(
        "SELECT engage_mode, engage_pattern, sender_scope, ignored_message_policy"
        " FROM messaging_group_agents"
    ).fetchone()
    assert tuple(row) == (*expected, "drop")


def test_wired_chats_become_destinations_with_numbered_names(empty: sqlite3.Connection) -> None:
    make_old(empty, 3)
    add_old_wirings(empty, (None, "all"), (None, "all"))
    empty.execute("UPDATE messaging_groups SET name = NULL WHERE id = 'mg-1'")
    add_third = "INSERT INTO messaging_groups (id, channel_type, platform_id, name, created_at)"
    empty.execute(f"{add_third} VALUES ('mg-9', 'slack', 'p', 'garden club', ?)", (TIME,))
    empty.execute(
        "INSERT INTO messaging_group_agents (id, messaging_group_id, agent_group_id, created_at)"
        " VALUES ('mga-9', 'mg-9', 'ag-1', ?)",
        (TIME,),
    )

    migrate(empty, NOW)

    rows = empty.execute("SELECT local_name, target_id, created_at FROM agent_destinations")
    assert [tuple(row) for row in rows] == [
        ("garden-club", "mg-0", TIME),
        ("telegram-mg-1", "mg-1", TIME),
        ("garden-club-2", "mg-9", TIME),
    ]


def test_doubled_global_roles_are_reduced_to_the_oldest(empty: sqlite3.Connection) -> None:
    make_old(empty, 13)
    add_old_users_and_roles(empty)

    migrate(empty, NOW)

    rows = empty.execute(
        "SELECT user_id, role, agent_group_id, granted_at FROM user_roles"
        " ORDER BY user_id, role, agent_group_id DESC"
    ).fetchall()
    assert [tuple(row) for row in rows] == [
        ("u:1", "admin", None, to_text(NOW)),
        ("u:1", "owner", None, to_text(NOW - seconds(9))),
        ("u:2", "admin", "ag-1", to_text(NOW)),
        ("u:2", "admin", None, to_text(NOW)),
    ]


def add_old_users_and_roles(conn: sqlite3.Connection) -> None:
    conn.execute("INSERT INTO agent_groups VALUES ('ag-1', 'Pip', 'pip', NULL, ?)", (TIME,))
    for user_id in ("u:1", "u:2"):
        conn.execute("INSERT INTO users VALUES (?, 'u', NULL, ?)", (user_id, TIME))
    grants = [
        ("u:1", "owner", None, NOW),
        ("u:1", "owner", None, NOW - seconds(9)),
        ("u:1", "owner", None, NOW + seconds(9)),
        ("u:1", "admin", None, NOW),
        ("u:2", "admin", None, NOW),
        ("u:2", "admin", "ag-1", NOW),
    ]
    for user_id, role, agent_group_id, at in grants:
        conn.execute(
            "INSERT INTO user_roles VALUES (?, ?, ?, NULL, ?)",
            (user_id, role, agent_group_id, to_text(at)),
        )


def add_old_session(
    conn: sqlite3.Connection, session_id: str, chat: str | None, thread: str | None, *,
    last_active: str | None = None, status: str | None = "active",
) -> None:  # fmt: skip
    conn.execute(
        "INSERT INTO sessions VALUES (?, 'ag-1', ?, ?, NULL, ?, 'idle', ?, ?)",
        (session_id, chat, thread, status, last_active, TIME),
    )


def test_old_sessions_get_the_keys_by_which_the_router_finds_them(
    empty: sqlite3.Connection,
) -> None:
    make_old(empty, 13)
    empty.execute("INSERT INTO agent_groups VALUES ('ag-1', 'Pip', 'pip', NULL, ?)", (TIME,))
    for chat, mode in (("mg|1", "shared"), ("mg%2", "per-thread"), ("mg-3", "agent-shared")):
        empty.execute(
            "INSERT INTO messaging_groups (id, channel_type, platform_id, created_at)"
            " VALUES (?, 'telegram', ?, ?)",
            (chat, chat, TIME),
        )
        empty.execute(
            "INSERT INTO messaging_group_agents (id, messaging_group_id, agent_group_id,"
            " session_mode, created_at) VALUES (?, ?, 'ag-1', ?, ?)",
            (f"mga-{chat}", chat, mode, TIME),
        )
    add_old_session(empty, "shared", "mg|1", None)
    add_old_session(empty, "threaded by the channel", "mg|1", "t|1")
    add_old_session(empty, "threaded", "mg%2", "t")
    add_old_session(empty, "top level", "mg%2", None)
    add_old_session(empty, "everywhere", "mg-3", None)

    migrate(empty, NOW)

    keys = dict(empty.execute("SELECT id, session_key FROM sessions").fetchall())
    per_thread, shared = SessionMode.PER_THREAD, SessionMode.SHARED
    assert keys == {
        "shared": SessionKey(shared, "ag-1", "mg|1", None).text,
        "threaded by the channel": SessionKey(per_thread, "ag-1", "mg|1", "t|1").text,
        "threaded": SessionKey(per_thread, "ag-1", "mg%2", "t").text,
        "top level": SessionKey(per_thread, "ag-1", "mg%2", None).text,
        "everywhere": SessionKey(SessionMode.AGENT_SHARED, "ag-1", None, None).text,
    }


def test_of_several_old_sessions_for_one_conversation_the_last_used_one_goes_on(
    empty: sqlite3.Connection,
) -> None:
    make_old(empty, 13)
    empty.execute("INSERT INTO agent_groups VALUES ('ag-1', 'Pip', 'pip', NULL, ?)", (TIME,))
    add_old_session(empty, "older", None, None, last_active=to_text(NOW + seconds(5)))
    add_old_session(empty, "newer", None, None, last_active=to_text(NOW + seconds(9)))
    add_old_session(empty, "never used", None, None, status=None)
    add_old_session(empty, "closed", None, None, last_active=TIME, status="closed")

    migrate(empty, NOW)

    rows = {row["id"]: row for row in empty.execute("SELECT * FROM sessions")}
    keyed = {session_id for session_id, row in rows.items() if row["session_key"]}
    assert keyed == {"newer", "closed"}
    assert {row["mode"] for row in rows.values()} == {"agent-shared"}
    assert rows["never used"]["status"] == "active"
    assert {row["container_status"] for row in rows.values()} == {"running"}


def test_dropped_messages_of_the_earlier_program_are_taken_over(empty: sqlite3.Connection) -> None:
    make_old(empty, 13)
    empty.execute(
        "INSERT INTO unregistered_senders VALUES ('t', 'c', 'u:1', 'Mara', 'why', NULL, NULL, 4,"
        " ?, ?)",
        (TIME, TIME),
    )

    migrate(empty, NOW)

    new = empty.execute("SELECT sender, sender_name, message_count FROM dropped_messages")
    assert [tuple(row) for row in new] == [("u:1", "Mara", 4)]
    assert empty.execute("SELECT count(*) FROM unregistered_senders").fetchone()[0] == 1


def test_failed_migration_leaves_neither_changes_nor_a_line(empty: sqlite3.Connection) -> None:
    make_old(empty, 13)
    empty.execute("CREATE TABLE deliveries_age_blocker (x)")
    empty.execute("CREATE INDEX deliveries_age ON deliveries_age_blocker(x)")

    with pytest.raises(sqlite3.OperationalError):
        migrate(empty, NOW)

    assert applied(empty)[-1].name == "nanoclaw-2-inbound-events"
    assert empty.execute("PRAGMA user_version").fetchone()[0] == 2
    assert not empty.in_transaction
    tables = {row[0] for row in empty.execute("SELECT name FROM sqlite_schema")}
    assert "deliveries" not in tables

    empty.execute("DROP TABLE deliveries_age_blocker")
    assert migrate(empty, NOW)[0] == "nanoclaw-3-deliveries"


def test_database_of_a_newer_program_is_refused_untouched(empty: sqlite3.Connection) -> None:
    migrate(empty, NOW)
    empty.execute(f"PRAGMA user_version = {SCHEMA_NUMBER + 1}")
    before = empty.serialize()

    with pytest.raises(StateError) as refusal:
        migrate(empty, NOW)

    assert empty.serialize() == before
    for word in (str(SCHEMA_NUMBER), str(SCHEMA_NUMBER + 1), "nanoclaw backup restore"):
        assert word in str(refusal.value)


def test_migration_of_ours_that_we_do_not_know_is_refused(empty: sqlite3.Connection) -> None:
    make_old(empty, 13)
    empty.execute("INSERT INTO schema_version VALUES (14, 'nanoclaw-999-future', ?)", (TIME,))
    before = empty.serialize()

    with pytest.raises(StateError, match="nanoclaw-999-future"):
        migrate(empty, NOW)

    assert empty.serialize() == before


def test_our_tables_are_strict(conn: sqlite3.Connection) -> None:
    strict = {row["name"] for row in conn.execute("PRAGMA table_list") if row["strict"]}

    assert strict == OUR_TABLES


def test_database_of_today_is_sound(conn: sqlite3.Connection) -> None:
    assert conn.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    assert conn.execute("PRAGMA foreign_key_check").fetchall() == []


def test_transaction_rolls_back_whatever_stops_it(conn: sqlite3.Connection) -> None:
    with pytest.raises(KeyboardInterrupt), transaction(conn):
        conn.execute("INSERT INTO users VALUES ('u:1', 'u', NULL, ?)", (TIME,))
        raise KeyboardInterrupt

    assert not conn.in_transaction
    assert conn.execute("SELECT count(*) FROM users").fetchone()[0] == 0
