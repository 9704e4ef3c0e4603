"""The command line: reads the words, loads the settings, hands over to one command's module.

Entry of the console scripts, of ``python -m nanoclaw`` and of the zipapp; called as ``ncl`` it is
``nanoclaw ncl``. Modules of commands, and argparse itself, are imported when they are needed:
``--version`` and every ``ncl`` call pay for nothing else.
"""

import sys
from collections.abc import Sequence

from nanoclaw.version import VERSION

INTERRUPTED = 130
"""What a shell reports for a program that Ctrl-C ended."""
CRASH = 1
NOBODY_ASKED = 2
"""Of ``ncl``, whatever went wrong on this side (N-28)."""


def main(words: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    given = list(sys.argv[1:] if words is None else words)
    if words is None and _program_name() == "ncl":
        return ncl_main(given)
    if given[:1] in (["--version"], ["-V"]):
        sys.stdout.write(f"nanoclaw {VERSION}\n")
        return 0
    return _guarded(given)


def ncl_main(words: Sequence[str] | None = None) -> int:
    """The same under the name ``ncl``."""
    return _guarded(["ncl", *(sys.argv[1:] if words is None else words)])


def _program_name() -> str:
    return sys.argv[0].rpartition("/")[2].removesuffix(".pyz")


def _guarded(words: Sequence[str]) -> int:
    """The command line's door: every failure becomes one line and an exit code."""
    from nanoclaw.cli.render import print_error
    from nanoclaw.errors import NanoclawError

    try:
        return _run_command(words)
    except NanoclawError as error:
        print_error(str(error))
        return int(error.exit_code)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output is gone; Python would complain at exit
        return 0
    except Exception as error:  # noqa: BLE001  # the door; it prints the trace
        import traceback

        traceback.print_exc()
        print_error(f"internal error, please report the lines above: {error}")
        return NOBODY_ASKED if _is_ncl(words) else CRASH


def _is_ncl(words: Sequence[str]) -> bool:
    return words[:1] == ["ncl"]


def _run_command(words: Sequence[str]) -> int:
    if _is_ncl(words):
        from nanoclaw.cli import ncl

        return ncl.main(words[1:])
    from nanoclaw.cli import commands

    return commands.main(words)
