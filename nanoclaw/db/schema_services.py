"""Our migration for secrets that the vault puts into requests to services; listed in ``schema``.

A released one is never edited.
"""

STATEMENTS: tuple[str, ...] = (
    # A value of a secret is in none of these: ``secret`` is a name in the store.
    """CREATE TABLE services (
        name TEXT PRIMARY KEY,
        kind TEXT NOT NULL CHECK (kind IN ('header', 'basic')),
        ports TEXT NOT NULL DEFAULT '[443]',
        header TEXT NOT NULL CHECK (header = lower(header) AND header <> ''),
        template TEXT NOT NULL CHECK (instr(template, '{secret}') > 0),
        secret TEXT NOT NULL,
        methods TEXT NOT NULL DEFAULT '[]',
        paths TEXT NOT NULL DEFAULT '[]',
        all_groups INTEGER NOT NULL CHECK (all_groups IN (0, 1)),
        created_at TEXT NOT NULL,
        updated_at TEXT NOT NULL,
        updated_by TEXT NOT NULL,
        CHECK (kind = 'header' OR header = 'authorization')) STRICT, WITHOUT ROWID""",
    # 'api.example.com', or '*.example.com' for every name below it.
    """CREATE TABLE service_hosts (
        host TEXT NOT NULL,
        service TEXT NOT NULL REFERENCES services(name) ON DELETE CASCADE,
        PRIMARY KEY (host, service)) STRICT, WITHOUT ROWID""",
    "CREATE INDEX service_hosts_service ON service_hosts(service)",
    """CREATE TABLE service_groups (
        service TEXT NOT NULL REFERENCES services(name) ON DELETE CASCADE,
        agent_group_id TEXT NOT NULL REFERENCES agent_groups(id) ON DELETE CASCADE,
        PRIMARY KEY (service, agent_group_id)) STRICT, WITHOUT ROWID""",
    "CREATE INDEX service_groups_group ON service_groups(agent_group_id)",
)
