"""Our migrations for agents; listed in ``schema``. A released one is never edited."""

STATEMENTS: tuple[str, ...] = ()
