"""Rows of any table as ``ncl`` lists them: chosen columns, equal filters, one order, a page.

The only place that puts names into SQL: they come from the tables of ``nanoclaw.admin``, never from
a request, and anything but lower-case letters and underscores is refused. Values are bound.
"""

import re
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field

from nanoclaw.db.rows import Stored

_NAME = re.compile(r"[a-z_][a-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Listing:
    """``equal`` None means that the column is empty.

    ``common`` is a WITH clause of this package that makes the table, or nothing.
    """

    table: str
    columns: tuple[str, ...]
    equal: Mapping[str, Stored] = field(default_factory=dict)
    order: str = "rowid"
    descending: bool = False
    limit: int = 200
    offset: int = 0
    common: str = ""


def rows(conn: sqlite3.Connection, listing: Listing) -> list[dict[str, object]]:
    """As stored, in the order of the columns."""
    for name in (listing.table, *listing.columns, *listing.equal, listing.order):
        if _NAME.fullmatch(name) is None:
            raise ValueError(f"{name!r} is no name of a table or column")
    where = " AND ".join(f"{name} IS ?" for name in listing.equal) or "1"
    way = "DESC" if listing.descending else "ASC"
    found = conn.execute(
        f"{listing.common} SELECT {', '.join(listing.columns)} FROM {listing.table} WHERE {where}"  # noqa: S608
        f" ORDER BY {listing.order} {way}, rowid {way} LIMIT ? OFFSET ?",
        (*listing.equal.values(), listing.limit, listing.offset),
    )
    return [dict(row) for row in found]
