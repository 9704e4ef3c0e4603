"""Our migration for what an agent may use of the machine; listed in ``schema``.

A released one is never edited.
"""

STATEMENTS: tuple[str, ...] = ()
