"""What was typed after ``ncl``, taken apart (R-180, N-5 to N-10). Pure.

Also used for the text that a model gives the ``ncl`` tool. Keys are not changed, values are texts
or true; which word is an id, the host finds out from the untouched positionals (N-11).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

USAGE = """usage: ncl RESOURCE VERB [ID] [--key VALUE | --flag]... [--json]

Asks the host, within what this agent may see and do. `ncl help` lists the resources,
`ncl RESOURCE help` its verbs and fields. Changes may need an administrator's approval.
"""
_HELP = ("--help", "-h")


@dataclass(frozen=True, slots=True)
class Typed:
    """``command`` is empty when there were only flags; ``help``: nothing is to be asked."""

    command: str = ""
    positionals: tuple[str, ...] = ()
    args: Mapping[str, str | bool] = field(default_factory=dict)
    json: bool = False
    help: bool = False


def parse_words(words: Sequence[str]) -> Typed:
    """``--`` ends the flags; a key given twice keeps its last value."""
    if not words or words[0] in _HELP:
        return Typed(help=True)
    positionals: list[str] = []
    args: dict[str, str | bool] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            positionals += rest
            break
        if not word.startswith("--"):
            positionals.append(word)
            continue
        key, equals, value = word.removeprefix("--").partition("=")
        if equals:
            args[key] = value
        elif key == "json":
            args[key] = True
        elif rest and not rest[0].startswith("--"):
            args[key] = rest.pop(0)
        else:
            args[key] = True
    as_json = args.pop("json", None) is not None
    return Typed("-".join(positionals), tuple(positionals), args, json=as_json)
