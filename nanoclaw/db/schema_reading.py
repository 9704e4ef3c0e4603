"""Our migration for whoever only looks: lists, search, ``ncl why``; listed in ``schema``.

A released one is never edited.
"""

STATEMENTS: tuple[str, ...] = (
    "CREATE INDEX task_series_changed ON task_series(updated_at)",
    "CREATE INDEX effects_session ON effects(session_id, created_at) WHERE session_id IS NOT NULL",
    "CREATE INDEX deliveries_ended_badly ON deliveries(row_number)"
    " WHERE state IN ('failed', 'uncertain')",
    "CREATE INDEX pending_approvals_session ON pending_approvals(session_id, created_at)",
)
