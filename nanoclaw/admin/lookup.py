"""Finds the command and its target in what was typed (N-31 to N-35).

Pure; called by ``dispatch``. Ids contain dashes, and so do commands: where the words are known the
longest run of them that is a command wins, else the longest name that the joined words begin with.
What is left is the target, which binds to the flag that the command says.
"""

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nanoclaw.admin.frames import ErrorCode, Request
from nanoclaw.admin.problems import CommandError, InvalidArgsError
from nanoclaw.admin.registry import Command, Registry

MAX_SHOWN = 100
MAX_NEAR = 5

MayRun = Callable[[Command], bool]


class UnknownCommandError(CommandError):
    """Nothing of that name, or nothing that the caller may know of."""

    code = ErrorCode.UNKNOWN_COMMAND


@dataclass(frozen=True, slots=True)
class Found:
    """``target`` is the word behind the verb, if there was one."""

    command: Command
    target: str | None = None


def find(registry: Registry, request: Request, may_run: MayRun) -> Found:
    """Raises UnknownCommandError with near names, InvalidArgsError for words too many."""
    if request.positionals:
        found = _by_words(registry, request.positionals)
    else:
        found = _by_name(registry, request.command)
    if found is None:
        raise UnknownCommandError(_unknown(registry, request, may_run))
    return found


def with_target(found: Found, args: dict[str, str | bool]) -> dict[str, str | bool]:
    """Binds the target to its flag. ``args`` are normal. Raises InvalidArgsError."""
    if found.target is None:
        return args
    spec = found.command.operation.target
    if spec is None:
        raise InvalidArgsError(
            f"{found.command.words} takes no {found.target[:MAX_SHOWN]!r} behind it; see "
            f"`ncl {_help_of(found.command)}`"
        )
    if args.get(spec.name, found.target) != found.target:
        raise InvalidArgsError(f"{spec.flag} and the word behind {found.command.words} differ")
    return {**args, spec.name: found.target}


def _by_words(registry: Registry, words: Sequence[str]) -> Found | None:
    for length in range(len(words), 0, -1):
        command = registry.find("-".join(words[:length]))
        if command is None:
            continue
        rest = words[length:]
        spec = command.operation.target
        if rest and spec is not None and spec.all_words:
            return Found(command, " ".join(map(_quoted, rest)))
        if len(rest) > 1:
            shown = " ".join(rest)[:MAX_SHOWN]
            raise InvalidArgsError(f"{command.words} takes one word behind it, not {shown!r}")
        return Found(command, rest[0] if rest else None)
    return None


def _quoted(word: str) -> str:
    """A word with blanks in it was one word for a shell, and stays together."""
    return f'"{word}"' if " " in word and '"' not in word else word


def _by_name(registry: Registry, name: str) -> Found | None:
    command = registry.find(name)
    if command is not None:
        return Found(command)
    position = name.rfind("-")
    while position > 0:
        command = registry.find(name[:position])
        if command is not None:
            return Found(command, name[position + 1 :])
        position = name.rfind("-", 0, position)
    return None


def _help_of(command: Command) -> str:
    return "help" if command.resource is None else f"{command.resource.plural} help"


def _unknown(registry: Registry, request: Request, may_run: MayRun) -> str:
    """N-34: near ones of the same resource first, of what the caller may run."""
    typed = request.command[:MAX_SHOWN]
    known = [command for command in registry if may_run(command)]
    same = _of_typed_resource(typed, known)
    if same:
        plural = same[0].words.partition(" ")[0]
        verbs = [command.words.removeprefix(f"{plural} ") for command in same]
        near = _near(typed.removeprefix(plural).strip("-"), verbs)
        hint = f"did you mean {plural} {near}?" if near else f"{plural} has: {', '.join(verbs)}"
        return f"unknown command {typed!r}; {hint}"
    resources = sorted({item.resource.plural for item in known if item.resource})
    names = [*resources, *(item.name for item in known if item.resource is None)]
    first = (request.positionals or (typed.partition("-")[0],))[0]
    near = _near(first, names)
    hint = f"did you mean {near}?" if near else f"there are: {', '.join(names)}"
    return f"unknown command {typed!r}; {hint}"


def _of_typed_resource(typed: str, known: Sequence[Command]) -> list[Command]:
    """Of the longest resource that the typed words begin with."""
    found = [
        command
        for command in known
        if command.resource is not None and f"{typed}-".startswith(f"{command.resource.plural}-")
    ]
    longest = max((len(item.resource.plural) for item in found if item.resource), default=0)
    return [item for item in found if item.resource and len(item.resource.plural) == longest]


def _near(word: str, names: Sequence[str]) -> str:
    found = difflib.get_close_matches(word, names, n=MAX_NEAR, cutoff=0.7)
    return " or ".join(found)
