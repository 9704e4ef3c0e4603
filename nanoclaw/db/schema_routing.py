"""Our migrations for routing; listed in ``schema``. A released one is never edited."""

STATEMENTS: tuple[str, ...] = (
    # Events that wait for a person. ``waits_for`` is the card's id; released ones are decided anew
    # by the router, whoever released them.
    "ALTER TABLE inbound_events ADD COLUMN waits_for TEXT",
    "ALTER TABLE inbound_events ADD COLUMN released INTEGER NOT NULL DEFAULT 0"
    " CHECK (released IN (0, 1))",
    "CREATE INDEX inbound_events_waiting ON inbound_events(waits_for) WHERE waits_for IS NOT NULL",
    "CREATE INDEX inbound_events_released ON inbound_events(event_id) WHERE released = 1",
    # What a wiring asks for beyond ordinary messages of people (C section 1.4, C-12, C-68).
    "ALTER TABLE messaging_group_agents ADD COLUMN bot_messages INTEGER NOT NULL DEFAULT 0"
    " CHECK (bot_messages IN (0, 1))",
    "ALTER TABLE messaging_group_agents ADD COLUMN edits INTEGER NOT NULL DEFAULT 0"
    " CHECK (edits IN (0, 1))",
    "ALTER TABLE messaging_group_agents ADD COLUMN reactions INTEGER NOT NULL DEFAULT 0"
    " CHECK (reactions IN (0, 1))",
)
