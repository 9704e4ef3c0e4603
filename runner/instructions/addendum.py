"""Who the agent is and whom it can write to: the last part of the instructions. Pure.

Called by ``source`` for a new epoch, and by the loop for the note that tells of changed
destinations (R-21 to R-23). The names in it are those that the final text and ``send_message``
are checked against; tests of other parts rely on the forms in backticks.
"""

from collections.abc import Sequence

from contract.address import Destination, DestinationType

_NOBODY = (
    "No destination is configured for you, so nothing that you write can be delivered until an "
    "admin adds one."
)
_WRAPPING = (
    "Everything that somebody is to read stands in a block: "
    '`<message to="name">…</message>`, with one of these names. Several blocks may go to '
    "several destinations. Text outside of blocks reaches nobody, and neither does what stands "
    "between `<internal>` and `</internal>`: use that for your own notes."
)
_REPLYING = (
    'Answer where the question came from: the `from="name"` attribute of a message is the '
    "destination to use, unless the request asks for another one."
)
_TOOL = (
    "The tool `mcp__nanoclaw__send_message` delivers in the same way in the middle of a turn, for "
    "example a short acknowledgement before slow work. Each call and each block arrives as a "
    "message of its own, so do not say the same thing twice."
)


def build_addendum(assistant_name: str | None, destinations: Sequence[Destination]) -> str:
    """The sections of R-21, joined by an empty line."""
    name = _one_line(assistant_name or "")
    sections = [_identity(name)] if name else []
    sections.append(f"## Sending messages\n\n{_sending(destinations)}")
    return "\n\n".join(sections)


def destinations_note(destinations: Sequence[Destination]) -> str:
    """For the prompt after a change (R-23); the caller puts it into a system note."""
    names = ", ".join(_named(target) for target in _sorted(destinations))
    if not names:
        return "Your destinations have changed: there is none at present."
    return f"Your destinations have changed. You can now send to: {names}."


def names_of(destinations: Sequence[Destination]) -> str:
    """The names in backticks, for reminders; ``(none)`` without any."""
    return ", ".join(f"`{target.name}`" for target in _sorted(destinations)) or "(none)"


def _identity(name: str) -> str:
    return (
        f"# You are {name}\n\n"
        f"Your name is **{name}**. Use it when somebody asks who you are, when you introduce "
        "yourself, and when something you write is to be signed."
    )


def _sending(destinations: Sequence[Destination]) -> str:
    if not destinations:
        return _NOBODY
    ordered = _sorted(destinations)
    if len(ordered) == 1:
        whom = f"You can send messages to one destination: {_named(ordered[0])}."
    else:
        lines = "\n".join(f"- {_named(target)}" for target in ordered)
        whom = f"You can send messages to these destinations:\n\n{lines}"
    parts = (whom, _platforms(ordered), _WRAPPING, _REPLYING, _TOOL)
    return "\n\n".join(part for part in parts if part)


def _platforms(destinations: Sequence[Destination]) -> str:
    """Skills for the form of a text go by the platform, which a name does not tell (R-231)."""
    names: dict[str, list[str]] = {}
    for target in destinations:
        platform = "agents" if target.type is DestinationType.AGENT else target.channel_type
        names.setdefault(_one_line(platform or "unknown"), []).append(f"`{target.name}`")
    groups = (f"{platform} ({', '.join(names[platform])})" for platform in sorted(names))
    return f"Platforms: {'; '.join(groups)}."


def _named(target: Destination) -> str:
    shown = _one_line(target.display_name)
    return f"`{target.name}`" + (f" ({shown})" if shown and shown != target.name else "")


def _sorted(destinations: Sequence[Destination]) -> list[Destination]:
    return sorted(destinations, key=lambda target: target.name)


def _one_line(text: str) -> str:
    """Names come from platforms; none of them may begin a line of our text."""
    return " ".join(text.split())
