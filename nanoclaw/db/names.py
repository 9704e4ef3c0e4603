"""Names of destinations and folders, made from what people call their chats and agents.

Pure. Used when wirings and destinations are created and by the migration that first filled the
table of destinations; agents address their targets by these names, so the rule is fixed (H-15).
"""

import re
from collections.abc import Container

_OUTSIDE = re.compile(r"[^a-z0-9]+")
_UNNAMED = "unnamed"


def normalize_name(text: str) -> str:
    """Lower case, everything outside a-z0-9 one hyphen; never empty."""
    return _OUTSIDE.sub("-", text.lower()).strip("-") or _UNNAMED


def destination_name(chat_name: str | None, channel_type: str, messaging_group_id: str) -> str:
    """The name under which an agent reaches a chat, before collisions are resolved (H-14)."""
    return normalize_name(chat_name or f"{channel_type}-{messaging_group_id[:8]}")


def free_name(wanted: str, taken: Container[str]) -> str:
    """``wanted``, or the first of ``wanted-2``, ``wanted-3``, ... that is not taken."""
    name, number = wanted, 2
    while name in taken:
        name = f"{wanted}-{number}"
        number += 1
    return name
