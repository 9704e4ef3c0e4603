"""Our migrations for strangers, new chats, questions and pairing; part of ``schema_approvals``.

A released one is never edited.
"""

STATEMENTS: tuple[str, ...] = (
    # What the person is asked, as it was worded when the request was made.
    "ALTER TABLE pending_sender_approvals ADD COLUMN question TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE pending_channel_approvals ADD COLUMN question TEXT NOT NULL DEFAULT ''",
    # A second card about the same chat has other options, so it needs an id of its own. Empty: the
    # first card, whose id is the chat's.
    "ALTER TABLE pending_channel_approvals ADD COLUMN card_id TEXT",
    "ALTER TABLE pending_channel_approvals ADD COLUMN sender_identity TEXT",
    "ALTER TABLE pending_channel_approvals ADD COLUMN sender_name TEXT",
    "ALTER TABLE pending_channel_approvals ADD COLUMN name_asked_at TEXT",
    # Rows of the earlier program had no end; they get the one that new rows have.
    "UPDATE pending_sender_approvals SET expires_at = coalesce(strftime('%Y-%m-%dT%H:%M:%fZ',"
    " created_at, '+7 days'), '1970-01-01T00:00:00.000Z') WHERE expires_at IS NULL",
    "UPDATE pending_channel_approvals SET expires_at = coalesce(strftime('%Y-%m-%dT%H:%M:%fZ',"
    " created_at, '+7 days'), '1970-01-01T00:00:00.000Z') WHERE expires_at IS NULL",
    "UPDATE pending_questions SET expires_at = coalesce(strftime('%Y-%m-%dT%H:%M:%fZ',"
    " created_at, '+5 minutes'), '1970-01-01T00:00:00.000Z') WHERE expires_at IS NULL",
    "CREATE INDEX pending_sender_approvals_expiry ON pending_sender_approvals(expires_at)",
    "CREATE INDEX pending_channel_approvals_expiry ON pending_channel_approvals(expires_at)",
    "CREATE INDEX pending_sender_approvals_created ON pending_sender_approvals(created_at)"
    " WHERE card_state = 'created'",
    "CREATE INDEX pending_channel_approvals_created ON pending_channel_approvals(created_at)"
    " WHERE card_state = 'created'",
    "CREATE INDEX pending_questions_chat ON pending_questions(channel_type, platform_id)"
    " WHERE card_state IN ('created', 'sent')",
    "CREATE INDEX pending_questions_expiry ON pending_questions(expires_at)"
    " WHERE card_state IN ('created', 'sent')",
    # A refused stranger does not get a new card made at once.
    """CREATE TABLE sender_denials (
        messaging_group_id TEXT NOT NULL REFERENCES messaging_groups(id) ON DELETE CASCADE,
        agent_group_id TEXT NOT NULL REFERENCES agent_groups(id) ON DELETE CASCADE,
        sender_identity TEXT NOT NULL,
        denied_by TEXT NOT NULL,
        denied_until TEXT NOT NULL,
        PRIMARY KEY (messaging_group_id, agent_group_id, sender_identity)) STRICT, WITHOUT ROWID""",
    "CREATE INDEX sender_denials_age ON sender_denials(denied_until)",
    # What a card that is no longer open says to whoever presses it.
    """CREATE TABLE closed_cards (
        card_id TEXT PRIMARY KEY,
        outcome TEXT NOT NULL CHECK (outcome IN ('decided', 'expired')),
        title TEXT NOT NULL,
        chosen_label TEXT NOT NULL DEFAULT '',
        chosen_by TEXT NOT NULL DEFAULT '',
        closed_at TEXT NOT NULL) STRICT""",
    "CREATE INDEX closed_cards_age ON closed_cards(closed_at)",
    # Who made the code: a code for an owner counts only if an owner made it, or there is none.
    "ALTER TABLE pairing_codes ADD COLUMN created_by TEXT",
)
