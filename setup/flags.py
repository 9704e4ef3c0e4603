"""The words and variables of ``nanoclaw setup``: their grammar and their help (S-14 to S-17).

Called by ``__main__``. Every question of every step gives a flag and a variable. All mistakes
are collected and none repeats a secret: those come from a file or a variable, never as a word.
"""

import difflib
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from setup.base import Kind, Question, Step

YES = ("true", "1", "yes")
NO = ("false", "0", "no")


@dataclass(frozen=True, slots=True)
class Flag:
    """``question`` None: a flag of the wizard itself."""

    name: str
    text: str
    value: str = ""
    variable: str = ""
    question: Question | None = None

    @property
    def is_switch(self) -> bool:
        return not self.value


OWN_FLAGS = (
    Flag("home", "folder of this installation", "FOLDER"),
    Flag("non-interactive", "never ask, never wait", variable="NANOCLAW_NON_INTERACTIVE"),
    Flag("yes", "take the default of every question", variable="NANOCLAW_YES"),
    Flag("dry-run", "look, show the plan, change nothing"),
    Flag("check", "look and verify, change nothing"),
    Flag("json", "one line of JSON per step"),
    Flag("skip", "leave these steps out", "STEPS", "NANOCLAW_SKIP"),
    Flag("only", "this step alone, if it is not done", "STEP"),
    Flag("redo", "this step alone, also if it is done", "STEP"),
    Flag("start-over", "forget what earlier runs did and were told"),
    Flag("step", "this step alone, its result as a status block", "STEP"),
    Flag("help", "show this"),
)


@dataclass(slots=True)
class Given:
    """What the words and the environment say; ``errors`` empty: they can be used."""

    values: dict[str, str] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    help: bool = False

    def is_on(self, name: str) -> bool:
        return self.values.get(name) == "true"

    @property
    def skip(self) -> frozenset[str]:
        return frozenset(_names(self.values.get("skip", "")))


def question_flag(question: Question) -> Flag:
    variable = question.variable or "NANOCLAW_" + question.flag.upper().replace("-", "_")
    if question.kind is Kind.SECRET:
        return Flag(f"{question.flag}-file", question.text, "FILE", variable, question)
    value = "" if question.kind is Kind.YES_NO else "VALUE"
    return Flag(question.flag, question.text, value, variable, question)


def all_flags(steps: Sequence[Step]) -> dict[str, Flag]:
    """By name. Raises ValueError when two questions want the same flag for different things."""
    flags = {flag.name: flag for flag in OWN_FLAGS}
    for step in steps:
        for question in step.questions:
            flag = question_flag(question)
            there = flags.get(flag.name)
            if there is not None and (there.question is None or there.question.key != question.key):
                raise ValueError(f"two questions have the flag --{flag.name}")
            flags[flag.name] = flag
    return flags


def parse(
    words: Sequence[str],
    environment: Mapping[str, str],
    steps: Sequence[Step],
    read_secret: Callable[[str], str],
) -> Given:
    """Never raises for what a user wrote. ``read_secret`` raises OSError or ValueError."""
    reading = _Reading(all_flags(steps), read_secret)
    reading.take_variables(environment)
    reading.take_words(words)
    reading.check_steps([step.name for step in steps])
    return reading.given


class _Reading:
    """One pass over the words; what is wrong is collected in ``given.errors``."""

    def __init__(self, flags: Mapping[str, Flag], read_secret: Callable[[str], str]) -> None:
        self.given = Given()
        self._flags = flags
        self._read_secret = read_secret
        self._secrets = {
            flag.question.flag
            for flag in flags.values()
            if flag.question is not None and flag.question.kind is Kind.SECRET
        }

    def take_variables(self, environment: Mapping[str, str]) -> None:
        for flag in self._flags.values():
            text = environment.get(flag.variable, "") if flag.variable else ""
            if text:
                self._set(flag, text, flag.variable)

    def take_words(self, words: Sequence[str]) -> None:
        waiting = list(words)
        if {"-h", "--help"} & set(waiting):
            self.given.help = True
            return
        while waiting:
            word = waiting.pop(0)
            if word == "--":
                continue  # --step NAME -- words: the words are answers like the others (S-42)
            if not word.startswith("--"):
                self._wrong(f"{word!r} is not a flag; nothing is taken without one")
                continue
            name, given, value = word[2:].partition("=")
            self._take(name, value if given else None, waiting)

    def _take(self, name: str, value: str | None, waiting: list[str]) -> None:
        flag = self._flags.get(name)
        if flag is None and name.startswith("no-") and value is None:
            flag = self._flags.get(name[3:])
            value = "false"
            if flag is not None and not flag.is_switch:
                flag = None
        if flag is None:
            self._unknown(name, waiting)
            return
        if flag.is_switch:
            self._set(flag, "true" if value is None else value, f"--{flag.name}")
            return
        if value is None and waiting and not waiting[0].startswith("--"):
            value = waiting.pop(0)
        if value:
            self._set(flag, value, f"--{name}", from_word=True)
        else:
            self._wrong(f"--{name} needs a value: --{name}={flag.value}")

    def _unknown(self, name: str, waiting: list[str]) -> None:
        if name in self._secrets:
            if waiting and not waiting[0].startswith("--"):
                waiting.pop(0)  # it must not be shown as a stray word
            variable = self._flags[f"{name}-file"].variable
            self._wrong(f"--{name} would show a secret to everybody on this machine; "
                        f"use --{name}-file FILE or the variable {variable}")  # fmt: skip
            return
        near = difflib.get_close_matches(name, self._flags, n=1)
        hint = f"; did you mean --{near[0]}?" if near else ""
        self._wrong(f"unknown flag --{name}{hint}")

    def _set(self, flag: Flag, text: str, source: str, *, from_word: bool = False) -> None:
        if flag.is_switch:
            text = text.strip().lower()
            if text not in (*YES, *NO):
                self._wrong(f"{source} is either true or false (also 1, yes, 0, no)")
                return
            text = "true" if text in YES else "false"
        if flag.question is None:
            self.given.values[flag.name] = text
            return
        question = flag.question
        if question.kind is Kind.SECRET and from_word:
            try:
                text = self._read_secret(text)
            except (OSError, ValueError) as error:
                self._wrong(f"{source}: cannot read that file: {_reason(error)}")
                return
        wrong = what_is_wrong(question, text)
        if wrong:
            self._wrong(f"{source}: {wrong}")
        else:
            self.given.answers[question.key] = text

    def check_steps(self, names: Sequence[str]) -> None:
        values = self.given.values
        for flag in ("skip", "only", "redo"):
            for name in _names(values.get(flag, "")):
                if name not in names:
                    near = difflib.get_close_matches(name, names, n=1)
                    hint = f"did you mean {near[0]}?" if near else "steps: " + ", ".join(names)
                    self._wrong(f"--{flag}: no step is called {name!r}; {hint}")
        modes = [flag for flag in ("only", "redo", "step", "check") if values.get(flag)]
        if len(modes) > 1:
            self._wrong("only one of " + " and ".join(f"--{mode}" for mode in modes) + " at once")

    def _wrong(self, text: str) -> None:
        self.given.errors.append(text)


def _reason(error: Exception) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def what_is_wrong(question: Question, answer: str) -> str | None:
    """In words that name the next step, or None; the same for flags, variables and prompts."""
    if question.kind is Kind.CHOICE:
        values = [choice.value for choice in question.choices]
        if answer not in values:
            near = difflib.get_close_matches(answer, values, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            return f"{hint}it must be one of {', '.join(values)}"
    if question.kind is Kind.YES_NO and answer not in ("true", "false"):
        return "it must be true or false"
    if not answer.strip() and question.default is None:
        return "an answer is needed"
    return question.check(answer) if question.check is not None else None


def answer_flag(question: Question) -> str:
    """How a missing answer is given, for messages."""
    flag = question_flag(question)
    return f"--{flag.name} ({flag.variable})"


def help_text(steps: Sequence[Step]) -> str:
    """For 80 columns."""
    lines = ["usage: nanoclaw setup [flags]", ""]
    lines += ["Sets up this installation, step by step; run again, it goes on.", ""]
    lines += _section("flags:", OWN_FLAGS)
    for step in steps:
        if step.questions:
            flags = [question_flag(question) for question in step.questions]
            lines += ["", *_section(f"answers of the step {step.name} ({step.title}):", flags)]
    lines += ["", "steps: " + ", ".join(step.name for step in steps)]
    lines += ["exit codes: 0 finished, 1 a step failed, 2 wrong or missing words,",
              "            3 finished with open points, 130 cancelled"]  # fmt: skip
    return "\n".join(lines) + "\n"


def _section(title: str, flags: Iterable[Flag]) -> list[str]:
    lines = [title]
    for flag in flags:
        lines.append(f"  --{flag.name}" + (f" {flag.value}" if flag.value else ""))
        text = flag.text + (f" [{flag.variable}]" if flag.variable else "")
        lines += textwrap.wrap(text, 78, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return lines
