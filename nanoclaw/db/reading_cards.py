"""All that waits for a person's word, in one form for ``ncl approvals``.

Requests of agents, strangers, chats without an agent, and agents' open questions have tables of
their own (``approvals``, ``sender_requests``, ``chat_requests``, ``questions``). Read only.
"""

from typing import Final

ADMIT: Final = "admit_sender"
CONNECT: Final = "connect_chat"
QUESTION: Final = "ask_user_question"
"""What the column ``action`` says of the three kinds that are no requests of agents."""

TABLE: Final = "cards"
CARDS: Final = """WITH cards AS (
SELECT approval_id AS rowid, approval_id, session_id, request_id, action, payload, created_at,
 agent_group_id, channel_type, platform_id, platform_message_id, expires_at, status, title,
 options_json FROM pending_approvals
UNION ALL
SELECT one.id, one.id, NULL, one.id, 'admit_sender',
 json_object('sender', one.sender_identity, 'sender_name', one.sender_name,
 'messaging_group_id', one.messaging_group_id),
 one.created_at, one.agent_group_id, chat.channel_type, chat.platform_id, NULL, one.expires_at,
 'pending', one.title, one.options_json FROM pending_sender_approvals AS one
 LEFT JOIN messaging_groups AS chat ON chat.id = one.messaging_group_id
UNION ALL
SELECT one.messaging_group_id, one.messaging_group_id, NULL,
 coalesce(one.card_id, one.messaging_group_id), 'connect_chat',
 json_object('sender', one.sender_identity, 'sender_name', one.sender_name,
 'chat', chat.name),
 one.created_at, NULL, chat.channel_type, chat.platform_id, NULL, one.expires_at,
 'pending', one.title, one.options_json FROM pending_channel_approvals AS one
 LEFT JOIN messaging_groups AS chat ON chat.id = one.messaging_group_id
UNION ALL
SELECT one.question_id, one.question_id, one.session_id, one.message_out_id, 'ask_user_question',
 json_object('question', one.title),
 one.created_at, asking.agent_group_id, one.channel_type, one.platform_id, NULL, one.expires_at,
 'pending', one.title, one.options_json FROM pending_questions AS one
 LEFT JOIN sessions AS asking ON asking.id = one.session_id
 WHERE one.card_state IN ('created', 'sent'))"""
"""For ``listing``. A chat is called by its own id: that of its card changes with every card."""
