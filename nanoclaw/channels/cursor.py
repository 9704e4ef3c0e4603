"""How far an account has been read: one small file, replaced atomically (C-27).

For adapters whose platform does not keep the position itself. A cursor of another account, or
one that cannot be read, counts as none: the channel then starts at "now" (C-28).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from contract.errors import BadContent
from contract.jsontext import dump, parse_object
from contract.shape import Shape
from nanoclaw.channels.durable import replace_file

MAX_CURSOR_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor(Shape):
    """``position`` is the platform's own: a token, or one per conversation."""

    account_id: str
    stored_at: str
    position: Mapping[str, str] = field(default_factory=dict)
    version: int = 1


def read_cursor(folder: Path, account_id: str) -> Cursor | None:
    """The stored cursor of this account, or None."""
    try:
        text = _path(folder).read_text(encoding="utf-8")
        cursor = Cursor.read(parse_object(text, max_bytes=MAX_CURSOR_BYTES))
    except (OSError, UnicodeDecodeError, BadContent):
        return None
    return cursor if cursor.account_id == account_id else None


def store_cursor(folder: Path, cursor: Cursor) -> None:
    """Durable when it returns; call it only after the events before it are committed."""
    replace_file(_path(folder), dump(cursor.plain()).encode())


def _path(folder: Path) -> Path:
    return folder / "cursor.json"
