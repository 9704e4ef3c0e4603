"""Our migrations for agents; listed in ``schema``. A released one is never edited."""

STATEMENTS: tuple[str, ...] = (
    # Every message between two agents, accepted or not: what limits are counted by. The row is
    # written before the message is, so that a repeated step finds its own decision again.
    """CREATE TABLE agent_traffic (
        effect_id TEXT PRIMARY KEY,
        first_id TEXT NOT NULL,
        second_id TEXT NOT NULL,
        sender_id TEXT NOT NULL,
        chain_id TEXT NOT NULL,
        hop INTEGER NOT NULL CHECK (hop > 0),
        target_session_id TEXT,
        refused TEXT CHECK (refused IN ('hops', 'rate', 'braked')),
        at TEXT NOT NULL,
        CHECK (first_id <= second_id),
        CHECK (sender_id IN (first_id, second_id))) STRICT""",
    "CREATE INDEX agent_traffic_pair ON agent_traffic(first_id, second_id, at)"
    " WHERE refused IS NULL",
    "CREATE INDEX agent_traffic_age ON agent_traffic(at)",
    # Two agents that talk too much. It opens when nobody has tried for a while.
    """CREATE TABLE agent_brakes (
        first_id TEXT NOT NULL REFERENCES agent_groups(id) ON DELETE CASCADE,
        second_id TEXT NOT NULL REFERENCES agent_groups(id) ON DELETE CASCADE,
        reason TEXT NOT NULL CHECK (reason IN ('hops', 'rate')),
        braked_at TEXT NOT NULL,
        tried_at TEXT NOT NULL,
        PRIMARY KEY (first_id, second_id),
        CHECK (first_id <= second_id)) STRICT, WITHOUT ROWID""",
    # Agents that agents have made. The effect's id makes a repeated step find its own agent.
    """CREATE TABLE created_agents (
        agent_group_id TEXT PRIMARY KEY REFERENCES agent_groups(id) ON DELETE CASCADE,
        effect_id TEXT NOT NULL UNIQUE,
        created_by TEXT NOT NULL,
        local_name TEXT NOT NULL,
        created_at TEXT NOT NULL) STRICT""",
    "CREATE INDEX created_agents_by ON created_agents(created_by)",
    # What a runner reads in container.json beyond the keys of the earlier program.
    "ALTER TABLE container_configs ADD COLUMN agents_quota INTEGER NOT NULL DEFAULT 0"
    " CHECK (agents_quota >= 0)",
    "ALTER TABLE container_configs ADD COLUMN fallback_model TEXT",
    "ALTER TABLE container_configs ADD COLUMN max_cost_per_turn_usd REAL"
    " CHECK (max_cost_per_turn_usd >= 0)",
    "ALTER TABLE container_configs ADD COLUMN max_cost_per_day_usd REAL"
    " CHECK (max_cost_per_day_usd >= 0)",
    "ALTER TABLE container_configs ADD COLUMN native_attachments INTEGER NOT NULL DEFAULT 1"
    " CHECK (native_attachments IN (0, 1))",
    "ALTER TABLE container_configs ADD COLUMN compat TEXT NOT NULL DEFAULT '{}'",
    "ALTER TABLE container_configs ADD COLUMN prices TEXT NOT NULL DEFAULT '{}'",
    "ALTER TABLE container_configs ADD COLUMN web_tools TEXT"
    " CHECK (web_tools IN ('auto', 'server', 'client', 'off'))",
    "ALTER TABLE container_configs ADD COLUMN tool_timeouts TEXT NOT NULL DEFAULT '{}'",
    "ALTER TABLE container_configs ADD COLUMN disabled_tools TEXT NOT NULL DEFAULT '[]'",
)
