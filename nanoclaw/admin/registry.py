"""Every administrative command as data: resources, their operations, and commands of no resource.

The seam of this package: ``resources/*.py`` describe themselves in these words, ``dispatch`` runs
them, ``arguments`` checks their flags, ``help`` and ``describe`` print them. A name that is taken
twice is a programming error (N-31).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from nanoclaw.admin.arguments import Arguments
from nanoclaw.admin.context import CommandContext
from nanoclaw.admin.decide import About

LONGEST_ANSWER_SECONDS = 30


class Access(StrEnum):
    """For agents; the host's own user may run everything (N-36)."""

    OPEN = "open"
    APPROVAL = "approval"
    HIDDEN = "hidden"


class Kind(StrEnum):
    """What a value is. ``flag`` is given without one."""

    TEXT = "string"
    NUMBER = "number"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    JSON = "json"
    FLAG = "flag"


@dataclass(frozen=True, slots=True)
class ArgumentSpec:
    """A flag. ``name`` has underscores, people type dashes.

    ``positional``: the word behind the verb binds to it (N-35); ``all_words``: so do all that come
    after it. ``nullable``: ``--null <name>``, or an empty text, empties it. ``minimum`` and
    ``maximum`` are for numbers.
    """

    name: str
    help: str = ""
    kind: Kind = Kind.TEXT
    required: bool = False
    choices: tuple[str, ...] = ()
    positional: bool = False
    nullable: bool = False
    default: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    missing: str = ""
    """Text instead of ``--name is required``."""
    host_only: bool = False
    """No agent may give it, not even with an approval."""
    all_words: bool = False

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")


@dataclass(frozen=True, slots=True)
class ColumnSpec:
    """A column as ``list`` and ``get`` show it. Every one that is not ``generated`` filters."""

    name: str
    help: str = ""
    kind: Kind = Kind.TEXT
    generated: bool = False
    required: bool = False
    updatable: bool = False
    nullable: bool = False
    default: str | None = None
    choices: tuple[str, ...] = ()


Run = Callable[[CommandContext, Arguments], object]
"""Returns what JSON can say, dataclasses of that, or ``context.Later``. Raises CommandError.

A ``mutating`` one runs inside a transaction of ``context.conn``: it is committed when the function
returns and rolled back when it raises or the call is a dry run. What touches anything but that
database is left to an effect (``effect_wait.leave_to``).
"""


@dataclass(frozen=True, slots=True)
class Operation:
    """One verb. ``verb`` may have several words: ``config get``.

    ``generic``: the answer is rows of the resource, or one row, which the scope filters (N-49).
    ``for_groups`` False: agents bound to their group may not even ask (N-52). ``host_only``: no
    agent may. ``seconds``: how long a client should wait for the answer.
    """

    verb: str
    access: Access
    help: str
    run: Run
    arguments: tuple[ArgumentSpec, ...] = ()
    mutating: bool = False
    generic: bool = False
    for_groups: bool = True
    host_only: bool = False
    examples: tuple[str, ...] = ()
    seconds: int = LONGEST_ANSWER_SECONDS

    @property
    def target(self) -> ArgumentSpec | None:
        """What the word behind the verb binds to."""
        return next((item for item in self.arguments if item.positional), None)


@dataclass(frozen=True, slots=True)
class ResourceSpec:
    """A kind of thing. ``plural`` is its name in commands; standard verbs come first (N-100).

    ``scope_field`` names the column that holds the agent group; None: not for agents that are
    bound to one. ``keyed_by_group``: its id is an agent group's and is filled in for them.
    """

    name: str
    plural: str
    id_column: str
    description: str
    columns: tuple[ColumnSpec, ...]
    operations: tuple[Operation, ...]
    scope_field: str | None = None
    for_groups: bool = False
    keyed_by_group: bool = False


@dataclass(frozen=True, slots=True)
class Command:
    """An operation under its full name, ``groups-config-get``. ``resource`` None: of none."""

    name: str
    operation: Operation
    resource: ResourceSpec | None = None

    @property
    def words(self) -> str:
        """As it is typed: ``groups config get``."""
        if self.resource is None:
            return self.operation.verb
        return f"{self.resource.plural} {self.operation.verb}"

    @property
    def about(self) -> About:
        """For deciding whether a caller may run it."""
        operation, resource = self.operation, self.resource
        return About(
            words=self.words,
            resource=resource.plural if resource is not None else None,
            open_to_groups=resource is not None and resource.for_groups,
            keyed_by_group=resource is not None and resource.keyed_by_group,
            for_groups=operation.for_groups,
            host_only=operation.host_only or operation.access is Access.HIDDEN,
            guarded=frozenset(spec.name for spec in operation.arguments if spec.host_only),
        )


@dataclass(frozen=True)
class Registry:
    """All of them. ``general`` are commands of no resource; their verbs are their names."""

    resources: tuple[ResourceSpec, ...]
    general: tuple[Operation, ...] = ()
    _commands: Mapping[str, Command] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        commands: dict[str, Command] = {}
        for command in _commands(self.resources, self.general):
            if command.name in commands:
                raise ValueError(f"the command {command.name} is defined twice")
            commands[command.name] = command
        object.__setattr__(self, "_commands", dict(sorted(commands.items())))

    def find(self, name: str) -> Command | None:
        return self._commands.get(name)

    def __iter__(self) -> Iterator[Command]:
        """By name."""
        return iter(self._commands.values())

    @property
    def names(self) -> Sequence[str]:
        return tuple(self._commands)

    def resource(self, plural: str) -> ResourceSpec | None:
        return next((item for item in self.resources if item.plural == plural), None)


def _commands(resources: Iterable[ResourceSpec], general: Iterable[Operation]) -> Iterator[Command]:
    for resource in resources:
        for operation in resource.operations:
            name = f"{resource.plural}-{operation.verb.replace(' ', '-')}"
            yield Command(name, operation, resource)
    for operation in general:
        yield Command(operation.verb.replace(" ", "-"), operation)
