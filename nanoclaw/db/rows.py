"""From columns to values: the few conversions that every repository needs.

Used inside ``nanoclaw.db`` only. Rows may have been written by the earlier program or by hand, so
unreadable times and unknown words become None or a stated default here and nowhere else.
"""

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field, fields
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, ClassVar, Protocol, TypeVar

from contract.clock import parse_text, to_text

UNREADABLE_TIME = datetime(1970, 1, 1, tzinfo=UTC)
"""Stands for a required time that is not one: old enough to be last in every list of newest."""

Parameters = Sequence[str | int | float | None]
Word = TypeVar("Word", bound=StrEnum)
Value = TypeVar("Value")


def time_of(text: object) -> datetime:
    return parse_text(text) or UNREADABLE_TIME


def text_of(moment: datetime | None) -> str | None:
    return None if moment is None else to_text(moment)


def word_of(kind: type[Word], text: object) -> Word | None:
    """The enum member, or None for an empty column or a word this version does not know."""
    try:
        return kind(str(text))
    except ValueError:
        return None


def one(
    conn: sqlite3.Connection,
    build: Callable[[sqlite3.Row], Value],
    sql: str,
    parameters: Parameters = (),
) -> Value | None:
    """The first row as a value. The statement is finished before this returns."""
    rows = conn.execute(sql, parameters).fetchall()
    return build(rows[0]) if rows else None


def many(
    conn: sqlite3.Connection,
    build: Callable[[sqlite3.Row], Value],
    sql: str,
    parameters: Parameters = (),
) -> list[Value]:
    return [build(row) for row in conn.execute(sql, parameters)]


def changed(conn: sqlite3.Connection, sql: str, parameters: Parameters = ()) -> int:
    """Runs a writing statement; how many rows it touched."""
    return conn.execute(sql, parameters).rowcount


def exists(conn: sqlite3.Connection, sql: str, parameters: Parameters = ()) -> bool:
    return conn.execute(sql, parameters).fetchone() is not None


def number(conn: sqlite3.Connection, sql: str, parameters: Parameters = ()) -> int:
    """What a statement counts or sums up."""
    return int(conn.execute(sql, parameters).fetchone()[0])


def moment(conn: sqlite3.Connection, sql: str, parameters: Parameters = ()) -> datetime | None:
    """The one time that a statement asks for; None without a row, and for an empty column."""
    row = conn.execute(sql, parameters).fetchone()
    return None if row is None else parse_text(row[0])


def id_list(ids: Sequence[str] | Sequence[int]) -> str:
    """For ``IN (SELECT value FROM json_each(?))``: any number of ids in one statement."""
    return json.dumps(list(ids))


class Unset:
    """Type of UNSET: a field of a change that stays as it is, unlike None, which empties it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "UNSET"


UNSET = Unset()


class Change(Protocol):
    """A dataclass whose fields are columns, each UNSET unless it is to be written."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]  # as typeshed declares a dataclass


Stored = str | int | float | None


def stored_value(column: str, value: object) -> Stored:
    """A field as SQLite takes it. Raises TypeError for what has no obvious form."""
    if isinstance(value, bool):
        return int(value)
    if value is None or isinstance(value, str | int | float):
        return value
    raise TypeError(f"{column} cannot be stored as {type(value).__name__}")


def set_columns(
    conn: sqlite3.Connection,
    statements: Mapping[str, str],
    key: str,
    change: Change,
    stored: Callable[[str, object], Stored] = stored_value,
) -> bool:
    """Writes the fields that are set, one literal statement each; False when there were none."""
    columns = [field.name for field in fields(change)]
    values = [(name, getattr(change, name)) for name in columns]
    given = [(name, value) for name, value in values if not isinstance(value, Unset)]
    for name, value in given:
        conn.execute(statements[name], (stored(name, value), key))
    return bool(given)
