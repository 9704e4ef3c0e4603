"""What the sweep says in a chat when an agent cannot: short, plain, without blame.

Texts only; ``sessions.notice`` queues them. Pure.
"""

GAVE_UP = (
    "I could not process your message: the agent stopped {tries} times while working on it, the "
    "last time because {reason}. Please try it in another way, or ask whoever runs this "
    "installation.{hint}"
)
CANNOT_START = (
    "I cannot start at the moment: {reason}. Your message is kept. "
    "Whoever runs this installation has to look at the log."
)
KEEPS_FAILING = (
    "I have trouble starting ({reason}). Your message is kept and I go on trying every few minutes."
)
DIED_TRYING_AGAIN = (
    "I had to stop in the middle of this: {reason}. I try once more; if it happens again, I leave "
    "it.{hint}"
)
DIED_IDLE = (
    "I had to stop between two messages: {reason}. What I had running in the background is "
    "gone.{hint}"
)
DISK_FULL = (
    "I had to stop because my files take {used}, more than the {allowed} that I may use.{places} "
    "I start again when there is room: whoever runs this installation can delete some of them, or "
    "allow more.{hint}"
)
DISK_STILL_FULL = (
    "I cannot start: my files take {used}, more than the {allowed} that I may use. Your message is "
    "kept. Whoever runs this installation can delete some of them, or allow more.{hint}"
)
HINT = " (`ncl groups config update {group} {flag} {value}`)"
"""The owner's next step; the value is twice the present one."""
MIB = 1024 * 1024


def hint(group: str, flag: str, present: int) -> str:
    return HINT.format(group=group, flag=flag, value=present * 2)


def size(count: int) -> str:
    """Bytes as people say them."""
    if count >= 1024 * MIB:
        return f"{count / (1024 * MIB):.1f} GB"
    return f"{count / MIB:.0f} MB"


def largest(places: tuple[tuple[str, int], ...]) -> str:
    """Where the space has gone; the names are the agent's, so only plain ones are said."""
    named = [f"{name} ({size(used)})" for name, used in places if _is_plain(name)]
    return f" The largest: {', '.join(named)}." if named else ""


def _is_plain(name: str) -> bool:
    allowed = "-_./"
    return len(name) <= 80 and all(char.isalnum() or char in allowed for char in name)
