"""Status blocks: what one step says about itself to a program (S-30 to S-32).

Written by ``nanoclaw setup --step NAME``, read by whoever started it. Text between blocks is
ordinary output; the last block that has a STATUS is the result.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

START = "=== NANOCLAW SETUP: "
START_TAIL = " ==="
END = "=== END ==="
GOOD = ("success", "skipped")


@dataclass(frozen=True, slots=True)
class Block:
    type: str
    fields: Mapping[str, str]


def format_block(kind: str, fields: Mapping[str, object]) -> str:
    """The block's lines. Raises ValueError for a type, key or value that would break it."""
    if not kind or any(letter.isspace() for letter in kind):
        raise ValueError(f"a block's type has no blanks: {kind!r}")
    lines = [f"{START}{kind}{START_TAIL}"]
    for key, value in fields.items():
        if not key or ":" in key or "\n" in key:
            raise ValueError(f"a block's key has no colon and no line break: {key!r}")
        lines.append(f"{key}: {_one_line(value)}".rstrip())
    return "\n".join([*lines, END, ""])


def _one_line(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    text = " ".join(str(value).splitlines()).strip()
    if END in text:
        raise ValueError("a block's value must not contain its end line")
    return text


def parse_blocks(text: str) -> list[Block]:
    """All finished blocks. A second start discards the open one; a missing end, too."""
    found: list[Block] = []
    kind: str | None = None
    fields: dict[str, str] = {}
    for line in _lines(text):
        if line.startswith(START) and line.endswith(START_TAIL):
            kind, fields = line[len(START) : -len(START_TAIL)].strip(), {}
        elif kind is None:
            continue
        elif line == END:
            found.append(Block(kind, fields))
            kind = None
        else:
            key, colon, value = line.partition(":")
            if colon and key.strip():
                fields[key.strip()] = value.strip()
    return found


def _lines(text: str) -> Iterable[str]:
    return (line.strip() for line in text.split("\n"))


def final_block(blocks: Iterable[Block]) -> Block | None:
    """The last one with a STATUS."""
    return next((block for block in reversed([*blocks]) if "STATUS" in block.fields), None)


def is_good(exit_code: int, block: Block | None) -> bool:
    """A step went well only if its exit code and its own word say so."""
    return exit_code == 0 and block is not None and block.fields["STATUS"] in GOOD
