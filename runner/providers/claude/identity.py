"""Names of conversations: ``nc1-`` and 26 characters that sort by time (R-287).

The first ten letters are the milliseconds, the rest is random; base 32 without letters that look
like digits. The name is also the file's, so whatever comes from outside is checked against the
exact form before it becomes a path.
"""

import os
import re
from pathlib import Path

from contract.clock import utc_now
from runner.providers.claude.records import CONTINUATION_PREFIX

_LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"
_TIME_LETTERS, _RANDOM_LETTERS = 10, 16
_FORM = re.compile(rf"{CONTINUATION_PREFIX}[0-9a-hjkmnp-tv-z]{{26}}")
SUFFIX = ".jsonl"


def new_conversation_id() -> str:
    moment = int(utc_now().timestamp() * 1000)
    chance = int.from_bytes(os.urandom(10), "big")
    return (
        f"{CONTINUATION_PREFIX}{_base32(moment, _TIME_LETTERS)}{_base32(chance, _RANDOM_LETTERS)}"
    )


def is_conversation_id(text: str) -> bool:
    return _FORM.fullmatch(text) is not None


def conversation_of(file_name: str) -> str | None:
    """The conversation that a file in the folder belongs to."""
    found = _FORM.match(file_name)
    return found[0] if found and file_name[found.end() : found.end() + 1] == "." else None


def conversation_path(folder: Path, conversation_id: str) -> Path:
    return folder / f"{conversation_id}{SUFFIX}"


def _base32(number: int, length: int) -> str:
    letters = []
    for _ in range(length):
        number, digit = divmod(number, len(_LETTERS))
        letters.append(_LETTERS[digit])
    return "".join(reversed(letters))
