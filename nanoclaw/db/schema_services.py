"""Our migration for credentials of services that the vault puts into requests; listed in ``schema``.

A released one is never edited.
"""

STATEMENTS: tuple[str, ...] = ()
