"""Our migrations for tasks; listed in ``schema``. A released one is never edited."""

STATEMENTS: tuple[str, ...] = ()
