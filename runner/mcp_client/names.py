"""Names of MCP tools as a model sees them: ``mcp__<server>__<tool>`` (R-272).

Called by ``catalogue``. Pure. A name depends on the server's and the tool's name alone, except
that a second tool of the same shape gets a suffix; the catalogue keeps the way back, because the
mapping loses characters.
"""

import hashlib
import re
from collections.abc import Container

PREFIX = "mcp__"
MAX_NAME = 64
"""The Messages API allows 128; other endpoints 64."""

OWN_SERVER = "nanoclaw"
"""Our own tools' prefix, so that no configured server may have it (R-26)."""

MAX_SERVER_NAME = 32
_HASH_LENGTH = 6
_FOREIGN = re.compile(r"[^A-Za-z0-9_-]")


def safe(name: str) -> str:
    """``name`` with everything replaced that an API would refuse in a tool's name."""
    return _FOREIGN.sub("_", name)


def shorten(name: str, limit: int) -> str:
    """At most ``limit`` characters; what was cut lives on in a hash."""
    if len(name) <= limit:
        return name
    return f"{name[: limit - _HASH_LENGTH - 1]}_{_digest(name)}"


def server_prefix(server: str) -> str:
    """What the names of all tools of ``server`` begin with."""
    return f"{PREFIX}{shorten(safe(server), MAX_SERVER_NAME)}__"


def is_reserved(server: str) -> bool:
    """Its tools could pass for ours."""
    return server_prefix(server).startswith(f"{PREFIX}{OWN_SERVER}__")


def tool_name(prefix: str, tool: str, taken: Container[str] = ()) -> str:
    """A valid name that is not in ``taken``; ``prefix`` is that of the tool's server."""
    name = shorten(prefix + (safe(tool) or "_"), MAX_NAME)
    if name not in taken:
        return name
    # Different originals of one shape, such as "a.b" and "a_b": the hash is of the original.
    number = 1
    while True:
        suffix = f"_{_digest(f'{number} {tool}')}"
        candidate = name[: MAX_NAME - len(suffix)] + suffix
        if candidate not in taken:
            return candidate
        number += 1


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_LENGTH]
