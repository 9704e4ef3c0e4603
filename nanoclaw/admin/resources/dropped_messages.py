"""``dropped-messages``: what nobody was to answer, counted per chat and sender (spec ncl 11.10)."""

from nanoclaw.admin.registry import ColumnSpec, Kind, ResourceSpec
from nanoclaw.admin.resources.generic import Table, list_operation

COLUMNS = (
    ColumnSpec("channel_type", "where"),
    ColumnSpec("platform_id", "the chat"),
    ColumnSpec("user_id", "who", nullable=True),
    ColumnSpec("sender_name", "what they call themselves", nullable=True),
    ColumnSpec("reason", "why the newest was dropped"),
    ColumnSpec("messaging_group_id", "the chat, if it is known", nullable=True),
    ColumnSpec("agent_group_id", "the agent, if there was one", nullable=True),
    ColumnSpec("message_count", "how many", Kind.INTEGER),
    ColumnSpec("first_seen", "the first"),
    ColumnSpec("last_seen", "the newest"),
)
TABLE = Table("dropped-message", "dropped_messages", "channel_type", COLUMNS)

RESOURCE = ResourceSpec(
    name="dropped-message",
    plural="dropped-messages",
    id_column="channel_type",
    description="messages that nobody was to answer",
    columns=COLUMNS,
    operations=(list_operation(TABLE),),
)
