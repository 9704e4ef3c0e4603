"""Our migrations for the life of sessions; listed in ``schema``. A released one is never edited."""

STATEMENTS: tuple[str, ...] = (
    # Folders of the earlier program: both databases in one folder that the container could write.
    # What was there before our first migration is of that kind; the folder itself proves nothing,
    # because an agent could have made it look like ours.
    "ALTER TABLE sessions ADD COLUMN converted INTEGER NOT NULL DEFAULT 1"
    " CHECK (converted IN (0, 1))",
    "UPDATE sessions SET converted = 0 WHERE created_at <"
    " (SELECT applied FROM schema_version WHERE name = 'nanoclaw-1-sessions')",
    "CREATE INDEX sessions_unconverted ON sessions(converted) WHERE converted = 0",
    # Closed sessions: their folder is one compressed file until somebody writes again.
    "ALTER TABLE sessions ADD COLUMN closed_at TEXT",
    "ALTER TABLE sessions ADD COLUMN archived INTEGER NOT NULL DEFAULT 0"
    " CHECK (archived IN (0, 1))",
    "CREATE INDEX sessions_unpacked ON sessions(closed_at)"
    " WHERE status = 'closed' AND archived = 0 AND closed_at IS NOT NULL",
    "CREATE INDEX sessions_quiet ON sessions(last_active) WHERE status = 'active'",
)
