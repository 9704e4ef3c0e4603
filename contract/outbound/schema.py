"""DDL of ``outbound.db``.

Names and columns are the reference's (H 2.2, R-29) plus ours at the end. The file is a queue,
not an archive: the runner deletes what the host has recorded as delivered, because the host
reads the whole file each time it changes.
"""

MESSAGES_OUT = """
CREATE TABLE IF NOT EXISTS messages_out (
  id            TEXT PRIMARY KEY,
  seq           INTEGER UNIQUE,
  in_reply_to   TEXT,
  timestamp     TEXT NOT NULL,
  deliver_after TEXT,
  recurrence    TEXT,
  kind          TEXT NOT NULL,
  platform_id   TEXT,
  channel_type  TEXT,
  thread_id     TEXT,
  content       TEXT NOT NULL,
  taint         TEXT,
  chain_id      TEXT,
  hop           INTEGER NOT NULL DEFAULT 0
)
"""

PROCESSING_ACK = """
CREATE TABLE IF NOT EXISTS processing_ack (
  message_id     TEXT PRIMARY KEY,
  status         TEXT NOT NULL,
  status_changed TEXT NOT NULL,
  lease          INTEGER,
  tries          INTEGER NOT NULL DEFAULT 0
)
"""

SESSION_STATE = """
CREATE TABLE IF NOT EXISTS session_state (
  key        TEXT PRIMARY KEY,
  value      TEXT NOT NULL,
  updated_at TEXT NOT NULL
)
"""

CONTAINER_STATE = """
CREATE TABLE IF NOT EXISTS container_state (
  id                       INTEGER PRIMARY KEY CHECK (id = 1),
  current_tool             TEXT,
  tool_declared_timeout_ms INTEGER,
  tool_started_at          TEXT,
  updated_at               TEXT NOT NULL
)
"""

USAGE_LOG = """
CREATE TABLE IF NOT EXISTS usage_log (
  id                    INTEGER PRIMARY KEY,
  ts                    TEXT NOT NULL,
  conversation          TEXT NOT NULL,
  turn                  TEXT NOT NULL,
  kind                  TEXT NOT NULL,
  model                 TEXT NOT NULL,
  input_tokens          INTEGER NOT NULL DEFAULT 0,
  output_tokens         INTEGER NOT NULL DEFAULT 0,
  thinking_tokens       INTEGER NOT NULL DEFAULT 0,
  cache_read_tokens     INTEGER NOT NULL DEFAULT 0,
  cache_write_5m_tokens INTEGER NOT NULL DEFAULT 0,
  cache_write_1h_tokens INTEGER NOT NULL DEFAULT 0,
  web_searches          INTEGER NOT NULL DEFAULT 0,
  web_fetches           INTEGER NOT NULL DEFAULT 0,
  cost_usd              REAL,
  duration_ms           INTEGER NOT NULL DEFAULT 0,
  stop_reason           TEXT,
  retries               INTEGER NOT NULL DEFAULT 0,
  inbound_id            TEXT
)
"""

TABLES = (MESSAGES_OUT, PROCESSING_ACK, SESSION_STATE, CONTAINER_STATE, USAGE_LOG)

ADDED_TO_MESSAGES_OUT = (
    ("taint", "ALTER TABLE messages_out ADD COLUMN taint TEXT"),
    ("chain_id", "ALTER TABLE messages_out ADD COLUMN chain_id TEXT"),
    ("hop", "ALTER TABLE messages_out ADD COLUMN hop INTEGER NOT NULL DEFAULT 0"),
)
ADDED_TO_PROCESSING_ACK = (
    ("lease", "ALTER TABLE processing_ack ADD COLUMN lease INTEGER"),
    ("tries", "ALTER TABLE processing_ack ADD COLUMN tries INTEGER NOT NULL DEFAULT 0"),
)
ADDED_TO_SESSION_STATE = (
    ("updated_at", "ALTER TABLE session_state ADD COLUMN updated_at TEXT NOT NULL DEFAULT ''"),
)
"""R-35: an early version had the table without the column."""
