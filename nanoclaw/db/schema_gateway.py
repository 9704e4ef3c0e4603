"""Our migration for an external credential gateway; listed in ``schema``.

A released one is never edited.
"""

STATEMENTS: tuple[str, ...] = ()
