"""``list`` and ``get`` of a table, the same for every resource (N-55 to N-58).

Used by the modules of this package. The scope of an agent goes into the WHERE, so that a page is
never empty for want of rows of others (N-51).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from nanoclaw.admin.arguments import Arguments, Value
from nanoclaw.admin.context import CommandContext
from nanoclaw.admin.problems import InvalidArgsError, NotFoundError
from nanoclaw.admin.registry import Access, ArgumentSpec, ColumnSpec, Kind, Operation
from nanoclaw.db.listing import Listing, rows
from nanoclaw.db.rows import Stored

DEFAULT_LIMIT = 200
MAX_LIMIT = 10_000
MAX_OFFSET = 10**9
EMPTY = "null"
"""As a filter's value: rows in which the column is empty."""


@dataclass(frozen=True, slots=True)
class Table:
    """Where a resource's rows are. ``newest_first``: what people look for is new.

    ``common`` is what makes the table, where several are shown as one (``db.listing``).
    """

    name: str
    table: str
    id_column: str
    columns: tuple[ColumnSpec, ...]
    scope_field: str | None = None
    newest_first: bool = False
    common: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @property
    def default_order(self) -> str:
        return "created_at" if "created_at" in self.names else self.id_column


def list_operation(table: Table) -> Operation:
    def run(context: CommandContext, arguments: Arguments) -> object:
        order, descending = _order(table, arguments.optional("order"))
        return rows(
            context.conn,
            Listing(
                table=table.table,
                columns=table.names,
                equal=_equal(table, context, arguments),
                order=order,
                descending=descending,
                limit=arguments.integer("limit", DEFAULT_LIMIT),
                offset=arguments.integer("offset", 0),
                common=table.common,
            ),
        )

    return Operation(
        "list", Access.OPEN, "list them; every field filters", run,
        (*_filters(table), *_paging(table)), generic=True,
    )  # fmt: skip


def get_operation(table: Table, *, hides_foreign: bool = False) -> Operation:
    """``hides_foreign``: to an agent, rows of others are not there at all (N-48)."""

    def run(context: CommandContext, arguments: Arguments) -> object:
        scope = context.only_group if hides_foreign else None
        return find_row(context, table, arguments.text("id"), scope)

    return Operation(
        "get", Access.OPEN, "show one", run, (target_argument(table.name),), generic=True
    )


def target_argument(name: str, *, help_text: str = "which one") -> ArgumentSpec:
    """``--id``, or the word behind the verb."""
    return ArgumentSpec(
        "id", help_text, required=True, positional=True, missing=f"{name} id is required"
    )


def find_row(
    context: CommandContext, table: Table, row_id: str, only_group: str | None = None
) -> dict[str, object]:
    """Raises NotFoundError."""
    equal: dict[str, Stored] = {table.id_column: row_id}
    if only_group is not None and table.scope_field is not None:
        equal[table.scope_field] = only_group
        if table.scope_field == table.id_column and only_group != row_id:
            raise NotFoundError(f"{table.name} not found: {row_id}")
    wanted = Listing(table.table, table.names, equal, limit=1, common=table.common)
    found = rows(context.conn, wanted)
    if not found:
        raise NotFoundError(f"{table.name} not found: {row_id}")
    return found[0]


def _filters(table: Table) -> Sequence[ArgumentSpec]:
    return [
        ArgumentSpec(
            column.name,
            column.help,
            Kind.TEXT if column.kind is Kind.JSON else column.kind,
            choices=(*column.choices, EMPTY) if column.choices else (),
            positional=column.name == table.id_column,
            nullable=True,
        )
        for column in table.columns
        if not column.generated
    ]


def _paging(table: Table) -> Sequence[ArgumentSpec]:
    return [
        ArgumentSpec("limit", "at most so many", Kind.INTEGER, default=str(DEFAULT_LIMIT),
                     minimum=1, maximum=MAX_LIMIT),
        ArgumentSpec("offset", "leave out the first", Kind.INTEGER, default="0",
                     minimum=0, maximum=MAX_OFFSET),
        ArgumentSpec("order", "a field, and :desc for the other way round"),
    ]  # fmt: skip


def _order(table: Table, wanted: str | None) -> tuple[str, bool]:
    if wanted is None:
        return table.default_order, table.newest_first
    name, colon, way = wanted.replace("-", "_").partition(":")
    if name not in table.names or (colon and way not in ("asc", "desc")):
        known = ", ".join(table.names)
        raise InvalidArgsError(f"--order takes one of {known}, and :desc or :asc behind it")
    return name, way == "desc"


def _equal(table: Table, context: CommandContext, arguments: Arguments) -> dict[str, Stored]:
    equal = {
        name: _stored(value) for name, value in arguments.values.items() if name in table.names
    }
    if context.only_group is not None and table.scope_field is not None:
        equal[table.scope_field] = context.only_group
    return equal


def _stored(value: Value) -> Stored:
    if isinstance(value, bool):
        return int(value)
    if value is None or isinstance(value, int | float):
        return value
    return None if value == EMPTY else str(value)
