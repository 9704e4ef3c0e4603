"""The only file of the wizard that reads the terminal.

Called by ``wizard`` when a person sits there. Where the cursor can be moved, questionary asks;
elsewhere one line is printed and one is read. Ctrl-C and the end of input raise Cancelled.
"""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from setup.base import Choice, Kind, Question
from setup.flags import what_is_wrong

if TYPE_CHECKING:
    import questionary

MAX_TRIES = 20
MAX_LINE = 16 * 1024
YES_WORDS = ("y", "yes")
NO_WORDS = ("n", "no")
POINTER = ">"

Show = Callable[[str], None]


class Cancelled(Exception):  # noqa: N818  a wish, not a mistake
    """The person does not want to go on."""


def ask(question: Question, *, plain: bool, show: Show) -> str:
    """A good answer, never an unchecked one."""
    if question.help:
        show(question.help)
    return _ask_plain(question, show) if plain else _ask_drawn(question)


# --- with cursor control


def _ask_drawn(question: Question) -> str:
    try:
        answer: object = _drawn(question).unsafe_ask()
    except (KeyboardInterrupt, EOFError):
        raise Cancelled from None
    if isinstance(answer, bool):
        return "true" if answer else "false"
    return str(answer).strip() if question.kind is Kind.TEXT else str(answer)


def _drawn(question: Question) -> "questionary.Question":
    import questionary

    def validate(answer: str) -> bool | str:
        return what_is_wrong(question, answer.strip()) or True

    if question.kind is Kind.YES_NO:
        return questionary.confirm(question.text, default=question.default != "false")
    if question.kind is Kind.CHOICE:
        choices = [
            questionary.Choice(_label(choice), value=choice.value) for choice in question.choices
        ]
        return questionary.select(
            question.text, choices=choices, default=question.default, pointer=POINTER,
            instruction="(arrows, then Enter)",
        )  # fmt: skip
    if question.kind is Kind.SECRET:
        return questionary.password(question.text, validate=validate)
    return questionary.text(question.text, default=question.default or "", validate=validate)


def _label(choice: Choice) -> str:
    return f"{choice.label} - {choice.hint}" if choice.hint else choice.label


# --- line by line


def _ask_plain(question: Question, show: Show) -> str:
    for number, choice in enumerate(question.choices, start=1):
        show(f"  {number}) {_label(choice)}")
    for _ in range(MAX_TRIES):
        answer = _understood(question, _read(question).strip())
        wrong = what_is_wrong(question, answer)
        if wrong is None:
            return answer
        show(f"  {wrong}")
    show(f"No good answer in {MAX_TRIES} tries.")
    raise Cancelled


def _understood(question: Question, line: str) -> str:
    if not line and question.default is not None:
        return question.default
    word = line.lower()
    if question.kind is Kind.YES_NO:
        return "true" if word in YES_WORDS else "false" if word in NO_WORDS else line
    if question.kind is Kind.CHOICE and line.isdecimal():
        number = int(line[:6])
        if 1 <= number <= len(question.choices):
            return question.choices[number - 1].value
    return line


def _read(question: Question) -> str:
    prompt = f"{question.text}{_hint(question)} "
    try:
        if question.kind is Kind.SECRET:
            import getpass

            return getpass.getpass(prompt)
        sys.stdout.write(prompt.encode(sys.stdout.encoding, "backslashreplace").decode())
        sys.stdout.flush()
        line = sys.stdin.readline(MAX_LINE)
    except (KeyboardInterrupt, EOFError):
        raise Cancelled from None
    if not line:
        raise Cancelled
    return line


def _hint(question: Question) -> str:
    if question.kind is Kind.YES_NO:
        return " [y/N]" if question.default == "false" else " [Y/n]"
    if question.kind is Kind.SECRET:
        return " (not shown):"
    if question.kind is Kind.CHOICE:
        values = [choice.value for choice in question.choices]
        known = question.default in values
        return f" [{values.index(question.default or '') + 1}]" if known else ":"
    return f" [{question.default}]" if question.default else ":"
