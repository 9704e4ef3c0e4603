"""All commands of ``ncl`` in the order of the manual, for completion, manual page and reference.

Read from the registry, which is code: no host is asked. Pure but for loading that code; imported
only by those three, because it costs more than a call.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from nanoclaw.admin.commands import host_registry
from nanoclaw.admin.registry import (
    Access,
    ArgumentSpec,
    ColumnSpec,
    Kind,
    Operation,
    Registry,
    ResourceSpec,
)
from nanoclaw.cli.ncl import LOCAL

STANDARD = ("list", "get", "create", "update", "delete")


@dataclass(frozen=True, slots=True)
class Option:
    """Of the client itself. ``value`` is what it takes; empty: nothing."""

    flag: str
    value: str
    help: str

    @property
    def shown(self) -> str:
        return f"{self.flag} {self.value}".strip()


CLIENT_OPTIONS = (
    Option("--json", "", "print the whole answer as one JSON document, errors too"),
    Option("--csv", "", "print rows as comma-separated values with a head"),
    Option("--ids", "", "print only the id of each row, one per line"),
    Option("--wide", "", "do not cut columns to the width of the terminal"),
    Option("--yes", "", "do not ask before something is taken away"),
    Option("--timeout", "SECONDS", "wait so long for the answer (usually 30)"),
    Option("--offline", "", "when the host is down, read lists from its database"),
    Option("--home", "FOLDER", "folder of the installation"),
    Option("--help", "", "show what a command takes"),
)
DRY_RUN = Option("--dry-run", "", "show what would change, and change nothing")


@dataclass(frozen=True, slots=True)
class Line:
    """One command. ``target`` is the word behind the verb, without brackets; empty: none."""

    words: tuple[str, ...]
    help: str
    access: str = ""
    target: str = ""
    target_required: bool = False
    arguments: tuple[ArgumentSpec, ...] = ()
    mutating: bool = False
    host_only: bool = False
    examples: tuple[str, ...] = ()

    @property
    def for_agents(self) -> str:
        """A sentence; empty: nothing special."""
        if self.host_only:
            return "Not for agents."
        return "Agents need an approval." if self.access == "approval" else ""

    @property
    def shown(self) -> str:
        """``groups get <id>``."""
        words = " ".join(self.words)
        if not self.target:
            return words
        return f"{words} <{self.target}>" if self.target_required else f"{words} [{self.target}]"


@dataclass(frozen=True, slots=True)
class Section:
    """A resource with its commands."""

    plural: str
    description: str
    columns: tuple[ColumnSpec, ...]
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Outline:
    """``general`` are the commands of no resource, those that need no host among them."""

    sections: tuple[Section, ...]
    general: tuple[Line, ...]

    @property
    def lines(self) -> Iterator[Line]:
        for section in self.sections:
            yield from section.lines
        yield from self.general


def read_outline(registry: Registry | None = None) -> Outline:
    registry = host_registry() if registry is None else registry
    resources = sorted(registry.resources, key=lambda item: item.plural)
    own = {
        name: Line((name,), local.help, target=local.words, target_required=bool(local.words))
        for name, local in LOCAL.items()
    }
    asked = {
        item.verb: _line((), item) for item in registry.general if item.access is not Access.HIDDEN
    }
    general = {**own, **asked}
    return Outline(
        tuple(_section(resource) for resource in resources),
        tuple(general[name] for name in sorted(general)),
    )


def _section(resource: ResourceSpec) -> Section:
    shown = [item for item in resource.operations if item.access is not Access.HIDDEN]
    lines = [_line((resource.plural,), item) for item in _in_order(shown)]
    return Section(resource.plural, resource.description, resource.columns, tuple(lines))


def _in_order(operations: Sequence[Operation]) -> list[Operation]:
    """The standard ones first (N-100); help, which is the same everywhere, last."""
    by_verb = {item.verb: item for item in operations if item.verb in STANDARD}
    own = [item for item in operations if item.verb not in STANDARD]
    helps = [item for item in own if item.verb.split()[-1] == "help"]
    first = [by_verb[verb] for verb in STANDARD if verb in by_verb]
    return [*first, *(item for item in own if item not in helps), *helps]


def _line(before: tuple[str, ...], operation: Operation) -> Line:
    target = operation.target
    return Line(
        words=(*before, *operation.verb.split()),
        help=operation.help,
        access=operation.access.value,
        target=target.name.replace("_", "-") if target is not None else "",
        target_required=target is not None and target.required,
        arguments=operation.arguments,
        mutating=operation.mutating,
        host_only=operation.host_only,
        examples=operation.examples,
    )


def flag_text(spec: ArgumentSpec) -> str:
    """``--limit <integer>``."""
    return spec.flag if spec.kind is Kind.FLAG else f"{spec.flag} <{spec.kind.value}>"


def notes(spec: ArgumentSpec) -> str:
    """What else is to be known of a flag, in brackets; empty: nothing."""
    found = [
        *(["required"] if spec.required else []),
        *([f"default: {spec.default}"] if spec.default is not None else []),
        *([f"values: {' | '.join(spec.choices)}"] if spec.choices else []),
        *(["host only"] if spec.host_only else []),
    ]
    return f"({', '.join(found)})" if found else ""
