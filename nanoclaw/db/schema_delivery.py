"""Our migrations for delivery; listed in ``schema``. A released one is never edited."""

_TABLE = """CREATE TABLE deliveries_new (
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
            CHECK (state IN ('held', 'queued', 'sending', 'sent', 'failed', 'uncertain')),
        attempts INTEGER NOT NULL DEFAULT 0,
        next_attempt_at TEXT NOT NULL,
        last_error TEXT,
        part_index INTEGER NOT NULL DEFAULT 0,
        platform_message_ids TEXT NOT NULL DEFAULT '[]',
        projected INTEGER NOT NULL DEFAULT 0 CHECK (projected IN (0, 1)),
        created_at TEXT NOT NULL,
        updated_at TEXT NOT NULL,
        expires_at TEXT NOT NULL,
        files_state TEXT NOT NULL DEFAULT 'none' CHECK (files_state IN ('none', 'wanted', 'taken')),
        files TEXT NOT NULL DEFAULT '[]',
        files_bytes INTEGER NOT NULL DEFAULT 0 CHECK (files_bytes >= 0),
        files_problem TEXT,
        refers_to TEXT,
        uncertain_policy TEXT CHECK (uncertain_policy IN ('repeat', 'hold')),
        taint TEXT,
        waits_for TEXT,
        joined_into TEXT,
        failure TEXT,
        told INTEGER NOT NULL DEFAULT 1 CHECK (told IN (0, 1)),
        UNIQUE (session_id, message_out_id),
        CHECK (source = 'host' OR session_id IS NOT NULL),
        CHECK (state <> 'held' OR waits_for IS NOT NULL OR files_state = 'wanted')) STRICT"""

STATEMENTS: tuple[str, ...] = (
    # A CHECK cannot be widened in place, so the table is made anew. Held messages wait for a
    # person; files are those that were copied out of the agent's folder, once; what the agent and
    # its people still have to be told about a message stands in ``told``.
    _TABLE,
    """INSERT INTO deliveries_new (row_number, delivery_id, message_out_id, session_id, seq, source,
        instance, platform_id, thread_id, kind, content, in_reply_to, reply_hint,
        reply_to_message_id, completes, state, attempts, next_attempt_at, last_error, part_index,
        platform_message_ids, projected, created_at, updated_at, expires_at)
        SELECT row_number, delivery_id, message_out_id, session_id, seq, source,
        instance, platform_id, thread_id, kind, content, in_reply_to, reply_hint,
        reply_to_message_id, completes, state, attempts, next_attempt_at, last_error, part_index,
        platform_message_ids, projected, created_at, updated_at, expires_at FROM deliveries""",
    "DROP TABLE deliveries",
    "ALTER TABLE deliveries_new RENAME TO deliveries",
    "CREATE INDEX deliveries_due ON deliveries(next_attempt_at) WHERE state = 'queued'",
    "CREATE INDEX deliveries_expiry ON deliveries(expires_at) WHERE state = 'queued'",
    "CREATE INDEX deliveries_open ON deliveries(instance, platform_id, thread_id)"
    " WHERE state IN ('queued', 'sending')",
    "CREATE INDEX deliveries_unprojected ON deliveries(session_id)"
    " WHERE projected = 0 AND source = 'agent' AND state IN ('sent', 'failed', 'uncertain')",
    "CREATE INDEX deliveries_age ON deliveries(created_at)",
    "CREATE INDEX deliveries_held ON deliveries(waits_for) WHERE state = 'held'",
    "CREATE INDEX deliveries_wanted ON deliveries(files_state) WHERE files_state = 'wanted'",
    "CREATE INDEX deliveries_spooled ON deliveries(session_id)"
    " WHERE files_bytes > 0 AND state IN ('held', 'queued', 'sending')",
    "CREATE INDEX deliveries_joined ON deliveries(joined_into)"
    " WHERE joined_into IS NOT NULL AND state IN ('queued', 'sending')",
    "CREATE INDEX deliveries_untold ON deliveries(row_number) WHERE told = 0",
)
