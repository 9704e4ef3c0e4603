"""What was said in a conversation, without tools, thinking and the runner's own notes. Pure.

The common ground of archives, of what a new conversation is told of an old one, and of both
sources: our own conversation files and transcripts of Claude Code.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from runner.providers.claude.records import UserKind, content_blocks
from runner.providers.claude.replay import Entry

EXCHANGES = 10
EXCHANGE_CHARACTERS = 20_000
_NOTE, _NOTE_END = re.compile(r"<system>"), "</system>"
_SYSTEM_TAG = re.compile(r"<(\s{0,9}/?\s{0,9}system)", re.IGNORECASE)
_SENDING = re.compile(r"(?:^|__)send_(?:message|file)$")
_BLOCK = re.compile(r"<message\s+to\s*=\s*[\"']([^\"'<>]{1,200})[\"'][^<>]{0,400}>")
_BLOCK_END = "</message>"


@dataclass(frozen=True, slots=True)
class Spoken:
    """``by_user`` False: the agent. ``text`` is never empty."""

    by_user: bool
    text: str


def spoken_in(entries: Iterable[Entry]) -> tuple[Spoken, ...]:
    """From the active list. Notes and tool results are nobody's words."""
    found = (
        spoken_of(entry.message)
        for entry in entries
        if entry.kind not in (UserKind.NOTE, UserKind.TOOL_RESULTS, "compaction")
    )
    return tuple(spoken for spoken in found if spoken is not None)


def spoken_of(message: Mapping[str, object]) -> Spoken | None:
    """One message of the API; None when nothing was said in it."""
    role = message.get("role")
    if role not in ("user", "assistant"):
        return None
    texts = []
    for block in content_blocks(message):
        text = block.get("text")
        if block.get("type") == "text" and isinstance(text, str):
            texts.append(_without_notes(text) if role == "user" else _readable(text))
        elif block.get("type") == "tool_use" and role == "assistant":
            texts.append(_sent_by_tool(block))
    said = "\n".join(text.strip() for text in texts if text.strip())
    return Spoken(role == "user", said) if said else None


def last_exchanges(
    spoken: Sequence[Spoken], count: int = EXCHANGES, limit: int = EXCHANGE_CHARACTERS
) -> str:
    """The newest words as plain text, at most ``limit`` characters, oldest first.

    An exchange begins with what people wrote. Where the limit is reached, the older part is cut.
    """
    lines: list[str] = []
    used, exchanges = 0, 0
    for index in range(len(spoken) - 1, -1, -1):
        one = spoken[index]
        line = f"{'User' if one.by_user else 'You'}: {_quoted(one.text)}"
        room = limit - used
        if len(line) > room:
            if room > 1:
                lines.append("…" + line[len(line) - room + 1 :])
            break
        lines.append(line)
        used += len(line) + 2
        begins = one.by_user and (index == 0 or not spoken[index - 1].by_user)
        exchanges += begins
        if exchanges == count:
            break
    return "\n\n".join(reversed(lines))


def _quoted(text: str) -> str:
    """A quotation must not look like the runner's own words."""
    return _SYSTEM_TAG.sub(r"&lt;\1", text)


def _readable(text: str) -> str:
    """Message blocks as one line per delivery, because their syntax hides the words (R-205)."""
    return _replaced(text, _BLOCK, _BLOCK_END, lambda tag, body: f"→ {tag[1]}: {body.strip()}")


def _without_notes(text: str) -> str:
    return _replaced(text, _NOTE, _NOTE_END, lambda _tag, _body: "")


def _replaced(
    text: str,
    opening: re.Pattern[str],
    closing: str,
    shown: Callable[[re.Match[str], str], str],
) -> str:
    """Each pair of tags by what is shown for it. Linear: one pattern for the whole would not be."""
    pieces: list[str] = []
    position = 0
    while found := opening.search(text, position):
        end = text.find(closing, found.end())
        if end < 0:
            break
        before = text[position : found.start()].rstrip()
        pieces += [before, shown(found, text[found.end() : end])]
        position = end + len(closing)
    pieces.append(text[position:].lstrip() if pieces else text[position:])
    return "\n".join(piece for piece in pieces if piece)


def _sent_by_tool(block: Mapping[str, object]) -> str:
    given = block.get("input")
    if not _SENDING.search(str(block.get("name", ""))) or not isinstance(given, dict):
        return ""
    words = given.get("text") or given.get("path") or given.get("filename") or ""
    return f"→ {given.get('to') or 'reply'}: {words}"
