"""The options of ``nanoclaw extras``; the commands themselves are in ``extras``.

Called by ``commands`` for the tree of all options, so nothing heavy is imported here.
"""

import argparse

NAMES = ("intercept",)


def add_commands(extras: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """The commands below ``extras``, for the options that all commands share."""
    commands = extras.add_subparsers(
        title="commands", metavar="COMMAND", required=True, dest="extras_command"
    )
    listing = commands.add_parser("list", help="show which extras there are, and which work")
    listing.add_argument("--json", action="store_true", help="print JSON for programs")
    add = commands.add_parser("add", help="fetch an extra's libraries, exactly as we pinned them")
    remove = commands.add_parser("remove", help="remove an extra's libraries")
    for command in (add, remove):
        command.add_argument("name", metavar="NAME", choices=NAMES, help=", ".join(NAMES))
    return [listing, add, remove]
