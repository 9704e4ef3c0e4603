"""Our migrations for approvals; listed in ``schema``. A released one is never edited."""

from nanoclaw.db import schema_people

_REQUESTS = (
    # The whole card is stored, so that it can be shown again to somebody else.
    "ALTER TABLE pending_approvals ADD COLUMN question TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE pending_approvals ADD COLUMN requested_by TEXT NOT NULL DEFAULT ''",
    # Rows with a hash are ours; those of the earlier program may repeat an id.
    "CREATE UNIQUE INDEX pending_approvals_request ON pending_approvals(request_id)"
    " WHERE payload_hash IS NOT NULL",
    "CREATE INDEX pending_approvals_created ON pending_approvals(created_at)"
    " WHERE status = 'pending' AND card_state = 'created'",
    "CREATE INDEX pending_approvals_group ON pending_approvals(agent_group_id)"
    " WHERE status = 'pending'",
    "CREATE INDEX pending_approvals_age ON pending_approvals(created_at) WHERE status <> 'pending'",
)

_CARDS = (
    # Every place where a card was sent; its id is the delivery's. A card of any kind may have one.
    """CREATE TABLE card_copies (
        copy_id TEXT PRIMARY KEY,
        card_id TEXT NOT NULL,
        source TEXT NOT NULL,
        user_id TEXT NOT NULL,
        instance TEXT NOT NULL,
        platform_id TEXT NOT NULL,
        state TEXT NOT NULL
            CHECK (state IN ('queued', 'shown', 'failed', 'closing', 'closed')),
        closing_text TEXT,
        attempts INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
        look_at TEXT NOT NULL,
        created_at TEXT NOT NULL,
        updated_at TEXT NOT NULL,
        CHECK ((state = 'closing') <= (closing_text IS NOT NULL))) STRICT""",
    "CREATE INDEX card_copies_card ON card_copies(card_id)",
    "CREATE INDEX card_copies_open ON card_copies(state, look_at) WHERE state <> 'closed'",
    "CREATE INDEX card_copies_chat ON card_copies(instance, platform_id)"
    " WHERE state IN ('queued', 'shown')",
    "CREATE INDEX card_copies_age ON card_copies(updated_at) WHERE state = 'closed'",
)

_OWNER_NOTICES = (
    """CREATE TABLE owner_notices (
        notice_id TEXT PRIMARY KEY,
        text TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('created', 'sent', 'dropped')),
        created_at TEXT NOT NULL,
        expires_at TEXT NOT NULL,
        updated_at TEXT NOT NULL) STRICT""",
    "CREATE INDEX owner_notices_created ON owner_notices(created_at) WHERE state = 'created'",
    "CREATE INDEX owner_notices_age ON owner_notices(updated_at) WHERE state <> 'created'",
)

STATEMENTS: tuple[str, ...] = (
    *schema_people.STATEMENTS,
    *_REQUESTS,
    *_CARDS,
    *_OWNER_NOTICES,
)
