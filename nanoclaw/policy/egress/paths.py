"""Paths of requests as rules compare them: byte by byte, once nothing in them is ambiguous.

Pure. Where a rule names paths, a path that a server may read in another way than we do is refused:
dots that climb, doubled or backward slashes, and characters written as ``%`` that need not be.
"""

import re
from urllib.parse import unquote_to_bytes

MAX_PATH = 1024

_PREFIX = re.compile(r"/[!$&'()+,.0-9:;=@A-Z_a-z~/*%-]*")
_NEEDLESS = re.compile(
    r"%(?:2[5def]|3[0-9]|4[1-9a-f]|5[0-9acf]|6[1-9a-f]|7[0-9aef]|[01][0-9a-f])", re.IGNORECASE
)
"""Letters, digits, ``-._~``, slashes of both kinds, control characters, and ``%`` itself."""
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")


def decoded(path: str) -> bytes:
    """What a server makes of it; ``%c3`` and ``%C3``, ``!`` and ``%21`` are one there."""
    return unquote_to_bytes(path)


def without_query(target: str) -> str:
    return re.split(r"[?#]", target, maxsplit=1)[0]


def ambiguity(path: str) -> str | None:
    """What is wrong with it, in words; None when every server reads it as we do."""
    if not path.startswith("/"):
        return "it does not begin with /"
    if "\\" in path or "//" in path:
        return "it has a backslash or two slashes in a row"
    if any(part.partition(";")[0] in (".", "..") for part in path.split("/")):
        return "it has . or .. as a part"
    if _NEEDLESS.search(path) or _BAD_PERCENT.search(path):
        return "it writes plain characters with %"
    if not path.isascii() or not path.isprintable() or " " in path:
        return "it has blanks, control characters or letters outside ASCII"
    return None


def prefix_problem(prefix: str) -> str | None:
    """What is wrong with a path in a rule; None: nothing."""
    if len(prefix) > MAX_PATH:
        return f"it has more than {MAX_PATH} characters"
    if "?" in prefix or "#" in prefix:
        return "a rule's path ends before ? and #"
    found = ambiguity(prefix)
    if found is None and not _PREFIX.fullmatch(prefix):
        return "it has characters that no path has"
    return found


def is_below(path: str, prefix: str) -> bool:
    """The prefix itself, and what follows it after a slash: ``/v1`` does not cover ``/v10``."""
    if not path.startswith(prefix):
        return False
    return prefix.endswith("/") or len(path) == len(prefix) or path[len(prefix)] == "/"
