"""Requests for a summary, what comes back, and what is put in its place. Pure.

Two ways: the server writes a signed block that later requests send back first (R-282), or we ask
for a text ourselves (R-284). Called by compaction.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from runner.providers.claude.records import Json, Message, RecordType, UserKind, joined_text
from runner.providers.claude.replay import Entry

COMPACTION_BETA = "compact-2026-09-04"
SUMMARY_CHARACTERS = 200_000
_HOPELESS = (
    "compaction_incomplete_turn",
    "compaction_nothing_to_summarize",
    "compaction_signature_invalid",
    "compaction_content_mismatch",
    "compaction_block_ambiguous",
    "compaction_block_misplaced",
    "compaction_tool_changes_mismatch",
    "compaction_too_many_tool_references",
)
"""Errors that the same request would meet again; our own summary may still work (R-282)."""


@dataclass(frozen=True, slots=True)
class Cut:
    """The first ``count`` entries are replaced, the last of them has record ``up_to``."""

    count: int
    up_to: int


@dataclass(frozen=True, slots=True)
class Summary:
    """``message`` comes first in the new list; ``tokens`` as far as they are known."""

    message: Message
    tokens: int


def find_cut(entries: Sequence[Entry]) -> Cut | None:
    """Everything but input at the end that has not been answered; None if that is nothing.

    Tool results at the end belong to the calls before them and are never kept by themselves.
    """
    count = len(entries)
    while count and _is_unanswered_input(entries[count - 1]):
        count -= 1
    if count and entries[count - 1].kind == UserKind.TOOL_RESULTS:
        count = len(entries)
    replaced = entries[:count]
    said = any(entry.kind != RecordType.COMPACTION for entry in replaced)
    return Cut(count, max(entry.n for entry in replaced)) if said else None


def server_request(base: Mapping[str, object], instructions: str) -> Json:
    """``instructions`` replace the server's own prompt."""
    return {
        **base,
        "compaction": {"type": "summarize", "instructions": instructions},
        "betas": [COMPACTION_BETA],
    }


def client_request(base: Mapping[str, object], instructions: str) -> Json:
    """The same head and list, no tools to be called, the instructions as the last words."""
    messages = base["messages"]
    last: Message = {"role": "user", "content": [_system_text(instructions)]}
    listed = list(messages) if isinstance(messages, list) else []
    request: Json = {**base, "messages": [*listed, last]}
    if base.get("tools"):
        request["tool_choice"] = {"type": "none"}
    if holds_block(listed):
        request["betas"] = [COMPACTION_BETA]
    return request


def holds_block(messages: Sequence[Mapping[str, object]]) -> bool:
    """The beta header of compaction is needed on every request with such a list (R-282)."""
    first = messages[0].get("content") if messages else None
    blocks = first if isinstance(first, list) else []
    return any(isinstance(block, dict) and block.get("type") == "compaction" for block in blocks)


def read_block(response: Mapping[str, object]) -> Message | None:
    """The message with the signed block, untouched; None when the server could not write one."""
    content = response.get("content")
    if not isinstance(content, list) or len(content) != 1 or not isinstance(content[0], dict):
        return None
    block = content[0]
    summary = block.get("content")
    if block.get("type") != "compaction" or not isinstance(summary, str) or not summary.strip():
        return None
    return {"role": "assistant", "content": [block]}


def read_summary(response: Mapping[str, object]) -> Message | None:
    """Our own first message; None for a refusal, a cut-off answer or an empty one."""
    if response.get("stop_reason") not in ("end_turn", "stop_sequence"):
        return None
    text = joined_text({"content": response.get("content")}).strip()
    if not text:
        return None
    summary = f"<summary>\n{text[:SUMMARY_CHARACTERS]}\n</summary>"
    return {"role": "user", "content": [{"type": "text", "text": summary}]}


def fresh_start(exchanges: str, archive: str | None) -> Message:
    """The first message when no summary could be had (R-285)."""
    where = f" The whole conversation is archived in conversations/{archive}." if archive else ""
    text = (
        "The earlier conversation became too large and could not be summarised; it is no longer in"
        f" your context. Your memory files are untouched.{where} The last exchanges follow; they"
        " are quoted, not new."
    )
    blocks = [_system_text(text)]
    if exchanges:
        blocks.append({"type": "text", "text": exchanges})
    return {"role": "user", "content": blocks}


def is_worth_retrying(detail: str) -> bool:
    return not any(code in detail for code in _HOPELESS)


def compaction_note(
    destinations: str,
    todo: Sequence[Mapping[str, object]],
    open_questions: Sequence[str],
    background: Sequence[str],
    interrupted_input: str,
) -> str:
    """What the agent must know besides the summary (R-285), as an operator note.

    What people wrote stands behind the note and not in it: it has no more authority than before.
    """
    parts = [
        "The conversation above was shortened to a summary. It is an internal matter: say nothing"
        " about it, and do not send a message because of it.",
        destinations.strip(),
        _listed("Your todo list", [_todo_line(item) for item in todo]),
        _listed("Questions that wait for an answer", open_questions),
        _listed("Commands that run in the background", background),
    ]
    if interrupted_input:
        parts.append(
            "You are in the middle of answering what follows; go on where the summary ends."
        )
    note = "\n\n".join(part for part in parts if part)
    return f"<system>{note}</system>" + (f"\n\n{interrupted_input}" if interrupted_input else "")


def _is_unanswered_input(entry: Entry) -> bool:
    return entry.kind in (UserKind.INPUT, UserKind.NOTE)


def _system_text(text: str) -> Json:
    return {"type": "text", "text": f"<system>{text}</system>"}


def _listed(title: str, lines: Sequence[str]) -> str:
    return "\n".join([f"{title}:", *(f"- {line}" for line in lines)]) if lines else ""


def _todo_line(item: Mapping[str, object]) -> str:
    return f"[{item.get('status', 'pending')}] {item.get('text', '')}"
