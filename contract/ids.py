"""The only maker of ids: ``<prefix>-<epoch ms>-<6 base-36 characters>`` (H-3).

Old tools read the three parts, so the form is fixed. The random part comes from the system, so
that two processes that start in the same millisecond do not meet.
"""

import os

from contract.clock import utc_now

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_RANDOM_LENGTH = 6


def new_id(prefix: str) -> str:
    milliseconds = int(utc_now().timestamp() * 1000)
    number = int.from_bytes(os.urandom(8), "big")
    letters: list[str] = []
    for _ in range(_RANDOM_LENGTH):
        number, digit = divmod(number, len(_DIGITS))
        letters.append(_DIGITS[digit])
    return f"{prefix}-{milliseconds}-{''.join(letters)}"
