"""Our migration for endpoints of models, and budgets; listed in ``schema``.

A released one is never edited.
"""

STATEMENTS: tuple[str, ...] = (
    "ALTER TABLE container_configs ADD COLUMN endpoint TEXT",
    "ALTER TABLE container_configs ADD COLUMN allowed_models TEXT NOT NULL DEFAULT '[]'",
    # Who has heard that a budget is used up (a session, or 'owner'), or nearly so ('owner-warned').
    """CREATE TABLE budget_told (
        scope TEXT NOT NULL CHECK (scope IN ('install', 'group', 'series', 'conversation')),
        subject TEXT NOT NULL,
        period TEXT NOT NULL CHECK (period IN ('day', 'month')),
        unit TEXT NOT NULL CHECK (unit IN ('tokens', 'microusd')),
        period_key TEXT NOT NULL,
        audience TEXT NOT NULL,
        told_at TEXT NOT NULL,
        PRIMARY KEY (scope, subject, period, unit, period_key, audience)) STRICT, WITHOUT ROWID""",
)
