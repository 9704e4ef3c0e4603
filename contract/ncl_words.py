"""What was typed behind ``ncl``, taken apart (N-5 to N-12). Pure; for host and container.

Keys are not changed, values are texts or true. Which word is an id, the host finds out from the
untouched positionals (N-11). Options that only concern the client are taken out here, never sent.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

SWITCHES = frozenset({"json", "csv", "ids", "wide", "yes", "offline"})
"""Options of the client that never take the word behind them."""
VALUED = frozenset({"home", "timeout"})
"""Options of the client that always take it."""
SENT_SWITCHES = frozenset({"dry-run", "dry_run", "help"})
"""Flags that every command knows; they never take the word behind them either."""
ONE_OUTPUT = ("json", "csv", "ids")
_HELP = ("--help", "-h")
_MAX_SECONDS = 24 * 60 * 60


@dataclass(frozen=True, slots=True)
class Typed:
    """``command`` is empty when there were only flags. ``help``: nothing is to be asked.

    ``problem`` says in words what is wrong with the line; the rest is then of no use. ``seconds``
    is how long to wait for the answer, None: as long as usual.
    """

    command: str = ""
    positionals: tuple[str, ...] = ()
    args: Mapping[str, str | bool] = field(default_factory=dict)
    json: bool = False
    csv: bool = False
    ids: bool = False
    wide: bool = False
    yes: bool = False
    offline: bool = False
    home: str = ""
    seconds: float | None = None
    help: bool = False
    problem: str = ""


def parse_words(words: Sequence[str]) -> Typed:
    """``--`` ends the flags; a key given twice keeps its last value."""
    if not words or words[0] in _HELP:
        return Typed(help=True)
    positionals: list[str] = []
    args: dict[str, str | bool] = {}
    switches: dict[str, bool] = {}
    valued: dict[str, str] = {}
    problems: list[str] = []
    rest = list(reversed(words))
    while rest:
        word = rest.pop()
        if word == "--":
            positionals += reversed(rest)
            break
        if not word.startswith("--"):
            positionals.append(word)
            continue
        key, equals, value = word.removeprefix("--").partition("=")
        if key in SWITCHES:
            switches[key] = True
            if equals:
                problems.append(f"--{key} takes no value")
        elif equals:
            (valued if key in VALUED else args)[key] = value
        elif key in VALUED:
            if rest:
                valued[key] = rest.pop()
            else:
                problems.append(f"--{key} needs a value")
        else:
            args[key] = rest.pop() if rest and _takes_word(key, rest[-1]) else True
    return _typed(positionals, args, switches, valued, problems)


def _takes_word(key: str, following: str) -> bool:
    return (
        not following.startswith("--")
        and key not in SENT_SWITCHES
        and not key.startswith(("no-", "no_"))
    )


def _typed(
    positionals: list[str],
    args: dict[str, str | bool],
    switches: dict[str, bool],
    valued: dict[str, str],
    problems: list[str],
) -> Typed:
    outputs = [f"--{name}" for name in ONE_OUTPUT if name in switches]
    if len(outputs) > 1:
        problems.append(f"choose one of {' and '.join(outputs)}")
    if "" in args:
        problems.append("a flag needs a name behind its dashes")
    return Typed(
        command="-".join(positionals),
        positionals=tuple(positionals),
        args=args,
        home=valued.get("home", ""),
        seconds=_seconds(valued.get("timeout"), problems),
        problem="; ".join(problems),
        json="json" in switches,
        csv="csv" in switches,
        ids="ids" in switches,
        wide="wide" in switches,
        yes="yes" in switches,
        offline="offline" in switches,
    )


def _seconds(text: str | None, problems: list[str]) -> float | None:
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= _MAX_SECONDS:
        problems.append(f"--timeout must be a number of seconds, at most {_MAX_SECONDS}")
        return None
    return seconds
