"""Binds an effect to what was recorded, or shown to a person: a hash over the payload.

Whoever records an effect or asks for an approval makes it; ``effects.runner`` compares it before
anything is done, so that what runs is what was decided. Pure.
"""

import hashlib


def payload_hash(payload: str) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(payload.encode("utf-8", "replace")).hexdigest()
