"""Our migration for which hosts agents may reach; listed in ``schema``.

A released one is never edited.
"""

STATEMENTS: tuple[str, ...] = ()
