"""The options of ``nanoclaw backup`` and ``nanoclaw disk``.

Called by ``commands`` for the tree of all options, so nothing heavy is imported here.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from nanoclaw.config import HostConfig

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add_commands(commands: "Commands") -> list[argparse.ArgumentParser]:
    """Every parser that was added, for the options that all commands share."""
    backup = commands.add_parser("backup", help="make, check and restore backups")
    backup.set_defaults(run_command=_run_backup)
    disk = commands.add_parser("disk", help="show what takes space, and delete what may go")
    disk.set_defaults(run_command=_run_disk)
    return [backup, *_add_backup(backup), disk, *_add_disk(disk)]


def _run_backup(arguments: argparse.Namespace, config: HostConfig) -> int:
    from nanoclaw.cli import backup

    return backup.main(arguments, config)


def _run_disk(arguments: argparse.Namespace, config: HostConfig) -> int:
    from nanoclaw.cli import disk

    return disk.main(arguments, config)


def _add_backup(backup: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """The commands below ``backup``."""
    commands = backup.add_subparsers(
        title="commands", metavar="COMMAND", required=True, dest="backup_command"
    )
    create = commands.add_parser("create", help="make a backup now; the host may go on")
    create.add_argument(
        "--with-secrets", action="store_true", help="also secrets/ and the whole .env"
    )
    create.add_argument("--with-logs", action="store_true", help="also the logs")
    create.add_argument(
        "--output", metavar="DIR", type=Path, help="folder for it (default: backups/ of the home)"
    )
    listing = commands.add_parser("list", help="show the backups there are")
    verify = commands.add_parser("verify", help="read a backup to its end and check every byte")
    verify.add_argument("file", metavar="FILE", type=Path)
    verify.add_argument(
        "--drill", action="store_true", help="also restore it to a scratch folder and start it"
    )
    restore = commands.add_parser("restore", help="bring a backup back; the host must be stopped")
    restore.add_argument("file", metavar="FILE", type=Path)
    restore.add_argument(
        "--to", metavar="HOME", type=Path, help="restore to this folder (default: the home)"
    )
    prune = commands.add_parser("prune", help="delete backups that retention does not keep")
    prune.add_argument("--keep", metavar="D,W,M", help="days, weeks, months (default: 7,4,6)")
    found = [create, listing, verify, restore, prune]
    for command in found:
        command.add_argument("--json", action="store_true", help="print JSON for programs")
    for command in (create, restore, prune):
        command.add_argument("--dry-run", action="store_true", help="say what would be done")
    for command in (restore, prune):
        command.add_argument("--yes", action="store_true", help="do not ask")
    return found


def _add_disk(disk: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """``disk`` alone shows; ``disk clean`` deletes."""
    disk.add_argument("--json", action="store_true", help="print JSON for programs")
    commands = disk.add_subparsers(title="commands", metavar="COMMAND", dest="disk_command")
    clean = commands.add_parser("clean", help="delete now what retention does not keep")
    clean.add_argument("--dry-run", action="store_true", help="say what would be deleted")
    clean.add_argument("--yes", action="store_true", help="do not ask")
    clean.add_argument("--json", action="store_true", help="print JSON for programs")
    return [clean]
