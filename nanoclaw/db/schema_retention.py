"""Our migrations for retention; listed in ``schema``. A released one is never edited."""

STATEMENTS: tuple[str, ...] = ()
