"""What the host itself says in a chat: refused commands, ``/help``, ``/start``, ``/status``.

Queued like every other message, in the transaction of the decision; the id is made from the
event, so nothing is said twice. Nothing here starts a container or makes a session (W-22).
"""

import hashlib
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from contract.address import Address
from contract.commands import CommandClass, commands_of
from nanoclaw.sessions.host_text import HostText, queue_text

_WHAT_IT_DOES = {
    "/clear": "forget this conversation and begin anew",
    "/compact": "shorten what is remembered of this conversation",
    "/context": "how much is remembered of this conversation",
    "/cost": "what this conversation has cost",
    "/files": "the files of this conversation",
    "/help": "this text",
    "/start": "a greeting",
    "/status": "how I am, without waking anybody",
    "/stop": "stop what is being done just now",
}


@dataclass(frozen=True, slots=True)
class HostAnswer:
    """``occasion`` makes the id. ``reply_to`` and ``reply_hint`` are the asking message's."""

    occasion: str
    text: str
    address: Address
    reply_hint: str | None = None
    reply_to: str | None = None


def occasion_of(instance: str, event_key: str) -> str:
    """One event is answered once; platform keys may be long and strange, so a hash stands in."""
    unique = "\0".join((instance, event_key)).encode("utf-8", "replace")
    return hashlib.sha256(unique).hexdigest()[:24]


def queue_answer(conn: sqlite3.Connection, answer: HostAnswer, now: datetime) -> bool:
    """False when there is no chat to say it in, or it was said already. Ring DELIVERY later."""
    said = HostText(
        delivery_id=f"answer/{answer.occasion}",
        text=answer.text,
        address=answer.address,
        reply_hint=answer.reply_hint,
        reply_to_message_id=answer.reply_to,
        completes=True,
    )
    return queue_text(conn, said, now)


def denial_text(word: str, agents: Sequence[str]) -> str:
    """``agents`` are the names of those that would have had to obey."""
    return (
        f"`{word}` changes the conversation of {_listed(agents)} and needs administrator rights, "
        "which you do not have. Please ask an administrator."
    )


def help_text(agents: Sequence[str]) -> str:
    lines = [f"I pass messages on to {_listed(agents)}. These commands are understood here:", ""]
    for word in sorted(commands_of(CommandClass.HOST)):
        lines.append(f"- `{word}`: {_WHAT_IT_DOES.get(word, 'answered by the host')}")
    lines += ["", "And for administrators:", ""]
    for word in sorted(commands_of(CommandClass.ADMIN)):
        lines.append(f"- `{word}`: {_WHAT_IT_DOES.get(word, 'handled by the agent')}")
    return "\n".join(lines)


def start_text(agents: Sequence[str]) -> str:
    verb = "is" if len(agents) == 1 else "are"
    return (
        f"Hello. {_listed(agents)} {verb} listening here: just write. `/help` lists the commands."
    )


def _listed(names: Sequence[str]) -> str:
    if len(names) <= 1:
        return "".join(names) or "nobody"
    return f"{', '.join(names[:-1])} and {names[-1]}"
