"""Foreign content in a turn, and what an agent may then do without asking.

Pure. ``taint`` is the comma-separated text of a row: where content came from that nobody trusted
has written (``web``, ``mail``, ``file``, ``mcp``, ``unknown-sender``, ``agent``). An agent that has
read such content may be acting on its orders, so acts that reach beyond the conversation need a
person. Only the owner switches the guard off, per agent group (``container_configs.taint_guard``).
"""

from enum import StrEnum


class Act(StrEnum):
    """What a tainted turn may not do on its own."""

    MESSAGE_THIRD_PARTY = "message_third_party"
    SCHEDULE = "schedule"
    SELF_MODIFY = "self_modify"
    CREATE_AGENT = "create_agent"


def parse_taint(text: str | None) -> frozenset[str]:
    """The words of a stored taint; empty for None."""
    return frozenset(word for word in (text or "").split(",") if word)


def needs_approval(act: Act, taint: str | None, *, guarded: bool) -> bool:
    """Whether ``act`` of a turn with this taint waits for a person. All four acts are alike."""
    return guarded and act in Act and bool(parse_taint(taint))
