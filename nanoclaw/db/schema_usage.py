"""Our migration for what requests cost and what may be spent; listed in ``schema``.

A released one is never edited.
"""

STATEMENTS: tuple[str, ...] = (
    # Money in millionths of a dollar: whole numbers add up exactly.
    """CREATE TABLE usage (
        request_id TEXT PRIMARY KEY,
        session_id TEXT NOT NULL,
        agent_group_id TEXT NOT NULL,
        series_id TEXT,
        provider TEXT NOT NULL,
        model TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('reserved', 'settled', 'charged')),
        day TEXT NOT NULL,
        reserved_tokens INTEGER NOT NULL CHECK (reserved_tokens >= 0),
        reserved_microusd INTEGER NOT NULL CHECK (reserved_microusd >= 0),
        input_tokens INTEGER NOT NULL DEFAULT 0,
        output_tokens INTEGER NOT NULL DEFAULT 0,
        cache_read_tokens INTEGER NOT NULL DEFAULT 0,
        cache_write_tokens INTEGER NOT NULL DEFAULT 0,
        tokens INTEGER NOT NULL DEFAULT 0,
        microusd INTEGER NOT NULL DEFAULT 0,
        started_at TEXT NOT NULL,
        settled_at TEXT,
        CHECK ((state = 'reserved') = (settled_at IS NULL))) STRICT""",
    "CREATE INDEX usage_reserved ON usage(state) WHERE state = 'reserved'",
    "CREATE INDEX usage_group ON usage(agent_group_id, started_at)",
    "CREATE INDEX usage_age ON usage(started_at)",
    """CREATE TABLE budgets (
        scope TEXT NOT NULL CHECK (scope IN ('install', 'group', 'series', 'conversation')),
        subject TEXT NOT NULL DEFAULT '',
        period TEXT NOT NULL CHECK (period IN ('day', 'month')),
        unit TEXT NOT NULL CHECK (unit IN ('tokens', 'microusd')),
        amount INTEGER NOT NULL CHECK (amount >= 0),
        updated_at TEXT NOT NULL,
        updated_by TEXT NOT NULL,
        told_for TEXT,
        PRIMARY KEY (scope, subject, period, unit),
        CHECK ((scope = 'install') = (subject = ''))) STRICT, WITHOUT ROWID""",
    # Spent and reserved per scope and period ('2026-11-21' or '2026-11'): a check is one look.
    """CREATE TABLE spending (
        scope TEXT NOT NULL CHECK (scope IN ('install', 'group', 'series', 'conversation')),
        subject TEXT NOT NULL DEFAULT '',
        period_key TEXT NOT NULL,
        tokens INTEGER NOT NULL DEFAULT 0,
        microusd INTEGER NOT NULL DEFAULT 0,
        reserved_tokens INTEGER NOT NULL DEFAULT 0 CHECK (reserved_tokens >= 0),
        reserved_microusd INTEGER NOT NULL DEFAULT 0 CHECK (reserved_microusd >= 0),
        PRIMARY KEY (scope, subject, period_key)) STRICT, WITHOUT ROWID""",
)
