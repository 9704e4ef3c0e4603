"""The options of ``nanoclaw secrets``; the commands themselves are in ``secrets``.

Called by ``commands`` for the tree of all options, so nothing heavy is imported here. A value given
as a word of the command stands in the shell's history and in the list of processes: it is refused,
and no message of this parser repeats a word that it did not understand.
"""

import argparse
from typing import NoReturn

REFUSED = (
    "a secret is never given as a word of the command, because those can be read in the list of "
    "processes and stay in your shell's history. If what you typed was a real secret, delete that "
    "line from the history (and consider a new secret). Run `nanoclaw secrets set NAME` and type "
    "it at the hidden prompt, or send it to standard input, or use --from-file FILE"
)
KINDS = ("api-key", "auth-token", "oauth", "other")


class QuietParser(argparse.ArgumentParser):
    """Says what it expected, never what it got."""

    def error(self, message: str) -> NoReturn:
        self.print_usage()
        self.exit(2, f"{self.prog}: the words do not fit; {REFUSED}\n")

    def parse_known_args(  # type: ignore[override]  # argparse's own overloads cannot be matched
        self,
        args: list[str] | None = None,
        namespace: argparse.Namespace | None = None,
    ) -> tuple[argparse.Namespace, list[str]]:
        found, rest = super().parse_known_args(args, namespace)
        if rest:
            self.error("too many words")
        return found, rest


def add_commands(secrets: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """The commands below ``secrets``, for the options that all commands share."""
    commands = secrets.add_subparsers(
        title="commands", metavar="COMMAND", required=True, dest="secrets_command",
        parser_class=QuietParser,
    )  # fmt: skip
    put = commands.add_parser("set", help="keep a secret; its value is asked for, or read")
    _add_value(put)
    listing = commands.add_parser("list", help="show which secrets there are, never their values")
    listing.add_argument("--json", action="store_true", help="print JSON for programs")
    remove = commands.add_parser("rm", help="remove a secret")
    remove.add_argument("name", metavar="NAME")
    remove.add_argument("--yes", action="store_true", help="do not ask")
    remove.add_argument("--force", action="store_true", help="also one that is in use")
    rotate = commands.add_parser("rotate", help="replace the value of a secret, at once")
    _add_value(rotate)
    return [put, listing, remove, rotate]


def _add_value(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("--from-file", metavar="FILE", help="read the value from this file")
    parser.add_argument("--kind", choices=KINDS, help="what it is for (default: by its name)")
