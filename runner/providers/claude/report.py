"""The answers to ``/context``, ``/cost`` and ``/files``: texts from facts (R-310). Pure.

Plain text in aligned columns, because channels differ in what they make of markup.
"""

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from contract.outbound.row import UsageTotal
from runner.providers.claude.records import content_blocks

MAX_FILES = 100
_ATTACHED = re.compile(r"\[([^\[\]:]{1,80}): ([^\[\]]{1,400}?) — saved to ([^\[\]\n]{1,1000})\]")
_SEND_FILE = re.compile(r"(?:^|__)send_file$")


@dataclass(frozen=True, slots=True)
class ContextFacts:
    """Tokens of the parts; ``exact`` when the API counted them."""

    model: str
    window: int
    threshold: int
    system: int
    tools: int
    messages: int
    exact: bool
    message_count: int


@dataclass(frozen=True, slots=True)
class CostFacts:
    """``per_day``: the cap of the configuration; ``date``: of the price table."""

    conversation: UsageTotal
    today: UsageTotal
    per_day: float | None = None
    date: str = ""


@dataclass(frozen=True, slots=True)
class FileLine:
    """``sent`` False: it came with a message."""

    name: str
    path: str
    sent: bool


def render_context(facts: ContextFacts) -> str:
    used = facts.system + facts.tools + facts.messages
    about = "" if facts.exact else "about "
    rows = [
        ("Instructions", facts.system),
        ("Tools", facts.tools),
        (f"Messages ({facts.message_count})", facts.messages),
        ("Used", used),
        ("Free until compaction", max(facts.threshold - used, 0)),
        ("Window of the model", facts.window),
    ]
    share = 100 * used / facts.threshold if facts.threshold else 0
    lines = [f"Context of this conversation ({facts.model}), {about}{share:.0f} % full:", ""]
    lines += _columns([(name, f"{tokens:,}") for name, tokens in rows])
    return "\n".join(lines)


def render_cost(facts: CostFacts) -> str:
    """Two columns of totals; without a price that is said, never shown as nothing."""
    both = (facts.conversation, facts.today)
    rows = [
        ("", "conversation", "today"),
        ("Model calls", *(f"{total.calls:,}" for total in both)),
        ("Input tokens", *(f"{total.input_tokens:,}" for total in both)),
        ("From the cache", *(f"{total.cache_read_tokens:,}" for total in both)),
        ("Into the cache", *(f"{total.cache_write_tokens:,}" for total in both)),
        ("Output tokens", *(f"{total.output_tokens:,}" for total in both)),
        ("Web searches", *(f"{total.web_searches:,}" for total in both)),
        ("Cost (USD)", *(_dollars(total) for total in both)),
    ]
    lines = ["What this agent used:", "", *_columns(rows)]
    if facts.per_day is not None:
        lines += ["", f"The limit of a day is {facts.per_day:.2f} USD."]
    if any(total.unpriced for total in both):
        lines += ["", "Calls of a model without a known price are not in the cost."]
    elif facts.date:
        lines += ["", f"By the price list of {facts.date}."]
    return "\n".join(lines)


def render_files(files: Sequence[FileLine]) -> str:
    if not files:
        return "No files were attached or sent in this conversation."
    lines: list[str] = []
    for title, sent in (("Attached:", False), ("Sent:", True)):
        chosen = [file for file in files if file.sent is sent]
        if not chosen:
            continue
        shown = chosen[-MAX_FILES:]
        lines += ["", title] if lines else [title]
        if len(shown) < len(chosen):
            lines.append(f"(the newest {len(shown)} of {len(chosen)})")
        lines += [f"- {file.name}: {file.path}" for file in shown]
    return "\n".join(lines)


def files_in(messages: Iterable[Mapping[str, object]]) -> tuple[FileLine, ...]:
    """Each file once, in the order in which they first appeared."""
    found: dict[FileLine, None] = {}
    for message in messages:
        for block in content_blocks(message):
            text = block.get("text")
            if message.get("role") == "user" and isinstance(text, str):
                for match in _ATTACHED.finditer(text):
                    found[FileLine(html.unescape(match[2]), html.unescape(match[3]), False)] = None
            elif block.get("type") == "tool_use":
                line = _sent(block)
                if line is not None:
                    found[line] = None
    return tuple(found)


def _sent(block: Mapping[str, object]) -> FileLine | None:
    given = block.get("input")
    if not _SEND_FILE.search(str(block.get("name", ""))) or not isinstance(given, dict):
        return None
    path = given.get("path")
    if not isinstance(path, str) or not path:
        return None
    name = given.get("filename")
    return FileLine(name if isinstance(name, str) and name else path.rpartition("/")[2], path, True)


def _columns(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """The first column to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return lines


def _dollars(total: UsageTotal) -> str:
    if total.calls and total.unpriced == total.calls:
        return "unknown"
    return (
        f"{total.cost_usd:.2f}"
        if total.cost_usd >= 0.1 or not total.calls
        else (f"{total.cost_usd:.4f}")
    )
