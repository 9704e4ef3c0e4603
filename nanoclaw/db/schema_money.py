"""Our migration for endpoints of models, and budgets; listed in ``schema``.

A released one is never edited.
"""

STATEMENTS: tuple[str, ...] = ()
