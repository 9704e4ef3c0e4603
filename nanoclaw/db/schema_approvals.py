"""Our migrations for approvals; listed in ``schema``. A released one is never edited."""

STATEMENTS: tuple[str, ...] = ()
