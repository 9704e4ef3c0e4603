"""DDL of ``inbound.db``.

Names and columns up to ``on_wake`` are the reference's (H 2.2), because taken-over files have
them; what follows is ours and ignored by older readers. The partial index answers "what waits"
without touching history or content, which is what keeps polling cheap in long sessions.
"""

MESSAGES_IN = """
CREATE TABLE IF NOT EXISTS messages_in (
  id                  TEXT PRIMARY KEY,
  seq                 INTEGER UNIQUE,
  kind                TEXT NOT NULL,
  timestamp           TEXT NOT NULL,
  status              TEXT DEFAULT 'pending',
  process_after       TEXT,
  recurrence          TEXT,
  series_id           TEXT,
  tries               INTEGER DEFAULT 0,
  trigger             INTEGER NOT NULL DEFAULT 1,
  platform_id         TEXT,
  channel_type        TEXT,
  thread_id           TEXT,
  content             TEXT NOT NULL,
  source_session_id   TEXT,
  on_wake             INTEGER NOT NULL DEFAULT 0,
  taint               TEXT,
  chain_id            TEXT,
  hop                 INTEGER NOT NULL DEFAULT 0,
  tz                  TEXT,
  catch_up            TEXT,
  reply_hint          TEXT,
  platform_message_id TEXT,
  event_key           TEXT
)
"""

DELIVERED = """
CREATE TABLE IF NOT EXISTS delivered (
  message_out_id      TEXT PRIMARY KEY,
  platform_message_id TEXT,
  status              TEXT NOT NULL DEFAULT 'delivered',
  delivered_at        TEXT NOT NULL
)
"""

DESTINATIONS = """
CREATE TABLE IF NOT EXISTS destinations (
  name           TEXT PRIMARY KEY,
  display_name   TEXT,
  type           TEXT NOT NULL,
  channel_type   TEXT,
  platform_id    TEXT,
  agent_group_id TEXT
)
"""

SESSION_ROUTING = """
CREATE TABLE IF NOT EXISTS session_routing (
  id           INTEGER PRIMARY KEY CHECK (id = 1),
  channel_type TEXT,
  platform_id  TEXT,
  thread_id    TEXT
)
"""

SERIES_INDEX = "CREATE INDEX IF NOT EXISTS idx_messages_in_series ON messages_in(series_id)"

PENDING_INDEX = """
CREATE INDEX IF NOT EXISTS idx_messages_in_pending
ON messages_in(status, seq, id, kind, trigger, on_wake, process_after) WHERE status = 'pending'
"""

TABLES = (MESSAGES_IN, DELIVERED, DESTINATIONS, SESSION_ROUTING)
INDEXES = (SERIES_INDEX, PENDING_INDEX)

ADDED_TO_MESSAGES_IN = (
    ("series_id", "ALTER TABLE messages_in ADD COLUMN series_id TEXT"),
    ("trigger", "ALTER TABLE messages_in ADD COLUMN trigger INTEGER NOT NULL DEFAULT 1"),
    ("source_session_id", "ALTER TABLE messages_in ADD COLUMN source_session_id TEXT"),
    ("on_wake", "ALTER TABLE messages_in ADD COLUMN on_wake INTEGER NOT NULL DEFAULT 0"),
    ("taint", "ALTER TABLE messages_in ADD COLUMN taint TEXT"),
    ("chain_id", "ALTER TABLE messages_in ADD COLUMN chain_id TEXT"),
    ("hop", "ALTER TABLE messages_in ADD COLUMN hop INTEGER NOT NULL DEFAULT 0"),
    ("tz", "ALTER TABLE messages_in ADD COLUMN tz TEXT"),
    ("catch_up", "ALTER TABLE messages_in ADD COLUMN catch_up TEXT"),
    ("reply_hint", "ALTER TABLE messages_in ADD COLUMN reply_hint TEXT"),
    ("platform_message_id", "ALTER TABLE messages_in ADD COLUMN platform_message_id TEXT"),
    ("event_key", "ALTER TABLE messages_in ADD COLUMN event_key TEXT"),
)
"""Columns that an older file may lack, in the order in which they came (H-40, then ours)."""

ADDED_TO_DELIVERED = (
    ("platform_message_id", "ALTER TABLE delivered ADD COLUMN platform_message_id TEXT"),
    ("status", "ALTER TABLE delivered ADD COLUMN status TEXT NOT NULL DEFAULT 'delivered'"),
)
