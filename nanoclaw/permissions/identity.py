"""Who a sender is: the user id that a platform's own id makes.

Pure. Called by the router for every event and for every pressed button. Identity comes from the
platform's id of the sender and from nothing else: a display name proves nothing, and an id that
merely looks like one of another channel gets this channel's prefix like any other (W-5).
"""

RAW_PREFIXES = {"teams": ("29:",)}
"""Platforms whose own ids are stored as they are in existing tables (C-9, H-204)."""


def user_id_of(kind: str, sender_id: str) -> str:
    """``<kind>:<sender id>``; ``kind`` is the channel's, whichever account of it has heard it."""
    if sender_id.startswith((f"{kind}:", *RAW_PREFIXES.get(kind, ()))):
        return sender_id
    return f"{kind}:{sender_id}"


def kind_of(user_id: str) -> str:
    """The channel that a user id belongs to, whichever account of it (H-204)."""
    for kind, prefixes in RAW_PREFIXES.items():
        if user_id.startswith(prefixes):
            return kind
    return user_id.partition(":")[0]


def namespaced_platform_id(channel_type: str, raw: str) -> str:
    """What a chat is called in the tables, for rows that people make by hand (H-265).

    Must be what the adapter sends later, or the messages of the chat are not found.
    """
    if (
        channel_type == "deltachat"
        or raw.startswith((f"{channel_type}:", "+", "group:"))
        or "@" in raw
    ):
        return raw
    return f"{channel_type}:{raw}"
