"""The databases: whole, of this version, without orphans, tidy."""

import shlex
from pathlib import Path

from contract.clock import to_text
from nanoclaw import audit, audit_head
from nanoclaw.backup.restore import alone_on
from nanoclaw.db import health, search_index
from nanoclaw.db.backup import copy_database
from nanoclaw.db.connection import SCHEMA_NUMBER, open_central
from nanoclaw.db.migrations import migrate
from nanoclaw.doctor.base import Check, Finding, Severity
from nanoclaw.doctor.facts import CannotLookError, Facts
from nanoclaw.errors import NanoclawError, StateError

MANY_BYTES = 64 << 20
LARGE_LOG = 128 << 20
SEARCH_FILE = "search.db"


def _integrity(facts: Facts) -> Finding | None:
    path = facts.paths.central_db
    if not path.exists():
        return None
    try:
        found = [str(row[0]) for row in health.ask(path, "integrity")]
    except StateError as error:
        found = [str(error)]
    if found == ["ok"]:
        return None
    fix = facts.command("backup list") + " shows good ones for `nanoclaw backup restore FILE`"
    return Finding("; ".join(found)[:300], "The host's books are damaged; it may not start.",
                   fix, by_hand=True)  # fmt: skip


def _schema(facts: Facts) -> int:
    return int(facts.ask_central("schema")[0][0])


def _newer(facts: Facts) -> Finding | None:
    found = _schema(facts)
    if found <= SCHEMA_NUMBER:
        return None
    return Finding(f"the database has schema {found}, this program knows {SCHEMA_NUMBER}",
                   "A newer nanoclaw wrote it; this one refuses it.",
                   "start the newer nanoclaw again", by_hand=True)  # fmt: skip


def _older(facts: Facts) -> Finding | None:
    found = _schema(facts)
    if found >= SCHEMA_NUMBER:
        return None
    return Finding(f"the database has schema {found}, this program brings {SCHEMA_NUMBER}",
                   "The next start of the host brings it up to date.")  # fmt: skip


def _migrate(facts: Facts) -> str:
    kept = _keep(facts)
    with alone_on(facts.paths):
        conn = open_central(facts.paths.central_db, create=False)
        try:
            migrate(conn)
        finally:
            conn.close()
    return f"brought the database up to date; the earlier one is {kept}"


def _keep(facts: Facts) -> Path:
    """A copy of the books of before a repair."""
    folder = facts.paths.backups
    folder.mkdir(mode=0o700, exist_ok=True)
    name = to_text(facts.now).replace(":", "").replace(".", "")
    for number in range(1, 100):
        kept = folder / f"before-doctor-{name}-{number}.db"
        if not kept.exists():
            copy_database(facts.paths.central_db, kept)
            kept.chmod(0o600)
            return kept
    raise CannotLookError(f"{folder} is full of copies of before a repair; delete some")


def _keys(facts: Facts) -> Finding | None:
    return _orphans(facts, soft=False)


def _references(facts: Facts) -> Finding | None:
    return _orphans(facts, soft=True)


def _orphans(facts: Facts, *, soft: bool) -> Finding | None:
    facts.ask_central("schema")
    try:
        count = health.soft_orphans if soft else health.foreign_orphans
        found = count(facts.paths.central_db)
    except StateError as error:
        raise CannotLookError(str(error)) from error
    if not found:
        return None
    shown = ", ".join(f"{key} ({rows})" for key, rows in sorted(found.items()))
    return Finding(
        f"rows that refer to nothing: {shown}",
        "Commands that meet them fail. The host must be stopped for the fix.",
    )


def _remove_keys(facts: Facts) -> str:
    return _remove(facts, soft=False)


def _remove_references(facts: Facts) -> str:
    return _remove(facts, soft=True)


def _remove(facts: Facts, *, soft: bool) -> str:
    with alone_on(facts.paths):
        kept = _keep(facts)
        changed = health.remove_orphans(facts.paths.central_db, soft=soft)
    return f"took {changed} rows away; the earlier database is {kept}"


def _log_size(facts: Facts) -> Finding | None:
    path = facts.paths.central_db
    log = path.with_name(path.name + "-wal")
    size = log.stat().st_size if log.exists() else 0
    if size <= LARGE_LOG:
        return None
    return Finding(f"the log of the database has {size >> 20} MiB",
                   "Some program has been reading for a long time.")  # fmt: skip


def _checkpoint(facts: Facts) -> str:
    health.tidy(facts.paths.central_db, "checkpoint")
    return "took the log into the database"


def _free_pages(facts: Facts) -> Finding | None:
    pages, free, size = facts.ask_central("pages")[0]
    if free * size < MANY_BYTES or free * 2 < pages:
        return None
    return Finding(
        f"{free * size >> 20} MiB of the database are empty", "They could be given back."
    )


def _vacuum(facts: Facts) -> str:
    with alone_on(facts.paths):
        health.tidy(facts.paths.central_db, "vacuum")
    return "gave the empty pages back"


def _chain(facts: Facts) -> tuple[int | None, int | None]:
    facts.ask_central("schema")
    try:
        with health.looking(facts.paths.central_db) as conn:
            bad = audit.verify(conn).first_bad
            return bad, audit_head.first_missing(conn, facts.paths.audit)
    except (NanoclawError, ValueError) as error:
        raise CannotLookError(str(error)) from error


def _audit(facts: Facts) -> Finding | None:
    bad = _chain(facts)[0]
    if bad is None:
        return None
    return Finding(
        f"row {bad} of the audit is not what was written",
        "Somebody has changed the trail, or the disk has.",
        "compare with the newest good backup; nothing mends a trail",
        by_hand=True,
    )


def _audit_end(facts: Facts) -> Finding | None:
    missing = _chain(facts)[1]
    if missing is None:
        return None
    head = facts.paths.audit / audit_head.FILE_NAME
    return Finding(f"the audit ends before row {missing}, which was kept once",
                   "Its end was cut off, or an older database was put back by hand.",
                   f"mv {shlex.quote(str(head))} {shlex.quote(str(head))}.seen")  # fmt: skip


def _search(facts: Facts) -> Finding | None:
    path = facts.paths.data / SEARCH_FILE
    if not path.exists():
        return None
    try:
        found = health.ask(path, "integrity")
    except StateError as error:
        return Finding(f"{path.name}: {error}", "`ncl search` fails; the index is made anew.")
    return None if found == [("ok",)] else Finding(
        f"{path.name}: {found[0][0]}"[:200], "`ncl search` fails; the index is made anew."
    )  # fmt: skip


def _forget_search(facts: Facts) -> str:
    search_index.remove(facts.paths.data / SEARCH_FILE)
    return "removed the index; a running host makes it anew"


_E, _W, _N = Severity.ERROR, Severity.WARNING, Severity.NOTE
_AREA = "databases"
CHECKS = (
    Check("db-integrity", _AREA, _E, "the database is whole", _integrity),
    Check("db-newer", _AREA, _E, "no newer program wrote the database", _newer),
    Check("db-older", _AREA, _N, "the database is of this version", _older, _migrate),
    Check("db-keys", _AREA, _E, "no foreign key leads nowhere", _keys, _remove_keys),
    Check("db-references", _AREA, _W, "no other reference leads nowhere", _references,
          _remove_references),
    Check("db-log", _AREA, _W, "the database's log is short", _log_size, _checkpoint),
    Check("db-pages", _AREA, _N, "the database has few empty pages", _free_pages, _vacuum),
    Check("db-audit", _AREA, _E, "the audit is what was written", _audit),
    Check("db-audit-end", _AREA, _E, "the audit has its newest rows", _audit_end),
    Check("db-search", _AREA, _W, "the search index is whole", _search, _forget_search),
)  # fmt: skip
