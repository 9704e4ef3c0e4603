"""The script of the ``scripted`` provider, parsed: rules of a pattern and steps.

Pure. A script is ``{"rules": [{"match": regex or null, "times": n, "steps": [...]}]}``; a bare list
of rules is taken too. The first rule that matches and is not used up answers; the last resort
repeats what was said. A wrong script is an operator's mistake: ConfigError.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from contract.errors import BadContent
from contract.jsontext import parse_value
from runner.errors import ConfigError, Trouble

MAX_SCRIPT_BYTES = 1024 * 1024
MAX_DELAY_MS = 24 * 3600 * 1000
MAX_EXIT_CODE = 255


@dataclass(frozen=True, slots=True)
class Say:
    """``{text}`` stands for what was said, ``{count}`` for the number of turns so far.

    ``{result}`` is what the turn's last tool call answered.
    """

    text: str


@dataclass(frozen=True, slots=True)
class Pause:
    """Thinks for so long."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Raise:
    """Ends the stream with an error; ``invalid``: the stored conversation is to blame."""

    message: str
    invalid: bool = False


@dataclass(frozen=True, slots=True)
class Fail:
    """An ``error`` event, then a result without text."""

    trouble: Trouble
    message: str


@dataclass(frozen=True, slots=True)
class Tell:
    """A ``progress`` event."""

    message: str


@dataclass(frozen=True, slots=True)
class Hang:
    """Never goes on by itself."""


@dataclass(frozen=True, slots=True)
class Absorb:
    """Waits for so many pushed inputs and takes all there are into this turn, which covers them."""

    inputs: int


@dataclass(frozen=True, slots=True)
class Exit:
    """The process ends on the spot, as if it had crashed."""

    code: int


@dataclass(frozen=True, slots=True)
class Call:
    """Uses a tool as a model would; ``{result}`` then stands for what it answered."""

    tool: str
    arguments: Mapping[str, object]


Step = Say | Pause | Raise | Fail | Tell | Hang | Absorb | Exit | Call


@dataclass(frozen=True, slots=True)
class Rule:
    """``times``: how often it may answer, counted over restarts; None: always."""

    match: re.Pattern[str] | None
    steps: tuple[Step, ...]
    times: int | None = None


DEFAULT_RULE = Rule(match=None, steps=(Say("You said: {text}"),))


@dataclass(frozen=True, slots=True)
class Choice:
    """``index`` None is the last resort."""

    index: int | None
    rule: Rule


@dataclass(frozen=True, slots=True)
class Script:
    """Rules in the order in which they are tried."""

    rules: tuple[Rule, ...] = ()

    def choose(self, words: str, used: Mapping[int, int]) -> Choice:
        """The rule that answers; ``used`` counts how often each has answered before."""
        for index, rule in enumerate(self.rules):
            if rule.times is not None and used.get(index, 0) >= rule.times:
                continue
            if rule.match is None or rule.match.search(words):
                return Choice(index, rule)
        return Choice(None, DEFAULT_RULE)


def parse_script(script: object) -> Script:
    """From ``container.json``: nothing, JSON text, an object with ``rules``, or a list of rules."""
    value = script
    if isinstance(script, str):
        try:
            value = parse_value(script or "null", max_bytes=MAX_SCRIPT_BYTES)
        except BadContent as error:
            raise _wrong(str(error)) from error
    if value is None:
        return Script()
    rules = value.get("rules", []) if isinstance(value, dict) else value
    if not isinstance(rules, list):
        raise _wrong("the script is not a list of rules")
    return Script(tuple(_rule(rule) for rule in rules))


def _rule(value: object) -> Rule:
    if not isinstance(value, dict):
        raise _wrong("a rule is not an object")
    match, times, steps = value.get("match"), value.get("times"), value.get("steps", [])
    if not isinstance(match, str | None) or not isinstance(steps, list):
        raise _wrong("a rule needs match (text or null) and steps (a list)")
    if times is not None and (not isinstance(times, int) or times < 0):
        raise _wrong("times is not a number")
    try:
        pattern = None if match is None else re.compile(match)
    except re.error as error:
        raise _wrong(f"match {match!r}: {error}") from error
    return Rule(pattern, tuple(_step(step) for step in steps), times)


def _step(value: object) -> Step:
    if not isinstance(value, dict) or len(value) != 1:
        raise _wrong("a step is an object with one key")
    [(verb, argument)] = value.items()
    if isinstance(argument, str):
        step = _text_step(verb, argument)
    elif isinstance(argument, dict):
        step = _call_step(verb, argument)
    else:
        step = _number_step(verb, argument)
    step = step or _BARE_STEPS.get(verb)
    if step is None:
        raise _wrong(f"step {verb!r} is unknown or its argument is wrong")
    return step


_BARE_STEPS: dict[object, Step] = {
    "hang": Hang(),
    "session_invalid": Raise("scripted: no such conversation", invalid=True),
}
"""Their argument does not matter; ``true`` reads well."""


def _text_step(verb: object, argument: str) -> Step | None:
    match verb:
        case "say":
            return Say(argument)
        case "raise":
            return Raise(argument)
        case "progress":
            return Tell(argument)
        case "error" if argument in tuple(Trouble):
            return Fail(Trouble(argument), f"scripted: {argument}")
    return None


def _call_step(verb: object, argument: dict[str, object]) -> Step | None:
    tool, arguments = argument.get("tool"), argument.get("arguments", {})
    if verb != "call" or not isinstance(tool, str) or not isinstance(arguments, dict):
        return None
    return Call(tool, arguments)


def _number_step(verb: object, argument: object) -> Step | None:
    if isinstance(argument, bool) or not isinstance(argument, int | float):
        return None
    if verb == "delay_ms" and 0 <= argument <= MAX_DELAY_MS:
        return Pause(argument / 1000)
    if verb == "absorb" and isinstance(argument, int) and argument >= 0:
        return Absorb(argument)
    if verb == "exit" and isinstance(argument, int) and 0 <= argument <= MAX_EXIT_CODE:
        return Exit(argument)
    return None


def _wrong(detail: str) -> ConfigError:
    return ConfigError(
        f"script: {detail}",
        "The agent cannot start: its script is not usable. "
        "Whoever runs this installation has to correct it.",
    )
