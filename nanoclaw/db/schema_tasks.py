"""Our migrations for tasks and effects; listed in ``schema``. A released one is never edited."""

STATEMENTS: tuple[str, ...] = (
    # A series lives in the session whose file has its rows; ``asked_in`` is the session that asked
    # for it, where that is another one.
    """CREATE TABLE task_series (
        session_id TEXT NOT NULL REFERENCES sessions(id) ON DELETE CASCADE,
        series_id TEXT NOT NULL,
        agent_group_id TEXT NOT NULL,
        asked_in TEXT,
        state TEXT NOT NULL CHECK (state IN ('live', 'paused', 'ended')),
        recurrence TEXT,
        tz TEXT,
        catch_up TEXT NOT NULL CHECK (catch_up IN ('latest', 'all', 'skip')),
        next_run_at TEXT,
        failures INTEGER NOT NULL DEFAULT 0 CHECK (failures >= 0),
        last_error TEXT,
        created_at TEXT NOT NULL,
        updated_at TEXT NOT NULL,
        PRIMARY KEY (session_id, series_id)) STRICT""",
    "CREATE INDEX task_series_asked ON task_series(asked_in, series_id) WHERE asked_in IS NOT NULL",
    "CREATE INDEX task_series_open ON task_series(agent_group_id) WHERE state <> 'ended'",
    "CREATE INDEX task_series_skip ON task_series(session_id)"
    " WHERE state = 'live' AND catch_up = 'skip'",
    "CREATE INDEX task_series_ended ON task_series(updated_at) WHERE state = 'ended'",
    # History: refers by id alone and outlives session and series.
    """CREATE TABLE task_runs (
        session_id TEXT NOT NULL,
        row_id TEXT NOT NULL,
        series_id TEXT NOT NULL,
        agent_group_id TEXT NOT NULL,
        due_at TEXT,
        started_at TEXT,
        ended_at TEXT NOT NULL,
        status TEXT NOT NULL CHECK (status IN ('completed', 'failed', 'skipped')),
        error TEXT,
        missed INTEGER NOT NULL DEFAULT 0 CHECK (missed >= 0),
        PRIMARY KEY (session_id, row_id, status)) STRICT""",
    "CREATE INDEX task_runs_series ON task_runs(session_id, series_id, ended_at)",
    "CREATE INDEX task_runs_age ON task_runs(ended_at)",
    # What an agent asked for is carried out in its order; the rowid is the order of recording.
    "CREATE INDEX effects_open ON effects(session_id)"
    " WHERE state IN ('pending', 'running') AND approval_id IS NULL AND session_id IS NOT NULL",
    "CREATE INDEX effects_ended ON effects(updated_at) WHERE state IN ('done', 'failed')",
)
