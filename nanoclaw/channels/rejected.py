"""Events that could not be translated, kept aside for whoever repairs the translation (C-26).

Used by the worker for adapters. The newest 100 stay, cut to a bounded size, readable by the
owner only; the count is shown in the channel's state.
"""

from pathlib import Path

from contract.ids import new_id
from nanoclaw.channels.durable import replace_file

KEPT = 100
MAX_BYTES = 64 * 1024


def keep_rejected(folder: Path, payload: bytes, reason: str) -> None:
    """Stores one event with the reason in its first line."""
    aside = folder / "rejected"
    aside.mkdir(mode=0o700, exist_ok=True)
    first_line = " ".join(reason.split())[:500].encode("utf-8", "replace")
    name = new_id("event")
    replace_file(aside / name, first_line + b"\n" + payload[:MAX_BYTES], durable=False)
    for old in sorted(aside.iterdir())[:-KEPT]:
        old.unlink(missing_ok=True)
