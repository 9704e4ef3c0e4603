"""Whether a secret can be looked for in texts without finding it where it is not meant.

Pure. A short or simple one is in many texts by chance, so the guard leaves it out and says so when
it is set.
"""

import math
from collections import Counter

SHORTEST = 8
ENOUGH_BITS = 40.0
LEAST_BITS = 24.0
MANY_CLASSES = 3
COMMON = frozenset({
    "password", "passwort", "passw", "secret", "geheim", "changeme", "letmein", "welcome", "admin",
    "administrator", "qwerty", "qwertz", "test", "testing", "example", "default", "abc", "abcdef",
    "token", "key", "apikey", "root", "guest", "master", "login", "hello", "iloveyou", "monkey",
})  # fmt: skip


def weakness(value: str) -> str | None:
    """Why the guard cannot look for it, or None."""
    letters = [c for c in value if c.isascii() and c.isalnum()]
    if len(letters) < SHORTEST:
        return f"it has fewer than {SHORTEST} letters and digits"
    if "".join(c for c in value.lower() if c.isalpha()) in COMMON:
        return "it is a common word"
    bits = _bits("".join(letters))
    if bits >= ENOUGH_BITS or (_classes(value) >= MANY_CLASSES and bits >= LEAST_BITS):
        return None
    return "it is too simple"


def _bits(text: str) -> float:
    """By how often each character occurs: no more than an estimate from below."""
    counts = Counter(text).values()
    return -sum(count * math.log2(count / len(text)) for count in counts)


def _classes(value: str) -> int:
    return sum(
        (
            any(c.islower() for c in value),
            any(c.isupper() for c in value),
            any(c.isdigit() for c in value),
            any(not c.isalnum() for c in value),
        )
    )
