"""The only maker of ids: ``<prefix>-<epoch ms>-<6 base-36 characters>`` (H-3).

Old tools read the three parts, so the form is fixed. The random part comes from the system, so
that two processes that start in the same millisecond do not meet.
"""

import os
from datetime import datetime

from contract.clock import utc_now

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_RANDOM_LENGTH = 6


def new_id(prefix: str) -> str:
    return _id(prefix, utc_now(), os.urandom(8))


def derived_id(prefix: str, at: datetime, seed: str) -> str:
    """The same id for the same seed and time, so that what is said twice is written once."""
    # Imported late: it loads a cryptographic library, and the host's programs do not need it.
    from hashlib import blake2b

    return _id(prefix, at, blake2b(seed.encode("utf-8", "replace"), digest_size=8).digest())


def _id(prefix: str, at: datetime, raw: bytes) -> str:
    milliseconds = int(at.timestamp() * 1000)
    number = int.from_bytes(raw, "big")
    letters: list[str] = []
    for _ in range(_RANDOM_LENGTH):
        number, digit = divmod(number, len(_DIGITS))
        letters.append(_DIGITS[digit])
    return f"{prefix}-{milliseconds}-{''.join(letters)}"
