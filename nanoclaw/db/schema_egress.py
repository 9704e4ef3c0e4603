"""Our migration for which hosts agents may reach; listed in ``schema``.

A released one is never edited.
"""

STATEMENTS: tuple[str, ...] = (
    # ``agent_group_id`` NULL: the whole installation. Allowed once: for one session, until its
    # container (the lease) has ended. ``host`` and ``subdomains`` are what rules are found by.
    """CREATE TABLE egress_rules (
        rule_id TEXT PRIMARY KEY,
        agent_group_id TEXT REFERENCES agent_groups(id) ON DELETE CASCADE,
        effect TEXT NOT NULL CHECK (effect IN ('allow', 'deny')),
        rule TEXT NOT NULL CHECK (rule <> ''),
        host TEXT NOT NULL CHECK (host <> '' AND host = lower(host)),
        subdomains INTEGER NOT NULL CHECK (subdomains IN (0, 1)),
        session_id TEXT REFERENCES sessions(id) ON DELETE CASCADE,
        lease INTEGER,
        expires_at TEXT,
        note TEXT NOT NULL DEFAULT '',
        created_at TEXT NOT NULL,
        created_by TEXT NOT NULL,
        CHECK ((session_id IS NULL) = (lease IS NULL)),
        CHECK ((session_id IS NULL) = (expires_at IS NULL)),
        CHECK (session_id IS NULL OR (agent_group_id IS NOT NULL AND effect = 'allow'))) STRICT""",
    "CREATE UNIQUE INDEX egress_rules_unique ON egress_rules"
    "(rule, coalesce(agent_group_id, ''), coalesce(session_id, ''))",
    "CREATE INDEX egress_rules_host ON egress_rules(host, agent_group_id)",
    "CREATE INDEX egress_rules_group ON egress_rules(agent_group_id)",
    "CREATE INDEX egress_rules_session ON egress_rules(session_id) WHERE session_id IS NOT NULL",
    "CREATE INDEX egress_rules_expiry ON egress_rules(expires_at) WHERE expires_at IS NOT NULL",
    # One open question per agent, host and port, whoever of its conversations wants to know.
    # A question that has ended stays for a while, so that it is not asked again at once.
    """CREATE TABLE egress_asks (
        ask_id TEXT PRIMARY KEY,
        agent_group_id TEXT NOT NULL REFERENCES agent_groups(id) ON DELETE CASCADE,
        host TEXT NOT NULL,
        port INTEGER NOT NULL CHECK (port BETWEEN 1 AND 65535),
        session_id TEXT NOT NULL,
        title TEXT NOT NULL,
        question TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('open', 'decided', 'ended')),
        card_state TEXT NOT NULL CHECK (card_state IN ('created', 'sent')),
        created_at TEXT NOT NULL,
        expires_at TEXT NOT NULL,
        ended_at TEXT,
        CHECK ((state = 'open') = (ended_at IS NULL))) STRICT""",
    "CREATE UNIQUE INDEX egress_asks_open ON egress_asks(agent_group_id, host, port)"
    " WHERE state = 'open'",
    "CREATE INDEX egress_asks_group ON egress_asks(agent_group_id, created_at)",
    "CREATE INDEX egress_asks_created ON egress_asks(created_at)"
    " WHERE state = 'open' AND card_state = 'created'",
    "CREATE INDEX egress_asks_expiry ON egress_asks(expires_at) WHERE state = 'open'",
    "CREATE INDEX egress_asks_age ON egress_asks(ended_at) WHERE state <> 'open'",
    # Conversations that were told to wait, and are told the answer.
    """CREATE TABLE egress_ask_sessions (
        ask_id TEXT NOT NULL REFERENCES egress_asks(ask_id) ON DELETE CASCADE,
        session_id TEXT NOT NULL,
        PRIMARY KEY (ask_id, session_id)) STRICT, WITHOUT ROWID""",
    # How many decisions of a session stand in the audit for one hour, and how many do not.
    """CREATE TABLE egress_counts (
        session_id TEXT NOT NULL,
        hour TEXT NOT NULL,
        agent_group_id TEXT NOT NULL,
        recorded INTEGER NOT NULL CHECK (recorded >= 0),
        unrecorded INTEGER NOT NULL DEFAULT 0 CHECK (unrecorded >= 0),
        PRIMARY KEY (session_id, hour)) STRICT, WITHOUT ROWID""",
    "CREATE INDEX egress_counts_hour ON egress_counts(hour)",
)
