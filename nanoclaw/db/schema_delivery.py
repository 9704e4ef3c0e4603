"""Our migrations for delivery; listed in ``schema``. A released one is never edited."""

STATEMENTS: tuple[str, ...] = ()
