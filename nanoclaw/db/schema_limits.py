"""Our migration for what an agent may use of the machine; listed in ``schema``.

A released one is never edited.
"""

STATEMENTS: tuple[str, ...] = (
    "ALTER TABLE container_configs ADD COLUMN max_containers INTEGER"
    " CHECK (max_containers BETWEEN 1 AND 1000)",
    "CREATE INDEX container_configs_capped ON container_configs(agent_group_id, max_containers)"
    " WHERE max_containers IS NOT NULL",
    # One row per session whose folders took more than it may use when they were last measured.
    """CREATE TABLE disk_excess (
        session_id TEXT PRIMARY KEY REFERENCES sessions(id) ON DELETE CASCADE,
        used_bytes INTEGER NOT NULL CHECK (used_bytes >= 0),
        measured_at TEXT NOT NULL) STRICT""",
)
