"""Entry of ``nanoclaw setup`` and of ``python -m setup``: words in, exit code out.

Reads the environment, hands over to ``wizard`` or to ``single``. All that is wrong with the words
is said at once, before anything is looked at.
"""

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from nanoclaw.config import HostConfig, load_config
from nanoclaw.errors import NanoclawError
from nanoclaw.launch import own_command
from setup.base import Step
from setup.flags import Given, help_text, parse
from setup.screen import Screen, read_look

MAX_SECRET_BYTES = 64 * 1024
FAILED = 1
USAGE = 2


def main(
    words: Sequence[str] | None = None,
    *,
    home: Path | None = None,
    environment: Mapping[str, str] | None = None,
    steps: Sequence[Step] | None = None,
) -> int:
    """``steps`` is for tests; everybody else gets the table."""
    words = sys.argv[1:] if words is None else words
    environment = os.environ if environment is None else environment
    table = _table() if steps is None else tuple(steps)
    given = parse(words, environment, table, read_secret)
    if given.help:
        sys.stdout.write(help_text(table))
        return 0
    wrong_step = _wrong_step(words, given, table)
    if wrong_step:
        names = "".join(f"  {step.name}\n" for step in table)
        sys.stderr.write(f"error: {wrong_step}\nsteps:\n{names}")
        return FAILED
    if given.errors:
        lines = "".join(f"error: {error}\n" for error in given.errors)
        sys.stderr.write(lines + "nanoclaw setup --help lists all flags\n")
        return USAGE
    if given.values.get("home"):
        home = Path(given.values["home"])
    try:
        return _run(given, table, home, environment)
    except NanoclawError as error:
        sys.stderr.write(f"nanoclaw: {' '.join(str(error).split())}\n")
        return FAILED


def _table() -> tuple[Step, ...]:
    from setup.steps.table import STEPS

    return STEPS


def _run(
    given: Given, steps: tuple[Step, ...], home: Path | None, environment: Mapping[str, str]
) -> int:
    from setup.single import check, run_step
    from setup.wizard import Task, Wizard

    def load() -> HostConfig:
        return load_config(home=home, environment=environment)

    words = ["nanoclaw", "setup"]
    if home is not None:
        words += ["--home", str(load().home)]
    task = Task(steps, given, load, tuple(own_command()), shlex.join(words))
    screen = Screen(read_look(environment, as_json=given.is_on("json")))
    if given.values.get("step"):
        return run_step(task, screen, _named(steps, given.values["step"]))
    if given.is_on("check"):
        return check(task, screen)
    return Wizard(task, screen).run()


def _wrong_step(words: Sequence[str], given: Given, steps: Sequence[Step]) -> str:
    """What is wrong with --step (S-42), or nothing."""
    name = given.values.get("step")
    if name is None:
        return "--step needs the name of a step" if "--step" in words else ""
    return "" if any(step.name == name for step in steps) else f"no step is called {name!r}"


def _named(steps: Sequence[Step], name: str) -> Step:
    return next(step for step in steps if step.name == name)


def read_secret(name: str) -> str:
    """The first lines of a file without the last line break. Raises OSError or ValueError."""
    with Path(name).expanduser().open("rb") as file:
        content = file.read(MAX_SECRET_BYTES + 1)
    if len(content) > MAX_SECRET_BYTES:
        raise ValueError(f"it is larger than {MAX_SECRET_BYTES} bytes; this is no secret")
    return content.decode().rstrip("\r\n")


if __name__ == "__main__":
    sys.exit(main())
