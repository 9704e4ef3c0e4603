"""The options of ``nanoclaw doctor`` and ``support``; the commands are in modules of these names.

Called by ``commands`` for the tree of all options, so nothing heavy is imported here.
"""

import argparse
from pathlib import Path


def add_commands(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> list[argparse.ArgumentParser]:
    doctor = commands.add_parser("doctor", help="look the whole installation over")
    doctor.add_argument("--fix", action="store_true", help="do the fixes that are safe to do")
    doctor.add_argument("--yes", action="store_true", help="with --fix: do not ask")
    doctor.add_argument("--dry-run", action="store_true", help="with --fix: only say what it does")
    doctor.add_argument("--json", action="store_true", help="print JSON for programs")
    doctor.add_argument("--lint", action="store_true", help="exit code 1 for warnings too")
    doctor.add_argument("--online", action="store_true", help="also checks that use the network")
    doctor.add_argument("--only", metavar="ID,..", default="", help="only these checks or areas")
    doctor.add_argument("--list", action="store_true", help="show the checks, do none")
    doctor.set_defaults(own_settings=_run)
    support = commands.add_parser("support", help="make an archive for whoever helps you")
    support.add_argument(
        "--output", metavar="FILE", type=Path, help="where to (default: here, named by the time)"
    )
    support.add_argument("--dry-run", action="store_true", help="only show what would be inside")
    support.add_argument("--json", action="store_true", help="print JSON for programs")
    support.set_defaults(own_settings=_run_support)
    return [doctor, support]


def _run(arguments: argparse.Namespace) -> int:
    from nanoclaw.cli import doctor

    return doctor.main(arguments)


def _run_support(arguments: argparse.Namespace) -> int:
    from nanoclaw.cli import support

    return support.main(arguments)
